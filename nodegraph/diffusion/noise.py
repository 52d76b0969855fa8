"""Random numbers of a run: the initial noise and the noise of single steps, always drawn on the CPU from the seed.

A seed therefore means the same picture on every device, and the same one as in ComfyUI.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nodegraph.diffusion.brownian import BrownianPath
from nodegraph.errors import InputRefused

Draw = Callable[[], Tensor]
IntervalDraw = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class NoiseSource:
    """Where the noise of one run comes from.

    seed: 0..2^64 - 1
    batch_index: for each row of the latent, which row of a batch it once was; its initial noise is that row's
    batch_size: the size of that batch. With it the noise of single steps is that row's too, so that any picture of a batch can be made
        again alone with every sampler; without it single steps draw for the rows at hand only, as ComfyUI does.

    A row drawn alone is exactly the row of the batch if C * h * w is a multiple of 16: the generator works in blocks of 16.
    """

    seed: int
    batch_index: tuple[int, ...] | None = None
    batch_size: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**64:
            raise InputRefused(f"seed is {self.seed}, it must be from 0 to 2^64 - 1")
        if self.batch_index is not None and self.batch_size is not None and max(self.batch_index) >= self.batch_size:
            raise InputRefused(f"batch_index {max(self.batch_index)} is not in a batch of {self.batch_size}")

    def initial(self, shape: torch.Size | tuple[int, ...]) -> Tensor:
        """(B, C, h, w) float32 normal noise on the CPU, before any scaling."""
        generator = torch.Generator().manual_seed(self.seed)
        if self.batch_index is None:
            return torch.randn(tuple(shape), generator=generator)
        rows = self._rows(shape[0])
        drawn = [torch.randn((1, *shape[1:]), generator=generator) for _ in range(max(rows) + 1)]
        return torch.cat([drawn[row] for row in rows])

    def per_step(self, x: Tensor) -> Draw:
        """A function that gives fresh noise like x at each call; every call of `per_step` starts the sequence anew.

        The generator has the same seed as the initial noise, so the first draw equals it, as in ComfyUI.
        """
        generator = torch.Generator().manual_seed(self.seed)
        shape, rows = self._step_rows(x)
        return lambda: torch.randn(shape, generator=generator)[rows].to(x)

    def brownian(self, x: Tensor, sigmas: Tensor) -> IntervalDraw:
        """Increments of one Brownian path over [smallest positive sigma, largest sigma], scaled to unit variance.

        The function takes (sigma, sigma_next) and gives (W(sigma_next) - W(sigma)) / sqrt(|sigma_next - sigma|). The path depends on the
        seed and the two ends only, so more steps refine the same picture.
        """
        shape, rows = self._step_rows(x)
        path = BrownianPath(float(sigmas[sigmas > 0].min()), float(sigmas.max()), shape, self.seed)

        def draw(sigma: Tensor, sigma_next: Tensor) -> Tensor:
            low, high = sorted((float(sigma), float(sigma_next)))
            sign = 1.0 if float(sigma_next) >= float(sigma) else -1.0
            return (path.increment(low, high) * (sign / math.sqrt(high - low)))[rows].to(x)

        return draw

    def reseeded(self, offset: int) -> NoiseSource:
        """The same rows with another seed, wrapping at 2^64."""
        return replace(self, seed=(self.seed + offset) % 2**64)

    def _step_rows(self, x: Tensor) -> tuple[tuple[int, ...], slice | list[int]]:
        """The shape to draw for a step, and which of its rows to keep."""
        if self.batch_index is None or self.batch_size is None:
            return tuple(x.shape), slice(None)
        return (self.batch_size, *x.shape[1:]), list(self._rows(x.shape[0]))

    def _rows(self, batch: int) -> tuple[int, ...]:
        if self.batch_index is None:
            return tuple(range(batch))
        if len(self.batch_index) != batch:
            raise InputRefused(f"batch_index names {len(self.batch_index)} rows, the latent has {batch}")
        return self.batch_index
