"""Run a picture network over overlapping tiles and blend the seams away."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


def in_tiles(
    run: Callable[[Tensor], Tensor], x: Tensor, scale: int, tile: int, overlap: int, track: Callable[[Any], Iterable[Any]] = iter
) -> Tensor:
    """(B, C, H, W) -> (B, C', scale * H, scale * W), exactly as `run` gives on the whole if it sees no further than a quarter of `overlap`.

    Each tile is `tile` large and shares at least `overlap` pixels with its neighbours. Of these the outer quarter is thrown away and the
    middle half blended, so that a network that sees further shows no seam either.
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
        rows = _ramp(part.shape[2], overlap * scale, inner=(top > 0, top + tile < height))
        columns = _ramp(part.shape[3], overlap * scale, inner=(left > 0, left + tile < width))
        ramp = rows[:, None] * columns[None, :]
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


def _ramp(length: int, border: int, inner: tuple[bool, bool]) -> Tensor:
    """Weights along one side of a tile: 1, but at an inner border 0 over a quarter of it and rising over the next half."""
    quarter = border // 4
    distance = torch.arange(length, dtype=torch.float32) + 0.5
    weights = torch.ones(length)
    for is_inner, from_edge in ((inner[0], distance), (inner[1], distance.flip(0))):
        if is_inner and border:
            weights = torch.minimum(weights, ((from_edge - quarter) / max(border - 2 * quarter, 1)).clamp(0, 1))
    return weights
