"""The text encoder against transformers, OpenCLIP's key names, and its sizes read back from its keys."""

from __future__ import annotations

import pytest
import torch
from oracle import clip_twin, randomised, relative

from nodegraph.diffusion.models.clip_config import BOS, EOS, ClipTextConfig
from nodegraph.diffusion.models.clip_text import ClipText
from nodegraph.diffusion.models.openclip import openclip_shapes, openclip_tensors

TINY = ClipTextConfig(width=64, layers=3, heads=2, intermediate=96)
BIG = ClipTextConfig(width=64, layers=2, heads=4, intermediate=96, activation="gelu", projection=48)


def prompt(length: int = 77) -> torch.Tensor:
    ids = torch.randint(0, BOS, (2, length), generator=torch.Generator().manual_seed(3))
    ids[:, 0] = BOS
    ids[0, 5:] = EOS
    ids[1, length - 1] = EOS
    return ids


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("config", [TINY, BIG], ids=["openai", "openclip"])
@torch.inference_mode()
def test_it_agrees_with_transformers(config: ClipTextConfig) -> None:
    net = randomised(ClipText(config))
    ours, theirs = net(prompt()), clip_twin(net, config)(prompt(), output_hidden_states=True)
    assert len(ours.hidden) == len(theirs.hidden_states) == config.layers + 1
    assert max(relative(a, b) for a, b in zip(ours.hidden, theirs.hidden_states, strict=True)) < 1e-5
    assert relative(ours.last, theirs.last_hidden_state) < 1e-5
    assert relative(ours.pooled, theirs.text_embeds if config.projection else theirs.pooler_output) < 1e-5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@torch.inference_mode()
def test_the_full_size_of_clip_l_agrees_with_transformers() -> None:
    net = randomised(ClipText(ClipTextConfig()))
    assert sum(parameter.numel() for parameter in net.parameters()) == 123_060_480
    theirs = clip_twin(net, ClipTextConfig())(prompt())
    assert relative(net(prompt()).last, theirs.last_hidden_state) < 1e-5


@pytest.mark.parametrize("config", [TINY, BIG, ClipTextConfig()], ids=["tiny", "big", "full"])
def test_sizes_are_read_back_from_the_keys(config: ClipTextConfig) -> None:
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in ClipText(config).state_dict().items()}
    assert ClipTextConfig.from_state_dict(shapes, heads=config.heads, activation=config.activation) == config


@pytest.mark.parametrize(
    ("width", "heads", "activation"),
    [(768, 12, "quick_gelu"), (1024, 16, "gelu"), (1280, 20, "gelu"), (96, 2, "quick_gelu")],
)
def test_what_shapes_do_not_tell_is_guessed_from_the_width(width: int, heads: int, activation: str) -> None:
    with torch.device("meta"):
        net = ClipText(ClipTextConfig(vocab=10, width=width, layers=1, heads=2, intermediate=8))
    config = ClipTextConfig.from_state_dict({key: tuple(value.shape) for key, value in net.state_dict().items()})
    assert (config.heads, config.activation) == (heads, activation)


@torch.inference_mode()
def test_the_state_of_a_token_does_not_depend_on_later_ones() -> None:
    net = randomised(ClipText(TINY))
    ids = prompt()
    changed = ids.clone()
    changed[:, 40:] = 7
    assert torch.allclose(net(ids).last[:, :40], net(changed).last[:, :40], atol=1e-5)


@torch.inference_mode()
def test_vectors_stand_in_for_tokens() -> None:
    net = randomised(ClipText(TINY))
    ids = prompt(12)
    assert torch.equal(net(ids, net.embed(ids)).last, net(ids).last)
    assert torch.equal(net(ids, eos_at=torch.tensor([3, 4])).pooled, net(ids).last[torch.arange(2), torch.tensor([3, 4])])


def test_too_many_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match="78 tokens, but this text encoder has only 77 positions"):
        ClipText(TINY)(torch.zeros(1, 78, dtype=torch.int64))


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="a width of 64 does not divide into 5 heads"):
        ClipTextConfig(width=64, heads=5)


@torch.inference_mode()
def test_openclip_names_hold_the_same_network() -> None:
    net = randomised(ClipText(BIG))
    theirs = _as_openclip(net)
    renamed = openclip_tensors(theirs)
    own = net.state_dict()
    assert renamed.keys() == own.keys()
    assert all(torch.equal(renamed[key], own[key]) for key in own)
    assert openclip_shapes({key: tuple(value.shape) for key, value in theirs.items()}) == {k: tuple(v.shape) for k, v in own.items()}


def _as_openclip(net: ClipText) -> dict[str, torch.Tensor]:
    """The same weights as OpenCLIP stores them, written out by hand."""
    state = net.state_dict()
    out = {
        "token_embedding.weight": state["text_model.embeddings.token_embedding.weight"],
        "positional_embedding": state["text_model.embeddings.position_embedding.weight"],
        "ln_final.weight": state["text_model.final_layer_norm.weight"],
        "ln_final.bias": state["text_model.final_layer_norm.bias"],
        "text_projection": state["text_projection.weight"].t(),
        "logit_scale": torch.tensor(4.6),
    }
    for layer in range(net.config.layers):
        ours, theirs = f"text_model.encoder.layers.{layer}.", f"transformer.resblocks.{layer}."
        for leaf in ("weight", "bias"):
            parts = [state[f"{ours}self_attn.{part}_proj.{leaf}"] for part in "qkv"]
            out[f"{theirs}attn.in_proj_{leaf}"] = torch.cat(parts)
            names = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
            out |= {f"{theirs}{a}.{leaf}": state[f"{ours}{b}.{leaf}"] for a, b in names.items()}
            out[f"{theirs}attn.out_proj.{leaf}"] = state[f"{ours}self_attn.out_proj.{leaf}"]
    return out
