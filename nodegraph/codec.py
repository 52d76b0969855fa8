"""Results on disk: plain data, read-only arrays and frozen socket values of these, as a JSON header followed by raw bytes.

No pickle: what cannot be written this way (handles to weights, foreign objects) is simply not stored. A socket class takes part if it
is a dataclass whose fields are storable; nothing else is needed. Reading checks a hash over everything.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import IO, Any, Final

from nodegraph.types import sockets

MAGIC: Final = b"nodegraph result 1\n"
MAX_HEADER: Final = 64 * 2**20


class NotStorable(Exception):
    """The value has a part that cannot be written without running code when it is read."""


def dump(value: Any) -> tuple[bytes, list[memoryview]]:
    """(header, buffers) of a value. Raises NotStorable."""
    buffers: list[memoryview] = []
    tree = _pack(value, buffers)
    header = json.dumps({"tree": tree, "sizes": [b.nbytes for b in buffers]}, separators=(",", ":")).encode()
    return header, buffers


def write(stream: IO[bytes], value: Any) -> None:
    header, buffers = dump(value)
    check = blake2b(header, digest_size=16)
    for buffer in buffers:
        check.update(buffer)
    stream.write(MAGIC + check.digest() + len(header).to_bytes(8, "little") + header)
    for buffer in buffers:
        stream.write(buffer)


def read(data: bytes) -> Any:
    """The value in `data`. Raises ValueError if it is damaged."""
    start = len(MAGIC)
    if data[:start] != MAGIC:
        raise ValueError("not a stored result")
    check, size = data[start : start + 16], int.from_bytes(data[start + 16 : start + 24], "little")
    body = memoryview(data)[start + 24 :]
    if size > min(MAX_HEADER, len(body)) or blake2b(body, digest_size=16).digest() != check:
        raise ValueError("a damaged stored result")
    header = json.loads(bytes(body[:size]))
    buffers, offset = [], size
    for length in header["sizes"]:
        buffers.append(body[offset : offset + length])
        offset += length
    return _unpack(header["tree"], buffers)


def _pack(value: Any, buffers: list[memoryview]) -> Any:
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if kind is float:
        return {"f": value.hex()}
    if kind in (list, tuple):
        return {"l" if kind is list else "t": [_pack(item, buffers) for item in value]}
    if kind is bytes:
        buffers.append(memoryview(value))
        return {"b": len(buffers) - 1}
    if isinstance(value, Mapping):
        if not all(type(key) is str for key in value):
            raise NotStorable("a mapping with keys that are not text")
        return {"m": {key: _pack(item, buffers) for key, item in value.items()}}
    if kind.__module__ == "numpy" and kind.__name__ == "ndarray":
        return _pack_array(value, buffers)
    return _pack_object(value, buffers)


def _pack_array(array: Any, buffers: list[memoryview]) -> Any:
    import numpy as np

    if array.dtype.hasobject:
        raise NotStorable("an array of objects")
    flat = np.ascontiguousarray(array)
    buffers.append(memoryview(flat.reshape(-1).view(np.uint8)))
    return {"a": len(buffers) - 1, "d": array.dtype.str, "s": list(array.shape)}


def _pack_object(value: Any, buffers: list[memoryview]) -> Any:
    cls = type(value)
    if not dataclasses.is_dataclass(value) or not _storable_class(cls):
        raise NotStorable(f"a {cls.__name__}")
    fields = {field.name: _pack(getattr(value, field.name), buffers) for field in dataclasses.fields(value)}
    return {"o": f"{cls.__module__}:{cls.__qualname__}", "v": fields}


def _storable_class(cls: type) -> bool:
    """Classes that vouch for themselves: socket types that are no handles, and their parts, which set `__storable__`."""
    known = next((socket for socket in sockets().values() if socket.cls is cls), None)
    return (known is not None and not known.handle) or getattr(cls, "__storable__", False) is True


def _unpack(tree: Any, buffers: list[memoryview]) -> Any:
    if not isinstance(tree, dict):
        return tree
    if "f" in tree:
        return float.fromhex(tree["f"])
    if "l" in tree:
        return [_unpack(item, buffers) for item in tree["l"]]
    if "t" in tree:
        return tuple(_unpack(item, buffers) for item in tree["t"])
    if "b" in tree:
        return bytes(buffers[tree["b"]])
    if "m" in tree:
        return {key: _unpack(item, buffers) for key, item in tree["m"].items()}
    if "a" in tree:
        import numpy as np

        array = np.frombuffer(buffers[tree["a"]], dtype=np.dtype(tree["d"])).reshape(tree["s"])
        array.flags.writeable = False
        return array
    module, _, name = tree["o"].partition(":")
    cls: Any = importlib.import_module(module)
    for part in name.split("."):
        cls = getattr(cls, part)
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls) and _storable_class(cls)):
        raise ValueError(f"{tree['o']} is not a storable class")
    return cls(**{key: _unpack(item, buffers) for key, item in tree["v"].items()})
