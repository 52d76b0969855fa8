"""The one responder for every file that somebody else wrote: pictures, uploads, saved workflows, files of packs.

Only pictures, films and sounds whose first bytes are what their name says are shown in the page; everything else is a download. No answer
is ever sniffed, and none can run anything: it is sandboxed even if it is opened by itself.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal, NamedTuple
from urllib.parse import quote

from aiohttp import web

from nodegraph.errors import FileMissing, shorten
from nodegraph.files import inside

CHUNK: Final = 256 * 1024
SMALL: Final = 1 << 20
"""bytes up to which a file is sent in one piece"""
HEAD: Final = 32
SANDBOX: Final = "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'"
CODE_POLICY: Final = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; frame-ancestors 'none'"
)
"""for scripts that the owner installed: as a worker, a script has the policy it was sent with"""
SCRIPTS: Final = frozenset((".js", ".mjs", ".wasm"))
Trust = Literal["user", "code"]
"""code: files of the editor or of a pack that the owner installed, which may be scripts and styles, but no pages"""


def _starts(*magics: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magics)


def _riff(kind: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[:4] == b"RIFF" and head[8:12] == kind


def _box(head: bytes) -> bool:
    return head[4:8] == b"ftyp"


def _mp3(head: bytes) -> bool:
    return head.startswith(b"ID3") or (head[:1] == b"\xff" and head[1:2] >= b"\xe0")


SHOWN: Final[dict[str, tuple[str, Callable[[bytes], bool]]]] = {
    ".png": ("image/png", _starts(b"\x89PNG\r\n\x1a\n")),
    ".apng": ("image/apng", _starts(b"\x89PNG\r\n\x1a\n")),
    ".jpg": ("image/jpeg", _starts(b"\xff\xd8\xff")),
    ".jpeg": ("image/jpeg", _starts(b"\xff\xd8\xff")),
    ".webp": ("image/webp", _riff(b"WEBP")),
    ".gif": ("image/gif", _starts(b"GIF87a", b"GIF89a")),
    ".bmp": ("image/bmp", _starts(b"BM")),
    ".avif": ("image/avif", _box),
    ".mp4": ("video/mp4", _box),
    ".m4v": ("video/mp4", _box),
    ".m4a": ("audio/mp4", _box),
    ".mov": ("video/quicktime", _box),
    ".webm": ("video/webm", _starts(b"\x1aE\xdf\xa3")),
    ".mp3": ("audio/mpeg", _mp3),
    ".wav": ("audio/wav", _riff(b"WAVE")),
    ".flac": ("audio/flac", _starts(b"fLaC")),
    ".ogg": ("audio/ogg", _starts(b"OggS")),
    ".opus": ("audio/ogg", _starts(b"OggS")),
}
"""suffix -> type, and whether a file begins as one of that type does"""

SAVED: Final = {
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".csv": "text/plain; charset=utf-8",
    ".log": "text/plain; charset=utf-8",
    ".yaml": "text/plain; charset=utf-8",
    ".yml": "text/plain; charset=utf-8",
}
"""types that downloads may be given: none of them can hold a script"""

CODE: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".wasm": "application/wasm",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".ttf": "font/ttf",
    ".ico": "image/x-icon",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class Opened:
    """A regular file, open for reading, as it was then."""

    stream: IO[bytes]
    name: str
    size: int
    mtime_ns: int
    head: bytes

    @property
    def etag(self) -> str:
        return f'"{self.mtime_ns:x}-{self.size:x}"'


def open_inside(root: Path, name: str) -> Opened:
    """Open a file below `root` by the name a request gives. Raises UnsafePath, or FileMissing for whatever is no regular file."""
    return open_file(inside(root, name), name)


def open_file(path: Path, name: str) -> Opened:
    """Without waiting for pipes, and looking only at what was really opened."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
    except (OSError, ValueError) as error:
        raise _missing(name) from error
    info = os.fstat(handle)
    if not stat.S_ISREG(info.st_mode):
        os.close(handle)
        raise _missing(name)
    stream = os.fdopen(handle, "rb")
    head = stream.read(HEAD)
    return Opened(stream, path.name, info.st_size, info.st_mtime_ns, head)


def _missing(name: str) -> FileMissing:
    return FileMissing(f"there is no file {shorten(name)!r}")


# ------------------------------------------------------------------------------------------------ what it is sent as


def kind_of(name: str, head: bytes, trust: Trust) -> tuple[str, bool]:
    """(content type, whether it may be shown in the page) of a file."""
    suffix = os.path.splitext(name)[1].lower()
    if suffix in SHOWN:
        type_, begins = SHOWN[suffix]
        return (type_, True) if begins(head) else ("application/octet-stream", False)
    if trust == "code" and suffix in CODE:
        return CODE[suffix], True
    return SAVED.get(suffix, "application/octet-stream"), False


