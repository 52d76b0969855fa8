"""Weights files: safetensors, read with distrust and written as a whole. torch is imported only where tensors are made.

Format: 8 bytes, little endian: length n of the header; n bytes of JSON {name: {dtype, shape, data_offsets}}, with
strings under "__metadata__"; then the data. Offsets count from the end of the header.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any

from nodegraph.errors import BrokenWeights, FileMissing, PickleRefused, ReadFailed, shorten
from nodegraph.files import write_atomic

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MAX_HEADER = 100_000_000  # bytes, the limit of the safetensors library
MAX_RANK = 16
DTYPE_BYTES: Mapping[str, int] = MappingProxyType(
    {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2}
    | {"I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8, "C64": 8}
)
_PICKLE = "this file is a pickle, which can run code when opened"
_FOREIGN = (  # how files begin that are often given the name of a weights file
    (b"PK\x03\x04", "a zip archive, as torch.save writes it: a pickle, which can run code when opened"),
    (b"GGUF", "a GGUF file"),
    (b"version https://git-lfs", "a git-lfs pointer: the text that stands for the file, not the file itself"),
    (b"<!DOCTYPE", "a web page: the download was refused or redirected"),
    (b"<html", "a web page: the download was refused or redirected"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"RIFF", "a picture or a sound"),
)


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of a file: `dtype` in safetensors' names, and where its bytes lie, counted from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class WeightsFile:
    """A checked safetensors file; nothing of its data has been read."""

    path: Path
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]
    size: int  # bytes, header included

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape by key: what models are identified by."""
        return {key: info.shape for key, info in self.tensors.items()}

    def load(self, keys: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Tensors on the CPU, mapped from the file and not copied; what is written to them never reaches the file."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, framework="pt") as file:
                return {key: file.get_tensor(key) for key in (self.tensors if keys is None else keys)}
        except (OSError, SafetensorError) as error:
            raise BrokenWeights(f"{self.path} changed since it was opened: {error}", hint="load it again") from error

    def floats(self, key: str) -> list[float]:
        """The numbers of one small float16 or float32 tensor, flat, without torch."""
        info = self.tensors[key]
        letter = {"F16": "e", "F32": "f"}.get(info.dtype)
        if letter is None:
            raise BrokenWeights(f"tensor {key!r} is of type {info.dtype}; float16 or float32 is needed")
        data_start = self.size - max(tensor.end for tensor in self.tensors.values())
        with open(self.path, "rb") as stream:
            stream.seek(data_start + info.start)
            data = stream.read(info.end - info.start)
        return [value for (value,) in struct.iter_unpack(f"<{letter}", data)]


def open_weights(path: str | Path) -> WeightsFile:
    """Read and check the header of a safetensors file.

    Raises FileMissing, ReadFailed, PickleRefused for a pickle or a zip under any name, BrokenWeights for everything else.
    """
    path = Path(path)
    try:
        with open(path, "rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            header, data_bytes = _read_header(path, stream, size)
    except FileNotFoundError as error:
        raise FileMissing(f"there is no file {path}") from error
    except OSError as error:
        raise ReadFailed(f"cannot read {path}: {error.strerror or error}") from error
    metadata = _metadata(path, header.pop("__metadata__", {}))
    tensors = {key: _tensor_info(path, key, entry) for key, entry in header.items()}
    _check_layout(path, tensors, data_bytes)
    return WeightsFile(path, MappingProxyType(tensors), MappingProxyType(metadata), size)


def save_weights(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file, whole or not at all, one tensor in memory at a time. Raises WriteFailed.

    Keys are written in order of their names, so equal tensors make equal files.
    """
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    names = _dtype_names()
    offset = 0
    for key in sorted(tensors):
        tensor = tensors[key]
        end = offset + tensor.numel() * tensor.element_size()
        header[key] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    write_atomic(Path(path), lambda stream: _write(stream, text, [tensors[key] for key in sorted(tensors)]))


def _write(stream: IO[bytes], header: bytes, tensors: Iterable[Tensor]) -> None:
    import torch

    stream.write(struct.pack("<Q", len(header)))
    stream.write(header)
    for tensor in tensors:
        flat = tensor.detach().to("cpu").contiguous().reshape(-1)
        stream.write(flat.view(torch.uint8).numpy().data if flat.numel() else b"")


def _dtype_names() -> dict[torch.dtype, str]:
    import torch

    names = {"BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64"}
    names |= {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64", "C64": "complex64"}
    names |= {"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"}
    return {getattr(torch, ours): theirs for theirs, ours in names.items()}


# ---------------------------------------------------------------------------------------------- checking


def _read_header(path: Path, stream: IO[bytes], size: int) -> tuple[dict[str, Any], int]:
    """The header as JSON, and the number of bytes after it."""
    begin = stream.read(64)
    _refuse_foreign(path, begin)
    if size < 8:
        raise _broken(path, f"is only {size} bytes long", truncated=True)
    (length,) = struct.unpack("<Q", begin[:8])
    if begin[8:9] not in (b"{", b"") or length < 2:
        raise _broken(path, "is not a model: it does not begin like a safetensors file")
    if length > MAX_HEADER:
        raise _broken(path, f"claims a header of {length} bytes; the limit is {MAX_HEADER}")
    if length > size - 8:
        raise _broken(path, f"claims a header of {length} bytes, but only {size - 8} bytes follow", truncated=True)
    stream.seek(8)
    return _parse(path, stream.read(length)), size - 8 - length


def _refuse_foreign(path: Path, begin: bytes) -> None:
    hint = "ask its author for a .safetensors file"
    if begin[:1] == b"\x80" and begin[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05") and begin[8:9] != b"{":
        raise PickleRefused(f"{path}: {_PICKLE}", hint=hint)
    for magic, what in _FOREIGN:
        if begin[: len(magic)].lower() == magic.lower() and begin[8:9] != b"{":
            error = PickleRefused if magic == b"PK\x03\x04" else BrokenWeights
            raise error(f"{path} is {what}", hint=hint)


def _parse(path: Path, text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise _broken(path, f"has a header that is not JSON: {shorten(str(error))}") from error
    if not isinstance(header, dict):
        raise _broken(path, "has a header that is not a JSON object")
    return header


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!r} is there twice")
    return out


def _metadata(path: Path, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise _broken(path, "has metadata that is not a table of strings")
    return value


def _tensor_info(path: Path, key: str, entry: Any) -> TensorInfo:
    who = f"tensor {shorten(key)!r}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _broken(path, f"{who} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        raise _broken(path, f"{who} has the unknown number type {shorten(str(dtype))!r}")
    if not _is_counts(shape) or len(shape) > MAX_RANK:
        raise _broken(path, f"{who} has the impossible shape {shorten(str(shape))}")
    if not _is_counts(offsets) or len(offsets) != 2:
        raise _broken(path, f"{who} has the impossible offsets {shorten(str(offsets))}")
    start, end = offsets
    expected = math.prod(shape) * DTYPE_BYTES[dtype]
    if end - start != expected:
        raise _broken(path, f"{who} of shape {shape} and type {dtype} needs {expected} bytes, but its offsets hold {end - start}")
    return TensorInfo(dtype, tuple(shape), start, end)


def _is_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**63 for item in value)


def _check_layout(path: Path, tensors: Mapping[str, TensorInfo], data_bytes: int) -> None:
    """Tensors must fill the data from its first to its last byte, without overlap or hole."""
    end, before = 0, "the beginning"
    for key, info in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if info.start != end:
            fault = "overlaps" if info.start < end else "leaves a hole after"
            raise _broken(path, f"tensor {shorten(key)!r} {fault} {shorten(before)!r}")
        end, before = info.end, key
    if end > data_bytes:
        raise _broken(path, f"needs {end} bytes of data, but has {data_bytes}", truncated=True)
    if end < data_bytes:
        raise _broken(path, f"has {data_bytes - end} bytes that belong to no tensor")


def _broken(path: Path, what: str, truncated: bool = False) -> BrokenWeights:
    hint = "the download or copy was cut short: fetch the file again" if truncated else "fetch the file again, or ask its author"
    return BrokenWeights(f"{path} {what}", hint=hint)
