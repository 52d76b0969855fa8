"""Judging pictures with an encoder that was trained on a few shapes, through the nodes."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nodegraph import Blocked
from nodegraph.context import Context
from nodegraph.diffusion import Image, ImageTextEncoder, TrainingSet
from nodegraph.engine import Engine
from nodegraph.errors import InputRefused, ModelNotFound, UnknownModel
from nodegraph.events import ignore
from nodegraph.files import Files
from nodegraph.registry import builtin_folder, builtin_registry
from nodegraph.settings import Settings, default_settings
from tests.workflows.little_dataset import write_dataset

builtin_registry()
judging: Any = importlib.import_module("nodegraph_pack_core.judging")
FOLDER = "clip_score"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    folder = tmp_path_factory.mktemp("data") / "shapes"
    write_dataset(folder)
    return TrainingSet(folder)


@pytest.fixture(scope="module")
def models(data: TrainingSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with a small encoder that knows the shapes."""
    from nodegraph.diffusion.models.clip_config import ClipTextConfig
    from nodegraph.diffusion.models.dual_encoder_config import DualEncoderConfig
    from nodegraph.diffusion.training.dataset import read_dataset
    from nodegraph.diffusion.training.dual_encoder import DualEncoderSettings
    from nodegraph.diffusion.training.dual_job import DualEncoderJob, loop_settings

    text = ClipTextConfig(width=16, layers=1, heads=2, intermediate=32, projection=24)
    config = DualEncoderConfig(size=16, widths=(16, 32), blocks=(1, 1), text=text)
    folder, loop = tmp_path_factory.mktemp("models"), replace(loop_settings(150, 1e-2, "muon"), warmup=5, bf16=False)
    settings = DualEncoderSettings(batch=16, size=32)
    job = DualEncoderJob(read_dataset(data.folder), folder / "run", "Shapes", "MIT", loop, settings, config)
    for _ in job.train():
        pass
    (folder / FOLDER).mkdir()
    shutil.copyfile(job.finish()[0], folder / FOLDER / "shapes.safetensors")
    return folder


@pytest.fixture
def new_context(models: Path, tmp_path: Path) -> Callable[[], Context]:
    from nodegraph.diffusion.store import WeightStore

    files, store = Files(tmp_path / "in", tmp_path / "out", tmp_path / "temp", (models,)), WeightStore()
    return lambda: Context("1", files=files, emit=ignore, services=lambda: store)


@pytest.fixture
def encoder(new_context: Callable[[], Context]) -> ImageTextEncoder:
    loaded: ImageTextEncoder = judging.load_image_text_encoder(new_context(), "shapes.safetensors")
    return loaded


@pytest.fixture
def settings(models: Path, tmp_path: Path) -> Settings:
    return default_settings(output=tmp_path / "out", models=(models,), use_cache=False, device="cpu", environ={})


def texts(ctx: Context) -> list[str]:
    return [item["text"] for item in ctx.shown]


# ------------------------------------------------------------------------------------------------ files


def test_only_an_image_text_encoder_is_loaded_as_one(models: Path, new_context: Callable[[], Context]) -> None:
    for folder, name in (("upscale_models", "realesr-animevideov3-x4"), ("checkpoints", "tiny-emoji")):
        shutil.copyfile(builtin_folder("models") / folder / f"{name}.safetensors", models / FOLDER / "other.safetensors")
        with pytest.raises(UnknownModel, match=r"upscale model|checkpoint") as caught:
            judging.load_image_text_encoder(new_context(), "other.safetensors")
        assert "TrainImageTextEncoder" in (caught.value.hint or "")
    with pytest.raises(ModelNotFound, match=r"nothing\.safetensors"):
        judging.load_image_text_encoder(new_context(), "nothing.safetensors")


def test_saving_copies_the_file_under_a_new_number(encoder: ImageTextEncoder, new_context: Callable[[], Context]) -> None:
    for number in (1, 2):
        ctx = new_context()
        judging.save_image_text_encoder(ctx, encoder, "mine")
        path = Path(ctx.shown[0]["file"]["path"])
        assert path.name == f"mine_{number:05d}.safetensors"
        assert path.read_bytes() == encoder.weights.path.read_bytes()


