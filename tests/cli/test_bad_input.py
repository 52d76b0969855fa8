"""Bad input is the normal case: the right exit code, one clear message in our form, no traceback, nothing half-written."""

from __future__ import annotations

import json
import os
import pickle
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli, Outcome, text_to_image

FAILED, WRONG = 1, 2
Prepare = Callable[[Path], None]


def write(path: Path, data: Any) -> Path:
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


def assert_refused(outcome: Outcome, code: int, *texts: str) -> None:
    assert outcome.code == code, outcome.err
    for text in texts:
        assert text in outcome.err
    assert "Traceback" not in outcome.err + outcome.out
    assert "  -> " in outcome.err, "an error says the way out"
    assert not list(Path("output").rglob("*")) if Path("output").is_dir() else True


NODE_FAULTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "value out of range": ({"sample__steps": 0}, ("E107 OutOfRange", 'node sample "KSampler", input `steps`', "1 to 1000")),
    "value of a wrong type": ({"sample__steps": "many"}, ("E106 BadValue", "input `steps`", "int")),
    "bool for a number": ({"sample__steps": True}, ("E106 BadValue", "input `steps`")),
    "text for a choice": ({"sample__sampler": "eular"}, ("E108 NotAChoice", "did you mean `euler`")),
    "not a choice in a list": ({"sample__sampler": ["euler", "nope"]}, ("E108 NotAChoice", "nope")),
    "unknown input": ({"sample__cgf": 3}, ("E105 UnknownInput", "input `cgf`", "did you mean `cfg`")),
    "link to nothing": ({"decode__latent": {"link": ["sampel", "latent"]}}, ("E109 BadLink", "sampel", "did you mean `sample`")),
    "link to no output": ({"decode__latent": {"link": ["sample", "image"]}}, ("E109 BadLink", "its outputs: `latent`")),
    "half a link": ({"decode__latent": {"link": ["sample"]}}, ("E109 BadLink", "is not a link")),
    "link of a wrong type": (
        {"decode__latent": {"link": ["checkpoint", "model"]}},
        ("E102 TypeMismatch", 'node decode "VAEDecode", input `latent`', "wants latent", "gives model"),
    ),
    "wrong type with a way between": ({"upscale__image": {"link": ["sample", "latent"]}}, ("E102 TypeMismatch", "put `VAEDecode`")),
    "model that is not there": ({"checkpoint__file": "sd15.safetensors"}, ("E301 ModelNotFound", "sd15.safetensors", "tiny.safetensors")),
    "model name with ..": ({"checkpoint__file": "../../etc/passwd"}, ("E406 UnsafePath", "leads out of its folder")),
    "absolute model name": ({"checkpoint__file": "/etc/passwd"}, ("E406 UnsafePath", "absolute")),
    "seed below zero": ({"sample__seed": -1}, ("E107 OutOfRange", "input `seed`")),
    "seed of 80 bits": ({"sample__seed": 2**80}, ("E107 OutOfRange", "input `seed`")),
    "cycle": ({"latent__width": {"link": ["sample", "latent"]}}, ("E103 Cycle", "latent (EmptyLatent) -> sample (KSampler)")),
}


@pytest.mark.parametrize("name", NODE_FAULTS)
def test_a_fault_in_the_graph_is_told_before_anything_runs(name: str, cli: Cli, tiny_models: Path) -> None:
    changes, texts = NODE_FAULTS[name]
    path = write(Path("wf.json"), text_to_image(**changes))
    for command in ("check", "run"):
        assert_refused(cli(command, path, "--models", tiny_models), WRONG, *texts)


def test_a_cycle_is_printed_whatever_else_is_wrong(cli: Cli, tiny_models: Path) -> None:
    data = text_to_image(latent__width={"link": ["sample", "latent"]}, sample__steps=0)
    outcome = cli("check", write(Path("wf.json"), data), "--models", tiny_models)
    assert_refused(outcome, WRONG, "E103 Cycle")


def test_every_problem_is_reported_at_once(cli: Cli, tiny_models: Path) -> None:
    data = text_to_image(sample__steps=0, sample__sampler="nope", checkpoint__file="gone.safetensors", decode__latent={"link": ["x", "y"]})
    del data["nodes"]["prompt"]["inputs"]["clip"]
    outcome = cli("check", write(Path("wf.json"), data), "--models", tiny_models, "--json")
    found = {event["code"] for event in outcome.events}
    assert outcome.code == WRONG
    assert found == {"E101", "E107", "E108", "E109", "E301"}
    assert all("hint" in event for event in outcome.events)


