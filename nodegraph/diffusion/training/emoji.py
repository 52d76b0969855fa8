"""Build a captioned picture data set from emoji packages that the user has fetched with `npm pack`.

Every style is joined to Unicode's table by code point, and every picture is written as RGBA, so that backgrounds and
placement can be chosen when training. The same archives give the same bytes.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nodegraph.diffusion.training.archives import find_archive, read_json, read_members
from nodegraph.diffusion.training.emoji_subjects import ONE_WAY, PICTORIAL_GROUPS
from nodegraph.errors import BadDataset, MissingPackage, Problems, did_you_mean
from nodegraph.files import write_atomic

SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
OUTSIDE_LINK = re.compile(r"<image|<foreignObject|<!ENTITY|href\s*=\s*[\"'](?!#)|url\((?!\s*[\"']?#)", re.IGNORECASE)


@dataclass(frozen=True)
class EmojiStyle:
    """One set of drawings: `word` is the style's name in captions, `package` where it comes from."""

    word: str
    package: str
    kind: Literal["svg", "webp"]
    licence: str
    author: str


STYLES: dict[str, EmojiStyle] = {
    style.word: style
    for style in (
        EmojiStyle("3d", "@lobehub/fluent-emoji-3d", "webp", "MIT", "Microsoft Corporation"),
        EmojiStyle("noto", "@iconify-json/noto", "svg", "Apache-2.0", "Google Inc"),
        EmojiStyle("flat", "@iconify-json/fluent-emoji-flat", "svg", "MIT", "Microsoft Corporation"),
        EmojiStyle("twemoji", "@iconify-json/twemoji", "svg", "CC-BY-4.0", "Twitter, Inc and other contributors"),
        EmojiStyle("retro", "@iconify-json/noto-v1", "svg", "Apache-2.0", "Google Inc"),
        EmojiStyle("emojione", "@iconify-json/emojione", "svg", "CC-BY-4.0", "EmojiOne"),
    )
}


@dataclass(frozen=True)
class Subject:
    """One thing to draw. `codes`: its code points as file names write them, with and without the emoji selector FE0F."""

    label: str
    name: str
    slug: str
    group: str
    tags: tuple[str, ...]
    codes: tuple[str, ...]


@dataclass(frozen=True)
class BuildStep:
    """Progress of `build_emoji_dataset`: `done` of `total` pictures; `skipped` had no drawing in their style, then `file` is empty."""

    done: int
    total: int
    file: str
    skipped: int


