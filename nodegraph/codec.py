"""Results on disk: plain data, read-only arrays and frozen socket values of these, as a JSON header followed by raw bytes.

No pickle, and nothing is imported or called because a file says so: what cannot be written this way (handles to weights, foreign objects)
is simply not stored. A socket class takes part if it is a dataclass whose fields are storable. Reading checks a hash over everything.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from hashlib import blake2b
from typing import IO, Any, Final

from nodegraph.errors import NodegraphError
from nodegraph.types import socket_of

MAGIC: Final = b"nodegraph result 2\n"
CHECK: Final = 16
PREFIX: Final = len(MAGIC) + CHECK + 8
MAX_HEADER: Final = 64 * 2**20
ALIGN: Final = 16
_PLAIN_KINDS: Final = frozenset("biufcMmSU")
"""kinds of array elements that their dtype's short name describes in full"""


class NotStorable(Exception):
    """The value has a part that cannot be written without running code when it is read."""


def dump(value: Any) -> tuple[bytes, list[memoryview]]:
    """(header, buffers) of a value. Raises NotStorable."""
    buffers: list[memoryview] = []
    try:
        tree = _pack(value, buffers)
        header = json.dumps({"tree": tree, "sizes": [b.nbytes for b in buffers]}, separators=(",", ":")).encode()
    except RecursionError as error:
        raise NotStorable("a value nested too deeply") from error
    if len(header) > MAX_HEADER:
        raise NotStorable("a value of too many small parts")
    return header, buffers


def write(stream: IO[bytes], value: Any) -> None:
    """Raises NotStorable before anything is written."""
    header, buffers = dump(value)
    header += b" " * (-(PREFIX + len(header)) % ALIGN)
    sized = len(header).to_bytes(8, "little") + header
    check = blake2b(sized, digest_size=CHECK)
    for buffer in buffers:
        check.update(buffer)
        check.update(_padding(buffer.nbytes))
    stream.write(MAGIC + check.digest() + sized)
    for buffer in buffers:
        stream.write(buffer)
        stream.write(_padding(buffer.nbytes))


def _padding(size: int) -> bytes:
    """Each buffer begins at a multiple of 16 bytes, so that arrays over the file are aligned."""
    return bytes(-size % ALIGN)


def read(data: bytes) -> Any:
    """The value in `data`. Raises ValueError if it is damaged, or of classes that are not there."""
    if data[: len(MAGIC)] != MAGIC or len(data) < PREFIX:
        raise ValueError("not a stored result")
    check, sized = data[PREFIX - 8 - CHECK : PREFIX - 8], memoryview(data)[PREFIX - 8 :]
    if blake2b(sized, digest_size=CHECK).digest() != check:
        raise ValueError("a damaged stored result")
    try:
        offset = 8 + int.from_bytes(sized[:8], "little")
        header = json.loads(bytes(sized[8:offset]))
        buffers = []
        for length in header["sizes"]:
            buffers.append(sized[offset : offset + length])
            offset += length + -length % ALIGN
        return _unpack(header["tree"], buffers)
    except (TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, MemoryError, NodegraphError) as error:
        raise ValueError(f"a stored result that cannot be read: {type(error).__name__}") from error


# ------------------------------------------------------------------------------------- writing


def _pack(value: Any, buffers: list[memoryview]) -> Any:
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if -(2**63) <= value < 2**63 else {"i": hex(value)}
    if kind is float:
        return {"f": value.hex()}
    if kind is str:
        return _pack_text(value, buffers)
    if kind in (list, tuple):
        return {"l" if kind is list else "t": [_pack(item, buffers) for item in value]}
    if kind is bytes:
        return {"b": _buffer(value, buffers)}
    if isinstance(value, Mapping):
        return {"m": [[_pack(key, buffers), _pack(item, buffers)] for key, item in value.items()]}
    if kind.__module__ == "numpy" and kind.__name__ == "ndarray":
        return _pack_array(value, buffers)
    return _pack_object(value, buffers)


def _buffer(data: Any, buffers: list[memoryview]) -> int:
    buffers.append(memoryview(data))
    return len(buffers) - 1


def _pack_text(text: str, buffers: list[memoryview]) -> Any:
    """Broken text (halves of characters) goes into a buffer: JSON would join two halves into one character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return {"u": _buffer(text.encode("utf-8", "surrogatepass"), buffers)}
    return text


def _pack_array(array: Any, buffers: list[memoryview]) -> Any:
    import numpy as np

    if array.dtype.kind not in _PLAIN_KINDS or not array.dtype.itemsize:
        raise NotStorable(f"an array of {array.dtype}")
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return {"a": _buffer(flat.data, buffers), "d": array.dtype.str, "s": list(array.shape)}


def _pack_object(value: Any, buffers: list[memoryview]) -> Any:
    cls = type(value)
    if not _is_storable(cls):
        raise NotStorable(f"a {cls.__name__}")
    fields = {field.name: _pack(getattr(value, field.name), buffers) for field in dataclasses.fields(value)}
    return {"o": f"{cls.__module__}:{cls.__qualname__}", "v": fields}


def _is_storable(cls: type) -> bool:
    """Dataclasses that vouch for themselves: socket types that are no handles, and their parts, which set `__storable__`."""
    known = socket_of(cls)
    vouched = not known.handle if known is not None else cls.__dict__.get("__storable__") is True
    return vouched and dataclasses.is_dataclass(cls)


# ------------------------------------------------------------------------------------- reading


def _unpack(tree: Any, buffers: list[memoryview]) -> Any:
    if not isinstance(tree, dict):
        return tree
    if "o" in tree:
        return _class_of(tree["o"])(**{key: _unpack(item, buffers) for key, item in tree["v"].items()})
    (tag, value), *more = tree.items()
    if tag == "i":
        return int(value, 16)
    if tag == "f":
        return float.fromhex(value)
    if tag == "u":
        return bytes(buffers[value]).decode("utf-8", "surrogatepass")
    if tag in ("l", "t"):
        items = [_unpack(item, buffers) for item in value]
        return items if tag == "l" else tuple(items)
    if tag == "b":
        return bytes(buffers[value])
    if tag == "m":
        return {_unpack(key, buffers): _unpack(item, buffers) for key, item in value}
    if tag == "a":
        return _unpack_array(buffers[value], **dict(more))
    raise ValueError(f"an unknown part {tag!r}")


def _unpack_array(buffer: memoryview, d: str, s: list[int]) -> Any:
    import numpy as np

    dtype = np.dtype(d)
    if dtype.kind not in _PLAIN_KINDS:
        raise ValueError(f"an array of {dtype}")
    array = np.frombuffer(buffer, dtype=dtype).reshape(s)
    array.flags.writeable = False
    return array


def _class_of(name: str) -> Any:
    """A storable class that some loaded module has. Nothing is imported for a file's sake."""
    module, _, path = name.partition(":")
    found: Any = sys.modules[module]
    for part in path.split("."):
        found = vars(found)[part]
    if not (isinstance(found, type) and _is_storable(found)):
        raise ValueError(f"{name} is not a storable class")
    return found
