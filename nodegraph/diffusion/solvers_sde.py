"""Samplers that put noise back in every step, drawn independently."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from nodegraph.diffusion.noise import NoiseSource
from nodegraph.diffusion.steps import Denoiser, Step, ancestral, call, euler_step, finite_start, half_log_snr, intervals, slope


def euler_ancestral(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSource, flow: bool = False, eta: float = 1.0, s_noise: float = 1.0
) -> Iterator[Step]:
    """Euler down to a lower sigma, then noise back up to the next one (k-diffusion; DDPM's posterior at eta 1)."""
    draw = noise.per_step(x)
    for at in intervals(sigmas):
        x0 = call(denoise, x, at.sigma)
        to = ancestral(at.sigma, at.sigma_next, eta, flow)
        x = x0 if to.down == 0 else to.apply(euler_step(x, x0, at.sigma, to.down), draw(), s_noise)
        yield at.step(x, x0)


def ddpm(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSource, flow: bool = False, variance: Literal["small", "large"] = "small"
) -> Iterator[Step]:
    """Ancestral sampling of Ho et al. 2020 (arXiv 2006.11239), eq. 7 between any two times.

    variance: "small" is the posterior's, b~_t, "large" is beta_t; the last step adds none
    """
    draw = noise.per_step(x)
    for at in intervals(sigmas):
        x0 = call(denoise, x, at.sigma)
        bar, bar_next = 1 / (at.sigma**2 + 1), 1 / (at.sigma_next**2 + 1)
        alpha = bar / bar_next
        scaled = x * bar.sqrt()  # x_t of the paper
        mean = (scaled - (1 - alpha) / (1 - bar).sqrt() * slope(x, x0, at.sigma)) / alpha.sqrt()
        if not at.is_last:
            spread = (1 - alpha) * (1 - bar_next) / (1 - bar) if variance == "small" else 1 - alpha
            mean = (mean + spread.sqrt() * draw()) / bar_next.sqrt()
        x = mean
        yield at.step(x, x0)


def ddim(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSource,
    flow: bool = False,
    eta: float = 0.0,
    sigma_hat: bool = False,
) -> Iterator[Step]:
    """Song et al. 2020 (arXiv 2010.02502), eq. 12 with its sigma of eq. 16 scaled by eta.

    eta: 0 is deterministic and equal to `euler`; 1 is `ddpm` with the small variance
    sigma_hat: add noise of DDPM's larger variance beta_t with the mean of eta = 1 (the paper's sigma-hat; bad with few steps); none is
        added in the last step
    """
    draw = noise.per_step(x)
    for at in intervals(sigmas):
        x0 = call(denoise, x, at.sigma)
        if eta == 0 and not sigma_hat:
            x = euler_step(x, x0, at.sigma, at.sigma_next)
        elif at.is_last:
            x = x0
        else:
            x = _ddim_step(x, x0, at.sigma, at.sigma_next, 1.0 if sigma_hat else eta, sigma_hat, flow, draw())
        yield at.step(x, x0)


def _ddim_step(x: Tensor, x0: Tensor, sigma: Tensor, sigma_next: Tensor, eta: float, sigma_hat: bool, flow: bool, noise: Tensor) -> Tensor:
    """alpha' x0 + sqrt(sigma'^2 - up^2) eps + up z, up = eta sigma' sqrt(1 - (k'/k)^2) with k = sigma / alpha."""
    alpha, alpha_next = (1 - sigma, 1 - sigma_next) if flow else (torch.ones(()), torch.ones(()))
    fall = (sigma_next * alpha) / (sigma * alpha_next)  # k' / k
    up = eta * sigma_next * (1 - fall**2).clamp(min=0).sqrt()
    eps = (x - alpha * x0) / sigma
    down = (sigma_next**2 - up**2).clamp(min=0).sqrt()
    if sigma_hat:
        bar, bar_next = alpha**2 / (alpha**2 + sigma**2), alpha_next**2 / (alpha_next**2 + sigma_next**2)
        up = (1 - bar / bar_next).sqrt() * (alpha_next**2 + sigma_next**2).sqrt()
    return alpha_next * x0 + down * eps + up * noise


def lcm(denoise: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSource, flow: bool = False) -> Iterator[Step]:
    """Multistep consistency sampling (Song et al. 2023, arXiv 2303.01469, alg. 1; Luo et al. 2023): jump to x0, noise to the next sigma."""
    draw = noise.per_step(x)
    for at in intervals(sigmas):
        x0 = call(denoise, x, at.sigma)
        x = x0 if at.is_last else (1 - at.sigma_next if flow else 1.0) * x0 + at.sigma_next * draw()
        yield at.step(x, x0)


def res_multistep(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSource, flow: bool = False, eta: float = 0.0, s_noise: float = 1.0
) -> Iterator[Step]:
    """Refined exponential solver with one step of memory (Zhang et al. 2023, arXiv 2308.02157); eta > 0 adds ancestral noise."""
    draw = noise.per_step(x)
    before: tuple[Tensor, Tensor] | None = None  # x0 and the sigma that was stepped down to
    for at in intervals(sigmas):
        x0 = call(denoise, x, at.sigma)
        to = ancestral(at.sigma, at.sigma_next, eta, False)
        if before is None or to.down == 0:
            x = euler_step(x, x0, at.sigma, to.down)
        else:
            h = at.sigma.log() - to.down.log()
            c2 = (before[1].log() - sigmas[at.index - 1].log()) / h
            phi_1 = torch.expm1(-h) / -h
            phi_2 = (phi_1 - 1) / -h
            b2 = phi_2 / c2
            x = torch.exp(-h) * x + h * ((phi_1 - b2) * x0 + b2 * before[0])
        x = x if at.is_last or eta == 0 else to.apply(x, draw(), s_noise)
        before = (x0, to.down)
        yield at.step(x, x0)


def res_multistep_ancestral(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSource, flow: bool = False, eta: float = 1.0, s_noise: float = 1.0
) -> Iterator[Step]:
    """`res_multistep` with ancestral noise."""
    return res_multistep(denoise, x, sigmas, noise=noise, flow=flow, eta=eta, s_noise=s_noise)


def er_sde(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSource,
    flow: bool = False,
    s_noise: float = 1.0,
    max_stage: int = 3,
    flow_start: float = 0.9999,
) -> Iterator[Step]:
    """Extended reverse-time SDE solver (Cui et al. 2023, arXiv 2309.06169, alg. 2).

    Its noise scale is k (exp(k^0.3) + 10) with k = sigma / alpha; max_stage is the highest derivative of x0 used, plus 1.
    """
    draw = noise.per_step(x)
    sigmas = finite_start(sigmas, flow, flow_start)
    k = (-half_log_snr(sigmas, flow)).exp()
    x0_before = slope_before = torch.zeros_like(x)
    for at in intervals(sigmas):
        i = at.index
        x0 = call(denoise, x, at.sigma)
        if at.is_last:
            yield at.step(x0, x0)
            continue
        alpha, alpha_next = at.sigma / k[i], at.sigma_next / k[i + 1]
        shrink = er_scale(k[i + 1]) / er_scale(k[i])
        x = (alpha_next / alpha) * shrink * x + alpha_next * (1 - shrink) * x0
        first, second = _er_integrals(k[i], k[i + 1])
        if i >= 1 and max_stage >= 2:
            d = (x0 - x0_before) / (k[i] - k[i - 1])
            x = x + alpha_next * first * d
            if i >= 2 and max_stage >= 3:
                x = x + alpha_next * second * (d - slope_before) / ((k[i] - k[i - 2]) / 2)
            slope_before = d
        if s_noise > 0:
            x = x + alpha_next * draw() * s_noise * (k[i + 1] ** 2 - (k[i] * shrink) ** 2).clamp(min=0).sqrt()
        x0_before = x0
        yield at.step(x, x0)


def er_scale(k: Tensor) -> Tensor:
    return k * ((k**0.3).exp() + 10.0)


def _er_integrals(k: Tensor, k_next: Tensor, points: int = 200) -> tuple[Tensor, Tensor]:
    """The weights of the first and second derivative of x0, by a left Riemann sum of 200 points from k_next to k as the authors do."""
    width = (k - k_next) / points
    at = k_next + torch.arange(points) * width
    scale = er_scale(at)
    change = k_next - k
    first = change + (1 / scale).sum() * width * er_scale(k_next)
    second = change**2 / 2 + ((at - k) / scale).sum() * width * er_scale(k_next)
    return first, second
