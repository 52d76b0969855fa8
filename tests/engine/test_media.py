"""Workflows in pictures: written, read without decoding, removed without touching a pixel; broken and hostile files."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from comfy_fuzz import only_our_errors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nodegraph import media
from nodegraph.errors import FileMissing, NotAPicture, ReadFailed, TooLarge, WriteFailed

DOCUMENT: dict[str, Any] = {"nodegraph": 1, "nodes": {"1": {"type": "Note", "inputs": {"text": 'héllo ☃ "\ud83d" \n'}}}}
PROMPT = {"1": {"class_type": "CLIPTextEncode", "inputs": {"text": "é"}}}
PROFILE = bytes(range(256)) * 2


def picture(mode: str = "RGBA") -> Image.Image:
    return Image.frombytes(mode, (13, 7), bytes(i * 31 % 256 for i in range(13 * 7 * len(mode))))


def png(**options: Any) -> bytes:
    stream = io.BytesIO()
    picture().save(stream, "PNG", **options)
    return stream.getvalue()


def webp(**options: Any) -> bytes:
    stream = io.BytesIO()
    picture().save(stream, "WEBP", lossless=True, exact=True, **options)
    return stream.getvalue()


def chunk(type_: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + type_ + data + struct.pack(">I", zlib.crc32(type_ + data))


def with_chunks(*chunks: bytes, at: int = 33) -> bytes:
    """A PNG with more chunks, by default right behind its header."""
    data = png()
    return data[:at] + b"".join(chunks) + data[at:]


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 8], data[at : at + 12 + size]
        at += 12 + size


def riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at + 4)
        yield data[at : at + 4], data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def saved(folder: Path, data: bytes) -> Path:
    path = folder / "picture"
    path.write_bytes(data)
    return path


def read(folder: Path, data: bytes) -> dict[str, Any]:
    return {key: json.loads(text) for key, text in media.read_texts(saved(folder, data)).items()}


# --------------------------------------------------------------------------------------------- writing and reading


def test_png_carries_workflows(tmp_path: Path) -> None:
    data = png(pnginfo=media.png_info(DOCUMENT, {"prompt": PROMPT}))
    assert read(tmp_path, data) == {"nodegraph": DOCUMENT, "prompt": PROMPT}
    assert json.loads(Image.open(io.BytesIO(data)).text["prompt"]) == PROMPT  # type: ignore[attr-defined]


def test_webp_carries_workflows(tmp_path: Path) -> None:
    data = webp(exif=media.webp_exif(DOCUMENT, {"prompt": PROMPT, "workflow": {"nodes": []}}))
    assert read(tmp_path, data) == {"nodegraph": DOCUMENT, "prompt": PROMPT, "workflow": {"nodes": []}}
    exif = Image.open(io.BytesIO(data)).getexif()
    assert exif[0x0110] == "prompt:" + json.dumps(PROMPT, separators=(",", ":"))
    assert exif[0x010F] == 'workflow:{"nodes":[]}'


def test_webp_as_comfyui_writes_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0110] = f"prompt:{json.dumps(PROMPT)}"
    exif[0x010F] = 'workflow:{"nodes": [], "links": []}'
    data = webp(exif=exif)
    assert read(tmp_path, data) == {"prompt": PROMPT, "workflow": {"nodes": [], "links": []}}


def test_exif_in_the_other_byte_order(tmp_path: Path) -> None:
    text = b'prompt:{"a":1}\0'
    exif = b"Exif\0\0MM\0*" + struct.pack(">IHHHIII", 8, 1, 0x0110, 2, len(text), 26, 0) + text
    stream = webp()
    body = stream[12:] + b"EXIF" + struct.pack("<I", len(exif)) + exif + b"\0" * (len(exif) % 2)
    assert read(tmp_path, b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body) == {"prompt": {"a": 1}}


def test_unknown_exif_key_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="other"):
        media.webp_exif(DOCUMENT, {"other": {}})


@pytest.mark.parametrize(
    "part",
    [
        chunk(b"tEXt", b'prompt\0{"a":"\xc3\xa9"}'),
        chunk(b"tEXt", b'prompt\0{"a":"\xe9"}'),
        chunk(b"zTXt", b"prompt\0\0" + zlib.compress(b'{"a":"\xc3\xa9"}')),
        chunk(b"iTXt", b'prompt\0\0\0en\0k\0{"a":"\xc3\xa9"}'),
        chunk(b"iTXt", b"prompt\0\1\0en\0k\0" + zlib.compress(b'{"a":"\xc3\xa9"}')),
        chunk(b"comf", b'prompt\0{"a":"\xc3\xa9"}'),
    ],
)
def test_every_kind_of_text_chunk(tmp_path: Path, part: bytes) -> None:
    assert read(tmp_path, with_chunks(part)) == {"prompt": {"a": "é"}}
    assert read(tmp_path, with_chunks(part, at=len(png()) - 12)) == {"prompt": {"a": "é"}}, "also behind the picture data"


def test_the_first_text_of_a_name_counts_and_others_are_not_read(tmp_path: Path) -> None:
    data = with_chunks(chunk(b"tEXt", b'prompt\0{"a":1}'), chunk(b"tEXt", b'prompt\0{"a":2}'), chunk(b"tEXt", b"Comment\0{}"))
    assert read(tmp_path, data) == {"prompt": {"a": 1}}


def test_malformed_texts_are_passed_over(tmp_path: Path) -> None:
    parts = [
        chunk(b"zTXt", b"prompt\0\0broken"),
        chunk(b"zTXt", b"workflow\0\7"),
        chunk(b"iTXt", b"nodegraph\0\0\0en"),
        chunk(b"tEXt", b""),
    ]
    assert read(tmp_path, with_chunks(*parts)) == {}


def test_text_bombs_are_refused(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(media.MAX_BYTES + 1))
    assert len(bomb) < 100_000
    with pytest.raises(TooLarge):
        media.read_texts(saved(tmp_path, with_chunks(chunk(b"zTXt", b"prompt\0\0" + bomb))))
    with pytest.raises(TooLarge):
        media.read_texts(saved(tmp_path, with_chunks(chunk(b"iTXt", b"prompt\0\1\0\0\0" + bomb))))


def test_a_huge_picture_is_not_decoded(tmp_path: Path) -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 6, 0, 0, 0))
    data = media.PNG_MAGIC + header + chunk(b"tEXt", b'prompt\0{"a":1}') + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")
    assert read(tmp_path, data) == {"prompt": {"a": 1}}


def test_a_file_that_breaks_off_gives_what_came_before(tmp_path: Path) -> None:
    data = png(pnginfo=media.png_info(DOCUMENT))
    assert read(tmp_path, data[:-20]) == {"nodegraph": DOCUMENT}


@pytest.mark.parametrize("data", [b"", b"x", b"\x89PNG", b"{}", b"\xff\xd8\xff\xe0 JPEG", b"RIFF\0\0\0\0WAVE", b"GIF89a"])
def test_what_is_no_picture(tmp_path: Path, data: bytes) -> None:
    path = saved(tmp_path, data)
    for work in (media.read_texts, media.strip):
        with pytest.raises(NotAPicture, match="not a PNG or WebP"):
            work(path)
    assert path.read_bytes() == data


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileMissing):
        media.read_texts(tmp_path / "none.png")
    with pytest.raises(ReadFailed):
        media.read_texts(tmp_path)
    with pytest.raises(ReadFailed):
        media.strip("a\0b.png")


# --------------------------------------------------------------------------------------------- stripping


def test_strip_png_keeps_pixels_and_profile_byte_for_byte(tmp_path: Path) -> None:
    info = media.png_info(DOCUMENT, {"prompt": PROMPT})
    info.add_itxt("XML:com.adobe.xmp", "<x/>")
    before = png(pnginfo=info, icc_profile=PROFILE, dpi=(300, 300), exif=media.webp_exif(DOCUMENT)) + b"trailing"
    path = saved(tmp_path, before)
    target = tmp_path / "clean.png"
    removed = media.strip(path, target)
    assert sorted(removed) == ["data after the end", "eXIf", "iTXt XML:com.adobe.xmp", "tEXt nodegraph", "tEXt prompt"]
    after = target.read_bytes()
    kept = [whole for type_, whole in png_chunks(before.removesuffix(b"trailing")) if type_ not in (b"tEXt", b"iTXt", b"eXIf")]
    assert after == media.PNG_MAGIC + b"".join(kept)
    clean = Image.open(io.BytesIO(after))
    assert clean.tobytes() == picture().tobytes()
    assert clean.info["icc_profile"] == PROFILE
    assert path.read_bytes() == before


def test_strip_webp_keeps_pixels_and_profile(tmp_path: Path) -> None:
    before = webp(exif=media.webp_exif(DOCUMENT), xmp=b"<x/>", icc_profile=PROFILE)
    target = tmp_path / "clean.webp"
    assert media.strip(saved(tmp_path, before), target) == ["EXIF", "XMP"]
    after = target.read_bytes()
    assert struct.unpack_from("<I", after, 4)[0] == len(after) - 8
    old, new = dict(riff_chunks(before)), dict(riff_chunks(after))
    assert {type_: old[type_] for type_ in (b"VP8L", b"ICCP")} == {type_: new[type_] for type_ in new if type_ != b"VP8X"}
    assert old[b"VP8X"][0] & 0b1100 == 0b1100
    assert new[b"VP8X"] == bytes([old[b"VP8X"][0] & ~0b1100]) + old[b"VP8X"][1:]
    clean = Image.open(io.BytesIO(after))
    assert clean.convert("RGBA").tobytes() == picture().tobytes()
    assert clean.info["icc_profile"] == PROFILE
    assert not clean.getexif()


def test_strip_keeps_animations(tmp_path: Path) -> None:
    for kind, suffix in (("PNG", ".png"), ("WEBP", ".webp")):
        path = tmp_path / f"moving{suffix}"
        frames = [picture(), picture().rotate(180)]
        options = {"pnginfo": media.png_info(DOCUMENT)} if kind == "PNG" else {"exif": media.webp_exif(DOCUMENT), "lossless": True}
        frames[0].save(path, kind, save_all=True, append_images=frames[1:], **options)
        before = Image.open(path)
        pixels = [frame_pixels(before, i) for i in range(2)]
        before.close()
        assert media.strip(path)
        with Image.open(path) as after:
            assert [frame_pixels(after, i) for i in range(2)] == pixels
        assert media.read_texts(path) == {}


def frame_pixels(image: Image.Image, number: int) -> bytes:
    image.seek(number)
    return image.convert("RGBA").tobytes()


def test_strip_in_place_is_whole_or_not_at_all(tmp_path: Path) -> None:
    path = saved(tmp_path, png(pnginfo=media.png_info(DOCUMENT)))
    os.chmod(path, 0o600)
    assert media.strip(path) == ["tEXt nodegraph"]
    once = path.read_bytes()
    assert media.strip(path) == []
    assert path.read_bytes() == once
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["picture"]


def test_strip_follows_a_link_instead_of_replacing_it(tmp_path: Path) -> None:
    path = saved(tmp_path, png(pnginfo=media.png_info(DOCUMENT)))
    link = tmp_path / "link.png"
    try:
        link.symlink_to(path)
    except OSError:
        pytest.skip("links cannot be made here")
    media.strip(link)
    assert link.is_symlink()
    assert media.read_texts(path) == {}


def test_strip_refuses_half_a_picture(tmp_path: Path) -> None:
    for data in (png(pnginfo=media.png_info(DOCUMENT)), webp(exif=media.webp_exif(DOCUMENT))):
        path = saved(tmp_path, data[:-20])
        with pytest.raises(NotAPicture, match="breaks off"):
            media.strip(path)
        assert path.read_bytes() == data[:-20]


def test_strip_where_nothing_may_be_written(tmp_path: Path) -> None:
    path = saved(tmp_path, png())
    with pytest.raises(WriteFailed):
        media.strip(path, path / "below" / "a file")


def test_unknown_chunks_go_and_necessary_ones_stay(tmp_path: Path) -> None:
    data = with_chunks(chunk(b"prVt", b"secret"), chunk(b"QUIT", b"needed"), chunk(b"gAMA", struct.pack(">I", 45455)))
    target = tmp_path / "out"
    assert media.strip(saved(tmp_path, data), target) == ["prVt"]
    assert [type_ for type_, _ in png_chunks(target.read_bytes())] == [b"IHDR", b"QUIT", b"gAMA", b"IDAT", b"IEND"]


# --------------------------------------------------------------------------------------------- hostile bytes


@pytest.mark.parametrize("kind", ["png", "webp"])
@given(data=st.data())
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_fuzz_damaged_pictures_give_only_our_errors(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    whole = bytearray(png(pnginfo=media.png_info(DOCUMENT)) if kind == "png" else webp(exif=media.webp_exif(DOCUMENT)))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = saved(tmp_path, bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    only_our_errors(lambda: media.read_texts(path))
    only_our_errors(lambda: media.strip(path, tmp_path / "out"))


def test_info_is_pillows_own() -> None:
    assert isinstance(media.png_info(DOCUMENT), PngInfo)
