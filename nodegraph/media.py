"""Workflows in pictures: written into PNG and WebP, read from them without decoding a pixel, and taken out again losslessly.

PNG: text chunks `nodegraph` (ours), `workflow` and `prompt` (ComfyUI's). WebP: strings `name:{json}` in EXIF, as ComfyUI writes them.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeVar

from nodegraph.document import MAX_BYTES
from nodegraph.errors import FileMissing, NotAPicture, ReadFailed, TooLarge, shorten

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo

T = TypeVar("T")
Container = Literal["png", "webp"]

KEYS: Final = ("nodegraph", "workflow", "prompt")
"""what a workflow may be stored under, the fullest first"""

PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS: Final = 1_000_000
_KEPT_PNG = frozenset(b"tRNS cHRM gAMA iCCP sBIT sRGB cICP mDCv mDCV cLLi cLLI bKGD hIST pHYs sPLT oFFs acTL fcTL fdAT".split())
_KEPT_WEBP = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"))
_EXIF_TAGS = {"nodegraph": 0x010E, "workflow": 0x010F, "prompt": 0x0110}
_ASCII = 2


class Chunk(NamedTuple):
    """A piece of a PNG or WebP file: where its data lies, and where the whole of it begins and ends."""

    type: bytes
    start: int
    data: int
    size: int
    end: int


# --------------------------------------------------------------------------------------------- writing


def png_info(workflow: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> PngInfo:
    """Text chunks for Pillow's `save(..., pnginfo=...)`.

    workflow: our document as plain data
    extra: more plain data by key, for instance `{"prompt": api_json}` so that ComfyUI can open the picture
    """
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, value in {"nodegraph": workflow, **(extra or {})}.items():
        info.add_text(key, _dump(value))
    return info


def webp_exif(workflow: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> bytes:
    """EXIF data for Pillow's `save(..., exif=...)`, with the strings `nodegraph:{...}`, and `workflow:` and `prompt:` from `extra`."""
    values = {"nodegraph": workflow, **(extra or {})}
    unknown = sorted(set(values) - set(_EXIF_TAGS))
    if unknown:
        raise ValueError(f"no EXIF tag is set aside for {unknown[0]!r}; there are {', '.join(_EXIF_TAGS)}")
    texts = {_EXIF_TAGS[key]: f"{key}:{_dump(value)}".encode("ascii") + b"\0" for key, value in values.items()}
    offset = 8 + 2 + 12 * len(texts) + 4
    entries, data = b"", b""
    for tag, text in sorted(texts.items()):
        entries += struct.pack("<HHII", tag, _ASCII, len(text), offset + len(data))
        data += text + b"\0" * (len(text) % 2)
    return b"II*\0" + struct.pack("<IH", 8, len(texts)) + entries + struct.pack("<I", 0) + data


def with_tag(foreign: Mapping[str, Any]) -> dict[str, Any]:
    """Those that EXIF data has a place for; text chunks take all."""
    return {key: value for key, value in foreign.items() if key in _EXIF_TAGS}


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


# --------------------------------------------------------------------------------------------- reading


def container_of(head: bytes) -> Container | None:
    """Which kind of picture begins with these bytes (at least 12)."""
    if head.startswith(PNG_MAGIC):
        return "png"
    return "webp" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else None


def read_texts(path: str | Path) -> dict[str, str]:
    """The workflows in a picture, as JSON text by key (`nodegraph`, `workflow`, `prompt`); empty if it has none.

    Raises FileMissing, ReadFailed, NotAPicture, or TooLarge for a text beyond the limit of workflow files, also a compressed one.
    """
    return _with_picture(Path(path), _texts)


def texts_in(stream: IO[bytes]) -> dict[str, str] | None:
    """As `read_texts`, of a picture that is no file; None if it is neither PNG nor WebP. Raises TooLarge."""
    kind = container_of(stream.read(12))
    return _texts(stream, kind) if kind is not None else None


def _texts(stream: IO[bytes], kind: Container) -> dict[str, str]:
    return _png_texts(stream) if kind == "png" else _webp_texts(stream)


def _with_picture(path: Path, work: Callable[[IO[bytes], Container], T]) -> T:
    with _open(path) as stream:
        try:
            head = stream.read(12)
            kind = container_of(head)
            if kind is not None:
                return work(stream, kind)
        except OSError as error:
            raise _unreadable(path, error) from error
    raise NotAPicture(f"{path} is {describe_bytes(head)}, not a PNG or WebP picture", hint="only PNG and WebP carry workflows here")


def _open(path: Path) -> IO[bytes]:
    try:
        return open(path, "rb")
    except FileNotFoundError as error:
        raise FileMissing(f"there is no file {path}", hint="check the path") from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ReadFailed:
    reason = getattr(error, "strerror", None) or error
    return ReadFailed(f"cannot read {shorten(str(path), 200)}: {reason}", hint="give the path of a picture")