def test_a_half_built_branch_does_not_stop_the_rest_and_is_told(cli: Cli, tiny_models: Path) -> None:
    data = text_to_image()
    data["nodes"]["later"] = {"type": "KSampler", "inputs": {"steps": 0}}
    data["nodes"]["alien"] = {"type": "SomethingElse", "inputs": {"latent": {"link": ["later", "latent"]}}}
    path = write(Path("wf.json"), data)
    outcome = cli("run", path, "--models", tiny_models)
    assert outcome.code == 0, outcome.err
    for text in ("E107 OutOfRange   node later", "E101 MissingInput   node later", "E104 UnknownNode   node alien", "left out"):
        assert text in outcome.err
    data["nodes"]["show"] = {"type": "PreviewImage", "inputs": {"image": {"link": ["alien", "image"]}}}
    needed = cli("run", write(Path("wf.json"), data), "--models", tiny_models)
    assert needed.code == WRONG
    assert "E101 MissingInput   node later" in needed.err


def test_an_unknown_node_suggests_the_nearest(cli: Cli, tiny_models: Path) -> None:
    data = text_to_image()
    data["nodes"]["sample"]["type"] = "KSampeler"
    assert_refused(
        cli("check", write(Path("wf.json"), data), "--models", tiny_models), WRONG, "E104 UnknownNode", "did you mean `KSampler`"
    )


FILES: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "E402"),
    "not json": ("{ this is not json", "E402"),
    "json of another kind": ('{"name": "left-pad", "version": "1.0.0"}', "E403"),
    "a json list": ("[1, 2, 3]", "E403"),
    "a json number": ("7", "E403"),
    "nodes is a list": ('{"nodegraph": 1, "nodes": [1]}', "E403"),
    "a newer format": ('{"nodegraph": 99, "nodes": {}}', "E404"),
    "a node that is no object": ('{"nodegraph": 1, "nodes": {"1": 5}}', "E403"),
    "no output": ('{"nodegraph": 1, "nodes": {}}', "E110"),
    "deep nesting": ("[" * 200_000, "E405"),
    "NaN": ('{"nodegraph": 1, "nodes": {"1": {"type": "Float", "inputs": {"value": NaN}}}}', "E402"),
    "Infinity": ('{"nodegraph": 1, "nodes": {"1": {"type": "Float", "inputs": {"value": -Infinity}}}}', "E402"),
    "1e400": ('{"nodegraph": 1, "nodes": {"1": {"type": "Float", "inputs": {"value": 1e400}}}}', "E402"),
    "10 to the 400": (f'{{"nodegraph": 1, "nodes": {{"1": {{"type": "Float", "inputs": {{"value": 1{"0" * 400}}}}}}}}}', "E402"),
    "not utf-8": (b'{"nodegraph": 1, "nodes": {"\xff": {}}}', "E402"),
    "binary": (bytes(range(256)) * 8, "E403"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_workflow_is_told_apart(name: str, cli: Cli) -> None:
    content, code = FILES[name]
    Path("wf.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert_refused(cli("run", "wf.json"), WRONG, code)


def test_a_missing_file_suggests_shipped_workflows(cli: Cli) -> None:
    assert_refused(cli("run", "text_to_imag"), WRONG, "E401 FileMissing", "text_to_image")


def test_a_hundred_megabytes_of_nesting_are_not_even_read(cli: Cli) -> None:
    with open("wf.json", "wb") as stream:
        stream.write(b"[" * 100_000_000)
    assert_refused(cli("run", "wf.json"), WRONG, "E405 TooLarge")


def test_a_folder_is_not_a_workflow(cli: Cli) -> None:
    Path("folder.json").mkdir()
    assert_refused(cli("run", "folder.json"), WRONG, "E4")


def test_a_chain_of_100_000_nodes_is_checked(cli: Cli) -> None:
    nodes = {str(i): {"type": "JoinText", "inputs": {"a": {"link": [str(i - 1), "str"]} if i else "x"}} for i in range(100_000)}
    nodes["end"] = {"type": "ShowText", "inputs": {"value": {"link": ["99999", "str"]}}}
    outcome = cli("check", write(Path("wf.json"), {"nodegraph": 1, "nodes": nodes}))
    assert outcome.code == 0, outcome.err[:500]
    assert "100001 nodes" in outcome.out


# ------------------------------------------------------------------------------------------------- model files


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def lying(path: Path) -> None:
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    first = next(key for key in header if key != "__metadata__")
    header[first]["shape"] = [4096, *header[first]["shape"]]
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])


