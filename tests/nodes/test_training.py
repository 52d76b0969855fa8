"""The training nodes as people use them: their own folders, wrong folders, states of other runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nodegraph.diffusion.weights import open_weights
from nodegraph.engine import Engine
from nodegraph.errors import BadCheckpointState, BadDataset, FileMissing, NodegraphError, OutOfMemory, Problems
from nodegraph.events import Event, Log, Preview
from nodegraph.scheduler import RunResult
from nodegraph.settings import Settings, default_settings

TINY = {"name": "mine", "steps": 2, "batch": 2, "size": 64, "early_steps": 1, "sample_steps": 0}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return default_settings(input=tmp_path / "input", output=tmp_path / "output", use_cache=False, device="cpu", environ={})


def photos(settings: Settings, sizes: Mapping[str, tuple[int, int]], folder: str = "mine") -> Path:
    path = settings.input / folder
    path.mkdir(parents=True)
    for number, (name, size) in enumerate(sizes.items()):
        picture = Image.new("RGB", size, (200, 40 * number, 60))
        picture.paste((20, 90, 200), (0, 0, size[0] // 2, size[1] // 3))
        picture.save(path / f"{name}.png")
        (path / f"{name}.txt").write_text(f"a photo of {name}", encoding="utf-8")
    return path


def train_vae(settings: Settings, told: list[Event] | None = None, folder: str = "mine", **changes: Any) -> RunResult:
    nodes = {
        "data": {"type": "LoadDataset", "inputs": {"folder": folder}},
        "vae": {"type": "TrainVAE", "inputs": {"data": {"link": ["data", "dataset"]}, **TINY, **changes}},
    }
    with Engine(settings) as engine:
        return engine.run({"nodegraph": 1, "nodes": nodes}, targets=["vae"], emit=(told if told is not None else []).append, previews=True)


def fault(result: RunResult) -> NodegraphError:
    assert result.error is not None
    return result.error


def test_a_folder_of_photos_is_trained_on_with_memory_and_curve_told(settings: Settings) -> None:
    photos(settings, {"hill": (96, 64), "tower": (64, 96), "pond": (70, 70)})
    told: list[Event] = []
    assert train_vae(settings, told).status == "done"
    assert any(isinstance(event, Log) and "GiB of memory" in event.text for event in told)
    assert any(isinstance(event, Preview) and event.width >= 640 for event in told)
    curve = json.loads((settings.output / "training/mine/vae/curve.json").read_text())
    assert curve["step"] == 2


def training_nodes() -> dict[str, Any]:
    return {
        "data": {"type": "LoadDataset", "inputs": {"folder": "mine"}},
        "vae": {"type": "TrainVAE", "inputs": {"data": {"link": ["data", "dataset"]}, **TINY}},
        "net": {
            "type": "TrainDiffusion",
            "inputs": {
                "data": {"link": ["data", "dataset"]},
                "vae": {"link": ["vae", "vae"]},
                "name": "mine",
                "steps": 3,
                "batch": 2,
                "variants": 1,
                "accumulate": 2,
                "prompts": "a photo of hill",
                "sample_steps": 0,
            },
        },
    }


def trained(settings: Settings, nodes: Mapping[str, Any], target: str) -> RunResult:
    with Engine(settings) as engine:
        return engine.run({"nodegraph": 1, "nodes": nodes}, targets=[target])


def test_photos_of_three_shapes_train_a_checkpoint_and_another_training_goes_on_from_it(settings: Settings) -> None:
    photos(settings, {"hill": (96, 64), "tower": (64, 96), "pond": (70, 70)})
    nodes = training_nodes()
    first = trained(settings, nodes, "net")
    assert first.status == "done", first.error

    made = settings.output / "training/mine/diffusion/checkpoint.safetensors"
    models = settings.output.parent / "models"
    (models / "checkpoints").mkdir(parents=True)
    (models / "checkpoints" / "mine.safetensors").write_bytes(made.read_bytes())
    nodes["base"] = {"type": "LoadCheckpoint", "inputs": {"file": "mine.safetensors"}}
    links = {"start": {"link": ["base", "model"]}, "vae": {"link": ["base", "vae"]}}
    nodes["net"]["inputs"] |= {**links, "name": "more", "steps": 1}
    second = trained(replace(settings, models=(models,)), nodes, "net")
    assert second.status == "done", second.error

    before, after = open_weights(made).load(), open_weights(settings.output / "training/more/diffusion/checkpoint.safetensors").load()
    assert before.keys() == after.keys()
    apart = {key: float((after[key].float() - before[key].float()).abs().max()) for key in before}
    assert max(value for key, value in apart.items() if key.startswith("first_stage_model.")) == 0, "the autoencoder stays"
    trained_part = [value for key, value in apart.items() if key.startswith("model.diffusion_model.")]
    assert 0 < max(trained_part) < 0.05, "the first step, in the warm-up, moves the weights a little from where they were"


def test_one_picture_is_enough_to_try(settings: Settings) -> None:
    photos(settings, {"alone": (64, 64)})
    assert train_vae(settings).status == "done"


def test_a_folder_that_is_not_there(settings: Settings) -> None:
    settings.input.mkdir()
    error = fault(train_vae(settings))
    assert isinstance(error, FileMissing)
    assert error.node == "data"


def test_a_folder_without_captions_names_every_picture(settings: Settings) -> None:
    path = photos(settings, {"one": (64, 64), "two": (64, 64)})
    for text in path.glob("*.txt"):
        text.unlink()
    error = fault(train_vae(settings))
    assert isinstance(error, Problems | BadDataset)
    assert "one.png has no readable caption" in str(error)
    assert "two.png has no readable caption" in str(error)


def test_a_broken_picture_is_named_with_the_way_out(settings: Settings) -> None:
    path = photos(settings, {"good": (64, 64), "bad": (64, 64)})
    (path / "bad.png").write_bytes((path / "bad.png").read_bytes()[:50])
    error = fault(train_vae(settings))
    assert "bad.png cannot be opened" in str(error)
    assert "replace the picture or take it out" in str(error)
    assert not (settings.output / "training").exists()


def test_a_state_of_another_size_is_refused_and_kept(settings: Settings) -> None:
    photos(settings, {"hill": (64, 64)})
    assert train_vae(settings).status == "done"
    state = settings.output / "training/mine/vae/state.safetensors"
    before = state.read_bytes()
    error = fault(train_vae(settings, size=128, steps=4))
    assert isinstance(error, BadCheckpointState)
    assert "'size': 64" in str(error)
    assert "'size': 128" in str(error)
    assert "another folder" in error.hint
    assert state.read_bytes() == before


def test_more_memory_than_there_is_is_refused_before_the_first_step(settings: Settings) -> None:
    photos(settings, {"hill": (64, 64)})
    error = fault(train_vae(settings, batch=1024, size=256, early_steps=0))
    assert isinstance(error, OutOfMemory)
    assert "a batch of 1024 would take about" in str(error)
    assert "accumulated" in error.hint
    assert not (settings.output / "training/mine/vae/state.safetensors").exists()