def build_emoji_dataset(
    packages: Path,
    out: Path,
    *,
    subjects: Mapping[str, str] | None = None,
    styles: Sequence[str] = ("3d", "noto", "flat"),
    size: int = 256,
) -> Iterator[BuildStep]:
    """Write `out/images/<slug>-<style>.png|webp` and `out/metadata.jsonl`, one line per picture; the table is written last.

    subjects: label -> slug in Unicode's table (`emoji_subjects.DEMO_SUBJECTS`); None takes every pictorial one
    size: edge of the rendered drawings in pixels; the 3d style is always 256
    Raises `FileMissing` for an archive that is not in `packages`, `BadDataset` for unknown styles and subjects (all at once),
    `MissingPackage` without resvg_py.
    """
    _check_styles(styles)
    chosen = choose_subjects(read_subjects(packages), subjects)
    total, done, skipped = len(chosen) * len(styles), 0, 0
    lines: list[dict[str, Any]] = []
    for word in styles:
        drawings = _drawings(packages, STYLES[word], chosen, size)
        for subject in chosen:
            done += 1
            file, data = "", drawings.get(subject.slug)
            if data is None:
                skipped += 1
            else:
                file = f"images/{subject.slug}-{word}{'.webp' if STYLES[word].kind == 'webp' else '.png'}"
                _write(out / file, data)
                lines.append(_line(file, subject, STYLES[word]))
            yield BuildStep(done, total, file, skipped)
    lines.sort(key=lambda line: str(line["file"]))
    _write(out / "metadata.jsonl", "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode())


def _check_styles(styles: Sequence[str]) -> None:
    unknown = [word for word in styles if word not in STYLES]
    if unknown or not styles:
        raise BadDataset(f"no emoji style is called {', '.join(unknown) or '(nothing)'}", hint=f"choose among {', '.join(STYLES)}")


def _write(path: Path, data: bytes) -> None:
    write_atomic(path, lambda stream: stream.write(data))


def _line(file: str, subject: Subject, style: EmojiStyle) -> dict[str, Any]:
    return {
        "file": file,
        "label": subject.label,
        "name": subject.name,
        "tags": list(subject.tags),
        "style": style.word,
        "group": subject.group,
        "licence": style.licence,
        "author": style.author,
        "source": style.package,
        "mirror": subject.slug not in ONE_WAY,
    }


# ------------------------------------------------------------------------------------------------ subjects


def read_subjects(packages: Path) -> dict[str, Subject]:
    """Every emoji by slug, from `unicode-emoji-json` (names, groups) and `emojibase-data` (tags)."""
    (by_emoji,) = read_json(find_archive(packages, "unicode-emoji-json"), "data-by-emoji.json")
    (details,) = read_json(find_archive(packages, "emojibase-data"), "en/data.json")
    tags = {str(row["hexcode"]).lower(): tuple(str(tag) for tag in row.get("tags", ())) for row in details or ()}
    return {row["slug"]: _subject(emoji, row, tags) for emoji, row in (by_emoji or {}).items() if SLUG.fullmatch(row["slug"])}


def _subject(emoji: str, row: Mapping[str, Any], tags: Mapping[str, tuple[str, ...]]) -> Subject:
    code = "-".join(f"{ord(char):x}" for char in emoji)
    bare = code.replace("-fe0f", "")
    name = str(row["name"])
    return Subject(name, name, str(row["slug"]), str(row["group"]), tags.get(code) or tags.get(bare) or (), (code, bare, f"{bare}-fe0f"))


def choose_subjects(known: Mapping[str, Subject], wanted: Mapping[str, str] | None) -> list[Subject]:
    """The subjects `wanted` (label -> slug) under their new labels, or all pictorial ones. Raises `Problems`, one per unknown slug."""
    if wanted is None:
        return [subject for subject in known.values() if subject.group in PICTORIAL_GROUPS]
    missing = [slug for slug in wanted.values() if slug not in known]
    if missing:
        raise Problems([BadDataset(f"no emoji has the slug {slug!r}", hint=did_you_mean(slug, known)) for slug in missing])
    return [_relabelled(known[slug], label) for label, slug in wanted.items()]


def _relabelled(subject: Subject, label: str) -> Subject:
    return Subject(label, subject.name, subject.slug, subject.group, subject.tags, subject.codes)


# ------------------------------------------------------------------------------------------------ drawings


def _drawings(packages: Path, style: EmojiStyle, subjects: Sequence[Subject], size: int) -> dict[str, bytes]:
    """slug -> encoded RGBA picture, for the subjects that this style draws."""
    archive = find_archive(packages, style.package)
    if style.kind == "webp":
        return _webp_files(archive, subjects)
    return _rendered(archive, _icon_names(packages), subjects, size)


def _webp_files(archive: Path, subjects: Sequence[Subject]) -> dict[str, bytes]:
    by_file = {f"assets/{code}.webp": subject.slug for subject in subjects for code in subject.codes}
    return {by_file[name]: _checked(data, name) for name, data in read_members(archive, lambda name: name in by_file)}


def _checked(data: bytes, name: str) -> bytes:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as cause:
        raise BadDataset(f"{name} is not a picture: {cause}", hint="fetch the archive again") from cause
    return data


def _icon_names(packages: Path) -> dict[str, str]:
    """Code point -> icon name. Only some sets carry this table, and all of them share the names."""
    (table,) = read_json(find_archive(packages, "@iconify-json/noto"), "chars.json")
    return {str(code): str(name) for code, name in (table or {}).items()}


def _rendered(archive: Path, names: Mapping[str, str], subjects: Sequence[Subject], size: int) -> dict[str, bytes]:
    (icons,) = read_json(archive, "icons.json")
    if not isinstance(icons, dict) or "icons" not in icons:
        raise BadDataset(f"{archive.name} holds no icons.json", hint="fetch the archive again")
    found = {}
    for subject in subjects:
        icon = next((_icon(icons, names[code]) for code in subject.codes if code in names), None)
        if icon is not None:
            found[subject.slug] = render_svg(icon, size)
    return found


def _icon(icons: Mapping[str, Any], name: str) -> str | None:
    """The SVG document of an icon, following at most one alias; None if the set lacks it."""
    entry = icons["icons"].get(name) or icons["icons"].get(icons.get("aliases", {}).get(name, {}).get("parent"))
    if entry is None:
        return None
    width, height = (entry.get(side, icons.get(side, 16)) for side in ("width", "height"))
    head = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return (
        f'{head} viewBox="0 0 {float(width):g} {float(height):g}" width="{float(width):g}" height="{float(height):g}">{entry["body"]}</svg>'
    )


def render_svg(document: str, size: int) -> bytes:
    """PNG of `size` x `size` pixels with alpha. Raises `BadDataset` for drawings that reach outside themselves or are broken."""
    try:
        from resvg_py import svg_to_bytes
    except ImportError as cause:
        raise MissingPackage("rendering SVG needs the package resvg_py", hint='pip install "nodegraph[data]"') from cause
    if OUTSIDE_LINK.search(document):
        raise BadDataset("an SVG drawing refers to something outside itself", hint="use the archives as published")
    try:
        return bytes(svg_to_bytes(svg_string=document, width=size, height=size, skip_system_fonts=True))
    except ValueError as cause:
        raise BadDataset(f"an SVG drawing cannot be rendered: {cause}", hint="fetch the archive again") from cause
