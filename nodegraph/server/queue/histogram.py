"""Counts by size: how often something took up to so long."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence


class Histogram:
    """bounds: upper ends of the groups, rising; what is larger than all of them is counted in a last group."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def note(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def total(self) -> int:
        return sum(self.counts)

    def up_to(self) -> Iterator[tuple[float, int]]:
        """Each bound with how many values were not above it."""
        count = 0
        for bound, more in zip(self.bounds, self.counts, strict=False):
            count += more
            yield bound, count
