"""How the pixels of two pictures are mixed: base and overlay, float32 in 0..1 each (W3C Compositing and Blending, section 10)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np


def _overlay(base: Any, overlay: Any) -> Any:
    """Multiply where the base is dark, screen where it is light."""
    return np.where(base <= 0.5, 2 * base * overlay, 1 - 2 * (1 - base) * (1 - overlay))


def _soft_light(base: Any, overlay: Any) -> Any:
    root = np.where(base <= 0.25, ((16 * base - 12) * base + 4) * base, np.sqrt(np.maximum(base, 0)))
    return np.where(overlay <= 0.5, base - (1 - 2 * overlay) * base * (1 - base), base + (2 * overlay - 1) * (root - base))


BLENDS: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {
        "normal": lambda base, overlay: overlay,
        "multiply": lambda base, overlay: base * overlay,
        "screen": lambda base, overlay: 1 - (1 - base) * (1 - overlay),
        "overlay": _overlay,
        "soft_light": _soft_light,
        # signed, as in ComfyUI and unlike the W3C's |base - overlay|: what is lighter above than below is taken off
        "difference": lambda base, overlay: base - overlay,
    }
)
"""by mode; results may leave 0..1"""


def blend(base: Any, overlay: Any, amount: float, mode: str) -> Any:
    """base * (1 - amount) + mixed * amount, clipped to 0..1."""
    mixed = BLENDS[mode](base, overlay)
    return np.clip(base * (1 - amount) + mixed * amount, 0, 1).astype(np.float32)
