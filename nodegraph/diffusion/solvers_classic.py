"""DPM-Solver with noise prediction: a fixed budget of calls (`dpm_fast`) and adaptive steps (`dpm_adaptive`).

Lu et al. 2022, arXiv 2206.00927, alg. 1-3, in t = -log sigma with eps = (x - x0) / sigma. Both end at the smallest positive sigma: a
schedule only gives them its ends and its number of steps. What they have there counts as the result, so where the schedule ends at 0 the
last step says that it does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from nodegraph.diffusion.noise import NoiseSource
from nodegraph.diffusion.solvers_ode import euler
from nodegraph.diffusion.steps import Denoiser, Step, call, slope


def dpm_fast(denoise: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSource, flow: bool = False) -> Iterator[Step]:
    """As many calls as the schedule has steps, in steps of order 3 that are even in log sigma, the rest of order 2 or 1."""
    if _has_no_length(sigmas):
        yield from euler(denoise, x, sigmas, noise=noise, flow=flow)
        return
    calls = len(sigmas) - 1
    count = calls // 3 + 1
    orders = [3] * (count - 2) + [2, 1] if calls % 3 == 0 else [3] * (count - 1) + [calls % 3]
    times = torch.linspace(float(-sigmas[0].log()), float(-_last(sigmas).log()), count + 1)
    for i, order in enumerate(orders):
        local = _Local(denoise, x, times[i], times[i + 1])
        x0 = x - local.eps * (-times[i]).exp()
        x = local.solve(order)
        sigma_next = float((-times[i + 1]).exp()) if i + 1 < count else float(sigmas[-1])
        yield Step(i, len(orders), float((-times[i]).exp()), sigma_next, x, x0)


def dpm_adaptive(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSource,
    flow: bool = False,
    rtol: float = 0.05,
    atol: float = 0.0078,
    h_init: float = 0.05,
    accept_safety: float = 0.81,
) -> Iterator[Step]:
    """DPM-Solver-12/23: steps of order 3 whose size follows the difference to order 2; three calls for each that is tried.

    The number of steps is not known before; `Step.total` is an estimate.
    """
    if _has_no_length(sigmas):
        yield from euler(denoise, x, sigmas, noise=noise, flow=flow)
        return
    t, end, h = -sigmas[0].log(), -_last(sigmas).log(), h_init
    first, before, index = t, x, 0
    while t < end - 1e-5:
        t_next = torch.minimum(end, t + h)
        local = _Local(denoise, x, t, t_next)
        low, high = local.second(r1=1 / 3), local.third()
        tolerance = torch.maximum(torch.tensor(atol), rtol * torch.maximum(low.abs(), before.abs()))
        error = float(torch.linalg.vector_norm((low - high) / tolerance)) / x.numel() ** 0.5
        factor = 1 + math.atan((1 / (error + 1e-8)) ** (1 / 3) - 1)
        h *= factor
        if factor >= accept_safety:
            x0 = x - local.eps * (-t).exp()
            x, before, index = high, low, index + 1
            total = max(index, round(index * float((end - first) / (t_next - first))))
            sigma_next = float((-t_next).exp()) if t_next < end - 1e-5 else float(sigmas[-1])
            yield Step(index - 1, total, float((-t).exp()), sigma_next, x, x0)
            t = t_next


def _last(sigmas: Tensor) -> Tensor:
    return sigmas[-2] if sigmas[-1] == 0 else sigmas[-1]


def _has_no_length(sigmas: Tensor) -> bool:
    """One step straight to 0: there is nothing between the first and the last positive sigma."""
    return len(sigmas) == 2 and bool(sigmas[-1] == 0)


class _Local:
    """One step from t to t_next; noise predictions are shared between the orders."""

    def __init__(self, denoise: Denoiser, x: Tensor, t: Tensor, t_next: Tensor) -> None:
        self.denoise, self.x, self.t, self.h = denoise, x, t, t_next - t
        self.known: dict[float, Tensor] = {}
        self.eps = self._eps(x, t)

    def solve(self, order: int) -> Tensor:
        return {1: self.first, 2: self.second, 3: self.third}[order]()

    def first(self, share: float = 1.0) -> Tensor:
        """Eq. 3.7, over the first `share` of the step."""
        h = share * self.h
        return self.x - self._sigma(share) * torch.expm1(h) * self.eps

    def second(self, r1: float = 0.5) -> Tensor:
        """Alg. 1 with a free middle point."""
        return self.first() - self._sigma(1) / (2 * r1) * torch.expm1(self.h) * (self._eps_at(r1) - self.eps)

    def third(self, r1: float = 1 / 3, r2: float = 2 / 3) -> Tensor:
        """Alg. 2."""
        h2 = r2 * self.h
        bend = self._sigma(r2) * (r2 / r1) * (torch.expm1(h2) / h2 - 1) * (self._eps_at(r1) - self.eps)
        eps_2 = self._eps(self.first(r2) - bend, self.t + h2)
        return self.first() - self._sigma(1) / r2 * (torch.expm1(self.h) / self.h - 1) * (eps_2 - self.eps)

    def _eps_at(self, r1: float) -> Tensor:
        if r1 not in self.known:
            self.known[r1] = self._eps(self.first(r1), self.t + r1 * self.h)
        return self.known[r1]

    def _eps(self, x: Tensor, t: Tensor) -> Tensor:
        sigma = (-t).exp()
        return slope(x, call(self.denoise, x, sigma), sigma)

    def _sigma(self, share: float) -> Tensor:
        return (-(self.t + share * self.h)).exp()
