"""Building a data set from package archives, hostile ones included."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from pictures_with_words import draw_shape
from PIL import Image

from nodegraph.diffusion.training.archives import find_archive, read_json, read_members
from nodegraph.diffusion.training.dataset import read_dataset
from nodegraph.diffusion.training.emoji import BuildStep, build_emoji_dataset, read_subjects, render_svg
from nodegraph.diffusion.training.emoji_subjects import DEMO_SUBJECTS
from nodegraph.errors import BadDataset, FileMissing, Problems, TooLarge

SUBJECTS = {"fox": "fox", "snow": "snowflake"}


def pack(path: Path, members: dict[str, bytes]) -> Path:
    """An archive as `npm pack` makes them."""
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def to_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def webp(label: str) -> bytes:
    stream = io.BytesIO()
    draw_shape(label).save(stream, "WEBP", lossless=True)
    return stream.getvalue()


def icons(body: str) -> dict[str, bytes]:
    table = {"icons": {"fox": {"body": body}, "snow": {"body": body, "width": 8}}, "aliases": {"snowflake": {"parent": "snow"}}}
    return {"icons.json": to_json({**table, "width": 16, "height": 16}), "chars.json": to_json({"1f98a": "fox", "2744": "snowflake"})}


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    folder = tmp_path / "packages"
    folder.mkdir()
    row = {"group": "Animals & Nature"}
    table = {"🦊": {"name": "fox", "slug": "fox", **row}, "❄️": {"name": "snowflake", "slug": "snowflake", **row}}
    pack(folder / "unicode-emoji-json-0.9.0.tgz", {"data-by-emoji.json": to_json(table)})
    details = [{"hexcode": "1F98A", "tags": ["animal"]}, {"hexcode": "2744-FE0F", "tags": ["cold"]}]
    pack(folder / "emojibase-data-17.0.0.tgz", {"en/data.json": to_json(details)})
    pack(folder / "iconify-json-noto-1.2.9.tgz", icons('<circle cx="8" cy="8" r="6" fill="#f00"/>'))
    pack(folder / "lobehub-fluent-emoji-3d-1.1.0.tgz", {"assets/1f98a.webp": webp("red ball"), "assets/2744-fe0f.webp": webp("blue ball")})
    return folder


def build(
    packages: Path, out: Path, styles: tuple[str, ...] = ("3d", "noto"), subjects: dict[str, str] | None = SUBJECTS
) -> list[BuildStep]:
    return list(build_emoji_dataset(packages, out, subjects=subjects, styles=styles, size=32))


def test_styles_are_joined_by_code_point(packages: Path, tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    steps = build(packages, tmp_path / "out")
    data = read_dataset(tmp_path / "out")
    assert [step.done for step in steps] == [1, 2, 3, 4]
    assert [entry.file for entry in data.entries] == [
        "images/fox-3d.webp",
        "images/fox-noto.png",
        "images/snowflake-3d.webp",
        "images/snowflake-noto.png",
    ]
    assert data.labels == ("fox", "snow")
    assert data.styles == ("3d", "noto")
    assert data.entries[2].tags == ("cold",)
    assert data.entries[2].name == "snowflake"
    assert data.entries[1].licence == "Apache-2.0"
    fox = data.open(1)
    assert fox.size == (32, 32)
    assert fox.getpixel((16, 16)) == (255, 0, 0, 255)
    assert fox.getpixel((0, 0))[3] == 0  # type: ignore[index]


def test_the_same_archives_give_the_same_bytes(packages: Path, tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    for name in ("one", "two"):
        build(packages, tmp_path / name)
    first, second = (sorted(path for path in (tmp_path / name).rglob("*") if path.is_file()) for name in ("one", "two"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert len(first) == 5


def test_a_subject_without_a_drawing_is_counted_as_skipped(packages: Path, tmp_path: Path) -> None:
    pack(packages / "lobehub-fluent-emoji-3d-1.1.0.tgz", {"assets/1f98a.webp": webp("red ball")})
    assert build(packages, tmp_path / "out", ("3d",))[-1] == BuildStep(2, 2, "", 1)
    assert len(read_dataset(tmp_path / "out").entries) == 1


def test_all_pictorial_subjects_can_be_taken(packages: Path, tmp_path: Path) -> None:
    build(packages, tmp_path / "out", ("3d",), None)
    assert read_dataset(tmp_path / "out").labels == ("fox", "snowflake")


def test_unknown_styles_and_subjects_are_named_with_what_there_is(packages: Path, tmp_path: Path) -> None:
    with pytest.raises(BadDataset, match="no emoji style is called crayon"):
        build(packages, tmp_path, ("crayon",))
    with pytest.raises(Problems) as caught:
        build(packages, tmp_path, ("3d",), {"a": "foxx", "b": "snowflak"})
    assert "did you mean `fox`" in str(caught.value)
    assert len(caught.value.errors) == 2


def test_a_missing_archive_tells_how_to_fetch_it(packages: Path, tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match="npm pack @iconify-json/twemoji"):
        build(packages, tmp_path, ("twemoji",))


def test_the_newest_of_several_archives_is_taken(packages: Path) -> None:
    for version in ("0.10.0", "0.8.5"):
        pack(packages / f"unicode-emoji-json-{version}.tgz", {})
    assert find_archive(packages, "unicode-emoji-json").name == "unicode-emoji-json-0.10.0.tgz"
    assert find_archive(packages, "@iconify-json/noto").name == "iconify-json-noto-1.2.9.tgz"  # not noto-v1's


@pytest.mark.parametrize(
    "body",
    [
        '<image href="file:///etc/passwd"/>',
        '<use xlink:href="http://example.com/x.svg#a"/>',
        '<rect fill="url(other.svg#a)" width="9" height="9"/>',
        "<foreignObject/>",
    ],
)
def test_drawings_that_reach_outside_are_refused(body: str) -> None:
    with pytest.raises(BadDataset, match="outside itself"):
        render_svg(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">{body}</svg>', 16)


@pytest.mark.parametrize("link", ["url(#a)", "url('#a')", "url( #a )"])
def test_references_inside_a_drawing_are_fine(link: str) -> None:
    pytest.importorskip("resvg_py")
    body = f'<defs><linearGradient id="a"><stop stop-color="#0f0"/></linearGradient></defs><rect fill="{link}" width="9" height="9"/>'
    png = render_svg(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">{body}</svg>', 16)
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.getpixel((8, 8)) == (0, 255, 0, 255)


def test_broken_drawings_are_told() -> None:
    pytest.importorskip("resvg_py")
    with pytest.raises(BadDataset, match="cannot be rendered"):
        render_svg("<svg", 16)


def test_a_broken_picture_in_an_archive_is_told(packages: Path, tmp_path: Path) -> None:
    pack(packages / "lobehub-fluent-emoji-3d-1.1.0.tgz", {"assets/1f98a.webp": webp("red ball")[:50]})
    with pytest.raises(BadDataset, match=r"assets/1f98a\.webp is not a picture"):
        build(packages, tmp_path / "out", ("3d",))


def test_slugs_that_are_no_file_names_are_left_out(packages: Path) -> None:
    table = {"🦊": {"name": "x", "slug": "../../x", "group": "g"}}
    pack(packages / "unicode-emoji-json-0.9.0.tgz", {"data-by-emoji.json": to_json(table)})
    assert read_subjects(packages) == {}


# ------------------------------------------------------------------------------------------------ archives


def test_archives_that_are_cut_or_no_archives_are_told(packages: Path, tmp_path: Path) -> None:
    whole = (packages / "iconify-json-noto-1.2.9.tgz").read_bytes()
    for name, data in {"cut": whole[: len(whole) // 2], "text": b"hello", "plain": gzip.compress(b"no tar" * 200)}.items():
        path = tmp_path / f"{name}.tgz"
        path.write_bytes(data)
        with pytest.raises(BadDataset, match="fetch the archive again"):
            read_json(path, "icons.json")


def test_broken_json_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadDataset, match="holds broken JSON"):
        read_json(pack(tmp_path / "a.tgz", {"x.json": b"{"}), "x.json")


def test_sizes_are_bounded(tmp_path: Path) -> None:
    path = pack(tmp_path / "bomb.tgz", {"a": bytes(3_000_000), "b": b"x"})
    with pytest.raises(TooLarge, match="member 'package/a' has 3000000 bytes"):
        list(read_members(path, lambda name: name == "a", member_limit=1000))
    with pytest.raises(TooLarge, match="unpacks to more than 1000000 bytes"):
        list(read_members(path, lambda name: name == "b", total_limit=1_000_000))
    assert dict(read_members(path, lambda name: name == "b")) == {"b": b"x"}


def test_links_in_archives_are_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "links.tgz"
    with tarfile.open(path, "w:gz") as tar:
        link = tarfile.TarInfo("package/x.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert read_json(path, "x.json") == (None,)


def test_the_demo_takes_thirty_subjects() -> None:
    assert len(DEMO_SUBJECTS) == len(set(DEMO_SUBJECTS.values())) == 281
