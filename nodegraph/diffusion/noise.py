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
    batch_index: for each row of the latent, which row of a batch it once was; its noise is that row's. Needs C * h * w to be a multiple
        of 16 to be exact, since the generator works in blocks of 16. ComfyUI keeps to this only in the initial noise; here the noise of
        single steps follows it too, so that any picture of a batch can be made again alone with every sampler.
    """

    seed: int
    batch_index: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**64:
            raise InputRefused(f"seed is {self.seed}, it must be from 0 to 2^64 - 1")

    def initial(self, shape: torch.Size | tuple[int, ...]) -> Tensor:
        """(B, C, h, w) float32 normal noise on the CPU, before any scaling."""
        return self._draw(tuple(shape), self._generator())

    def per_step(self, x: Tensor) -> Draw:
        """A function that gives fresh noise like x at each call; every call of `per_step` starts the sequence anew.

        The generator has the same seed as the initial noise, so the first draw equals it, as in ComfyUI.
        """
        generator = self._generator()
        shape = tuple(x.shape)
        return lambda: self._draw(shape, generator).to(x)

    def brownian(self, x: Tensor, sigmas: Tensor) -> IntervalDraw:
        """Increments of one Brownian path over [smallest positive sigma, largest sigma], scaled to unit variance.

        The function takes (sigma, sigma_next) and gives (W(sigma_next) - W(sigma)) / sqrt(|sigma_next - sigma|). The path depends on the
        seed and the two ends only, so more steps refine the same picture.
        """
        rows = self._rows(x.shape[0])
        path = BrownianPath(float(sigmas[sigmas > 0].min()), float(sigmas.max()), (max(rows) + 1, *x.shape[1:]), self.seed)

        def draw(sigma: Tensor, sigma_next: Tensor) -> Tensor:
            low, high = sorted((float(sigma), float(sigma_next)))
            step = path.increment(low, high) * (1.0 if float(sigma_next) >= float(sigma) else -1.0)
            return (step / math.sqrt(high - low))[list(rows)].to(x)

        return draw

    def reseeded(self, offset: int) -> NoiseSource:
        """The same rows with another seed, wrapping at 2^64."""
        return replace(self, seed=(self.seed + offset) % 2**64)

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def _rows(self, batch: int) -> tuple[int, ...]:
        if self.batch_index is None:
            return tuple(range(batch))
        if len(self.batch_index) != batch:
            raise InputRefused(f"batch_index names {len(self.batch_index)} rows, the latent has {batch}")
        return self.batch_index

    def _draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        if self.batch_index is None:
            return torch.randn(shape, generator=generator)
        rows = self._rows(shape[0])
        drawn = [torch.randn((1, *shape[1:]), generator=generator) for _ in range(max(rows) + 1)]
        return torch.cat([drawn[row] for row in rows])
