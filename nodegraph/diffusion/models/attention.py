"""Scaled dot-product attention of the U-Net, and the onion of patches that may stand around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BlockKind = Literal["input", "middle", "output"]


@dataclass(frozen=True)
class LayerName:
    """Where an attention layer sits: `input_blocks[index]`, transformer block `depth` in it, self or cross."""

    block: BlockKind
    index: int
    depth: int
    kind: Literal["self", "cross"]

    def __str__(self) -> str:
        return f"{self.block}.{self.index}.{self.depth}.{self.kind}"


@dataclass(frozen=True)
class StepInfo:
    """What the sampler knows about this call of the network, for patches that care.

    rows: one name for each row of the batch, such as ("cond", "uncond"); empty when nobody said
    sigma: noise level of the call; None when nobody said
    step, steps: position in the schedule, from 0; None when nobody said
    """

    rows: tuple[str, ...] = ()
    sigma: float | None = None
    step: int | None = None
    steps: int | None = None


NO_INFO = StepInfo()


@dataclass(frozen=True)
class AttnCall:
    """One attention computation. q: (B, heads, N, head_dim); k, v: (B, heads, M, head_dim); M is free.

    mask: None, or boolean / additive float broadcastable to (B, heads, N, M)
    size: height and width of the latent at this layer, N = height * width
    """

    layer: LayerName
    q: Tensor
    k: Tensor
    v: Tensor
    mask: Tensor | None = None
    size: tuple[int, int] = (0, 0)
    info: StepInfo = NO_INFO

    def probabilities(self) -> Tensor:
        """softmax(q k^T / sqrt(head_dim)): (B, heads, N, M). The slow path: the whole matrix is made."""
        scores = self.q @ self.k.transpose(-1, -2) * self.q.shape[-1] ** -0.5
        if self.mask is not None:
            scores = scores.masked_fill(~self.mask, float("-inf")) if self.mask.dtype == torch.bool else scores + self.mask
        return torch.softmax(scores, dim=-1)

    def row_index(self, name: str) -> list[int]:
        """Rows of the batch called `name`."""
        return [i for i, row in enumerate(self.info.rows) if row == name]

    def with_rows(self, name: str, *, q: Tensor | None = None, k: Tensor | None = None, v: Tensor | None = None) -> AttnCall:
        """This call with the rows called `name` replaced; the values are (rows called so, heads, tokens, head_dim)."""
        rows = self.row_index(name)
        return replace(self, q=_put(self.q, rows, q), k=_put(self.k, rows, k), v=_put(self.v, rows, v))


Proceed = Callable[[AttnCall], Tensor]
AttnPatch = Callable[[AttnCall, Proceed], Tensor]


def attend(call: AttnCall) -> Tensor:
    """Innermost layer of the onion: fused attention, (B, heads, N, head_dim)."""
    return F.scaled_dot_product_attention(call.q, call.k, call.v, attn_mask=call.mask)


def onion(patches: Sequence[AttnPatch], core: Proceed = attend) -> Proceed:
    """Wrap `core` in patches; the first of the sequence is the outermost."""
    for patch in reversed(patches):
        core = _wrap(patch, core)
    return core


class Attention(nn.Module):
    """Multi-head attention in the CompVis key layout (`to_q`, `to_k`, `to_v` without bias, `to_out.0`)."""

    def __init__(self, query_dim: int, context_dim: int, heads: int, name: LayerName) -> None:
        super().__init__()
        self.heads = heads
        self.name = name
        self.patches: tuple[AttnPatch, ...] = ()
        self.to_q = nn.Linear(query_dim, query_dim, bias=False)
        self.to_k = nn.Linear(context_dim, query_dim, bias=False)
        self.to_v = nn.Linear(context_dim, query_dim, bias=False)
        self.to_out = nn.Sequential(nn.Linear(query_dim, query_dim))

    def forward(self, x: Tensor, context: Tensor | None, size: tuple[int, int], info: StepInfo) -> Tensor:
        """x: (B, N, C); context: (B, M, D), or None for self-attention -> (B, N, C)."""
        source = x if context is None else context
        q, k, v = self._split(self.to_q(x)), self._split(self.to_k(source)), self._split(self.to_v(source))
        if self.patches:
            out = onion(self.patches)(AttnCall(self.name, q, k, v, size=size, info=info))
        else:
            out = F.scaled_dot_product_attention(q, k, v)
        out = out.transpose(1, 2).reshape(x.shape)  # (B, N, heads * head_dim)
        merged: Tensor = self.to_out(out)
        return merged

    def _split(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)  # (B, heads, tokens, head_dim)


def attention_layers(net: nn.Module) -> list[Attention]:
    """Every attention layer of a network, in the order in which they run."""
    return [module for module in net.modules() if isinstance(module, Attention)]


@contextmanager
def attention_patched(net: nn.Module, patches: Sequence[AttnPatch]) -> Iterator[None]:
    """Put patches around every attention layer inside the `with` block; taken off again also after an exception.

    The first patch is the outermost. A nested block adds its patches inside those already there.
    """
    saved = [(layer, layer.patches) for layer in attention_layers(net)]
    try:
        for layer, before in saved:
            layer.patches = (*before, *patches)
        yield
    finally:
        for layer, before in saved:
            layer.patches = before


def _wrap(patch: AttnPatch, core: Proceed) -> Proceed:
    return lambda call: patch(call, core)


def _put(whole: Tensor, rows: list[int], value: Tensor | None) -> Tensor:
    if value is None:
        return whole
    if whole.shape[2:] != value.shape[2:]:
        raise ValueError(f"replacing rows needs the same tokens and head width: {tuple(whole.shape)} and {tuple(value.shape)}")
    changed = whole.clone()
    changed[rows] = value.to(whole)
    return changed