# ------------------------------------------------------------------------------------------------ scores


def test_shuffled_captions_score_lower(data: TrainingSet, encoder: ImageTextEncoder, new_context: Callable[[], Context]) -> None:
    prompts = judging.judge_prompts(encoder, 12)
    pictures = judging.real_pictures(new_context(), data, prompts.subjects, prompts.styles, prompts.colours, 64)
    own, shuffled = (
        [judging.clip_score(new_context(), encoder, picture, text) for picture, text in zip(pictures, given, strict=True)]
        for given in (prompts.texts, [*prompts.texts[5:], *prompts.texts[:5]])
    )
    assert all(-1 <= score <= 1 for score in [*own, *shuffled])
    assert np.mean(own) > np.mean(shuffled) + 0.2
    assert np.mean(np.array(own) > np.array(shuffled)) > 0.8


def test_a_batch_scores_the_mean_of_its_pictures(encoder: ImageTextEncoder, new_context: Callable[[], Context]) -> None:
    rng = np.random.default_rng(0)
    one, two = (Image(rng.random((1, 20, 20, 3), np.float32)) for _ in range(2))
    both = Image(np.concatenate([one.data, two.data]))
    scores = [judging.clip_score(new_context(), encoder, image, "red disc") for image in (one, two, both)]
    assert scores[2] == pytest.approx((scores[0] + scores[1]) / 2, abs=1e-5)


def test_scores_are_shown_with_their_texts(encoder: ImageTextEncoder, new_context: Callable[[], Context]) -> None:
    ctx = new_context()
    score = judging.clip_score(ctx, encoder, Image(np.ones((1, 8, 8, 3), np.float32)), "red disc")
    assert texts(ctx) == [f"{score:6.3f}  red disc"]


# ------------------------------------------------------------------------------------------------ reports


def test_real_pictures_are_judged_to_show_what_they_show(
    data: TrainingSet, encoder: ImageTextEncoder, new_context: Callable[[], Context]
) -> None:
    prompts, ctx = judging.judge_prompts(encoder, 24), new_context()
    asked = (prompts.subjects, prompts.styles, prompts.colours)
    found = judging.judge_pictures(ctx, encoder, judging.real_pictures(new_context(), data, *asked, 64), *asked)
    assert found.top1 > 0.6, "of six"
    assert found.top1 <= found.top5 <= 1
    assert found.style == 1, "there is only one"
    assert found.background > 0.5, "of twelve"
    assert texts(ctx) == [found.report]
    assert found.report.startswith("24 pictures\n")
    wrong = judging.judge_pictures(new_context(), encoder, judging.real_pictures(new_context(), data, *asked, 64)[::-1], *asked)
    assert wrong.top1 < 0.6
    assert wrong.score < found.score
    assert wrong.failures.data.shape[2] > 1200, "ten in a row"


def test_pictures_of_any_size_in_lists_and_batches_are_judged_one_by_one(
    encoder: ImageTextEncoder, new_context: Callable[[], Context]
) -> None:
    images = [Image(np.zeros((2, 30, 30, 3), np.float32)), Image(np.ones((1, 200, 90, 3), np.float32))]
    asked = (["red disc"] * 3, ["", "", ""], ["black", "black", "white"])
    found = judging.judge_pictures(new_context(), encoder, images, *asked)
    assert isinstance(found.style, Blocked)
    assert 0 <= found.background <= 1
    with pytest.raises(InputRefused, match="3 pictures for 2 prompts"):
        judging.judge_pictures(new_context(), encoder, images, *(part[:2] for part in asked))