def describe_bytes(head: bytes) -> str:
    """What a file seems to be, from its first bytes, for messages."""
    known = ((b"\xff\xd8\xff", "a JPEG"), (b"GIF8", "a GIF"), (b"BM", "a BMP"), (b"PK\x03\x04", "a ZIP archive"), (b"%PDF", "a PDF"))
    for magic, name in known:
        if head.startswith(magic):
            return name
    if head[4:8] == b"ftyp":
        return "a video or AVIF"
    if not head:
        return "empty"
    return "binary data" if b"\0" in head or head[0] > 0x7F else "text"


def png_chunks(stream: IO[bytes]) -> Iterator[Chunk]:
    """The chunks of a PNG in order, up to its end mark or to where the file breaks off. Data is passed over, not read."""
    size = stream.seek(0, os.SEEK_END)
    at = len(PNG_MAGIC)
    for _ in range(MAX_CHUNKS):
        stream.seek(at)
        head = stream.read(8)
        if len(head) < 8:
            return
        length, type_ = struct.unpack(">I4s", head)
        end = at + 12 + length
        if end > size:
            return
        yield Chunk(type_, at, at + 8, length, end)
        if type_ == b"IEND":
            return
        at = end
    raise TooLarge(f"the PNG has more than {MAX_CHUNKS} chunks", hint="save the picture again with another program")


def webp_chunks(stream: IO[bytes]) -> Iterator[Chunk]:
    """The chunks of a WebP in order, up to the end that its header states or the file has."""
    stream.seek(4)
    stated = 8 + struct.unpack("<I", stream.read(4))[0]
    size = min(stated, stream.seek(0, os.SEEK_END))
    at = 12
    for _ in range(MAX_CHUNKS):
        stream.seek(at)
        head = stream.read(8)
        if at + 8 > size or len(head) < 8:
            return
        type_, length = struct.unpack("<4sI", head)
        if at + 8 + length > size:
            return
        end = min(at + 8 + length + length % 2, size)
        yield Chunk(type_, at, at + 8, length, end)
        at = end
    raise TooLarge(f"the WebP has more than {MAX_CHUNKS} chunks", hint="save the picture again with another program")


def _png_texts(stream: IO[bytes]) -> dict[str, str]:
    found: dict[str, str] = {}
    tried: set[str] = set()
    for chunk in png_chunks(stream):
        if chunk.type in (b"tEXt", b"zTXt", b"iTXt", b"comf"):
            stream.seek(chunk.data)
            key = stream.read(min(chunk.size, 80)).split(b"\0", 1)[0].decode("latin-1")
            if key in KEYS and key not in tried:
                tried.add(key)
                stream.seek(chunk.data)
                text = _png_text(chunk.type, _bounded(stream.read(min(chunk.size, MAX_BYTES + 1))), len(key))
                if text is not None:
                    found[key] = text
    return found


def _png_text(type_: bytes, data: bytes, key_length: int) -> str | None:
    """The text of a chunk: PNG specification, 11.3.3. None if the chunk is malformed."""
    rest = data[key_length + 1 :]
    if type_ in (b"tEXt", b"comf"):
        return _decode(rest)
    if type_ == b"zTXt":
        plain = _inflate(rest[1:]) if rest[:1] == b"\0" else None
        return _decode(plain) if plain is not None else None
    compressed, parts = rest[:1], rest[2:].split(b"\0", 2)
    if len(parts) < 3:
        return None
    body = _inflate(parts[2]) if compressed == b"\1" else parts[2]
    return _decode(body) if body is not None else None


def _inflate(data: bytes) -> bytes | None:
    """Decompressed data, at most as much as a workflow may have. None if it is broken."""
    try:
        machine = zlib.decompressobj()
        return _bounded(machine.decompress(data, MAX_BYTES + 1))
    except zlib.error:
        return None


def _bounded(data: bytes) -> bytes:
    if len(data) > MAX_BYTES:
        hint = "it is no workflow; `nodegraph strip` removes it"
        raise TooLarge(f"a text in the picture has more than {MAX_BYTES // 2**20} MiB", hint=hint)
    return data


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _webp_texts(stream: IO[bytes]) -> dict[str, str]:
    found: dict[str, str] = {}
    for chunk in webp_chunks(stream):
        if chunk.type == b"EXIF":
            stream.seek(chunk.data)
            for value in _exif_strings(_bounded(stream.read(min(chunk.size, MAX_BYTES + 1)))):
                key, colon, text = value.partition(b":")
                name = key.decode("latin-1")
                if colon and name in KEYS and name not in found:
                    found[name] = _decode(text)
    return found


