"""A folder of captioned pictures: `metadata.jsonl` with one line per picture, or a caption file beside each (`fox.png`, `fox.txt`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from nodegraph.diffusion.training.scenes import is_cutout
from nodegraph.errors import BadDataset, FileMissing, NodegraphError, Problems

if TYPE_CHECKING:
    from PIL.Image import Image

TABLE = "metadata.jsonl"
ENDINGS = (".png", ".webp", ".jpg", ".jpeg")
PICTURE_LIMIT = 64 * 1024 * 1024  # pixels


@dataclass(frozen=True)
class Entry:
    """One picture. Either `caption` is its whole text, or captions are composed from `label`, `style` and the scene around it.

    file: path relative to the data set's folder, with forward slashes
    name: a second, more formal word for the subject; tags: loose words
    mirror: whether it may be shown mirrored; False for writing and numbers
    width, height: in pixels; cutout: whether it has transparent parts, so that backgrounds can be put behind it
    """

    file: str
    label: str = ""
    style: str = ""
    name: str = ""
    tags: tuple[str, ...] = ()
    group: str = ""
    caption: str = ""
    licence: str = ""
    author: str = ""
    mirror: bool = True
    width: int = 0
    height: int = 0
    cutout: bool = True


@dataclass(frozen=True)
class Dataset:
    """A checked data set, entries sorted by file name."""

    root: Path
    entries: tuple[Entry, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Every subject once, sorted."""
        return tuple(sorted({entry.label for entry in self.entries if entry.label}))

    @property
    def styles(self) -> tuple[str, ...]:
        """Every style once, sorted."""
        return tuple(sorted({entry.style for entry in self.entries if entry.style}))

    @cached_property
    def company(self) -> dict[str, tuple[int, ...]]:
        """Style -> the entries that may stand beside another one in a picture: cut-outs with a label."""
        found: dict[str, list[int]] = {}
        for index, entry in enumerate(self.entries):
            if entry.cutout and entry.label and not entry.caption:
                found.setdefault(entry.style, []).append(index)
        return {style: tuple(indices) for style, indices in found.items()}

    def is_composable(self, index: int) -> bool:
        """Whether an entry may be placed freely and beside others: a cut-out with a label, in a style that has other labels too."""
        own = self.entries[index]
        return index in self.company.get(own.style, ()) and any(self.entries[i].label != own.label for i in self.company[own.style])

    def companion(self, index: int, place: float) -> int:
        """The entry of the same style and another label that stands at `place` (0..1) among them."""
        own, group = self.entries[index], self.company[self.entries[index].style]
        start = int(place * len(group))
        return next(other for other in (*group[start:], *group[:start]) if self.entries[other].label != own.label)

    def fingerprint(self) -> str:
        """Changes when an entry's words or the bytes of a picture do."""
        digest = hashlib.blake2b(digest_size=16)
        for entry in self.entries:
            digest.update(repr(entry).encode())
            digest.update(hashlib.blake2b((self.root / entry.file).read_bytes(), digest_size=16).digest())
        return digest.hexdigest()

    def open(self, index: int) -> Image:
        """The picture as RGBA. Raises `BadDataset` if it cannot be decoded."""
        return open_rgba(self.root, self.entries[index].file)


def read_dataset(folder: Path) -> Dataset:
    """Read and check a data set: every picture is decoded once, every fault is reported at once.

    Raises `FileMissing` for a folder that is not there, `BadDataset` for an empty one or one fault, `Problems` for several.
    """
    if not folder.is_dir():
        raise FileMissing(f"there is no data set folder {folder}", hint="build one, or name a folder of pictures with captions")
    faults: list[NodegraphError] = []
    named = list(_from_table(folder, faults) if (folder / TABLE).is_file() else _from_captions(folder, faults))
    found = list(_inspected(folder, named, faults))
    if faults:
        raise faults[0] if len(faults) == 1 else Problems(faults)
    if not found:
        raise BadDataset(f"{folder} holds no pictures", hint=f"put {', '.join(ENDINGS)} files with a .txt caption each there, or a {TABLE}")
    return Dataset(folder, tuple(sorted(found, key=lambda entry: entry.file)))


# ------------------------------------------------------------------------------------------------ metadata.jsonl


def _from_table(folder: Path, faults: list[NodegraphError]) -> Iterator[Entry]:
    try:
        lines = (folder / TABLE).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as cause:
        faults.append(BadDataset(f"{folder / TABLE} cannot be read: {cause}"))
        return
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield _entry(json.loads(line))
            except (ValueError, TypeError) as cause:
                faults.append(BadDataset(f"{TABLE} line {number}: {cause}"))


def _entry(row: Any) -> Entry:
    """A line of the table. `file_name` and `text`, as other tools write them, are understood as `file` and `caption`."""
    if not isinstance(row, dict):
        raise ValueError("is not an object")
    words = {key: str(row.get(key) or "") for key in ("label", "style", "name", "group", "licence", "author")}
    file, caption = _inside(str(row.get("file") or row.get("file_name") or "")), str(row.get("caption") or row.get("text") or "")
    if not caption and not words["label"]:
        raise ValueError(f"{file} has neither a label nor a caption")
    tags = tuple(str(tag) for tag in row.get("tags") or ())
    return replace(Entry(file, **words), caption=caption, tags=tags, mirror=row.get("mirror") is not False)  # type: ignore[arg-type]


def _inside(name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    if not name or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise ValueError(f"file {name!r} is not a path inside the data set")
    return str(path)


# ------------------------------------------------------------------------------------------------ captions beside pictures


def _from_captions(folder: Path, faults: list[NodegraphError]) -> Iterator[Entry]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in ENDINGS and path.is_file():
            name, text = path.relative_to(folder).as_posix(), path.with_suffix(".txt")
            try:
                caption = " ".join(text.read_text(encoding="utf-8").split())
            except (OSError, UnicodeDecodeError):
                faults.append(BadDataset(f"{name} has no readable caption", hint=f"write what it shows to {text.name}"))
                continue
            if caption:
                yield Entry(file=name, caption=caption)
            else:
                faults.append(BadDataset(f"the caption of {name} is empty", hint=f"write what it shows to {text.name}"))


# ------------------------------------------------------------------------------------------------ pictures


def open_rgba(root: Path, file: str) -> Image:
    """Decode one picture as RGBA. Raises `BadDataset` with the reason."""
    from PIL import Image

    try:
        with Image.open(root / file) as picture:
            if picture.width * picture.height > PICTURE_LIMIT:
                raise BadDataset(f"{file} has {picture.width}x{picture.height} pixels, more than {PICTURE_LIMIT}", hint="make it smaller")
            return picture.convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as cause:
        reason = "it is not there" if isinstance(cause, FileNotFoundError) else str(cause)
        raise BadDataset(f"{file} cannot be opened: {reason}", hint="replace the picture or take it out of the data set") from cause


def _inspected(folder: Path, named: Iterable[Entry], faults: list[NodegraphError]) -> Iterator[Entry]:
    """The entries whose pictures open, with what can only be seen by opening them."""
    for entry in named:
        try:
            picture = open_rgba(folder, entry.file)
        except BadDataset as fault:
            faults.append(fault)
        else:
            yield replace(entry, width=picture.width, height=picture.height, cutout=is_cutout(picture))