def test_a_sheet_shows_no_more_failures_than_asked_for(encoder: ImageTextEncoder, new_context: Callable[[], Context]) -> None:
    images = [Image(np.full((1, 20, 20, 3), level, np.float32)) for level in np.linspace(0, 1, 6)]
    asked = ([f"{colour} {shape}" for colour in ("red", "green", "blue") for shape in ("disc", "square")], [""] * 6, [""] * 6)
    found = judging.judge_pictures(new_context(), encoder, images, *asked, shown=2)
    assert found.top1 < 1, "one grey looks like another"
    assert 256 < found.failures.data.shape[2] < 384, "two beside each other"


def test_nothing_comes_out_where_nothing_was_asked_for_or_failed(
    data: TrainingSet, encoder: ImageTextEncoder, new_context: Callable[[], Context]
) -> None:
    picture = judging.real_pictures(new_context(), data, ["red disc"], [""], [""], 64)
    found = judging.judge_pictures(new_context(), encoder, picture, ["red disc"], [""], [""])
    assert found.top1 == 1
    assert isinstance(found.background, Blocked)
    assert isinstance(found.failures, Blocked)


@pytest.mark.parametrize(
    ("images", "asked", "told"),
    [
        ([], (["red disc"], [""], [""]), "no pictures"),
        (1, ([], [], []), "list of subjects is empty"),
        (1, (["red disc"], [], [""]), "1 subjects, 0 styles, 1 colours"),
        (2, (["red disc"], [""], [""]), "2 pictures for 1 prompts"),
        (1, (["red dics"], [""], [""]), "subject 'red dics'"),
    ],
)
def test_lists_that_do_not_fit_are_refused(
    encoder: ImageTextEncoder, new_context: Callable[[], Context], images: Any, asked: tuple[list[str], ...], told: str
) -> None:
    pictures = [Image(np.zeros((1, 8, 8, 3), np.float32))] * (images or 0)
    with pytest.raises(InputRefused, match=told):
        judging.judge_pictures(new_context(), encoder, pictures, *asked)


# ------------------------------------------------------------------------------------------------ in workflows


def graph(**changes: Any) -> dict[str, Any]:
    nodes = {
        "encoder": {"type": "LoadImageTextEncoder", "inputs": {"file": "shapes.safetensors"}},
        "prompts": {"type": "JudgePrompts", "inputs": {"encoder": {"link": ["encoder", "image_text_encoder"]}, "count": 3}},
        "picture": {"type": "LoadImage", "inputs": {"file": "cat.png"}},
        "score": {
            "type": "CLIPScore",
            "inputs": {
                "encoder": {"link": ["encoder", "image_text_encoder"]},
                "image": {"link": ["picture", "image"]},
                "text": {"link": ["prompts", "texts"]},
            },
        },
        "show": {"type": "ShowText", "inputs": {"value": {"link": ["score", "float"]}}},
    }
    nodes["score"]["inputs"].update(changes)  # type: ignore[attr-defined]
    return {"nodegraph": 1, "nodes": nodes}


def test_one_picture_is_scored_with_each_text_of_a_list(settings: Settings) -> None:
    with Engine(settings) as engine:
        result = engine.run(graph())
    assert result.error is None
    assert len(result.shown["show"]) == 3
    assert [-1 <= float(item["text"]) <= 1 for item in result.shown["show"]] == [True] * 3


def test_lists_of_different_lengths_are_refused(settings: Settings) -> None:
    workflow = graph(image={"link": ["pictures", "images"]})
    workflow["nodes"]["pictures"] = {
        "type": "RealPictures",
        "inputs": {"data": {"link": ["data", "dataset"]}, "subjects": ["red disc"] * 2, "styles": [""] * 2, "colours": [""] * 2},
    }
    workflow["nodes"]["data"] = {"type": "LoadDataset", "inputs": {"folder": "shapes"}}
    write_dataset(settings.output.parent / "in" / "shapes")
    with Engine(replace(settings, input=settings.output.parent / "in")) as engine:
        del workflow["nodes"]["picture"]
        error = engine.run(workflow).error
    assert error is not None
    assert "E205" in str(error)
    assert "`image` has 2, `text` has 3" in str(error)