def endless_header(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 2**60) + b"{}")


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"state_dict": {}}))


def zipped(path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))


def text_file(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\n")


@pytest.mark.parametrize(
    ("spoil", "code"),
    [(truncated, "E409"), (lying, "E409"), (endless_header, "E409"), (pickled, "E410"), (zipped, "E410"), (text_file, "E4")],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_bad_model_file_is_refused_before_its_weights_are_used(spoil: Prepare, code: str, cli: Cli, tiny_models: Path) -> None:
    models = Path("models/checkpoints")
    models.mkdir(parents=True)
    good = (tiny_models / "checkpoints" / "tiny.safetensors").read_bytes()
    (models / "bad.safetensors").write_bytes(good)
    spoil(models / "bad.safetensors")
    path = write(Path("wf.json"), text_to_image(checkpoint__file="bad.safetensors"))
    assert_refused(cli("run", path, "--models", "models"), FAILED, code, 'node checkpoint "LoadCheckpoint"')


# ------------------------------------------------------------------------------------------------- pictures


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb() -> bytes:
    """A PNG of 60000 x 60000 pixels in a few kilobytes."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100_000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"<svg onload='alert(1)'/>", "E407"), (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "E407"), (bomb(), "E405"), (b"", "E407")],
    ids=["svg", "broken png", "bomb", "empty"],
)
def test_a_bad_picture_is_refused(content: bytes, code: str, cli: Cli) -> None:
    Path("input").mkdir()
    Path("input/x.png").write_bytes(content)
    outcome = cli("run", "upscale", "--set", "load.file=x.png")
    assert_refused(outcome, FAILED, code, 'node load "LoadImage"')


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "C:\\x.png", "a\0b", "..\\..\\x.png", "CON"])
def test_a_picture_name_cannot_leave_the_input_folder(name: str, cli: Cli) -> None:
    assert_refused(cli("check", "upscale", "--set", f"load.file={name}"), WRONG, "E406 UnsafePath")


# ------------------------------------------------------------------------------------------------- writing


def saves_only(name: str = "x") -> dict[str, Any]:
    nodes = {
        "load": {"type": "LoadImage", "inputs": {"file": "cat.png"}},
        "save": {"type": "SaveImage", "inputs": {"image": {"link": ["load", "image"]}, "name": name}},
    }
    return {"nodegraph": 1, "nodes": nodes}


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/../../x", "x:y", "a\0b"])
def test_a_saved_name_cannot_leave_the_output_folder(name: str, cli: Cli) -> None:
    path = write(Path("wf.json"), saves_only(name))
    assert_refused(cli("run", path), FAILED, "E406 UnsafePath", 'node save "SaveImage"')


def test_an_output_folder_that_cannot_be_written(cli: Cli) -> None:
    Path("file").write_text("a file, not a folder")
    path = write(Path("wf.json"), saves_only())
    assert_refused(cli("run", path, "--output", "file/below"), FAILED, "E408 WriteFailed", "--output")


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    path = write(tmp_path / "wf.json", saves_only())
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "from nodegraph.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    environment = {**os.environ, "NODEGRAPH_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", code, "run", str(path), "--output", str(tmp_path / "output")]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert result.returncode == FAILED, result.stderr
    assert "E408 WriteFailed" in result.stderr
    assert "Traceback" not in result.stderr
    assert list((tmp_path / "output").iterdir()) == []


# ------------------------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("nonsense", "has no `=`"),
        ("sample.setps=3", "did you mean `steps`"),
        ("smaple.steps=3", "did you mean `sample`"),
        ("steps=3", "NODE.INPUT"),
        ("sample.steps=3.5", "BadValue"),
        ("CLIPEncode.text=x", "2 nodes are called"),
    ],
)
def test_a_wrong_override_says_how_to_write_it(override: str, text: str, cli: Cli, tiny_models: Path) -> None:
    path = write(Path("wf.json"), text_to_image())
    assert_refused(cli("check", path, "--models", tiny_models, "--set", override), WRONG, text)


@pytest.mark.parametrize("name", ["tpu", "cuda:99", "xpu"])
def test_a_device_that_is_not_there_is_told_before_anything_runs(name: str, cli: Cli, tiny_models: Path) -> None:
    path = write(Path("wf.json"), text_to_image())
    assert_refused(cli("run", path, "--models", tiny_models, "--device", name), WRONG, "E310 NoDevice", name)


def test_a_wrong_option_is_exit_code_2(cli: Cli) -> None:
    assert cli("run").code == WRONG
    assert cli("fly").code == WRONG
