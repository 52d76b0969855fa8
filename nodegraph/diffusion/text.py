"""Chunks of tokens to the hidden states that condition a U-Net."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nodegraph.diffusion.models.clip_text import ClipOutput, ClipText
from nodegraph.diffusion.prompt import Chunk, empty_chunk, is_weighted
from nodegraph.diffusion.tokenizer import BOS, EOS, tokenize
from nodegraph.errors import ModelMismatch

if TYPE_CHECKING:
    from nodegraph.diffusion.prompt import Vectors


@dataclass(frozen=True)
class TextStates:
    """An encoded prompt. tokens: (1, 77 * chunks, width); pooled: (1, width or projection), of the first chunk."""

    tokens: Tensor
    pooled: Tensor


@torch.inference_mode()
def encode_chunks(net: ClipText, chunks: Sequence[Chunk], *, layer: int = -1, normed: bool = True, pad: int = EOS) -> TextStates:
    """Encode a prompt, chunk by chunk in one batch, and apply the weights of its tokens.

    layer: which hidden state: -1 the last, -2 the one before it ("clip skip 2")
    normed: put the final norm after it (SD 1 and 2 do, SDXL does not)
    pad: the padding token that the chunks were made with, for the empty prompt beside them

    Weights follow ComfyUI: h' = h_empty + w * (h - h_empty), position by position, where h_empty is the encoding of
    the empty prompt. The pooled vector is not weighted.
    """
    weighted = is_weighted(chunks)
    rows = [*chunks, empty_chunk(pad)] if weighted else list(chunks)
    out = _run(net, rows)
    states = hidden_state(net, out, layer, normed)  # (chunks or chunks + 1, 77, width)
    if weighted:
        weights = states.new_tensor([[token.weight for token in chunk] for chunk in chunks])[:, :, None]
        states = torch.lerp(states[-1:].expand_as(states[:-1]), states[:-1], weights)
    return TextStates(states.reshape(1, -1, states.shape[-1]), out.pooled[:1])


def whole_ids(texts: Sequence[str], length: int = 77) -> Tensor:
    """(B, L) tokens of texts as they stand, without weights or chunks: begin, text, end; shorter ones are filled up with ends.

    length: of the longest, begin and end counted; what is beyond is cut off
    """
    rows = [[BOS, *tokenize(text)[: length - 2], EOS] for text in texts]
    longest = max(map(len, rows), default=0)
    return torch.tensor([row + [EOS] * (longest - len(row)) for row in rows], dtype=torch.int64).reshape(len(rows), longest)


def hidden_state(net: ClipText, out: ClipOutput, layer: int, normed: bool) -> Tensor:
    """One hidden state of an output: -1 is the last layer; raises ModelMismatch for a layer that is not there."""
    count = len(out.hidden) - 1
    if not -count <= layer <= -1:
        raise ModelMismatch(f"layer {layer} was asked for, but this text encoder has layers -{count} to -1")
    return net.final_norm(out.hidden[layer]) if normed else out.hidden[layer]


def _run(net: ClipText, chunks: Sequence[Chunk]) -> ClipOutput:
    device = net.text_model.final_layer_norm.weight.device
    ids = torch.tensor([[token.id for token in chunk] for chunk in chunks], device=device)
    embeds = net.embed(ids)
    for row, chunk in enumerate(chunks):
        for position, token in enumerate(chunk):
            if token.vector is not None:
                embeds[row, position] = _vector(token.vector, embeds)
    out: ClipOutput = net(ids, embeds)
    return out


def _vector(vector: Vectors, embeds: Tensor) -> Tensor:
    if vector.shape != embeds.shape[-1:]:
        width = embeds.shape[-1]
        raise ModelMismatch(
            f"the embedding is {vector.shape[-1]} wide, but this text encoder is {width} wide",
            hint="use an embedding made for the same family of models",
        )
    return torch.tensor(vector).to(embeds)
