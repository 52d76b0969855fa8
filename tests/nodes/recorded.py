"""Recorded results of picture, mask and latent operations, the pictures they were made from, and random values for laws."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from nodegraph.diffusion import Image, Latent, Mask
from nodegraph.diffusion.pictures import read_image

FOLDER = Path(__file__).parent.parent / "data" / "golden"
Floats = NDArray[np.float32]


@cache
def arrays(name: str) -> dict[str, Floats]:
    with np.load(FOLDER / name) as file:
        return {key: file[key] for key in file.files}


def picture(name: str) -> Image:
    return read_image(FOLDER / "inputs" / name)[0]


def furthest(got: Floats, wanted: Floats) -> float:
    """Largest difference of two arrays of one shape."""
    assert got.shape == wanted.shape
    assert got.dtype == np.float32
    return float(np.abs(got - wanted).max())


def _random(seed: int, *shape: int) -> Floats:
    return np.random.default_rng(seed).random(shape, np.float32)


SIDE = st.integers(1, 9)
BATCH = st.integers(1, 3)
SEED = st.integers(0, 2**32 - 1)
IMAGES = st.builds(lambda seed, b, h, w: Image(_random(seed, b, h, w, 3)), SEED, BATCH, SIDE, SIDE)
MASKS = st.builds(lambda seed, b, h, w: Mask(_random(seed, b, h, w)), SEED, BATCH, SIDE, SIDE)


def _latent(seed: int, b: int, h: int, w: int, masked: bool) -> Latent:
    return Latent(_random(seed, b, 4, h, w) - np.float32(0.5), _random(seed, b, 8 * h, 8 * w) if masked else None)


LATENTS = st.builds(_latent, SEED, BATCH, SIDE, SIDE, st.booleans())
