"""A Brownian path that depends on its seed and ends only, never on where it is looked at.

The virtual Brownian tree of Li et al. 2020 (arXiv 2001.01328, alg. 3): halve the interval until the time is met, each midpoint drawn from
the Brownian bridge of its interval with a seed that names its place in the tree. Numbers agree with `torchsde.BrownianTree`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

DIGITS = 6  # times are rounded to a grid of 1e-6, where the halving ends
POOL = 24


@dataclass
class _Node:
    start: float
    end: float
    place: int  # counted from the left in its level
    level: int
    increment: Tensor


class BrownianPath:
    """W on [start, end] with W(start) = 0; shape as given, float32 on the CPU."""

    def __init__(self, start: float, end: float, shape: tuple[int, ...], seed: int) -> None:
        self._shape = shape
        self._seed = seed
        self._start, self._end = round(start, DIGITS), round(end, DIGITS)
        (first,) = np.random.SeedSequence(entropy=seed, pool_size=POOL).generate_state(1)
        self._total = self._normal(int(first)) * math.sqrt(end - start)
        self._recent: dict[float, Tensor] = {}

    def increment(self, low: float, high: float) -> Tensor:
        """W(high) - W(low); times beyond the ends count as the ends."""
        return self._at(high) - self._at(low)

    def _at(self, time: float) -> Tensor:
        """W(time). The last few are kept: a step usually begins where the one before it ended."""
        time = min(max(round(time, DIGITS), self._start), self._end)
        if time not in self._recent:
            self._recent[time] = self._descend(time)
            while len(self._recent) > 4:
                del self._recent[next(iter(self._recent))]
        return self._recent[time]

    def _descend(self, time: float) -> Tensor:
        node = _Node(self._start, self._end, 0, 0, self._total)
        value = torch.zeros(self._shape)  # W(node.start)
        while node.start < time < node.end:
            left, right = self._halves(node)
            if time >= left.end:
                value = value + left.increment
            node = left if time < left.end else right
        return value if time <= node.start else value + node.increment

    def _halves(self, node: _Node) -> tuple[_Node, _Node]:
        middle = round(0.5 * (node.end + node.start), DIGITS)
        sequence = np.random.SeedSequence(entropy=self._seed, spawn_key=(node.place, node.level), pool_size=POOL)
        before, after, whole = middle - node.start, node.end - middle, node.end - node.start
        noise = self._normal(int(sequence.generate_state(4)[0]))
        left = before * node.increment / whole + math.sqrt(before * after / whole) * noise
        return (
            _Node(node.start, middle, 2 * node.place, node.level + 1, left),
            _Node(middle, node.end, 2 * node.place + 1, node.level + 1, node.increment - left),
        )

    def _normal(self, seed: int) -> Tensor:
        return torch.randn(self._shape, generator=torch.Generator().manual_seed(seed))
