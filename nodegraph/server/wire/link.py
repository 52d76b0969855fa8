"""Frames between the server and a worker process: JSON and bytes side by side, lengths first, bounded, nothing pickled.

    4 bytes, big endian: length of the JSON | 4 bytes: length of the bytes | JSON, an object with `kind`, in UTF-8 | bytes

The server begins with `hello` (the protocol's number, settings), the worker answers `ready`. Then:

    to the worker    prepare (bytes: a workflow that may be run soon), run (bytes: the workflow, and what came to `/prompt`), cancel,
                     free, describe, explain, upgrade, stats, ping, stop
    to the server    events (bytes: a list of them in JSON), preview (bytes: a JPEG), finished, reply, pong
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from nodegraph.errors import shorten

if TYPE_CHECKING:
    import asyncio

PROTOCOL: Final = 2
"""raised when the meaning of a frame changes; two sides of different numbers refuse each other"""
MAX_JSON: Final = 64 * 2**20
MAX_BINARY: Final = 256 * 2**20
"""a workflow travels as bytes, and may have grown a little by being written anew"""
MAX_EVENTS: Final = 64 * 2**20
"""characters of the events of one frame"""
MAX_DEPTH: Final = 64
HEADER: Final = 8
_LONGEST_NUMBER: Final = 2**1000


class LinkBroken(Exception):
    """What came is no frame, or one that is refused; the link cannot go on."""


class FrameTooLarge(LinkBroken):
    """A frame beyond the limits, coming or going."""


class Frame(NamedTuple):
    data: dict[str, Any]
    binary: bytes = b""

    @property
    def kind(self) -> str:
        return str(self.data["kind"])


# --------------------------------------------------------------------------------------------- writing

_encoder: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def dump(value: Any) -> str:
    """JSON of a value. What JSON cannot hold (packs may show anything) becomes text or null, it is never an error."""
    try:
        return _encoder.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return _encoder.encode(plain(value))


def plain(value: Any, depth: int = 0) -> Any:
    """The nearest value that JSON can hold."""
    if value is None or type(value) in (bool, str):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) < _LONGEST_NUMBER else "a number of more than 300 digits"
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if depth >= MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        return {key if type(key) is str else _text(key): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item, depth + 1) for item in value]
    return _text(value)


def _text(value: Any) -> str:
    try:
        return value if type(value) is str else shorten(str(value), 1000)
    except Exception:  # noqa: BLE001 - code of a foreign class; how it prints itself must not end a run
        return f"({type(value).__name__})"


def frame(data: Mapping[str, Any], binary: bytes = b"") -> bytes:
    """The bytes of a frame. Raises FrameTooLarge."""
    return frame_of(dump(data).encode("ascii"), binary)


def frame_of(text: bytes, binary: bytes = b"") -> bytes:
    """The bytes of a frame whose JSON is written already. Raises FrameTooLarge."""
    _check_sizes(len(text), len(binary))
    return b"".join((len(text).to_bytes(4, "big"), len(binary).to_bytes(4, "big"), text, binary))


def _check_sizes(text: int, binary: int) -> None:
    if text > MAX_JSON or binary > MAX_BINARY:
        raise FrameTooLarge(f"a frame of {text} and {binary} bytes; at most {MAX_JSON} and {MAX_BINARY} are accepted")


# --------------------------------------------------------------------------------------------- reading


def read(stream: IO[bytes]) -> Frame | None:
    """The next frame, waiting for it; None if the other side closed the link between two frames. Raises LinkBroken."""
    header = stream.read(HEADER)
    if not header:
        return None
    text, binary = _sizes(header)
    body = stream.read(text + binary)
    if len(body) < text + binary:
        raise LinkBroken("the link ended within a frame")
    return _parse(body, text)


async def receive(reader: asyncio.StreamReader) -> Frame | None:
    """As `read`, in an event loop."""
    try:
        header = await reader.readexactly(HEADER)
        text, binary = _sizes(header)
        return _parse(await reader.readexactly(text + binary), text)
    except EOFError as error:  # asyncio.IncompleteReadError
        if getattr(error, "partial", b"") or getattr(error, "expected", None) != HEADER:
            raise LinkBroken("the link ended within a frame") from error
        return None


def _sizes(header: bytes) -> tuple[int, int]:
    if len(header) < HEADER:
        raise LinkBroken("the link ended within a frame")
    sizes = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:], "big")
    _check_sizes(*sizes)
    return sizes


def events_of(frame: Frame) -> tuple[list[dict[str, Any]], str]:
    """The events in a frame of events, and the JSON that they were read from. Raises LinkBroken."""
    try:
        text = frame.binary.decode("ascii")
    except UnicodeDecodeError as error:
        raise LinkBroken("a frame of events holds other signs than ASCII") from error
    events = json_of(text)
    if type(events) is not list or not all(type(event) is dict and "event" in event for event in events):
        raise LinkBroken("a frame of events holds something else")
    return events, text


def json_of(text: str | bytes) -> Any:
    """Raises LinkBroken."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LinkBroken(f"a frame holds no JSON: {shorten(str(error))}") from error


def _parse(body: bytes, text: int) -> Frame:
    data = json_of(body[:text])
    if not isinstance(data, dict) or type(data.get("kind")) is not str:
        raise LinkBroken("a frame does not say of what kind it is")
    return Frame(data, body[text:])
