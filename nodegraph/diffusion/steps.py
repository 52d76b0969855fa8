"""What all samplers share: the step they yield and the small formulas they are made of.

Letters: sigma is the noise level; t = -log(sigma) of the DPM-Solver papers; lambda is half the log signal to noise ratio,
log(alpha / sigma), with alpha = 1 in the variance exploding convention and alpha = 1 - sigma in rectified flow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

Denoiser = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Step:
    """State after step `index` of `total`: x at `sigma_next`, and the clean prediction x0 that was made at `sigma`."""

    index: int
    total: int
    sigma: float
    sigma_next: float
    x: Tensor
    x0: Tensor


@dataclass(frozen=True, eq=False)
class Interval:
    """One step of a schedule: from `sigma` to `sigma_next`, 0-dimensional float32 on the CPU."""

    index: int
    total: int
    sigma: Tensor
    sigma_next: Tensor

    @property
    def is_last(self) -> bool:
        """The step that ends at sigma 0, where x becomes the clean prediction."""
        return bool(self.sigma_next == 0)

    def step(self, x: Tensor, x0: Tensor) -> Step:
        return Step(self.index, self.total, float(self.sigma), float(self.sigma_next), x, x0)


def intervals(sigmas: Tensor) -> Iterator[Interval]:
    for i in range(len(sigmas) - 1):
        yield Interval(i, len(sigmas) - 1, sigmas[i], sigmas[i + 1])


def call(denoise: Denoiser, x: Tensor, sigma: Tensor) -> Tensor:
    """The clean prediction with one sigma for all rows."""
    return denoise(x, sigma * x.new_ones(x.shape[0]))


def slope(x: Tensor, x0: Tensor, sigma: Tensor) -> Tensor:
    """dx/dsigma of the probability flow ODE, the same in both conventions; the noise in x where alpha is 1."""
    return (x - x0) / sigma


def euler_step(x: Tensor, x0: Tensor, sigma: Tensor, sigma_next: Tensor) -> Tensor:
    return x + slope(x, x0, sigma) * (sigma_next - sigma)


def half_log_snr(sigma: Tensor, flow: bool) -> Tensor:
    """lambda(sigma)."""
    return torch.log((1 - sigma) / sigma) if flow else -torch.log(sigma)


def sigma_of_half_log_snr(value: Tensor, flow: bool) -> Tensor:
    """The inverse of `half_log_snr`."""
    return torch.sigmoid(-value) if flow else torch.exp(-value)


def finite_start(sigmas: Tensor, flow: bool, flow_start: float) -> Tensor:
    """In rectified flow the signal to noise ratio is 0 at sigma 1; solvers that step in lambda begin at `flow_start` instead."""
    if not flow or float(sigmas[0]) < 1.0:
        return sigmas
    return torch.cat([torch.tensor([flow_start]), sigmas[1:]])


def split_step(sigma: Tensor, sigma_next: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """A step's noise level as sigma_next^2 = down^2 + up^2: go down by the ODE, then add noise of standard deviation up.

    eta 1 gives DDPM's posterior variance (Ho et al. 2020 eq. 7 in sigma), eta 0 no noise.
    """
    up = torch.minimum(sigma_next, eta * (sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2).sqrt())
    return (sigma_next**2 - up**2).sqrt(), up


@dataclass(frozen=True, eq=False)
class Renoise:
    """An ancestral step: deterministically to `down`, then `scale * x + up * noise` is at sigma_next."""

    down: Tensor
    up: Tensor
    scale: Tensor

    def apply(self, x: Tensor, noise: Tensor, s_noise: float) -> Tensor:
        return self.scale * x + noise * (s_noise * self.up)


def ancestral(sigma: Tensor, sigma_next: Tensor, eta: float, flow: bool) -> Renoise:
    """In rectified flow the clean part shrinks too: going further down and adding noise needs x scaled by alpha_next / alpha_down."""
    if not flow:
        return Renoise(*split_step(sigma, sigma_next, eta), scale=torch.ones(()))
    down = sigma_next * (1 + (sigma_next / sigma - 1) * eta)
    scale = (1 - sigma_next) / (1 - down)
    return Renoise(down, (sigma_next**2 - (down * scale) ** 2).clamp(min=0).sqrt(), scale)
