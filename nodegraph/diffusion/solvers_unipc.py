"""UniPC: a predictor and corrector that share their model calls (Zhao et al. 2023, arXiv 2302.04867, alg. 5 and 6, data prediction).

The paper's variance preserving letters are kept, alpha = 1 / sqrt(1 + sigma^2), in float32: 1 - alpha^2 loses digits at the final sigma of
0.001, and pictures made elsewhere have that in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from nodegraph.diffusion.noise import NoiseSource
from nodegraph.diffusion.steps import Denoiser, Step, call, intervals

Past = list[tuple[Tensor, Tensor]]  # (sigma, x0), newest first


def uni_pc(denoise: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSource, flow: bool = False, order: int = 3) -> Iterator[Step]:
    """UniPC with B(h) = h (Zhao et al. 2023, arXiv 2302.04867, sec. 3)."""
    return _uni_pc(denoise, x, sigmas, order, "bh1")


def uni_pc_bh2(denoise: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSource, flow: bool = False, order: int = 3) -> Iterator[Step]:
    """UniPC with B(h) = exp(h) - 1 (Zhao et al. 2023, arXiv 2302.04867, sec. 3)."""
    return _uni_pc(denoise, x, sigmas, order, "bh2")


def _uni_pc(denoise: Denoiser, x: Tensor, sigmas: Tensor, order: int, variant: Literal["bh1", "bh2"]) -> Iterator[Step]:
    """The last step, to sigma 0.001 where the schedule ends at 0, is a predictor only; so n steps make n calls."""
    ends = torch.where(sigmas == 0, torch.tensor(0.001), sigmas)
    steps = len(sigmas) - 1
    order = max(1, min(order, steps - 1))
    past: Past = [(ends[0], call(denoise, x, ends[0]))]
    for at, to in zip(intervals(sigmas), ends[1:], strict=True):
        target = at.index + 1
        now = target if target < order else min(order, steps + 1 - target)
        update = _Update(past, to, now, variant)
        x0 = past[0][1]
        ahead = update.predict(x)
        if target < steps:
            found = call(denoise, ahead, to)
            ahead = update.correct(x, found)
            past = [(to, found), *past[: order - 1]]
        x = ahead
        yield Step(at.index, steps, float(at.sigma), float(to), x, x0)


class _Update:
    """One step of given order from the newest of `past` to sigma `to`."""

    def __init__(self, past: Past, to: Tensor, order: int, variant: Literal["bh1", "bh2"]) -> None:
        (self.sigma, self.x0), older = past[0], past[1:order]
        self.to = to
        h = _vp_lambda(to) - _vp_lambda(self.sigma)
        self.phi_1 = torch.expm1(-h)
        self.big_b = -h if variant == "bh1" else self.phi_1
        ratios = [(_vp_lambda(sigma) - _vp_lambda(self.sigma)) / h for sigma, _ in older]
        self.changes = [(x0 - self.x0) / r for r, (_, x0) in zip(ratios, older, strict=True)]
        self.order = order
        self.matrix, self.right = _system(torch.stack([*ratios, torch.ones(())]), -h, self.phi_1, self.big_b)

    def predict(self, x: Tensor) -> Tensor:
        if self.order == 1:
            return self._base(x)
        weights = [0.5] if self.order == 2 else torch.linalg.solve(self.matrix[:-1, :-1], self.right[:-1])
        return self._base(x) - self.big_b * _sum(weights, self.changes)

    def correct(self, x: Tensor, found: Tensor) -> Tensor:
        weights = [0.5] if self.order == 1 else torch.linalg.solve(self.matrix, self.right)
        return self._base(x) - self.big_b * _sum(weights, [*self.changes, found - self.x0])

    def _base(self, x: Tensor) -> Tensor:
        (alpha, std), (alpha_to, std_to) = _vp(self.sigma), _vp(self.to)
        return (std_to / std) * (alpha / alpha_to) * x - self.phi_1 * self.x0


def _vp(sigma: Tensor) -> tuple[Tensor, Tensor]:
    """alpha and standard deviation of the noise in x / sqrt(1 + sigma^2)."""
    log_alpha = 0.5 * torch.log(1 / (sigma**2 + 1))
    return log_alpha.exp(), (1 - (2 * log_alpha).exp()).sqrt()


def _vp_lambda(sigma: Tensor) -> Tensor:
    alpha, std = _vp(sigma)
    return alpha.log() - std.log()


def _system(ratios: Tensor, hh: Tensor, phi_1: Tensor, big_b: Tensor) -> tuple[Tensor, Tensor]:
    """R and b of the paper's eq. 6: R[i] = ratios^i, b[i] = (i + 1)! phi_{i+2} / B."""
    rows, right = [], []
    phi, factorial = phi_1 / hh - 1, 1
    for i in range(len(ratios)):
        rows.append(ratios**i)
        right.append(phi * factorial / big_b)
        factorial *= i + 2
        phi = phi / hh - 1 / factorial
    return torch.stack(rows), torch.stack(right)


def _sum(weights: Tensor | list[float], terms: list[Tensor]) -> Tensor:
    return torch.stack([w * term for w, term in zip(weights, terms, strict=True)]).sum(dim=0)
