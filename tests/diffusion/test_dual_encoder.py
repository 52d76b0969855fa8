"""The image-text encoder: its towers, its training on a few shapes, its file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures_with_words import SHAPES, draw_shape, write_shapes
from PIL import Image as Pillow
from tiny import write_tiny_checkpoint

from nodegraph.diffusion.handles import ImageTextEncoder, WeightsRef
from nodegraph.diffusion.identify import identify, identify_dual_encoder
from nodegraph.diffusion.judging import Vocabulary, Wanted, draw_prompts
from nodegraph.diffusion.loading import build_dual_encoder
from nodegraph.diffusion.models.clip_config import ClipTextConfig
from nodegraph.diffusion.models.dual_encoder import DualEncoder, fitted
from nodegraph.diffusion.models.dual_encoder_config import ARCHITECTURE, ROWS, TABLE, TOKENS, DualEncoderConfig
from nodegraph.diffusion.store import WeightStore
from nodegraph.diffusion.text import whole_ids
from nodegraph.diffusion.tokenizer import BOS, EOS, tokenize
from nodegraph.diffusion.training.dataset import Dataset, read_dataset
from nodegraph.diffusion.training.dual_encoder import NONE, DualEncoderSettings, DualEncoderTask, Weather, contrastive, spoil
from nodegraph.diffusion.training.dual_job import DualEncoderJob, loop_settings
from nodegraph.diffusion.training.loop import train
from nodegraph.diffusion.training.real_pictures import real_pictures
from nodegraph.diffusion.values import Image
from nodegraph.diffusion.weights import open_weights, save_weights
from nodegraph.errors import BadCheckpointState, BrokenWeights, InputRefused, UnknownModel

CONFIG = DualEncoderConfig(
    size=16, widths=(16, 32), blocks=(1, 1), text=ClipTextConfig(width=16, layers=1, heads=2, intermediate=32, projection=24)
)
SMALL = DualEncoderSettings(batch=16, size=32)


def job_of(dataset: Dataset, folder: Path, steps: int) -> DualEncoderJob:
    loop = replace(loop_settings(steps, 1e-2, "muon"), warmup=5, bf16=False)
    return DualEncoderJob(dataset, folder, "Shapes judge", "Apache-2.0", loop, SMALL, CONFIG)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return read_dataset(write_shapes(tmp_path_factory.mktemp("data") / "shapes", styles=("plain", "bold")))


@pytest.fixture(scope="module")
def trained(shapes: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[float], Path]:
    """Losses and the file of a short training."""
    job = job_of(shapes, tmp_path_factory.mktemp("run"), 60)
    losses = [step.loss for step in job.train()]
    return losses, job.finish()[0]


@pytest.fixture
def encoder(trained: tuple[list[float], Path]) -> ImageTextEncoder:
    return ImageTextEncoder(WeightsRef.of(trained[1]))


# ------------------------------------------------------------------------------------------------ the network


def test_both_towers_give_unit_vectors_whatever_the_size_of_the_picture() -> None:
    net = DualEncoder(CONFIG).eval()
    with torch.no_grad():
        pictures = torch.cat([net.pictures(torch.rand(2, 3, *size)) for size in ((16, 16), (40, 40), (9, 30))])
        words = net.words(whole_ids(["", "a cat", "cat " * 200]))
    assert pictures.shape == (6, 24)
    assert words.shape == (3, 24)
    assert torch.allclose(torch.cat([pictures, words]).norm(dim=1), torch.ones(9), atol=1e-5)


def test_the_middle_square_is_looked_at() -> None:
    wide = torch.rand(1, 3, 20, 60)
    assert torch.equal(fitted(wide, 20), wide[..., 20:40])
    flat = torch.full((1, 3, 50, 80), 0.3)
    assert torch.allclose(fitted(flat, 16), torch.full((1, 3, 16, 16), 0.3))


def test_padding_changes_no_text() -> None:
    net = DualEncoder(CONFIG).eval()
    with torch.no_grad():
        together = net.words(whole_ids(["cat", "a small cat on the left, 3d style"]))
        alone = net.words(whole_ids(["cat"]))
    assert torch.allclose(together[:1], alone, atol=1e-5)


def test_texts_are_framed_and_cut() -> None:
    ids = whole_ids(["cat", "cat " * 200])
    assert ids.shape == (2, 77)
    assert ids[0, :3].tolist() == [BOS, *tokenize("cat"), EOS]
    assert set(ids[0, 3:].tolist()) == {EOS}
    assert int(ids[1, -1]) == EOS
    assert whole_ids([]).shape == (0, 0)


@pytest.mark.parametrize(
    "change", [{"widths": (16, 30)}, {"size": 2}, {"blocks": (1,)}, {"text": replace(CONFIG.text, projection=None)}], ids=str
)
def test_impossible_shapes_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"needs a text projection|do not divide"):
        replace(CONFIG, **change)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ the losses


def test_the_contrastive_loss_is_the_mean_of_two_softmaxes() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    seen, read, wrong = vectors
    logits = 5 * seen @ torch.cat([read, wrong]).T
    ours = contrastive(seen, read, wrong, list("abcd"), list("efgh"), torch.tensor(5.0))
    own = [logits[i, i] for i in range(4)]
    by_picture = sum(torch.logsumexp(logits[i], 0) - own[i] for i in range(4)) / 4
    by_text = sum(torch.logsumexp(logits[:, i], 0) - own[i] for i in range(4)) / 4
    assert ours.item() == pytest.approx(((by_picture + by_text) / 2).item(), rel=1e-5)


def test_equal_captions_are_not_told_apart() -> None:
    """Two pictures with one caption between them, and a wrong caption that is none: nothing is left to learn."""
    seen = torch.nn.functional.normalize(torch.randn(2, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    read = seen[:1].expand(2, -1)
    assert contrastive(seen, read, read, ["cat", "cat"], ["cat", "cat"], torch.tensor(9.0)).item() == pytest.approx(0, abs=1e-6)
    assert contrastive(seen, read, read, ["cat", "dog"], ["cow", "owl"], torch.tensor(9.0)).item() > 0.1


def test_wrong_captions_have_the_form_of_the_right_ones_and_say_one_other_thing(shapes: Dataset) -> None:
    task = DualEncoderTask(shapes, SMALL, CONFIG)
    differing = 0
    for step in range(6):
        shots = task.shots(step)
        for right, wrong in zip(*task.texts(step, shots), strict=True):
            parts = right.split(", "), wrong.split(", ")
            assert len(parts[0]) == len(parts[1])
            different = sum(a != b for a, b in zip(*parts, strict=True))
            assert different <= 1
            differing += different
    assert differing > 40


def test_scenes_have_targets_where_one_word_is_true(shapes: Dataset) -> None:
    task = DualEncoderTask(shapes, replace(SMALL, scenes=replace(SMALL.scenes, pair=0.5)), CONFIG)
    shots = task.shots(0)
    subjects, styles, colours = (task._targets(shots, kind) for kind in ("subject", "style", "background"))
    for shot, subject, style, colour in zip(shots, subjects, styles, colours, strict=True):
        entry, top = shapes.entries[shot.cast[0]], shot.scene.background.top
        assert subject == (NONE if len(shot.cast) > 1 else task.classes["subject"].index(entry.label))
        assert task.classes["style"][style] == f"{entry.style} style"
        assert top in task.classes["background"][colour]
    assert NONE in subjects
    assert len(task.classes["background"]) == 12 + 11 * 10


def test_weather_is_different_for_each_picture_and_stays_in_range() -> None:
    grey = torch.full((4, 3, 32, 32), 0.5)
    out = spoil(grey, Weather(clear=0), np.random.default_rng(0))
    assert out.shape == grey.shape
    assert float(out.min()) >= 0
    assert float(out.max()) <= 1
    assert len({round(float(picture.mean()), 4) for picture in out}) == 4
    assert (out.mean(dim=(1, 2, 3)) - 0.5).abs().max() < 0.1
    calm = Weather(clear=0, blur=0, noise=0, light=0, contrast=0, tint=0)
    picture = torch.rand(2, 3, 32, 32)
    assert torch.allclose(spoil(picture, calm, np.random.default_rng(0)), picture, atol=1e-6)
    assert not torch.allclose(spoil(picture, replace(calm, blur=1.0), np.random.default_rng(0)), picture, atol=1e-2)


# ------------------------------------------------------------------------------------------------ training


def test_batches_are_functions_of_seed_and_step(shapes: Dataset) -> None:
    first, second = DualEncoderTask(shapes, SMALL, CONFIG), DualEncoderTask(shapes, SMALL, CONFIG)
    second.loss(0)
    assert first.loss(5).item() == second.loss(5).item()
    assert first.loss(5).item() != first.loss(6).item()
    assert first.loss(5).item() != DualEncoderTask(shapes, SMALL, CONFIG, seed=1).loss(5).item()


def test_training_lowers_the_loss(trained: tuple[list[float], Path]) -> None:
    losses, _ = trained
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:10])


def test_a_resumed_training_is_the_same_training(shapes: Dataset, tmp_path: Path) -> None:
    whole = [step.loss for step in job_of(shapes, tmp_path / "whole", 6).train()]
    run = job_of(shapes, tmp_path / "parts", 6).train()
    parts = [next(run).loss for _ in range(3)]
    run.close()  # type: ignore[attr-defined]
    parts += [step.loss for step in job_of(shapes, tmp_path / "parts", 6).train()]
    assert parts == whole
    other = replace(job_of(shapes, tmp_path / "parts", 8), settings=replace(SMALL, batch=8))
    with pytest.raises(BadCheckpointState, match="another run"):
        next(other.train())


def test_nothing_can_be_finished_before_it_was_trained(shapes: Dataset, tmp_path: Path) -> None:
    with pytest.raises(BadCheckpointState, match="no training state"):
        job_of(shapes, tmp_path, 2).finish()


def test_a_picture_scores_its_own_caption_higher_than_others(shapes: Dataset, encoder: ImageTextEncoder) -> None:
    wanted = draw_prompts(Vocabulary(shapes.labels, (), ("white", "red", "blue", "yellow")), 16)
    with WeightStore().lease(encoder) as net:
        cosines = net.see(list(real_pictures(shapes, wanted, 40))) @ net.read([each.text for each in wanted]).T
    own = np.diag(cosines)
    assert np.mean(cosines.argmax(axis=1) == np.arange(16)) > 0.4, "of 16 captions"
    shuffled = cosines[np.arange(16), np.roll(np.arange(16), 5)]
    assert own.mean() > shuffled.mean() + 0.2
    assert np.mean(own > shuffled) > 0.9


def test_samples_are_scenes_above_what_they_are_judged_to_show(shapes: Dataset) -> None:
    task = DualEncoderTask(shapes, SMALL, CONFIG)
    with torch.no_grad():
        samples = task.samples()
    assert samples.shape[0] == len(shapes.entries)
    assert samples.shape[1] > samples.shape[2] == 128
    assert samples[:, 128:].min() < 128, "there is text"


def test_a_data_set_of_captions_is_trained_by_them_alone(tmp_path: Path) -> None:
    for label in SHAPES:
        draw_shape(label).convert("RGB").save(tmp_path / f"{label}.png")
        (tmp_path / f"{label}.txt").write_text(f"a drawing of a {label}")
    task = DualEncoderTask(read_dataset(tmp_path), SMALL, CONFIG)
    assert task.words == Vocabulary((), (), ())
    before = task.loss(50).item()
    for _ in train(task, replace(loop_settings(25, 1e-2, "muon"), warmup=3, bf16=False), tmp_path / "run"):
        pass
    assert task.loss(50).item() < 0.7 * before
    with torch.no_grad():
        assert task.samples().shape[0] == len(SHAPES)


# ------------------------------------------------------------------------------------------------ the file


def test_the_file_computes_what_the_trained_network_does(shapes: Dataset, tmp_path: Path) -> None:
    job = job_of(shapes, tmp_path, 3)
    for _ in job.train():
        pass
    path, _ = job.finish()
    weights = open_weights(path)
    assert identify_dual_encoder(weights.shapes, weights.metadata) == CONFIG
    net, images, ids = build_dual_encoder(weights), torch.rand(2, 3, 40, 40), whole_ids(["red ball, plain style", "a blue ball"])
    with torch.no_grad():
        assert torch.allclose(net.pictures(images), job.task.net.encoder.pictures(images), atol=5e-3)
        assert torch.allclose(net.words(ids), job.task.net.encoder.words(ids), atol=5e-3)
        assert net.scale().item() == pytest.approx(job.task.net.encoder.scale().item(), rel=1e-2)


def test_only_tokens_that_were_seen_are_written(trained: tuple[list[float], Path]) -> None:
    weights = open_weights(trained[1])
    known = weights.load([TOKENS])[TOKENS].tolist()
    assert tokenize("ball")[0] in known
    assert tokenize("zebra")[0] not in known
    table = build_dual_encoder(weights).state_dict()[TABLE]
    assert table.shape == (49408, 16)
    assert table[tokenize("zebra")[0]].abs().max() == 0
    assert table[tokenize("ball")[0]].abs().max() > 0
    assert weights.size < 150_000


def test_the_file_says_what_it_knows_and_whose_pictures_it_saw(trained: tuple[list[float], Path]) -> None:
    facts = open_weights(trained[1]).metadata
    assert facts[ARCHITECTURE] == "dual-encoder-1"
    assert facts["modelspec.license"] == "Apache-2.0"
    assert facts["nodegraph.attribution"] == "bold pictures: nobody (CC0-1.0); plain pictures: nobody (CC0-1.0)"
    words = Vocabulary.of(facts)
    assert words.subjects == tuple(sorted(SHAPES))
    assert words.styles == ("bold", "plain")
    assert len(words.colours) == 12


def test_other_files_are_told_from_it_and_it_from_them(trained: tuple[list[float], Path], tmp_path: Path) -> None:
    write_tiny_checkpoint(tmp_path / "tiny.safetensors")
    other, ours = open_weights(tmp_path / "tiny.safetensors"), open_weights(trained[1])
    with pytest.raises(UnknownModel, match="a checkpoint: load it with LoadCheckpoint"):
        identify_dual_encoder(other.shapes, other.metadata)
    with pytest.raises(UnknownModel, match="an image-text encoder: load it with LoadImageTextEncoder"):
        identify(ours.shapes, ours.metadata)


@pytest.mark.parametrize("key", ["nodegraph.image_size", "nodegraph.image_norm_groups", "nodegraph.clip_heads"])
def test_facts_that_leave_no_trace_in_shapes_must_be_stated(trained: tuple[list[float], Path], key: str) -> None:
    weights = open_weights(trained[1])
    with pytest.raises(BrokenWeights, match="does not say its image_size"):
        identify_dual_encoder(weights.shapes, {name: fact for name, fact in weights.metadata.items() if name != key})
    with pytest.raises(BrokenWeights, match=key):
        identify_dual_encoder(weights.shapes, {**weights.metadata, key: "many"})


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        (TOKENS, torch.tensor([1, 2], dtype=torch.int32), "does not name as many"),
        (TOKENS, None, "does not name as many"),
        (TOKENS, "past the end", "outside 0 to 49407"),
        (ROWS, None, "token_rows is missing"),
        ("image.stages.1.down.weight", None, "1 tensors are missing"),
        ("image.projection.weight", torch.zeros(7, 32).half(), "is needed beside the others"),
    ],
    ids=str,
)
def test_torn_files_are_refused(
    trained: tuple[list[float], Path], tmp_path: Path, key: str, value: torch.Tensor | str | None, told: str
) -> None:
    weights = open_weights(trained[1])
    tensors = weights.load()
    if value == "past the end":
        tensors[key] = tensors[key].clone()
        tensors[key][-1] = 49408
    elif isinstance(value, torch.Tensor):
        tensors[key] = value
    else:
        del tensors[key]
    save_weights(tmp_path / "torn.safetensors", tensors, weights.metadata)
    with pytest.raises(BrokenWeights, match=told):
        build_dual_encoder(open_weights(tmp_path / "torn.safetensors"))


def test_leases_share_the_weights(encoder: ImageTextEncoder) -> None:
    store = WeightStore()
    with store.lease(encoder) as a, store.lease(encoder) as b:
        assert a.net is b.net
        assert a.read([]).shape == (0, 24)
    assert store.report().startswith("image-text encoder of judge.safetensors")


# ------------------------------------------------------------------------------------------------ real pictures


def test_real_pictures_are_those_of_the_data_set_on_the_colour_asked_for(shapes: Dataset) -> None:
    red, blue = real_pictures(shapes, [Wanted("red ball", "plain", "yellow"), Wanted("blue ball")], 40)
    assert isinstance(red, Image)
    assert red.data.shape == (1, 40, 40, 3)
    assert np.allclose(red.data[0, 0, 0] * 255, (250, 216, 70), atol=1)
    assert np.allclose(red.data[0, 20, 20] * 255, SHAPES["red ball"], atol=1)
    assert np.allclose(blue.data[0, 0, 0], 1)


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [(Wanted("red bal"), "red ball"), (Wanted("red ball", "plan"), "plain"), (Wanted("red ball", "", "mauve"), "white, red, orange")],
)
def test_pictures_that_are_not_there_are_named(shapes: Dataset, wanted: Wanted, hint: str) -> None:
    with pytest.raises(InputRefused) as caught:
        list(real_pictures(shapes, [wanted], 40))
    assert hint in (caught.value.hint or "")


def test_the_card_is_json(trained: tuple[list[float], Path]) -> None:
    assert json.loads(open_weights(trained[1]).metadata["nodegraph.subjects"]) == sorted(SHAPES)


def test_pillow_pictures_of_any_kind_can_be_seen(encoder: ImageTextEncoder) -> None:
    picture = np.asarray(Pillow.new("RGB", (33, 21), (9, 9, 9)), np.float32)[None] / np.float32(255)
    with WeightStore().lease(encoder) as net:
        seen = net.see([Image(picture), Image(np.concatenate([picture, picture]))])
    assert seen.shape == (3, 24)
    assert np.allclose(seen[0], seen[2], atol=1e-5)
