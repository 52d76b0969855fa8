"""Encoded prompts: the recorded numbers of a full-size encoder, and laws on a tiny one."""

from __future__ import annotations

import json

import golden
import numpy as np
import pytest
import torch
from manifests import manifest
from oracle import randomised
from synthetic import TEXT_RULES, synthetic, synthetic_part

from nodegraph.diffusion.loading import fill
from nodegraph.diffusion.models.clip_text import ClipText, ClipTextConfig
from nodegraph.diffusion.prompt import chunk_prompt, empty_chunk
from nodegraph.diffusion.text import TextStates, encode_chunks
from nodegraph.errors import ModelMismatch

TINY = ClipTextConfig(width=64, layers=3, heads=2, intermediate=96)


@pytest.fixture(scope="module")
def net() -> ClipText:
    return randomised(ClipText(TINY))


def encode(net: ClipText, text: str, **options: int) -> TextStates:
    return encode_chunks(net, chunk_prompt(text), **options)


@pytest.mark.slow
def test_recorded_prompts() -> None:
    """Weights, long and empty prompts, other scripts, a learnt embedding and clip skip, as ComfyUI encodes them."""
    tensors = synthetic_part(manifest("sd15"), "cond_stage_model.transformer.", TEXT_RULES, half=True)
    net = fill(lambda: ClipText(ClipTextConfig()), tensors, torch.float32)
    vectors = synthetic("emb_params", manifest("embedding_sd15")["emb_params"], (("emb_params", "std", 0.02),)).numpy()
    arrays, prompts = golden.arrays("text.npz"), json.loads((golden.FOLDER / "text.json").read_text(encoding="utf-8"))
    assert len(prompts) == 7
    for name, prompt in prompts.items():
        chunks = chunk_prompt(prompt["text"], "comfyui", embeddings={"testemb": vectors}.get)
        states = encode_chunks(net, chunks, layer=prompt["layer"])
        for ours, theirs in ((states.tokens[0, :, ::96], arrays[name]), (states.pooled[0, ::8], arrays[f"{name}/pooled"])):
            assert np.abs(ours.numpy() - theirs).max() < 1e-4 * np.sqrt(np.mean(theirs**2)), name


def test_chunks_follow_each_other(net: ClipText) -> None:
    states = encode(net, "a red fox BREAK a blue hill")
    assert states.tokens.shape == (1, 154, 64)
    assert states.pooled.shape == (1, 64)
    assert torch.allclose(states.tokens[:, 77:], encode(net, "a blue hill").tokens, atol=1e-5)
    assert torch.allclose(states.pooled, encode(net, "a red fox").pooled, atol=1e-5)


def test_a_weight_scales_the_distance_from_the_empty_prompt(net: ClipText) -> None:
    empty, plain, strong = encode(net, ""), encode(net, "a red fox"), encode(net, "a (red:1.5) fox")
    expected = plain.tokens.clone()
    expected[:, 2] = empty.tokens[:, 2] + 1.5 * (plain.tokens[:, 2] - empty.tokens[:, 2])
    assert torch.allclose(strong.tokens, expected, atol=1e-5)
    assert torch.allclose(strong.pooled, plain.pooled, atol=1e-5)
    assert torch.allclose(encode(net, "(a red fox:0)").tokens[:, 1:4], empty.tokens[:, 1:4], atol=1e-5)


@torch.inference_mode()
def test_earlier_layers_are_normed_only_where_asked(net: ClipText) -> None:
    chunks = chunk_prompt("a fox")
    raw = encode_chunks(net, chunks, layer=-2, normed=False)
    assert torch.allclose(net.final_norm(raw.tokens), encode_chunks(net, chunks, layer=-2).tokens, atol=1e-5)
    assert not torch.allclose(raw.tokens, encode_chunks(net, chunks, layer=-1, normed=False).tokens, atol=1e-2)


@pytest.mark.parametrize("layer", [0, -4, 1])
def test_a_layer_that_is_not_there_is_refused(net: ClipText, layer: int) -> None:
    with pytest.raises(ModelMismatch, match="has layers -3 to -1"):
        encode_chunks(net, [empty_chunk()], layer=layer)


def test_vectors_of_another_width_are_refused(net: ClipText) -> None:
    wide = np.zeros((1, 768), np.float32)
    with pytest.raises(ModelMismatch, match="768 wide, but this text encoder is 64 wide"):
        encode_chunks(net, chunk_prompt("embedding:x", embeddings={"x": wide}.get))
