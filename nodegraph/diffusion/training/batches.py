"""Batches as pure functions of (seed, step): which pictures, in which scenes, with which noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor

from nodegraph.diffusion.training.dataset import Dataset
from nodegraph.diffusion.training.scenes import Pixels, Scene, SceneRecipe, paint


class Stream(IntEnum):
    """Independent sequences of random numbers under one seed."""

    ORDER = 0
    SCENE = 1
    NOISE = 2
    CAPTION = 3
    WEIGHTS = 4
    SAMPLE = 5
    WORDLESS = 6


def generator(seed: int, stream: Stream, *numbers: int) -> np.random.Generator:
    """Random numbers of one stream at one place, the same in every process."""
    return np.random.default_rng([seed % 2**64, int(stream), *numbers])


def torch_generator(seed: int, stream: Stream, *numbers: int) -> torch.Generator:
    """The same for torch, on the CPU, so that a seed means the same noise on every device."""
    return torch.Generator().manual_seed(int(generator(seed, stream, *numbers).integers(2**63)))


def indices(seed: int, step: int, batch: int, count: int) -> NDArray[np.int64]:
    """(batch,) indices of a step: the items 0..count-1 in a new random order each pass, none twice before all have been."""
    first = step * batch
    passes = {position // count for position in (first, first + batch - 1)}
    passes = set(range(min(passes), max(passes) + 1))
    order = {number: generator(seed, Stream.ORDER, number).permutation(count) for number in passes}
    return np.array([order[position // count][position % count] for position in range(first, first + batch)], dtype=np.int64)


class PictureStore:
    """Decoded pictures of a data set, kept while they fit in `limit` bytes; the others are decoded anew each time."""

    def __init__(self, dataset: Dataset, limit: int = 512 * 1024 * 1024) -> None:
        self.dataset, self._left = dataset, limit
        self._kept: dict[int, Image] = {}

    def __getitem__(self, index: int) -> Image:
        if index in self._kept:
            return self._kept[index]
        picture = self.dataset.open(index)
        cost = picture.width * picture.height * 4
        if cost <= self._left:
            self._kept[index], self._left = picture, self._left - cost
        return picture


@dataclass(frozen=True)
class Shot:
    """A scene with the entries that play in it, the described one first."""

    scene: Scene
    cast: tuple[int, ...]


def shoot(dataset: Dataset, index: int, recipe: SceneRecipe, rng: np.random.Generator) -> Shot:
    """A random scene around one entry; always takes the same number of draws."""
    scene = recipe.draw(rng, forms=dataset.is_composable(index))
    cast = (index,) if len(scene.figures) == 1 else (index, dataset.companion(index, scene.other))
    figures = zip(scene.figures, cast, strict=True)
    return Shot(
        replace(scene, figures=tuple(replace(figure, flip=figure.flip and dataset.entries[i].mirror) for figure, i in figures)), cast
    )


def paint_shot(store: PictureStore, shot: Shot, size: tuple[int, int]) -> Pixels:
    """(height, width, 3) uint8; size is (width, height)."""
    return paint([store[index] for index in shot.cast], shot.scene, size)


def paint_batch(
    store: PictureStore, chosen: Sequence[int] | NDArray[np.int64], recipe: SceneRecipe, rng: np.random.Generator, size: int
) -> Pixels:
    """(B, size, size, 3) uint8: every chosen picture in a scene of its own."""
    return np.stack([paint_shot(store, shoot(store.dataset, int(index), recipe, rng), (size, size)) for index in chosen])


def to_signed(pixels: Pixels) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in -1..1."""
    return torch.from_numpy(pixels.astype(np.float32)).permute(0, 3, 1, 2).contiguous() / 127.5 - 1


def to_pixels(images: Tensor) -> Pixels:
    """(B, 3, H, W) about -1..1 -> (B, H, W, 3) uint8."""
    scaled = (images.float().clamp(-1, 1) + 1) * 127.5
    pixels: Pixels = scaled.round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return pixels