def _exif_strings(data: bytes) -> Iterator[bytes]:
    """The text values of the first directory of EXIF data (TIFF 6.0, section 2)."""
    data = data.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        return
    (start,) = struct.unpack_from(order + "I", data, 4)
    if start + 2 > len(data):
        return
    (count,) = struct.unpack_from(order + "H", data, start)
    for i in range(count):
        at = start + 2 + 12 * i
        if at + 12 > len(data):
            return
        _, type_, length, offset = struct.unpack_from(order + "HHII", data, at)
        if type_ == _ASCII and length > 4 and offset + length <= len(data):
            yield data[offset : offset + length].split(b"\0", 1)[0]


# --------------------------------------------------------------------------------------------- stripping

Piece = bytes | tuple[int, int]
"""part of a new file: bytes, or a range (from, to) of the old one"""


def strip(path_in: str | Path, path_out: str | Path | None = None) -> list[str]:
    """Take workflows and other hidden texts out of a PNG or WebP; picture data and colour profile stay byte for byte.

    path_out: where to write; None replaces the file itself. The write is atomic.

    Returns what was removed, such as `tEXt workflow`. Raises FileMissing, ReadFailed, NotAPicture or WriteFailed.
    """
    from nodegraph.files import write_atomic

    source = Path(path_in)
    pieces, removed = _with_picture(source, lambda stream, kind: _STRIPPERS[kind](source, stream))
    target = Path(path_out) if path_out is not None else Path(os.path.realpath(source))
    mode = stat.S_IMODE(os.stat(source).st_mode)
    write_atomic(target, lambda out: _copy(source, pieces, out))
    if path_out is None:
        with contextlib.suppress(OSError):
            os.chmod(target, mode)
    return removed


def _strip_png(path: Path, stream: IO[bytes]) -> tuple[list[Piece], list[str]]:
    pieces: list[Piece] = [PNG_MAGIC]
    removed: list[str] = []
    last = b""
    for chunk in png_chunks(stream):
        last = chunk.type
        if chunk.type in _KEPT_PNG or chunk.type[:1].isupper():
            pieces.append((chunk.start, chunk.end))
        else:
            removed.append(_png_label(stream, chunk))
        end = chunk.end
    if last != b"IEND":
        raise NotAPicture(f"{path} is a PNG that breaks off in the middle", hint="get a whole copy of it; nothing was changed")
    if stream.seek(0, os.SEEK_END) > end:
        removed.append("data after the end")
    return pieces, removed


def _png_label(stream: IO[bytes], chunk: Chunk) -> str:
    name = chunk.type.decode("latin-1")
    if chunk.type not in (b"tEXt", b"zTXt", b"iTXt", b"comf"):
        return shorten(name)
    stream.seek(chunk.data)
    return shorten(f"{name} {stream.read(min(chunk.size, 79)).split(bytes(1), 1)[0].decode('latin-1')}")


def _strip_webp(path: Path, stream: IO[bytes]) -> tuple[list[Piece], list[str]]:
    body: list[Piece] = []
    removed: list[str] = []
    total, pictures = 4, 0
    for chunk in webp_chunks(stream):
        if chunk.type not in _KEPT_WEBP:
            removed.append(shorten(chunk.type.decode("latin-1").strip()))
            continue
        pictures += chunk.type in (b"VP8 ", b"VP8L", b"ANMF")
        body += _extended_header(stream, chunk) if chunk.type == b"VP8X" else [(chunk.start, chunk.end)]
        padding = chunk.size % 2 - (chunk.end - chunk.data - chunk.size)
        body.append(b"\0" * padding)
        total += chunk.end - chunk.start + padding
    if not pictures:
        raise NotAPicture(f"{path} is a WebP that breaks off before its picture", hint="get a whole copy of it; nothing was changed")
    stream.seek(4)
    stated = 8 + struct.unpack("<I", stream.read(4))[0]
    size = stream.seek(0, os.SEEK_END)
    if size < stated:
        raise NotAPicture(f"{path} is a WebP that breaks off in the middle", hint="get a whole copy of it; nothing was changed")
    if size > stated + stated % 2:
        removed.append("data after the end")
    return [b"RIFF" + struct.pack("<I", total) + b"WEBP", *body], removed


def _extended_header(stream: IO[bytes], chunk: Chunk) -> list[Piece]:
    """The VP8X chunk without its flags for EXIF (8) and XMP (4)."""
    stream.seek(chunk.start)
    data = bytearray(stream.read(min(chunk.end - chunk.start, 64)))
    if chunk.size:
        data[8] &= ~(8 | 4) & 0xFF
    return [bytes(data), (chunk.start + len(data), chunk.end)]


_STRIPPERS: Final = {"png": _strip_png, "webp": _strip_webp}


def _copy(source: Path, pieces: list[Piece], out: IO[bytes]) -> None:
    with open(source, "rb") as stream:
        for piece in pieces:
            if isinstance(piece, bytes):
                out.write(piece)
                continue
            stream.seek(piece[0])
            left = piece[1] - piece[0]
            while left > 0 and (block := stream.read(min(left, 2**20))):
                out.write(block)
                left -= len(block)
