"""The DPM-Solver family: exponential integrators in lambda, half the log signal to noise ratio."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from nodegraph.diffusion.noise import IntervalDraw, NoiseSource
from nodegraph.diffusion.solvers_ode import midpoint_step
from nodegraph.diffusion.steps import (
    Denoiser,
    Interval,
    Step,
    ancestral,
    call,
    euler_step,
    finite_start,
    half_log_snr,
    intervals,
    sigma_of_half_log_snr,
    split_step,
)


def dpmpp_2m(denoise: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSource, flow: bool = False) -> Iterator[Step]:
    """DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095, alg. 2), in t = -log sigma for both conventions."""
    before: Tensor | None = None
    for at in intervals(sigmas):
        x0 = call(denoise, x, at.sigma)
        h = at.sigma.log() - at.sigma_next.log()
        ahead = x0
        if before is not None and not at.is_last:
            half_r = 2 * (sigmas[at.index - 1].log() - at.sigma.log()) / h
            ahead = (1 + 1 / half_r) * x0 - (1 / half_r) * before
        x = (at.sigma_next / at.sigma) * x - torch.expm1(-h) * ahead
        before = x0
        yield at.step(x, x0)


def dpm_2_ancestral(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSource, flow: bool = False, eta: float = 1.0, s_noise: float = 1.0
) -> Iterator[Step]:
    """`dpm_2` down to a lower sigma, then noise back up."""
    draw = noise.per_step(x)
    for at in intervals(sigmas):
        x0 = call(denoise, x, at.sigma)
        to = ancestral(at.sigma, at.sigma_next, eta, flow)
        x = x0 if to.down == 0 else to.apply(midpoint_step(denoise, x, x0, at.sigma, to.down), draw(), s_noise)
        yield at.step(x, x0)


def dpmpp_2s_ancestral(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSource, flow: bool = False, eta: float = 1.0, s_noise: float = 1.0
) -> Iterator[Step]:
    """DPM-Solver++(2S) (arXiv 2211.01095, alg. 1) down to a lower sigma, then noise back up."""
    draw = noise.per_step(x)
    for at in intervals(sigmas):
        x0 = call(denoise, x, at.sigma)
        to = ancestral(at.sigma, at.sigma_next, eta, flow)
        if to.down == 0:
            x = x0
        else:
            middle = _middle(at.sigma, to.down, flow)
            x0_middle = call(denoise, euler_step(x, x0, at.sigma, middle), middle)
            x = euler_step(x, x0_middle, at.sigma, to.down)
            x = to.apply(x, draw(), s_noise) if eta > 0 else x
        yield at.step(x, x0)


def _middle(sigma: Tensor, sigma_next: Tensor, flow: bool) -> Tensor:
    """Halfway in lambda; 0.9999 where lambda is minus infinity, at sigma 1 of a flow."""
    if flow and sigma == 1:
        return torch.tensor(0.9999)
    return sigma_of_half_log_snr((half_log_snr(sigma, flow) + half_log_snr(sigma_next, flow)) / 2, flow)


def dpmpp_sde(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSource,
    flow: bool = False,
    eta: float = 1.0,
    s_noise: float = 1.0,
    r: float = 0.5,
    flow_start: float = 0.9999,
) -> Iterator[Step]:
    """DPM-Solver++ (stochastic), two calls a step, the first r of the way in lambda (arXiv 2211.01095, sec. 6, noise from one path)."""
    draw = noise.brownian(x, sigmas)
    for at in intervals(finite_start(sigmas, flow, flow_start)):
        x0 = call(denoise, x, at.sigma)
        if at.is_last:
            x = x0
        else:
            start = half_log_snr(at.sigma, flow)
            middle = sigma_of_half_log_snr(start + r * (half_log_snr(at.sigma_next, flow) - start), flow)
            halfway = _sde_step(x, x0, at.sigma, middle, eta, flow)
            halfway = halfway + draw(at.sigma, middle) * _sde_noise(at.sigma, middle, eta, flow) * s_noise
            mean = x0 + (call(denoise, halfway, middle) - x0) / (2 * r)
            x = _sde_step(x, mean, at.sigma, at.sigma_next, eta, flow)
            x = x + draw(at.sigma, at.sigma_next) * _sde_noise(at.sigma, at.sigma_next, eta, flow) * s_noise
        yield at.step(x, x0)


def _snr_split(sigma: Tensor, sigma_next: Tensor, eta: float, flow: bool) -> tuple[Tensor, Tensor]:
    """`split_step` in sigma / alpha."""
    return split_step((-half_log_snr(sigma, flow)).exp(), (-half_log_snr(sigma_next, flow)).exp(), eta)


def _alpha(sigma: Tensor, flow: bool) -> Tensor:
    return 1 - sigma if flow else torch.ones(())


def _sde_step(x: Tensor, x0: Tensor, sigma: Tensor, sigma_next: Tensor, eta: float, flow: bool) -> Tensor:
    """The deterministic part: to the share of sigma_next that noise will not fill."""
    down, _ = _snr_split(sigma, sigma_next, eta, flow)
    keep = down * half_log_snr(sigma, flow).exp()  # exp(-h)
    alpha_next = _alpha(sigma_next, flow)
    return (alpha_next / _alpha(sigma, flow)) * keep * x + alpha_next * (1 - keep) * x0


def _sde_noise(sigma: Tensor, sigma_next: Tensor, eta: float, flow: bool) -> Tensor:
    return _alpha(sigma_next, flow) * _snr_split(sigma, sigma_next, eta, flow)[1]


def dpmpp_2m_sde(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSource,
    flow: bool = False,
    eta: float = 1.0,
    s_noise: float = 1.0,
    solver_type: str = "midpoint",
    flow_start: float = 0.9999,
) -> Iterator[Step]:
    """SDE-DPM-Solver++(2M) (arXiv 2211.01095, eq. 18); solver_type "midpoint" or "heun" is how the slope of x0 is weighted."""
    draw = noise.brownian(x, sigmas)
    past: list[tuple[Tensor, Tensor]] = []  # (h, x0) of the steps before, newest first
    for at in intervals(finite_start(sigmas, flow, flow_start)):
        x0 = call(denoise, x, at.sigma)
        if at.is_last:
            x = x0
        else:
            step = _Exponential(at, eta, flow)
            x = step.first_order(x, x0)
            if past:
                change = (x0 - past[0][1]) / (past[0][0] / step.h)
                x = x + step.alpha * (step.phi_2 if solver_type == "heun" else 0.5 * step.phi_1) * change
            x = step.add_noise(x, draw, s_noise)
            past = [(step.h, x0)]
        yield at.step(x, x0)


def dpmpp_3m_sde(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSource,
    flow: bool = False,
    eta: float = 1.0,
    s_noise: float = 1.0,
    flow_start: float = 0.9999,
) -> Iterator[Step]:
    """SDE-DPM-Solver++ with three steps of memory: x0 as a parabola in lambda (the multistep form of arXiv 2211.01095)."""
    draw = noise.brownian(x, sigmas)
    past: list[tuple[Tensor, Tensor]] = []
    for at in intervals(finite_start(sigmas, flow, flow_start)):
        x0 = call(denoise, x, at.sigma)
        if at.is_last:
            x = x0
        else:
            step = _Exponential(at, eta, flow)
            x = step.first_order(x, x0) + step.alpha * _curvature(step, x0, past)
            x = step.add_noise(x, draw, s_noise)
            past = [(step.h, x0), *past[:1]]
        yield at.step(x, x0)


def _curvature(step: _Exponential, x0: Tensor, past: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The terms that the first and second derivative of x0 add."""
    if not past:
        return torch.zeros_like(x0)
    r0 = past[0][0] / step.h
    d = (x0 - past[0][1]) / r0
    if len(past) == 1:
        return step.phi_2 * d
    r1 = past[1][0] / step.h
    before = (past[0][1] - past[1][1]) / r1
    second = (d - before) / (r0 + r1)
    return step.phi_2 * (d + second * r0) - step.phi_3 * second


class _Exponential:
    """The coefficients of one exponential integrator step, with the share eta of noise."""

    def __init__(self, at: Interval, eta: float, flow: bool) -> None:
        self.at = at
        self.eta = eta
        self.h = half_log_snr(at.sigma_next, flow) - half_log_snr(at.sigma, flow)
        self.h_eta = self.h * (eta + 1)
        self.alpha = _alpha(at.sigma_next, flow)
        self.phi_1 = -torch.expm1(-self.h_eta)
        self.phi_2 = torch.expm1(-self.h_eta) / self.h_eta + 1
        self.phi_3 = self.phi_2 / self.h_eta - 0.5

    def first_order(self, x: Tensor, x0: Tensor) -> Tensor:
        return self.at.sigma_next / self.at.sigma * torch.exp(-self.h * self.eta) * x + self.alpha * self.phi_1 * x0

    def add_noise(self, x: Tensor, draw: IntervalDraw, s_noise: float) -> Tensor:
        if self.eta == 0 or s_noise == 0:
            return x
        std = self.at.sigma_next * (-torch.expm1(-2 * self.h * self.eta)).sqrt()
        return x + draw(self.at.sigma, self.at.sigma_next) * std * s_noise
