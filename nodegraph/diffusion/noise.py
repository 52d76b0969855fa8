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
from nodegraph.diffusion.slerp import slerp
from nodegraph.errors import InputRefused

Draw = Callable[[], Tensor]
IntervalDraw = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Variation:
    """Leads all noise of a run towards that of another seed, row by row along the arc between the two, so that it stays as strong.

    seed: 0..2^64 - 1
    strength: 0 is the run's own noise, 1 that of the other seed, both to the bit
    """

    seed: int
    strength: float

    def __post_init__(self) -> None:
        check_seed(self.seed, "variation_seed")
        if not 0 <= self.strength <= 1:
            raise InputRefused(f"variation_strength is {self.strength}, it must be from 0 to 1")


def check_seed(seed: int, name: str = "seed") -> None:
    if not 0 <= seed < 2**64:
        raise InputRefused(f"{name} is {seed}, it must be from 0 to 2^64 - 1")


@dataclass(frozen=True)
class NoiseSource:
    """Where the noise of one run comes from.

    seed: 0..2^64 - 1
    batch_index: for each row of the latent, which row of a batch it once was; its initial noise is that row's
    batch_size: the size of that batch. With it the noise of single steps is that row's too, so that any picture of a batch can be made
        again alone with every sampler; without it single steps draw for the rows at hand only, as ComfyUI does.
    variation: another seed that all noise is led towards

    A row drawn alone is exactly the row of the batch if C * h * w is a multiple of 16: the generator works in blocks of 16.
    """

    seed: int
    batch_index: tuple[int, ...] | None = None
    batch_size: int | None = None
    variation: Variation | None = None

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.batch_index is not None and self.batch_size is not None and max(self.batch_index) >= self.batch_size:
            raise InputRefused(f"batch_index {max(self.batch_index)} is not in a batch of {self.batch_size}")

    def initial(self, shape: torch.Size | tuple[int, ...]) -> Tensor:
        """(B, C, h, w) float32 normal noise on the CPU, before any scaling."""
        return self._mixed([source._initial(shape) for source in self._sources()])

    def _initial(self, shape: torch.Size | tuple[int, ...]) -> Tensor:
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
        draws = [source._per_step(x) for source in self._sources()]
        return lambda: self._mixed([draw() for draw in draws])

    def _per_step(self, x: Tensor) -> Draw:
        generator = torch.Generator().manual_seed(self.seed)
        shape, rows = self._step_rows(x)
        return lambda: torch.randn(shape, generator=generator)[rows].to(x)

    def brownian(self, x: Tensor, sigmas: Tensor) -> IntervalDraw:
        """Increments of one Brownian path over [smallest positive sigma, largest sigma], scaled to unit variance.

        The function takes (sigma, sigma_next) and gives (W(sigma_next) - W(sigma)) / sqrt(|sigma_next - sigma|). The path depends on the
        seed and the two ends only, so more steps refine the same picture.
        """
        draws = [source._brownian(x, sigmas) for source in self._sources()]
        return lambda sigma, sigma_next: self._mixed([draw(sigma, sigma_next) for draw in draws])

    def _brownian(self, x: Tensor, sigmas: Tensor) -> IntervalDraw:
        shape, rows = self._step_rows(x)
        path = BrownianPath(float(sigmas[sigmas > 0].min()), float(sigmas.max()), shape, self.seed)

        def draw(sigma: Tensor, sigma_next: Tensor) -> Tensor:
            low, high = sorted((float(sigma), float(sigma_next)))
            sign = 1.0 if float(sigma_next) >= float(sigma) else -1.0
            return (path.increment(low, high) * (sign / math.sqrt(high - low)))[rows].to(x)

        return draw

    def reseeded(self, offset: int) -> NoiseSource:
        """The same rows with another seed, wrapping at 2^64; so is the seed of the variation."""
        variation = self.variation and replace(self.variation, seed=(self.variation.seed + offset) % 2**64)
        return replace(self, seed=(self.seed + offset) % 2**64, variation=variation)

    def _sources(self) -> list[NoiseSource]:
        """What noise is drawn from: this seed, that of the variation, or both."""
        own = replace(self, variation=None)
        if self.variation is None or self.variation.strength == 0:
            return [own]
        other = replace(own, seed=self.variation.seed)
        return [other] if self.variation.strength == 1 else [own, other]

    def _mixed(self, noises: list[Tensor]) -> Tensor:
        """One draw of each source, (B, C, h, w), as one."""
        if self.variation is None or len(noises) == 1:
            return noises[0]
        own, other = (noise.flatten(1) for noise in noises)
        return slerp(own, other, torch.tensor(self.variation.strength).to(own)).reshape(noises[0].shape)

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
