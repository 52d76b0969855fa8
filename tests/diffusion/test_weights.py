"""Weights files: what is written comes back, and every way in which a file can lie is refused with its reason."""

from __future__ import annotations

import io
import json
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nodegraph.diffusion.weights import WeightsFile, open_weights, save_weights
from nodegraph.errors import BrokenWeights, FileMissing, NodegraphError, PickleRefused, ReadFailed, WriteFailed

FLOATS = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn]
DTYPES = [*FLOATS, torch.int64, torch.int32, torch.uint8, torch.bool]


def tensor(start: int, end: int, shape: list[int] | None = None, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": [(end - start) // 4] if shape is None else shape, "data_offsets": [start, end]}


def file_of(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def test_tensors_come_back(tmp_path: Path) -> None:
    tensors = {f"layer.{index}": (torch.rand(2, 3) * 2).to(dtype) for index, dtype in enumerate(DTYPES)}
    tensors |= {"empty": torch.zeros(0, 4), "turned": torch.rand(3, 4).t()}
    path = tmp_path / "a" / "net.safetensors"
    save_weights(path, tensors | {"scalar": torch.tensor(3.5)}, {"modelspec.title": "Möwe", "b": "2"})
    weights = open_weights(path)
    assert weights.metadata == {"modelspec.title": "Möwe", "b": "2"}
    assert weights.shapes == {key: tuple(value.shape) for key, value in tensors.items()} | {"scalar": ()}
    assert weights.size == path.stat().st_size
    loaded = weights.load()
    assert all(torch.equal(loaded[key].view(torch.uint8), value.contiguous().view(torch.uint8)) for key, value in tensors.items())
    assert loaded["scalar"] == 3.5
    assert list(weights.load(["empty"])) == ["empty"]


def test_the_safetensors_library_reads_and_writes_the_same_files(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = {"b": torch.rand(3), "a": torch.rand(2, 2)}
    save_weights(tmp_path / "ours.safetensors", tensors, {"k": "v"})
    assert all(torch.equal(value, tensors[key]) for key, value in load_file(tmp_path / "ours.safetensors").items())
    save_file(tensors, tmp_path / "theirs.safetensors", {"k": "v"})
    theirs = open_weights(tmp_path / "theirs.safetensors")
    assert theirs.metadata == {"k": "v"}
    assert all(torch.equal(value, tensors[key]) for key, value in theirs.load().items())


def test_equal_tensors_make_equal_files(tmp_path: Path) -> None:
    a, b = torch.rand(3), torch.rand(4)
    save_weights(tmp_path / "1.safetensors", {"a": a, "b": b}, {"x": "1", "y": "2"})
    save_weights(tmp_path / "2.safetensors", {"b": b, "a": a}, {"y": "2", "x": "1"})
    assert (tmp_path / "1.safetensors").read_bytes() == (tmp_path / "2.safetensors").read_bytes()


def test_small_tensors_are_read_without_torch(tmp_path: Path) -> None:
    save_weights(tmp_path / "w.safetensors", {"a": torch.tensor([9.0]), "b": torch.tensor([0.5, -2.0]).half(), "c": torch.tensor([1])})
    code = (
        "import sys; from nodegraph.diffusion.weights import open_weights;"
        f"w = open_weights({str(tmp_path / 'w.safetensors')!r}); assert w.floats('b') == [0.5, -2.0]; assert w.floats('a') == [9.0];"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(BrokenWeights, match="of type I64"):
        open_weights(tmp_path / "w.safetensors").floats("c")


def test_loading_copies_nothing(tmp_path: Path) -> None:
    """Tensors of one load lie in memory as they lie in the file: they are its pages."""
    save_weights(tmp_path / "w.safetensors", {"a": torch.zeros(1000), "b": torch.ones(300), "c": torch.ones(5)})
    loaded = open_weights(tmp_path / "w.safetensors").load()
    assert loaded["b"].data_ptr() - loaded["a"].data_ptr() == 4000
    assert loaded["c"].data_ptr() - loaded["b"].data_ptr() == 1200


def test_writing_to_a_loaded_tensor_never_reaches_the_file(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, {"a": torch.zeros(1000)})
    before = path.read_bytes()
    open_weights(path).load()["a"].add_(1)
    assert path.read_bytes() == before
    assert open_weights(path).load()["a"].sum() == 0


GOOD = {"x": tensor(0, 8), "y": tensor(8, 12)}
LIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is only 0 bytes long"),
    "short": (b"\x10\0\0", "is only 3 bytes long"),
    "header cut": (file_of(GOOD)[:30], "claims a header of .* bytes, but only 22 bytes follow"),
    "data cut": (file_of(GOOD, b"\0" * 11), "needs 12 bytes of data, but has 11"),
    "no data": (file_of(GOOD), "needs 12 bytes of data, but has 0"),
    "too much data": (file_of(GOOD, b"\0" * 13), "has 1 bytes that belong to no tensor"),
    "huge header": (file_of(b"{}", length=2**62), "claims a header of .* bytes; the limit is"),
    "zero header": (file_of(b"{}", length=0), "does not begin like a safetensors file"),
    "text": (b"hello, this is not a model at all", "does not begin like a safetensors file"),
    "list": (file_of(b"{ [1] ", b""), "header that is not JSON"),
    "not utf-8": (file_of(b'{"\xff": 1}'), "header that is not JSON"),
    "deep": (file_of(b'{"a":' + b"[" * 100_000), "header that is not JSON"),
    "long number": (file_of(b'{"a":' + b"9" * 10_000 + b"}"), "header that is not JSON"),
    "duplicate": (file_of(b'{"x":%b,"x":%b}' % ((json.dumps(tensor(0, 4)).encode(),) * 2), b"\0" * 4), "'x' is there twice"),
    "metadata list": (file_of({"__metadata__": []}), "metadata that is not a table of strings"),
    "metadata number": (file_of({"__metadata__": {"a": 1}}), "metadata that is not a table of strings"),
    "entry": (file_of({"x": 5}), "not described by dtype, shape and data_offsets"),
    "entry keys": (file_of({"x": {"dtype": "F32"}}), "not described by dtype, shape and data_offsets"),
    "dtype": (file_of({"x": tensor(0, 4, dtype="F31")}, b"\0" * 4), "unknown number type 'F31'"),
    "dtype list": (file_of({"x": tensor(0, 4) | {"dtype": [1]}}, b"\0" * 4), "unknown number type"),
    "negative shape": (file_of({"x": tensor(0, 4, [-1])}, b"\0" * 4), "impossible shape"),
    "true shape": (file_of({"x": tensor(0, 4, [True])}, b"\0" * 4), "impossible shape"),
    "shape of text": (file_of({"x": tensor(0, 4) | {"shape": "1"}}, b"\0" * 4), "impossible shape"),
    "endless rank": (file_of({"x": tensor(0, 4, [1] * 17)}, b"\0" * 4), "impossible shape"),
    "wrong size": (file_of({"x": tensor(0, 8, [1])}, b"\0" * 8), "needs 4 bytes, but its offsets hold 8"),
    "overflowing size": (file_of({"x": tensor(0, 8, [2**62, 8])}, b"\0" * 8), "but its offsets hold 8"),
    "backward offsets": (file_of({"x": tensor(8, 4, [1])}, b"\0" * 8), "offsets hold -4"),
    "three offsets": (file_of({"x": tensor(0, 4) | {"data_offsets": [0, 2, 4]}}, b"\0" * 4), "impossible offsets"),
    "float offsets": (file_of({"x": tensor(0, 4) | {"data_offsets": [0, 4.0]}}, b"\0" * 4), "impossible offsets"),
    "overlap": (file_of({"x": tensor(0, 8), "y": tensor(4, 12)}, b"\0" * 12), "'y' overlaps 'x'"),
    "same place": (file_of({"x": tensor(0, 8), "y": tensor(0, 8)}, b"\0" * 8), "'y' overlaps 'x'"),
    "hole": (file_of({"x": tensor(0, 4), "y": tensor(8, 12)}, b"\0" * 12), "'y' leaves a hole after 'x'"),
    "hole at the start": (file_of({"x": tensor(4, 8)}, b"\0" * 8), "leaves a hole after 'the beginning'"),
    "web page": (b"<!doctype html><title>404</title>", "is a web page"),
    "git-lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "is a git-lfs pointer"),
    "gguf": (b"GGUF\x03\0\0\0aaaaaaaa", "is a GGUF file"),
    "picture": (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "is a picture"),
}


@pytest.mark.parametrize("name", LIES)
def test_lies_are_refused_with_their_reason(name: str, tmp_path: Path) -> None:
    content, reason = LIES[name]
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(BrokenWeights, match=reason) as caught:
        open_weights(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert len(str(caught.value)) < 600


class Boom:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (open, (BOOM_FILE, "w"))


BOOM_FILE = ""


@pytest.mark.parametrize("name", ["model.ckpt", "model.safetensors", "model"])
@pytest.mark.parametrize("kind", ["pickle 2", "pickle 5", "torch zip", "torch legacy", "plain zip"])
def test_pickles_are_refused_under_any_name_and_never_run(name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "BOOM_FILE", str(tmp_path / "boom"))
    stream = io.BytesIO()
    if kind.startswith("pickle"):
        pickle.dump({"w": Boom()}, stream, protocol=int(kind[-1]))
    elif kind == "plain zip":
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("data.pkl", pickle.dumps(Boom()))
    else:
        torch.save({"w": torch.zeros(2)}, stream, _use_new_zipfile_serialization=kind == "torch zip")
    (tmp_path / name).write_bytes(stream.getvalue())
    with pytest.raises(PickleRefused, match="can run code when opened") as caught:
        open_weights(tmp_path / name)
    assert caught.value.hint == "ask its author for a .safetensors file"
    assert not (tmp_path / "boom").exists()


@given(data=st.binary(max_size=400), cut=st.integers(0, 200), place=st.integers(0, 120), byte=st.integers(0, 255))
@settings(max_examples=300)
def test_damage_is_an_error_or_harmless(data: bytes, cut: int, place: int, byte: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    whole = bytearray(file_of(GOOD, b"\0" * 12))
    whole[place % len(whole)] = byte
    for content in (data, bytes(whole), bytes(whole[:cut])):
        path.write_bytes(content)
        try:
            weights = open_weights(path)
        except NodegraphError:
            continue
        assert isinstance(weights, WeightsFile)
        assert sum(info.end - info.start for info in weights.tensors.values()) <= weights.size


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match=r"no file .*nowhere"):
        open_weights(tmp_path / "nowhere.safetensors")
    with pytest.raises(ReadFailed, match="cannot read"):
        open_weights(tmp_path)


def test_a_file_that_shrank_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, {"a": torch.zeros(100)})
    weights = open_weights(path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(BrokenWeights, match="changed since it was opened"):
        weights.load()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, {"a": torch.zeros(3)})
    before = path.read_bytes()
    with pytest.raises(KeyError):
        save_weights(path, {"a": torch.zeros(3, dtype=torch.complex128)})
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteFailed):
        save_weights(tmp_path / "file" / "w.safetensors", {"a": torch.zeros(3)})
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "w.safetensors"]
