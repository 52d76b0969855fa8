"""Run a picture network over overlapping tiles and blend the seams away."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


def in_tiles(
    run: Callable[[Tensor], Tensor], x: Tensor, scale: int, tile: int, overlap: int, track: Callable[[Any], Iterable[Any]] = iter
) -> Tensor:
    """(B, C, H, W) -> (B, C', scale * H, scale * W), as `run` would give on the whole, up to what lies more than `overlap` away.

    Each tile is `tile` large, shares `overlap` pixels with its neighbours, and is weighted by a ramp over the shared border.
    """
    batch, _, height, width = x.shape
    places = [(b, top, left) for b in range(batch) for top in _starts(height, tile, overlap) for left in _starts(width, tile, overlap)]
    total: Tensor | None = None
    weight: Tensor | None = None
    for b, top, left in track(places):
        part = run(x[b : b + 1, :, top : top + tile, left : left + tile]).float().cpu()
        if len(places) == batch:
            total = torch.empty(batch, part.shape[1], height * scale, width * scale) if total is None else total
            total[b] = part[0]
            continue
        if total is None or weight is None:
            total = torch.zeros(batch, part.shape[1], height * scale, width * scale)
            weight = torch.zeros(batch, 1, height * scale, width * scale)
        ramp = _ramp(part.shape[2], overlap * scale)[:, None] * _ramp(part.shape[3], overlap * scale)[None, :]
        where = (b, slice(None), slice(top * scale, top * scale + part.shape[2]), slice(left * scale, left * scale + part.shape[3]))
        total[where] += part[0] * ramp
        weight[where] += ramp
    assert total is not None
    return total if weight is None else total / weight


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    if length <= tile:
        return [0]
    step = tile - overlap
    starts = list(range(0, length - tile, step))
    return [*starts, length - tile]


def _ramp(length: int, border: int) -> Tensor:
    """1 in the middle, falling linearly to a small positive number at both ends."""
    i = torch.arange(length, dtype=torch.float32)
    return torch.minimum(torch.minimum(i + 1, length - i) / max(border, 1), torch.ones(()))
