"""Pictures of similar shape are trained together, so that none is squeezed and little is cropped (aspect bucketing, NovelAI 2022)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nodegraph.diffusion.training.batches import Stream, generator
from nodegraph.diffusion.training.dataset import Entry
from nodegraph.errors import BadValue

Size = tuple[int, int]  # width, height in pixels


def bucket_sizes(edge: int, aspect: float, step: int = 32) -> tuple[Size, ...]:
    """Sizes with sides that `step` divides, at most as many pixels as `edge` squared, and sides no further apart than `aspect`.

    The square comes first. step: what a side must be divisible by: 8 for the autoencoder, times 4 for a U-Net that halves twice
    """
    if edge % step:
        raise BadValue(f"a size of {edge} pixels is not divisible by {step}", hint=f"try {max(step, round(edge / step) * step)}")
    narrowest = max(step, int(edge / math.sqrt(aspect)) // step * step)
    tall = [(width, int(min(edge * edge / width, width * aspect)) // step * step) for width in range(narrowest, edge, step)]
    return (edge, edge), *tall, *(size[::-1] for size in tall if size[0] != size[1])


def bucket_of(entry: Entry, sizes: Sequence[Size]) -> int:
    """Which size suits an entry: the nearest in aspect; a cut-out, whose canvas is made for it, takes the square."""
    if entry.cutout or not (entry.width and entry.height):
        return 0
    wanted = math.log(entry.width / entry.height)
    return min(range(len(sizes)), key=lambda i: abs(math.log(sizes[i][0] / sizes[i][1]) - wanted))


@dataclass(frozen=True, eq=False)
class Batches:
    """Which rows make the batch of a step, all of one bucket. rows: the rows of each bucket that has any."""

    rows: tuple[tuple[int, ...], ...]
    batch: int
    seed: int

    @property
    def steps(self) -> int:
        """How many batches a pass over everything has."""
        return sum(-(-len(rows) // self.batch) for rows in self.rows)

    def at(self, step: int) -> NDArray[np.int64]:
        """(batch,) rows: every row once a pass; the last batch of a bucket is filled up from its beginning."""
        bucket, place = _order(self, step // self.steps)[step % self.steps]
        shuffled = _shuffled(self, step // self.steps, bucket)
        return shuffled[np.arange(place, place + self.batch) % len(shuffled)]


@lru_cache(maxsize=2)
def _order(batches: Batches, number: int) -> list[tuple[int, int]]:
    """Of a pass: bucket and first place of every batch, in a random order."""
    found = [(bucket, place) for bucket, rows in enumerate(batches.rows) for place in range(0, len(rows), batches.batch)]
    order = generator(batches.seed, Stream.ORDER, number, len(batches.rows)).permutation(len(found))
    return [found[i] for i in order]


@lru_cache(maxsize=32)
def _shuffled(batches: Batches, number: int, bucket: int) -> NDArray[np.int64]:
    return generator(batches.seed, Stream.ORDER, number, bucket).permutation(np.array(batches.rows[bucket], dtype=np.int64))
