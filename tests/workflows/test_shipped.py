"""Every shipped workflow runs, whole, on the shipped models, and gives pictures worth the name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from nodegraph.diffusion import Image
from nodegraph.diffusion.judging import Vocabulary
from nodegraph.diffusion.loaded import LoadedImageText
from nodegraph.diffusion.loading import build_dual_encoder
from nodegraph.diffusion.weights import open_weights
from nodegraph.engine import Engine
from nodegraph.events import Event, Progress, Sink, ignore
from nodegraph.registry import builtin_folder
from nodegraph.scheduler import RunResult
from nodegraph.settings import Settings, default_settings

SHIPPED = sorted(path.stem for path in builtin_folder("workflows").glob("*.json"))
TRAINING = [name for name in SHIPPED if name.startswith("train_")]
JUDGING = [name for name in SHIPPED if name.startswith("judge_")]
PICTURES = [name for name in SHIPPED if name not in (*TRAINING, *JUDGING)]

PLAINLY = {"small.image": {"link": ["decode", "image"]}, "small.factor": 2.0}
"""enlarge without a network"""
QUICKER: dict[str, dict[str, Any]] = {
    "style_grid": {"sample.steps": 2, **PLAINLY},
    "colour_grid": {"sample.steps": 2, **PLAINLY},
    "variations": {"sample.steps": 2, **PLAINLY},
    "failures": {"sample.steps": 2, **PLAINLY},
    "eight_steps": {"sample.steps": 4, "quick.steps": 2, **PLAINLY},
    "contact_sheet": {"sample.steps": 2},
    "prompt_grid": {"sample.steps": 2},
    "sampler_comparison": {"sample.steps": [2, 3, 4, 5] * 6},
    "prompt_travel": {"sample.steps": 4, "travel.frames": 1},
}
"""workflows that make many pictures run here with few steps, but with every picture; all others as they are"""


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
    return [Path(item["file"]["path"]) for items in result.shown.values() for item in items if "file" in item]


def pixels(path: Path) -> Any:
    with Pillow.open(path) as picture:
        return np.asarray(picture.convert("RGB"), np.float32) / 255


@pytest.mark.parametrize("name", PICTURES)
def test_it_runs_and_its_pictures_show_something(name: str, engine: Engine) -> None:
    paths = saved(run(engine, name, QUICKER.get(name)))
    assert paths
    for path in paths:
        picture = pixels(path)
        assert max(picture.shape) >= 512
        assert picture.std() > 0.1
        assert len(np.unique((picture * 31).astype(int).reshape(-1, 3), axis=0)) > 100


@pytest.mark.parametrize("name", PICTURES)
def test_running_it_again_runs_nothing_and_saves_nothing_new(name: str, engine: Engine) -> None:
    first = run(engine, name, QUICKER.get(name))
    again = run(engine, name, QUICKER.get(name))
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


@pytest.fixture(scope="module")
def nearest_subject() -> Callable[[list[Path]], list[str]]:
    """What the judge, which knows real pictures only, takes pictures for."""
    weights = open_weights(builtin_folder("models") / "clip_score" / "tiny-emoji-judge.safetensors")
    words, net = Vocabulary.of(weights.metadata), LoadedImageText(build_dual_encoder(weights), torch.device("cpu"))
    names = net.read(words.texts().subjects)

    def nearest(paths: list[Path]) -> list[str]:
        return [words.subjects[place] for place in (net.see([Image(pixels(path)[None]) for path in paths]) @ names.T).argmax(axis=1)]

    return nearest


@pytest.mark.parametrize("text", ["", "a wizard", "samurai, 3d style", "zzzz qqqq, on a yellow background"])
def test_without_words_that_it_knows_it_draws_one_of_the_few_it_was_given_for_that(
    engine: Engine, nearest_subject: Callable[[list[Path]], list[str]], text: str
) -> None:
    trained = json.loads((builtin_folder("workflows") / "train_demo_on.json").read_text(encoding="utf-8"))
    few = trained["nodes"]["diffusion"]["inputs"]["wordless"].split(", ")
    drawn = nearest_subject(saved(run(engine, "text_to_image", {"prompt.text": text, "sample.seed": [0, 1, 2, 3, 4]})))
    assert sum(subject in few for subject in drawn) >= 4, drawn  # the judge may be wrong once; of pictures of nothing it finds none
    assert len(set(drawn)) > 1, "not always the same"


def test_inpainting_keeps_what_lies_outside_the_mask(engine: Engine) -> None:
    """Far from the hole the picture is what the VAE alone makes of the input."""
    result = run(engine, "inpaint", {"sample.seed": 3})
    other = run(engine, "inpaint", {"sample.seed": 4})
    a, b = pixels(saved(result)[0]), pixels(saved(other)[0])
    assert np.abs(a - b)[160:448, 64:448].mean() > 0.005
    assert np.abs(a - b)[:60].mean() < 0.01


SMALL = {
    "data.size": 64,
    "scenes.count": 4,
    "vae.steps": 4,
    "vae.batch": 2,
    "vae.size": 64,
    "vae.early_steps": 2,
    "vae.sample_steps": 2,
    "diffusion.steps": 2,
    "diffusion.batch": 2,
    "diffusion.variants": 1,
    "diffusion.prompts": "red disc",
    "diffusion.wordless": "",
    "judge.steps": 4,
    "judge.batch": 8,
    "judge.sample_steps": 2,
    "prompts.count": 12,
}
"""a training workflow made small enough for a test"""


def small(name: str) -> dict[str, Any]:
    nodes = json.loads((builtin_folder("workflows") / f"{name}.json").read_text(encoding="utf-8"))["nodes"]
    return {key: value for key, value in SMALL.items() if key.partition(".")[0] in nodes}


@pytest.fixture
def little(tmp_path: Path) -> Settings:
    """A session in which the data set is there already, and is little."""
    from tests.workflows.little_dataset import write_dataset

    write_dataset(tmp_path / "output" / "datasets" / "emoji")
    return default_settings(output=tmp_path / "output", cache=tmp_path / "cache", device="cpu", environ={})


def test_the_travel_is_a_loop_through_its_prompts_and_moves_little_by_little(engine: Engine) -> None:
    overrides = {"sample.steps": 4, "travel.frames": 4, "prompts.text": "fox, 3d style\nowl, 3d style", "seeds.count": 2}
    paths = saved(run(engine, "prompt_travel", overrides))
    assert {path.suffix for path in paths} == {".webp", ".gif"}
    for path in paths:
        with Pillow.open(path) as file:
            assert file.n_frames == 8
            assert file.info["loop"] == 0
            frames = []
            for i in range(8):
                file.seek(i)
                frames.append(np.asarray(file.convert("RGB"), np.float32) / 255)
        steps = [float(np.abs(frames[i] - frames[i - 1]).mean()) for i in range(8)]
        assert max(steps) < float(np.abs(frames[0] - frames[4]).mean()), "from the last frame to the first no more than between others"
        assert min(steps) > 0


def test_no_variation_is_the_picture_itself_and_a_small_one_is_near_it(engine: Engine) -> None:
    def drawn(strength: float) -> Any:
        changes = {"sample.variation_seed": 77, "sample.variation_strength": strength}
        return pixels(saved(run(engine, "text_to_image", changes))[0])

    plain, none, little, whole = pixels(saved(run(engine, "text_to_image"))[0]), drawn(0.0), drawn(0.1), drawn(1.0)
    assert np.array_equal(plain, none)
    assert 0 < np.abs(little - plain).mean() < np.abs(whole - plain).mean()
    assert np.array_equal(whole, pixels(saved(run(engine, "text_to_image", {"sample.seed": 77}))[0]))


@pytest.mark.parametrize("name", TRAINING)
def test_training_runs_says_how_far_it_is_and_shows_what_it_made(name: str, little: Settings) -> None:
    told: list[Event] = []
    with Engine(little) as engine:
        result = run(engine, name, small(name), told.append)
    progress = [event for event in told if isinstance(event, Progress)]
    assert all(event.total and event.value <= event.total for event in progress), "every stage says how far it is"
    assert any(path.suffix in (".png", ".webp") for path in saved(result))


def test_training_resumes_and_gives_a_checkpoint_that_draws(little: Settings, tmp_path: Path) -> None:
    name, curve = "train_demo_model", little.output / "training/emoji/diffusion/curve.json"
    told: list[Event] = []
    with Engine(little) as engine:
        run(engine, name, small(name), told.append)
    progress = [event for event in told if isinstance(event, Progress)]
    assert {event.node for event in progress} == {"vae", "diffusion"}
    assert "encoding pictures" in {event.text for event in progress}
    first = json.loads(curve.read_text())["losses"]
    with Engine(little) as engine:
        result = run(engine, name, {**small(name), "diffusion.steps": 4})
    losses = json.loads(curve.read_text())["losses"]
    assert losses[: len(first)] == first
    assert len(losses) == 4
    checkpoint = next(path for path in saved(result) if path.suffix == ".safetensors")
    drawing = default_settings(output=tmp_path / "out2", models=(little.output,), use_cache=False, device="cpu", environ={})
    with Engine(drawing) as engine:
        drawn = run(engine, "text_to_image", {"checkpoint.file": checkpoint.name, "sample.steps": 2})
    assert pixels(saved(drawn)[0]).shape == (512, 512, 3)


def numbers(result: RunResult) -> dict[str, float]:
    """The lines of the shown report that end in a number, shares as fractions."""
    (report,) = {item["text"] for items in result.shown.values() for item in items if item["kind"] == "text"}
    found = re.findall(r"^(\S.*?)\s+([\d.]+)(%?)$", report, re.MULTILINE)
    return {name: float(number) / (100 if percent else 1) for name, number, percent in found}


@pytest.mark.parametrize("name", JUDGING)
def test_most_pictures_of_the_demo_model_are_judged_to_show_what_was_asked_for(name: str, engine: Engine) -> None:
    few = {"prompts.count": 12, "sample.steps": 8}
    result = run(engine, name, few)
    found = numbers(result)
    assert found["subject nearest"] >= 0.6, found
    assert found["subject among the 5 nearest"] >= 0.8
    assert found["style"] >= 0.5, "of four"
    assert found["background"] >= 0.9, "of twelve"
    assert all(pixels(path).shape[1] >= 128 for path in saved(result)), "the failures, if there are any"
    assert run(engine, name, few).executed == []


def test_the_judge_is_trained_on_and_its_file_judges_in_another_session(little: Settings, tmp_path: Path) -> None:
    name, curve = "train_demo_judge", little.output / "training/emoji/judge/curve.json"
    with Engine(little) as engine:
        first = numbers(run(engine, name, small(name)))
        losses = json.loads(curve.read_text())["losses"]
        result = run(engine, name, {**small(name), "judge.steps": 6})
    assert set(first) == {"subject nearest", "subject among the 5 nearest", "style", "background", "mean CLIP score"}
    assert json.loads(curve.read_text())["losses"][:4] == losses
    assert len(json.loads(curve.read_text())["losses"]) == 6
    encoder = next(path for path in saved(result) if path.suffix == ".safetensors")
    shapes = {"encoder.file": encoder.name, "prompts.count": 2, "sample.steps": 1}
    with Engine(default_settings(output=tmp_path / "out2", models=(little.output,), use_cache=False, device="cpu", environ={})) as engine:
        assert numbers(run(engine, "judge_demo_model", shapes))["subject among the 5 nearest"] <= 1