def disposition(name: str, shown: bool) -> str:
    """A Content-Disposition that no name can break out of: plain ASCII, and the true name by RFC 5987."""
    plain = "".join(ch if ch.isascii() and (ch.isalnum() or ch in " ._-()") else "_" for ch in name)[:255] or "file"
    kind = "inline" if shown else "attachment"
    if plain == name:
        return f'{kind}; filename="{plain}"'
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name.encode('utf-8', 'replace'), safe='')}"


def headers_for(name: str, head: bytes, trust: Trust = "user") -> dict[str, str]:
    type_, shown = kind_of(name, head, trust)
    return {
        "Content-Type": type_,
        "Content-Disposition": disposition(name, shown),
        "Content-Security-Policy": CODE_POLICY if shown and os.path.splitext(name)[1].lower() in SCRIPTS else SANDBOX,
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
    }


# ------------------------------------------------------------------------------------------------ sending


async def deliver(
    request: web.Request, root: Path, name: str, *, trust: Trust = "user", headers: dict[str, str] | None = None
) -> web.StreamResponse:
    """Answer with a file below `root`, or a part of it (Range), or that it is unchanged. Raises UnsafePath or FileMissing.

    headers: instead of, and besides, those that go with the kind of file
    """
    opened = await asyncio.to_thread(open_inside, root, name)
    return await send(request, opened, {**headers_for(opened.name, opened.head, trust), **(headers or {})})


def deliver_bytes(data: bytes, name: str, headers: dict[str, str] | None = None) -> web.Response:
    """The same for something made here, such as a picture that was encoded anew."""
    return web.Response(body=data, headers={**headers_for(name, data[:HEAD]), **(headers or {})})


async def send(request: web.Request, opened: Opened, headers: dict[str, str]) -> web.StreamResponse:
    try:
        headers = {**headers, "ETag": opened.etag, "Accept-Ranges": "bytes"}
        if is_known(request, opened.etag):
            return unchanged(headers)
        part = _part(request, opened)
        if part is None:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{opened.size}"})
        start, count, partial = part
        status = 206 if partial else 200
        if partial:
            headers["Content-Range"] = f"bytes {start}-{start + count - 1}/{opened.size}"
        if count <= SMALL:
            return web.Response(status=status, body=await asyncio.to_thread(_read, opened.stream, start, count), headers=headers)
        return await _stream(request, opened.stream, start, count, web.StreamResponse(status=status, headers=headers))
    finally:
        opened.stream.close()


def is_known(request: web.Request, etag: str) -> bool:
    """Whether the client has it already."""
    known = [text.strip().removeprefix("W/") for text in request.headers.get("If-None-Match", "").split(",")]
    return etag in known or "*" in known


def unchanged(headers: Mapping[str, str]) -> web.Response:
    """The answer instead of one with these headers."""
    kept = ("ETag", "Cache-Control", "Content-Security-Policy", "Vary")
    return web.Response(status=304, headers={name: headers[name] for name in kept if name in headers})


class Part(NamedTuple):
    """partial: whether it was asked for as a part, even if it is all there is."""

    start: int
    size: int
    partial: bool = True


def _part(request: web.Request, opened: Opened) -> Part | None:
    """What to send; None for a part that is not there. Several parts at once, and what is no range, are answered with the whole file."""
    text = request.headers.get("Range", "").lower().replace(" ", "")
    condition = request.headers.get("If-Range")
    match = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", text, re.ASCII)
    if match is None or text == "bytes=-" or (condition is not None and condition.strip() != opened.etag):
        return Part(0, opened.size, False)
    first, last = match.groups()
    if not first:
        count = min(int(last), opened.size)
        return Part(opened.size - count, count) if count else None
    start, end = int(first), min(int(last) if last else opened.size, opened.size - 1)
    return Part(start, end - start + 1) if start <= end else None


def _read(stream: IO[bytes], start: int, count: int) -> bytes:
    stream.seek(start)
    return stream.read(count)


async def _stream(request: web.Request, stream: IO[bytes], start: int, count: int, response: web.StreamResponse) -> web.StreamResponse:
    """Piece by piece, no faster than the client reads."""
    response.content_length = count
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    while count > 0:
        piece = await asyncio.to_thread(_read, stream, start, min(CHUNK, count))
        if not piece:
            raise ConnectionResetError("the file was cut off while it was sent")
        await response.write(piece)
        start, count = start + len(piece), count - len(piece)
    await response.write_eof()
    return response
