"""Mix encoded prompts, so that a picture can lie between two of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from nodegraph.diffusion.values import Cond, Conditioning
from nodegraph.errors import InputRefused

Lengths = Literal["repeat", "base"]
MAX_REPEATS = 4
"""a context is never repeated to more than this many times the longer of two"""


def blend(base: Conditioning, overlay: Conditioning, keep: float, lengths: Lengths = "repeat") -> Conditioning:
    """base * keep + overlay * (1 - keep), token by token; regions, times and strengths stay those of `base`.

    overlay: its first entry is mixed into every entry of `base`, or entry by entry where both have equally many
    lengths: "repeat" brings contexts of different length to a common multiple, which changes nothing for a network that attends to them;
        "base" cuts the overlay or fills it with zeros, as ComfyUI does

    1 gives `base` and 0 gives `overlay` itself. Raises InputRefused if the two were not encoded alike.
    """
    if keep == 1:
        return base
    others = overlay.entries if len(overlay.entries) == len(base.entries) else overlay.entries[:1] * len(base.entries)
    return Conditioning(tuple(_mixed(one, other, keep, lengths) for one, other in zip(base.entries, others, strict=True)))


def _mixed(base: Cond, overlay: Cond, keep: float, lengths: Lengths) -> Cond:
    if base.context.shape[2] != overlay.context.shape[2]:
        raise InputRefused(
            f"the two texts are encoded {base.context.shape[2]} and {overlay.context.shape[2]} wide",
            hint="encode both with the `clip` of the same checkpoint",
        )
    one, other = _cut(base.context, overlay.context) if lengths == "base" else _repeated(base.context, overlay.context)
    pooled = base.pooled
    if pooled is not None and overlay.pooled is not None:
        pooled = _between(pooled, overlay.pooled, keep)
    return replace(base, context=_between(one, other, keep), pooled=pooled)


def _between(base: Any, overlay: Any, keep: float) -> Any:
    return base * np.float32(keep) + overlay * np.float32(1 - keep)


def _cut(base: Any, overlay: Any) -> tuple[Any, Any]:
    """Both (1, tokens of `base`, D)."""
    fitted = np.zeros_like(base)
    tokens = min(base.shape[1], overlay.shape[1])
    fitted[:, :tokens] = overlay[:, :tokens]
    return base, fitted


def _repeated(base: Any, overlay: Any) -> tuple[Any, Any]:
    """Both (1, least common multiple of their tokens, D)."""
    one, other = base.shape[1], overlay.shape[1]
    tokens = math.lcm(one, other)
    if tokens > MAX_REPEATS * max(one, other):
        raise InputRefused(
            f"texts of {one} and {other} tokens have no length in common", hint='make them equally long, or set `lengths` to "base"'
        )
    return np.tile(base, (1, tokens // one, 1)), np.tile(overlay, (1, tokens // other, 1))
