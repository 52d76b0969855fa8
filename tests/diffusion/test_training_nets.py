"""Training the networks themselves, at toy sizes: the autoencoder, the latents, the denoiser with its text encoder, the exported file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures_with_words import SHAPES, write_shapes

from nodegraph.diffusion.identify import SD_SCALE, identify_file
from nodegraph.diffusion.loading import build_clip, build_unet, build_vae
from nodegraph.diffusion.models.clip_config import ClipTextConfig
from nodegraph.diffusion.models.unet_config import UNetConfig
from nodegraph.diffusion.models.vae import AutoencoderKL
from nodegraph.diffusion.models.vae_config import VaeConfig
from nodegraph.diffusion.prompt import chunk_prompt
from nodegraph.diffusion.text import encode_chunks
from nodegraph.diffusion.training.batches import PictureStore, paint_shot, to_signed
from nodegraph.diffusion.training.captions import CaptionRecipe
from nodegraph.diffusion.training.dataset import Dataset, read_dataset
from nodegraph.diffusion.training.diffusion import DiffusionSettings, DiffusionTask, SampleSettings, token_ids
from nodegraph.diffusion.training.export import TABLE, card_of, export_checkpoint, export_vae, latent_colours, used_tokens
from nodegraph.diffusion.training.latents import LatentCache, LatentSettings, encode_latents, open_latents
from nodegraph.diffusion.training.loop import LoopSettings, train
from nodegraph.diffusion.training.scenes import SceneRecipe
from nodegraph.diffusion.training.state import load_state, weights_hash
from nodegraph.diffusion.training.vae import VaeSettings, VaeTask, encode_in_parts, laplacian, psnr, random_crops, standardise
from nodegraph.diffusion.training.vae_start import fit_ends, start_linear
from nodegraph.diffusion.training.wordless import WordlessRecipe
from nodegraph.diffusion.weights import open_weights
from nodegraph.errors import BadCheckpointState, BadValue

VAE = VaeConfig(ch=8, ch_mult=(1, 2, 2), num_res_blocks=1, norm_groups=2)  # a factor of 4
UNET = UNetConfig(model_channels=32, channel_mult=(1, 2), num_res_blocks=1, transformer_depth=(1, 0), context_dim=16, num_heads=2)
CLIP = ClipTextConfig(width=16, layers=1, heads=2, intermediate=32)
SMALL = VaeSettings(size=32, batch=4, crop=16, early_batch=4)
ROWS = LatentSettings(size=32, variants=4, batch=6)


@pytest.fixture
def shapes(tmp_path: Path) -> Dataset:
    return read_dataset(write_shapes(tmp_path / "shapes"))


def vae_task(shapes: Dataset, settings: VaeSettings = SMALL) -> VaeTask:
    return VaeTask(shapes, settings, VAE)


def cache_of(shapes: Dataset, folder: Path, net: AutoencoderKL | None = None) -> LatentCache:
    given = net or vae_task(shapes).net
    facts = {"seed": 0, "vae": weights_hash(given.state_dict()), "scale": 1.0}
    list(encode_latents(given, shapes, ROWS, folder, **facts))  # type: ignore[arg-type]
    return open_latents(folder, shapes, ROWS, **facts)  # type: ignore[arg-type]


def diffusion_task(shapes: Dataset, folder: Path, **options: object) -> DiffusionTask:
    settings = DiffusionSettings(batch=8)
    return DiffusionTask(cache_of(shapes, folder), settings, unet=UNET, clip=CLIP, **options)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ the autoencoder


def test_the_first_weights_already_transmit_colours(shapes: Dataset) -> None:
    task = vae_task(shapes)
    images = task.batch(7)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        usual = psnr(AutoencoderKL(VAE)(images), images)
        ours = psnr(task.net(images), images)
    assert ours > usual + 5


def test_the_autoencoder_learns_and_resumes_exactly(shapes: Dataset, tmp_path: Path) -> None:
    settings = replace(SMALL, early_steps=2)
    loop = LoopSettings(steps=14, lr=2e-3, warmup=2, schedule="constant", bf16=False)
    whole = [step.loss for step in train(vae_task(shapes, settings), loop, tmp_path / "whole")]
    run = train(vae_task(shapes, settings), loop, tmp_path / "parts")
    parts = [next(run).loss for _ in range(3)]
    run.close()
    parts += [step.loss for step in train(vae_task(shapes, settings), loop, tmp_path / "parts")]
    assert parts == whole
    assert np.mean(whole[-4:]) < np.mean(whole[2:6])


def test_batches_are_functions_of_seed_and_step(shapes: Dataset) -> None:
    first, second = vae_task(shapes), vae_task(shapes)
    second.batch(0)
    assert torch.equal(first.batch(5), second.batch(5))
    assert not torch.equal(first.batch(5), first.batch(6))
    assert not torch.equal(first.batch(5), VaeTask(shapes, SMALL, VAE, seed=1).batch(5))


def test_samples_show_originals_beside_reconstructions(shapes: Dataset) -> None:
    task = vae_task(shapes)
    with torch.no_grad():
        assert task.samples().shape == (4, 32, 64, 3)


def test_the_pyramid_is_linear_and_splits_a_picture_into_bands() -> None:
    a, b = torch.rand(2, 1, 3, 16, 16)
    assert all(torch.allclose(x - y, z, atol=1e-6) for x, y, z in zip(laplacian(a, 2), laplacian(b, 2), laplacian(a - b, 2), strict=True))
    flat = laplacian(torch.full((1, 3, 16, 16), 0.3), 2)
    assert flat[0].abs().max() < 1e-6
    assert torch.allclose(flat[-1], torch.tensor(0.3))


def test_crops_are_cut_inside_and_too_large_ones_refused() -> None:
    pixels = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)
    crops = random_crops(pixels, 5, np.random.default_rng(0))
    assert crops.shape == (2, 5, 5, 3)
    assert any(np.array_equal(crops[0], pixels[0, y : y + 5, x : x + 5]) for y in range(4) for x in range(4))
    with pytest.raises(BadValue, match="crop of 9 pixels"):
        random_crops(pixels, 9, np.random.default_rng(0))


def test_standardising_keeps_pictures_and_evens_latents(shapes: Dataset) -> None:
    task = vae_task(shapes)
    images = torch.cat([task.batch(step) for step in range(4)])
    with torch.no_grad():
        before, noise = task.net(images), task.net.encode(images).logvar
        spread = encode_in_parts(task.net, images).std(dim=(0, 2, 3))
        standardise(task.net, images)
        assert torch.allclose(task.net(images), before, atol=1e-3)
        latents = encode_in_parts(task.net, images) * SD_SCALE
        after = task.net.encode(images).logvar
    assert torch.allclose(latents.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-4)
    assert torch.allclose(latents.std(dim=(0, 2, 3)), torch.ones(4), atol=1e-3)
    gain = 1 / (spread * SD_SCALE)
    assert torch.allclose(after, noise + 2 * gain.log()[None, :, None, None], atol=1e-3)


def test_an_autoencoder_without_latent_convolutions_cannot_be_standardised() -> None:
    net = start_linear(AutoencoderKL(replace(VAE, use_quant_conv=False)))
    fit_ends(net, torch.zeros(1, 3, 32, 32))
    with pytest.raises(BadValue, match="no convolutions"):
        standardise(net, torch.zeros(1, 3, 32, 32))


# ------------------------------------------------------------------------------------------------ latents


def test_cached_latents_are_the_encoded_scenes(shapes: Dataset, tmp_path: Path) -> None:
    net = vae_task(shapes).net
    cache = cache_of(shapes, tmp_path / "cache", net)
    assert len(cache) == 16
    assert cache.shape == (4, 8, 8)
    assert cache.buckets[0].dtype == torch.float16
    row = 9
    pixels = paint_shot(PictureStore(shapes), cache.shot(row), (32, 32))
    with torch.no_grad():
        direct = net.encode(to_signed(pixels[None])).mean[0]
    assert torch.allclose(cache.take(np.array([row]))[0], direct, atol=0.03)


def test_latents_are_not_encoded_twice_and_other_ones_are_refused(shapes: Dataset, tmp_path: Path) -> None:
    net = vae_task(shapes).net
    facts = {"seed": 0, "vae": "abc", "scale": 1.0}
    assert [step.done for step in encode_latents(net, shapes, ROWS, tmp_path, **facts)] == [6, 12, 16]  # type: ignore[arg-type]
    assert [step.done for step in encode_latents(net, shapes, ROWS, tmp_path, **facts)] == [16]  # type: ignore[arg-type]
    with pytest.raises(BadCheckpointState, match="encode the data set first"):
        open_latents(tmp_path, shapes, ROWS, seed=0, vae="other", scale=1.0)


def test_encoding_that_is_closed_early_leaves_nothing(shapes: Dataset, tmp_path: Path) -> None:
    run = encode_latents(vae_task(shapes).net, shapes, ROWS, tmp_path / "cache", seed=0, vae="abc", scale=1.0)
    next(run)
    run.close()
    assert not (tmp_path / "cache").exists()


# ------------------------------------------------------------------------------------------------ the denoiser


def mean_loss(task: DiffusionTask) -> float:
    """Over the same eight batches each time, since the loss of one depends mostly on its noise levels."""
    with torch.no_grad():
        return float(np.mean([task.loss(step).item() for step in range(1000, 1008)]))


def test_the_denoiser_learns_and_resumes_exactly(shapes: Dataset, tmp_path: Path) -> None:
    loop = LoopSettings(steps=30, lr=3e-3, warmup=2, schedule="constant", average=0.9, bf16=False)
    task = diffusion_task(shapes, tmp_path / "cache")
    before = mean_loss(task)
    whole = [step.loss for step in train(task, loop, tmp_path / "whole")]
    assert mean_loss(task) < 0.8 * before
    run = train(diffusion_task(shapes, tmp_path / "cache"), loop, tmp_path / "parts")
    parts = [next(run).loss for _ in range(3)]
    run.close()
    parts += [step.loss for step in train(diffusion_task(shapes, tmp_path / "cache"), loop, tmp_path / "parts")]
    assert parts == whole


def test_the_first_prediction_is_zero_so_the_first_loss_is_the_weighted_size_of_v(shapes: Dataset, tmp_path: Path) -> None:
    cache = cache_of(shapes, tmp_path / "cache")
    even, weighted = (
        DiffusionTask(cache, DiffusionSettings(batch=8, min_snr=gamma), unet=UNET, clip=CLIP).loss(0).item() for gamma in (0.0, 5.0)
    )
    assert 0 < weighted < even  # min(SNR, 5) / (SNR + 1) never exceeds 1


def test_pictures_without_words_show_the_chosen_few_and_all_others_stay(shapes: Dataset, tmp_path: Path) -> None:
    cache, few = cache_of(shapes, tmp_path / "cache"), shapes.labels[:1]
    words = CaptionRecipe(empty=0.0, drop_style=0.0, drop_background=0.0, drop_white=0.0)
    chosen = DiffusionSettings(batch=16, captions=words, wordless=WordlessRecipe(few, share=0.5))
    plain, with_few = (DiffusionTask(cache, each, unet=UNET, clip=CLIP) for each in (replace(chosen, wordless=WordlessRecipe()), chosen))
    unnamed, told = 0, []
    for step in range(40):
        (rows, _), (others, texts) = plain.captioned(step), with_few.captioned(step)
        for row, other, text in zip(rows, others, texts, strict=True):
            entry = shapes.entries[cache.picture(int(other))]
            if entry.label in text:
                assert row == other
                continue
            unnamed += 1
            assert entry.label in few
            assert len(cache.shot(int(other)).cast) == 1
            if text:
                assert f"{entry.style} style" in text
                told.append(text.removeprefix("an ").removeprefix("a ").split(",")[0])
    assert 0.4 < unnamed / (40 * 16) < 0.6
    assert 0.4 < len(told) / unnamed < 0.6
    assert not {"ball", "red", "plain", "background", "mint"} & {word for text in told for word in text.split()}
    assert {len(text.split()) for text in told} == {1, 2, 3}


def test_beside_pictures_without_words_a_negative_prompt_stands_for_all(shapes: Dataset, tmp_path: Path) -> None:
    cache, few, words = cache_of(shapes, tmp_path / "cache"), shapes.labels[:1], ("blurry", "low quality")
    recipe = WordlessRecipe(few, share=0.5)
    task = DiffusionTask(cache, DiffusionSettings(16, CaptionRecipe(empty=0.4, negative=words), wordless=recipe), unet=UNET, clip=CLIP)
    silent, negative = set[str](), set[str]()
    for step in range(40):
        for row, text in zip(*task.captioned(step), strict=True):
            label = shapes.entries[cache.picture(int(row))].label
            if not text:
                silent.add(label)
            elif set(text.split(", ")) <= set(words):
                negative.add(label)
    assert silent == set(few)
    assert negative == set(shapes.labels)
    assert not {"blurry", "low", "quality"} & set(task.wordless._unknown)


def test_pictures_without_words_cannot_show_what_is_not_there(shapes: Dataset, tmp_path: Path) -> None:
    with pytest.raises(BadValue, match="no dodo, moa"):
        DiffusionTask(
            cache_of(shapes, tmp_path / "cache"), DiffusionSettings(wordless=WordlessRecipe(("moa", "dodo"))), unet=UNET, clip=CLIP
        )


def test_prompts_are_encoded_in_training_as_in_sampling(shapes: Dataset, tmp_path: Path) -> None:
    net = diffusion_task(shapes, tmp_path / "cache").net.eval()
    texts = ["red ball, plain style", "", "red ball, plain style"]
    with torch.no_grad():
        trained = net.context(texts)
        sampled = [encode_chunks(net.clip, chunk_prompt(text)).tokens[0] for text in texts]
    assert torch.allclose(trained, torch.stack(sampled), atol=1e-5)


def test_long_captions_are_cut_to_one_chunk() -> None:
    assert len(token_ids("cat " * 200)) == 77 == len(token_ids(""))


def test_samples_have_a_picture_for_every_prompt(shapes: Dataset, tmp_path: Path) -> None:
    shown = SampleSettings(("red ball", "blue ball"), vae_task(shapes).net, scale=1.0, steps=2)
    pictures = diffusion_task(shapes, tmp_path / "cache", shown=shown).samples()
    assert pictures is not None
    assert pictures.shape == (2, 32, 32, 3)
    assert pictures.dtype == np.uint8


def test_overfitting_one_shape_draws_it(tmp_path: Path) -> None:
    """The whole chain: after some steps with nothing but a red ball on white, a red ball on white comes out of noise."""
    shapes = read_dataset(write_shapes(tmp_path / "shapes"))
    only = Dataset(shapes.root, tuple(entry for entry in shapes.entries if entry.label == "red ball"))
    settings = LatentSettings(size=32, variants=1, scenes=SceneRecipe(white=1.0, smallest=0.9, largest=0.9, shift=0.0))
    vae = VaeTask(only, replace(SMALL, scenes=settings.scenes), VAE)
    standardise(vae.net, vae.batch(0), 1.0)
    facts = {"seed": 0, "vae": "x", "scale": 1.0}
    list(encode_latents(vae.net, only, settings, tmp_path / "cache", **facts))  # type: ignore[arg-type]
    cache = open_latents(tmp_path / "cache", only, settings, **facts)  # type: ignore[arg-type]
    shown = SampleSettings(("red ball",), vae.net, scale=1.0, steps=8, cfg=1.0)
    words = CaptionRecipe(empty=0.0, drop_style=1.0, drop_white=1.0, article=0.0, alias=0.0)
    task = DiffusionTask(cache, DiffusionSettings(batch=8, captions=words), unet=UNET, clip=CLIP, shown=shown)
    for _ in train(task, LoopSettings(steps=150, lr=3e-3, warmup=10, average=0.95, bf16=False), tmp_path / "run"):
        pass
    pictures = task.samples()
    with torch.no_grad():
        wanted = vae.net.decode(cache.take(np.array([0])))
    assert pictures is not None
    assert psnr(to_signed(pictures), wanted) > 18


# ------------------------------------------------------------------------------------------------ the file


def test_an_exported_checkpoint_is_identified_and_computes_the_same(shapes: Dataset, tmp_path: Path) -> None:
    task, vae = diffusion_task(shapes, tmp_path / "cache"), vae_task(shapes).net
    for _ in train(task, LoopSettings(steps=2, bf16=False), tmp_path / "run"):
        pass
    card = card_of(shapes, "Shapes", "Apache-2.0", negative="blurry")
    images = vae_task(shapes).batch(0)
    path = tmp_path / "shapes.safetensors"
    export_checkpoint(path, task.net, vae, card, colours=latent_colours(vae, images, 0.5), scale=0.5)
    weights = open_weights(path)
    info = identify_file(weights)
    assert weights.metadata["modelspec.usage_hint"] == "negative prompt: blurry"
    assert info.prediction == "v"
    assert info.scale_factor == 0.5
    assert info.parts == ("unet", "vae", "clip")
    assert info.unet is not None
    assert info.vae is not None
    assert info.vae.config == VAE
    assert info.clips[0].config == CLIP
    unet, back, clip = build_unet(info, weights), build_vae(info, weights), build_clip(info, weights)[0]
    x, t = torch.randn(1, 4, 8, 8), torch.tensor([500.0])
    with torch.no_grad():
        context = task.net.eval().context(["red ball"])
        assert torch.allclose(encode_chunks(clip, chunk_prompt("red ball")).tokens, context, atol=2e-2)
        assert torch.allclose(unet(x, t, context), task.net.unet(x, t, context), atol=2e-2)
        assert torch.allclose(back(images), vae(images), atol=5e-2)


def test_tokens_that_were_never_seen_are_exported_as_zeros(shapes: Dataset, tmp_path: Path) -> None:
    task = diffusion_task(shapes, tmp_path / "cache")
    for _ in train(task, LoopSettings(steps=3, bf16=False), tmp_path / "run"):
        pass
    state = load_state(tmp_path / "run")
    assert state is not None
    used = used_tokens(state)
    seen, unseen = token_ids("ball")[1], token_ids("zebra")[1]
    assert bool(used[seen])
    assert not bool(used[unseen])
    assert int(used.sum()) < 60
    path = tmp_path / "shapes.safetensors"
    images = vae_task(shapes).batch(0)
    net = vae_task(shapes).net
    export_checkpoint(path, task.net, net, card_of(shapes, "S", "MIT"), colours=latent_colours(net, images, 1.0), used=used)
    table = open_weights(path).load()["cond_stage_model.transformer." + TABLE]
    assert table[unseen].abs().max() == 0
    assert table[seen].abs().max() > 0


def test_the_card_names_words_and_whose_pictures_were_used(shapes: Dataset, tmp_path: Path) -> None:
    net = vae_task(shapes).net
    name = export_vae(tmp_path / "vae.safetensors", net, vae_task(shapes).batch(0), card_of(shapes, "Shapes", "Apache-2.0"))
    facts = open_weights(tmp_path / "vae.safetensors").metadata
    assert facts["modelspec.title"] == "Shapes"
    assert facts["modelspec.license"] == "Apache-2.0"
    assert facts["nodegraph.attribution"] == "plain pictures: nobody (CC0-1.0)"
    assert all(label in facts["modelspec.trigger_phrase"] for label in SHAPES)
    assert facts["nodegraph.weights_hash"] == name
    assert facts["nodegraph.vae_norm_groups"] == "2"


def test_bfloat16_is_close_to_float32(shapes: Dataset, tmp_path: Path) -> None:
    found = []
    for bf16 in (False, True):
        run = train(vae_task(shapes), LoopSettings(steps=3, bf16=bf16), tmp_path / str(bf16))
        found.append([step.loss for step in run])
    assert found[0] == pytest.approx(found[1], rel=0.05)
    assert found[0] != found[1]
