"""Run the command line in process, in a folder of its own, with a checkpoint of random weights in the layout of the demo model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nodegraph.cli.main import main
from nodegraph.registry import builtin_folder


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Cli = Callable[..., Outcome]


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with `tiny.safetensors`: U-Net, VAE and text encoder of random weights, smaller than the demo model."""
    from tests.diffusion.tiny import write_tiny_checkpoint

    folder = tmp_path_factory.mktemp("models")
    (folder / "checkpoints").mkdir()
    write_tiny_checkpoint(folder / "checkpoints" / "tiny.safetensors")
    return folder


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Call `nodegraph ...` with the present folder, cache and output below `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NODEGRAPH_CACHE", str(tmp_path / "cache"))

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as leave:
            code = int(leave.code or 0)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


def text_to_image(**changes: Any) -> dict[str, Any]:
    """The shipped workflow as data, small and quick, with `NODE__INPUT` replaced."""
    data: dict[str, Any] = json.loads((builtin_folder("workflows") / "text_to_image.json").read_text(encoding="utf-8"))
    values = {"checkpoint__file": "tiny.safetensors", "sample__steps": 2, "latent__width": 32, "latent__height": 32, **changes}
    for key, value in values.items():
        node, name = key.split("__")
        data["nodes"][node]["inputs"][name] = value
    return data
