"""Gaussian blur of pictures."""

from __future__ import annotations

from typing import Any

import numpy as np


def gaussian(radius: int, sigma: float) -> Any:
    """(2 * radius + 1,) float32, adding up to 1. sigma is in units of the radius: at the ends the bell is exp(-1 / (2 sigma^2)) high."""
    place = np.linspace(-1, 1, 2 * radius + 1)
    bell = np.exp(-(place**2) / (2 * sigma**2))
    return (bell / bell.sum()).astype(np.float32)


def blur(pictures: Any, radius: int, sigma: float) -> Any:
    """(B, H, W, C) float32 blurred over 2 * radius + 1 pixels each way, mirrored at the borders; sigma see `gaussian`."""
    taps = gaussian(radius, sigma)
    return _along(_along(pictures, taps, 1), taps, 2)


def _along(pictures: Any, taps: Any, axis: int) -> Any:
    radius = len(taps) // 2
    padding = [(0, 0)] * pictures.ndim
    padding[axis] = (radius, radius)
    padded = np.moveaxis(np.pad(pictures, padding, mode="reflect"), axis, 0)
    length = pictures.shape[axis]
    total = np.zeros_like(padded[:length])
    for i, tap in enumerate(taps):
        total += tap * padded[i : i + length]
    return np.ascontiguousarray(np.moveaxis(total, 0, axis))
