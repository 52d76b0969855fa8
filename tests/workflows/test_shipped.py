"""Every shipped workflow runs, as it is, on the shipped models, and gives pictures worth the name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from nodegraph.engine import Engine
from nodegraph.events import Event, Progress, Sink, ignore
from nodegraph.registry import builtin_folder
from nodegraph.scheduler import RunResult
from nodegraph.settings import default_settings

SHIPPED = sorted(path.stem for path in builtin_folder("workflows").glob("*.json"))
TRAINING = [name for name in SHIPPED if name.startswith("train_")]
PICTURES = [name for name in SHIPPED if name not in TRAINING]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("session")
    with Engine(default_settings(output=folder / "output", cache=folder / "cache", device="cpu", environ={})) as engine:
        yield engine


def run(engine: Engine, name: str, overrides: dict[str, Any] | None = None, emit: Sink = ignore) -> RunResult:
    result = engine.run(builtin_folder("workflows") / f"{name}.json", overrides, emit=emit)
    assert result.error is None, result.error
    assert result.status == "done"
    return result


def saved(result: RunResult) -> list[Path]:
    return [Path(item["file"]["path"]) for items in result.shown.values() for item in items]


def pixels(path: Path) -> Any:
    return np.asarray(Pillow.open(path).convert("RGB"), np.float32) / 255


@pytest.mark.parametrize("name", PICTURES)
def test_it_runs_and_its_pictures_show_something(name: str, engine: Engine) -> None:
    paths = saved(run(engine, name))
    assert paths
    for path in paths:
        picture = pixels(path)
        assert picture.shape[0] >= 512
        assert picture.std() > 0.1
        assert len(np.unique((picture * 31).astype(int).reshape(-1, 3), axis=0)) > 100


@pytest.mark.parametrize("name", PICTURES)
def test_running_it_again_runs_nothing_and_saves_nothing_new(name: str, engine: Engine) -> None:
    first = run(engine, name)
    again = run(engine, name)
    assert again.executed == []
    assert saved(again) == saved(first)


@pytest.mark.parametrize("name", SHIPPED)
def test_it_says_what_it_is_for(name: str) -> None:
    data = json.loads((builtin_folder("workflows") / f"{name}.json").read_text(encoding="utf-8"))
    assert data["meta"]["title"]
    assert len(data["meta"]["description"].split()) > 5
    assert set(data["layout"]) == set(data["nodes"])


def test_the_same_workflow_gives_the_same_bits_in_a_fresh_engine(engine: Engine, tmp_path: Path) -> None:
    with Engine(default_settings(output=tmp_path / "output", cache=tmp_path / "cache", device="cpu", environ={})) as other:
        a, b = (saved(run(one, "text_to_image"))[0] for one in (engine, other))
    assert a != b
    assert np.array_equal(pixels(a), pixels(b))


def test_a_changed_seed_runs_only_what_depends_on_it(engine: Engine) -> None:
    run(engine, "text_to_image")
    result = run(engine, "text_to_image", {"sample.seed": 5})
    assert set(result.executed) == {"sample", "decode", "upscale", "save"}


def test_the_background_in_the_prompt_is_the_background_of_the_picture(engine: Engine) -> None:
    """Mean colour of the corners: the demo model listens to the words."""
    expected = {"blue": 2, "red": 0, "green": 1}
    for colour, channel in expected.items():
        path = saved(run(engine, "text_to_image", {"prompt.text": f"cat, 3d style, on a {colour} background"}))[0]
        picture = pixels(path)
        corners = np.stack([picture[:24, :24], picture[:24, -24:]]).mean(axis=(0, 1, 2))
        assert int(corners.argmax()) == channel, (colour, corners)


def test_inpainting_keeps_what_lies_outside_the_mask(engine: Engine) -> None:
    """Far from the hole the picture is what the VAE alone makes of the input."""
    result = run(engine, "inpaint", {"sample.seed": 3})
    other = run(engine, "inpaint", {"sample.seed": 4})
    a, b = pixels(saved(result)[0]), pixels(saved(other)[0])
    assert np.abs(a - b)[160:448, 64:448].mean() > 0.005
    assert np.abs(a - b)[:60].mean() < 0.01


@pytest.mark.parametrize("name", TRAINING)
def test_training_runs_resumes_and_gives_a_checkpoint_that_draws(name: str, tmp_path: Path) -> None:
    from tests.workflows.little_dataset import write_dataset

    write_dataset(tmp_path / "output" / "datasets" / "emoji")
    small = {
        "vae.steps": 4,
        "vae.batch": 2,
        "vae.size": 64,
        "vae.early_steps": 2,
        "vae.sample_steps": 2,
        "diffusion.steps": 2,
        "diffusion.batch": 2,
        "diffusion.variants": 1,
        "diffusion.prompts": "red disc",
    }
    settings = default_settings(output=tmp_path / "output", cache=tmp_path / "cache", device="cpu", environ={})
    told: list[Event] = []
    with Engine(settings) as engine:
        run(engine, name, small, told.append)
    progress = [event for event in told if isinstance(event, Progress)]
    assert {event.node for event in progress} == {"vae", "diffusion"}
    assert all(event.total and event.value <= event.total for event in progress), "every stage says how far it is"
    assert "encoding pictures" in {event.text for event in progress}
    curve = tmp_path / "output/training/emoji/diffusion/curve.json"
    first = json.loads(curve.read_text())["losses"]
    with Engine(settings) as engine:
        result = run(engine, name, {**small, "diffusion.steps": 4})
    losses = json.loads(curve.read_text())["losses"]
    assert losses[: len(first)] == first
    assert len(losses) == 4
    checkpoint = next(path for path in saved(result) if path.suffix == ".safetensors")
    with Engine(
        default_settings(output=tmp_path / "out2", models=(tmp_path / "output",), use_cache=False, device="cpu", environ={})
    ) as engine:
        drawn = run(engine, "text_to_image", {"checkpoint.file": checkpoint.name, "sample.steps": 2})
    assert pixels(saved(drawn)[0]).shape == (512, 512, 3)
