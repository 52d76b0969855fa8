"""The deterministic random weights that the recorded numbers were made with: no real model, but full size and real layout."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

Rule = tuple[str, str, float]  # pattern of the key, "std" or "gain" or "const", value
TEXT_RULES: tuple[Rule, ...] = (("token_embedding", "std", 0.02), ("position_embedding", "std", 0.01))
UPSCALE_RULES: tuple[Rule, ...] = ((r"conv_last\.bias$", "const", 0.5), (r"conv_last\.weight$", "gain", 0.25))


def synthetic(key: str, shape: Sequence[int], rules: Sequence[Rule] = ()) -> Tensor:
    """Uniform numbers of a generator seeded by the key; kernels have std 1 / sqrt(fan in), norms stand around 1."""
    usual = ("gain", 1.0) if len(shape) > 1 else ("one", 0.05) if key.endswith("weight") else ("std", 0.02)
    kind, value = next(((kind, value) for pattern, kind, value in rules if re.search(pattern, key)), usual)
    if kind == "const":
        return torch.full(tuple(shape), value)
    generator = torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(f"0:{key}".encode()).digest()[:4], "big"))
    std = value / math.sqrt(max(1, math.prod(shape[1:]))) if kind == "gain" else value
    numbers = torch.rand(tuple(shape), generator=generator).sub_(0.5).mul_(std * 2.0 * math.sqrt(3.0))
    return numbers.add_(1.0) if kind == "one" else numbers


def synthetic_part(shapes: Mapping[str, Sequence[int]], prefix: str, rules: Sequence[Rule], half: bool) -> dict[str, Tensor]:
    """The tensors under a prefix, rounded through float16 as the recorded checkpoints were."""
    own = {key: synthetic(key, shape, rules) for key, shape in shapes.items() if key.startswith(prefix) and "position_ids" not in key}
    return {key[len(prefix) :]: tensor.half().float() if half else tensor for key, tensor in own.items()}
