"""Sigma schedules: pure functions (sampling, steps) -> sigmas.

Every function returns float32 on the CPU, falling, the last value 0; usually (steps + 1,), but `ddim_uniform` and `beta` may hold a step
more or fewer where the table does not divide. They draw from a `NoiseSchedule`; `karras`, `exponential` and the like only from its ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from nodegraph.diffusion.predictions import ModelSampling, NoiseSchedule
from nodegraph.errors import InputRefused

ScheduleFunction = Callable[[NoiseSchedule, int], Tensor]


def simple(noise: NoiseSchedule, steps: int) -> Tensor:
    """Every (T / steps)-th entry of the table, from the top."""
    table = noise.sigmas
    stride = len(table) / steps
    return _with_zero([float(table[-(1 + int(i * stride))]) for i in range(steps)])


def ddim_uniform(noise: NoiseSchedule, steps: int) -> Tensor:
    """Entries 1, 1 + c, 1 + 2c, ... of the table with c = T // steps: the times of CompVis' DDIM, which add 1 to each."""
    table = noise.sigmas
    first_is_zero = math.isclose(float(table[1]), 0.0, abs_tol=1e-5)
    stride = max(len(table) // (steps + first_is_zero), 1)
    first = 1 + stride * first_is_zero
    return _with_zero([float(s) for s in table[first::stride].flip(0)])


def normal(noise: NoiseSchedule, steps: int) -> Tensor:
    """Even in the network's timestep, both ends included."""
    first, last = _timestep_ends(noise)
    ends_at_zero = math.isclose(float(noise.sigma(last)), 0.0, abs_tol=1e-5)
    if ends_at_zero:
        return _with_zero(noise.sigma(torch.linspace(float(first), float(last), steps + 1))[:-1].tolist())
    return _with_zero(noise.sigma(torch.linspace(float(first), float(last), steps)).tolist())


def sgm_uniform(noise: NoiseSchedule, steps: int) -> Tensor:
    """Even in the network's timestep, the low end left out (Stability's generative-models)."""
    first, last = _timestep_ends(noise)
    return _with_zero(noise.sigma(torch.linspace(float(first), float(last), steps + 1)[:-1]).tolist())


def karras(noise: NoiseSchedule, steps: int) -> Tensor:
    """Karras et al. 2022, eq. 5 with rho = 7."""
    return karras_sigmas(steps, noise.sigma_min, noise.sigma_max)


def exponential(noise: NoiseSchedule, steps: int) -> Tensor:
    """Even in log sigma."""
    return polyexponential_sigmas(steps, noise.sigma_min, noise.sigma_max, rho=1.0)


def beta(noise: NoiseSchedule, steps: int) -> Tensor:
    """Table entries at the quantiles of a Beta(0.6, 0.6) distribution (Lee et al. 2024, arXiv 2407.12173)."""
    return beta_sigmas(noise, steps, alpha=0.6, beta=0.6)


def linear_quadratic(noise: NoiseSchedule, steps: int) -> Tensor:
    """Linear down to 1 - 0.025 in the first half of the steps, then quadratic (Movie Gen, Polyak et al. 2024, arXiv 2410.13720)."""
    threshold = 0.025
    if steps == 1:
        return torch.tensor([noise.sigma_max, 0.0])
    linear = steps // 2
    curved = steps - linear
    rest = linear - threshold * steps
    square = rest / (linear * curved**2)
    slope = threshold / linear - 2 * rest / curved**2
    constant = square * linear**2
    rising = [i * threshold / linear for i in range(linear)]
    rising += [square * i**2 + slope * i + constant for i in range(linear, steps)]
    return torch.tensor([1.0 - value for value in [*rising, 1.0]]) * noise.sigma_max


def kl_optimal(noise: NoiseSchedule, steps: int) -> Tensor:
    """Even in arctan sigma (Sabour et al. 2024, "Align Your Steps", arXiv 2404.14507, appendix)."""
    if steps == 1:
        return torch.tensor([noise.sigma_max, 0.0])
    w = torch.arange(steps, dtype=torch.float32) / (steps - 1)
    angle = w * math.atan(noise.sigma_min) + (1 - w) * math.atan(noise.sigma_max)
    return torch.cat([angle.tan(), torch.zeros(1)])


SCHEDULES: dict[str, ScheduleFunction] = {
    "simple": simple,
    "sgm_uniform": sgm_uniform,
    "karras": karras,
    "exponential": exponential,
    "ddim_uniform": ddim_uniform,
    "beta": beta,
    "normal": normal,
    "linear_quadratic": linear_quadratic,
    "kl_optimal": kl_optimal,
}


def sigmas_for(sampling: ModelSampling, schedule: str, steps: int, denoise: float = 1.0, *, drop_penultimate: bool = False) -> Tensor:
    """The sigmas of a run of `steps` steps over the last `denoise` part of a schedule; (n,) float32.

    denoise < 1: the schedule is computed for int(steps / denoise) steps and its last steps + 1 values are kept; 0 gives no sigmas at all
    drop_penultimate: one step more is computed and the last positive sigma left out (`dpm_2`, `uni_pc`: they evaluate between sigmas)
    """
    if schedule not in SCHEDULES:
        raise InputRefused(f"schedule is {schedule!r}, known are {', '.join(SCHEDULES)}")
    if steps < 1:
        raise InputRefused(f"steps is {steps}, it must be 1 or more")
    if denoise <= 0.0:
        return torch.empty(0)
    total = steps if denoise > 0.9999 else int(steps / denoise)
    sigmas = SCHEDULES[schedule](sampling.schedule, total + drop_penultimate)
    if drop_penultimate:
        sigmas = torch.cat([sigmas[:-2], sigmas[-1:]])
    return sigmas if denoise > 0.9999 else sigmas[-(steps + 1) :]


# ---- with free ends and shapes


def karras_sigmas(steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """Karras et al. 2022, eq. 5."""
    w = torch.linspace(0, 1, steps)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return torch.cat([(high + w * (low - high)) ** rho, torch.zeros(1)])


def polyexponential_sigmas(steps: int, sigma_min: float, sigma_max: float, rho: float = 1.0) -> Tensor:
    """A power rho of the even ramp in log sigma; rho = 1 is `exponential`."""
    ramp = torch.linspace(1, 0, steps) ** rho
    low, high = math.log(sigma_min), math.log(sigma_max)
    return torch.cat([(ramp * (high - low) + low).exp(), torch.zeros(1)])


def vp_sigmas(steps: int, beta_d: float = 19.9, beta_min: float = 0.1, eps_s: float = 1e-3) -> Tensor:
    """The variance preserving SDE of Song et al. 2021, even in time from 1 to eps_s."""
    t = torch.linspace(1, eps_s, steps)
    return torch.cat([(beta_d * t**2 / 2 + beta_min * t).expm1().sqrt(), torch.zeros(1)])


def laplace_sigmas(steps: int, sigma_min: float, sigma_max: float, mu: float = 0.0, width: float = 0.5) -> Tensor:
    """Quantiles of a Laplace distribution of log sigma (Hang et al. 2024, arXiv 2407.03297); (steps,): no 0 is added."""
    x = torch.linspace(0, 1, steps)
    log_sigma = mu - width * torch.sign(0.5 - x) * torch.log(1 - 2 * (0.5 - x).abs() + 1e-5)
    return log_sigma.exp().clamp(min=sigma_min, max=sigma_max)


def beta_sigmas(noise: NoiseSchedule, steps: int, alpha: float = 0.6, beta: float = 0.6) -> Tensor:
    """Table entries at quantiles 1 - i / steps of Beta(alpha, beta); repeated entries are dropped."""
    table = noise.sigmas
    quantiles = 1 - np.linspace(0, 1, steps, endpoint=False)
    picks = np.rint(beta_quantile(quantiles, alpha, beta) * (len(table) - 1)).astype(int)
    kept = [int(p) for i, p in enumerate(picks) if i == 0 or p != picks[i - 1]]
    return _with_zero([float(table[p]) for p in kept])


def sd_turbo_sigmas(noise: NoiseSchedule, steps: int, denoise: float = 1.0) -> Tensor:
    """Up to ten times 999, 899, ..., 99 that adversarially distilled models were trained on (Sauer et al. 2023, arXiv 2311.17042)."""
    first = 10 - int(10 * denoise)
    times = torch.arange(10, 0, -1)[first : first + steps] * 100 - 1
    return torch.cat([noise.sigma(times.float()), torch.zeros(1)])


# Optimised for ten steps (Sabour et al. 2024, "Align Your Steps", arXiv 2404.14507, the values of its project page).
ALIGN_YOUR_STEPS: dict[str, tuple[float, ...]] = {
    "SD1": (14.6146412, 6.4745761, 3.8636746, 2.6946152, 1.8841921, 1.3943805, 0.9642584, 0.6523686, 0.3977456, 0.1515233, 0.02916716),
    "SDXL": (14.6146412, 6.3184485, 3.7681790, 2.1811481, 1.3405245, 0.8620721, 0.5550693, 0.3798541, 0.2332364, 0.1114188, 0.02916716),
    "SVD": (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002),
}


def align_your_steps_sigmas(family: str, steps: int, denoise: float = 1.0) -> Tensor:
    """The published ten steps, for another number interpolated in log sigma; the last round(steps * denoise) of them."""
    if family not in ALIGN_YOUR_STEPS:
        raise InputRefused(f"there are no aligned steps for {family!r}, only for {', '.join(ALIGN_YOUR_STEPS)}")
    known = np.array(ALIGN_YOUR_STEPS[family])
    places = np.linspace(0, 1, steps + 1)
    sigmas = np.exp(np.interp(places, np.linspace(0, 1, len(known)), np.log(known)))
    sigmas[-1] = 0.0
    return torch.tensor(sigmas[-(round(steps * denoise) + 1) :], dtype=torch.float32)


def _with_zero(values: list[float]) -> Tensor:
    return torch.tensor([*values, 0.0], dtype=torch.float32)


def _timestep_ends(noise: NoiseSchedule) -> tuple[Tensor, Tensor]:
    table = noise.sigmas
    return noise.timestep(table[-1]), noise.timestep(table[0])


# ---- the Beta distribution


def beta_quantile(p: np.ndarray, a: float, b: float) -> np.ndarray:
    """x with P(X <= x) = p for X ~ Beta(a, b), elementwise in float64: bisection on `beta_cdf`, accurate to 1e-15."""
    p = np.asarray(p, dtype=np.float64)
    low, high = np.zeros_like(p), np.ones_like(p)
    for _ in range(60):
        middle = (low + high) / 2
        below = beta_cdf(middle, a, b) < p
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    x = np.where(p <= 0, 0.0, np.where(p >= 1, 1.0, (low + high) / 2))
    return np.where(p == 0.5, 0.5, x) if a == b else x  # the median is exact: half a table index must round as a tie


def beta_cdf(x: np.ndarray, a: float, b: float) -> np.ndarray:
    """The regularised incomplete beta function I_x(a, b) (DLMF 8.17.22, by the symmetry I_x(a, b) = 1 - I_{1-x}(b, a))."""
    x = np.asarray(x, dtype=np.float64)
    near = x < (a + 1) / (a + b + 2)
    left = _beta_tail(np.where(near, x, 0.5), a, b)
    right = 1 - _beta_tail(np.where(near, 0.5, 1 - x), b, a)
    return np.where(near, left, right)


def _beta_tail(x: np.ndarray, a: float, b: float) -> np.ndarray:
    """I_x(a, b) for x below (a + 1) / (a + b + 2), where the continued fraction converges fast."""
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    inside = np.where(x > 0, x, 0.5)
    front = np.exp(a * np.log(inside) + b * np.log1p(-inside) - log_beta) / a
    return np.where(x > 0, front / _beta_fraction(inside, a, b), 0.0)


def _beta_fraction(x: np.ndarray, a: float, b: float, terms: int = 120) -> np.ndarray:
    """1 + d1 / (1 + d2 / (1 + ...)), evaluated from the innermost term."""
    value = np.ones_like(x)
    for n in range(terms, 0, -1):
        m = n // 2
        if n % 2 == 0:
            d = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            d = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        value = 1 + d / value
    return value
