"""Deterministic solvers of the probability flow ODE dx/dsigma = (x - x0) / sigma in the variable sigma."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from torch import Tensor

from nodegraph.diffusion.noise import NoiseSource
from nodegraph.diffusion.steps import Denoiser, Step, call, euler_step, intervals, slope

WeightsOf = Callable[[int, int], Sequence[float]]  # (step, number of slopes) -> a weight per slope, newest first


def euler(denoise: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSource, flow: bool = False) -> Iterator[Step]:
    """Euler steps (Karras et al. 2022, arXiv 2206.00364, alg. 2 without churn and correction)."""
    for at in intervals(sigmas):
        x0 = call(denoise, x, at.sigma)
        x = euler_step(x, x0, at.sigma, at.sigma_next)
        yield at.step(x, x0)


def heun(denoise: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSource, flow: bool = False) -> Iterator[Step]:
    """Heun's trapezoid steps, the last one Euler (Karras et al. 2022, alg. 2 without churn)."""
    for at in intervals(sigmas):
        x0 = call(denoise, x, at.sigma)
        d = slope(x, x0, at.sigma)
        ahead = x + d * (at.sigma_next - at.sigma)
        if not at.is_last:
            d_next = slope(ahead, call(denoise, ahead, at.sigma_next), at.sigma_next)
            ahead = x + (d + d_next) / 2 * (at.sigma_next - at.sigma)
        x = ahead
        yield at.step(x, x0)


def heunpp2(denoise: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSource, flow: bool = False) -> Iterator[Step]:
    """Heun++: an average of the slopes at this sigma and the next two, weighted by sigma / (3 sigma_0).

    The weights do not tend to equal shares as the steps shrink, so it is of order 1 only.
    """
    for at in intervals(sigmas):
        x0 = call(denoise, x, at.sigma)
        d = slope(x, x0, at.sigma)
        ahead, slopes, weights = x, [d], []
        further = [s for s in sigmas[at.index + 1 : at.index + 3] if s != sigmas[-1]]
        for sigma, sigma_next in zip([at.sigma, *further], further, strict=False):
            ahead = ahead + slopes[-1] * (sigma_next - sigma)
            slopes.append(slope(ahead, call(denoise, ahead, sigma_next), sigma_next))
            weights.append(sigma_next / ((len(further) + 1) * sigmas[0]))
        mean = d * (1 - sum(weights)) + sum(w * s for w, s in zip(weights, slopes[1:], strict=True))
        x = x + mean * (at.sigma_next - at.sigma)
        yield at.step(x, x0)


def dpm_2(denoise: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSource, flow: bool = False) -> Iterator[Step]:
    """Midpoint steps with the midpoint in log sigma (DPM-Solver-2, Lu et al. 2022, arXiv 2206.00927, in Karras' variables)."""
    for at in intervals(sigmas):
        x0 = call(denoise, x, at.sigma)
        x = x0 if at.is_last else midpoint_step(denoise, x, x0, at.sigma, at.sigma_next)
        yield at.step(x, x0)


def midpoint_step(denoise: Denoiser, x: Tensor, x0: Tensor, sigma: Tensor, sigma_next: Tensor) -> Tensor:
    """Across the interval with the slope at its geometric middle."""
    middle = sigma.log().lerp(sigma_next.log(), 0.5).exp()
    halfway = euler_step(x, x0, sigma, middle)
    return x + slope(halfway, call(denoise, halfway, middle), middle) * (sigma_next - sigma)


def gradient_estimation(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSource, flow: bool = False, gamma: float = 2.0
) -> Iterator[Step]:
    """Euler with the slope extrapolated by gamma from the one before (Permenter & Yuan 2023, arXiv 2306.04848, alg. 2)."""
    before: Tensor | None = None
    for at in intervals(sigmas):
        x0 = call(denoise, x, at.sigma)
        d = slope(x, x0, at.sigma)
        bent = d if before is None else d + (gamma - 1) * (d - before)
        x = x0 if at.is_last else x + bent * (at.sigma_next - at.sigma)
        before = d
        yield at.step(x, x0)


# ---- linear multistep: x + sum of weights times the last slopes


def lms(denoise: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSource, flow: bool = False, order: int = 4) -> Iterator[Step]:
    """Adams-Bashforth on uneven sigmas: the slope is the polynomial through the last `order` ones (Karras et al. 2022's LMS baseline)."""
    table = sigmas.tolist()
    yield from _multistep(denoise, x, sigmas, order, lambda i, n: adams_weights(table[i - n + 1 : i + 1][::-1], table[i], table[i + 1]))


def ipndm(denoise: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSource, flow: bool = False, order: int = 4) -> Iterator[Step]:
    """Adams-Bashforth with the weights of even steps (Zhang & Chen 2023, arXiv 2204.13902, iPNDM).

    On uneven sigmas the weights are not exact, so the order of convergence is 1.
    """
    even = {1: [1.0], 2: [3 / 2, -1 / 2], 3: [23 / 12, -16 / 12, 5 / 12], 4: [55 / 24, -59 / 24, 37 / 24, -9 / 24]}
    yield from _multistep(denoise, x, sigmas, order, lambda i, n: [w * float(sigmas[i + 1] - sigmas[i]) for w in even[n]])


def deis(denoise: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSource, flow: bool = False, order: int = 3) -> Iterator[Step]:
    """DEIS-tAB (Zhang & Chen 2023, arXiv 2204.13902, eq. 15): the slope is a polynomial in the time of the variance preserving SDE."""
    times = [vp_time(sigma) for sigma in sigmas.tolist()]
    yield from _multistep(denoise, x, sigmas, order, lambda i, n: deis_weights(times[i - n + 1 : i + 1][::-1], times[i], times[i + 1]))


def _multistep(denoise: Denoiser, x: Tensor, sigmas: Tensor, order: int, weights: WeightsOf) -> Iterator[Step]:
    slopes: list[Tensor] = []
    for at in intervals(sigmas):
        x0 = call(denoise, x, at.sigma)
        slopes = [slope(x, x0, at.sigma), *slopes[: order - 1]]
        x = x0 if at.is_last else x + sum(w * d for w, d in zip(weights(at.index, len(slopes)), slopes, strict=True))
        yield at.step(x, x0)


def lagrange(nodes: Sequence[float], j: int) -> np.poly1d:
    """The polynomial that is 1 at nodes[j] and 0 at the others."""
    out = np.poly1d([1.0])
    for k, node in enumerate(nodes):
        if k != j:
            out = out * np.poly1d([1.0, -node]) / (nodes[j] - node)
    return out


def adams_weights(nodes: Sequence[float], start: float, end: float) -> list[float]:
    """Integrals from start to end of the Lagrange polynomials of the nodes, newest first."""
    found = []
    for j in range(len(nodes)):
        integral = lagrange([n - start for n in nodes], j).integ()
        found.append(float(integral(end - start)))
    return found


# The variance preserving SDE that sigma 0.002 to 80 belongs to, its time running from 1e-3 to 1 (Karras et al. 2022, table 1).
_VP_D = 2 * (math.log1p(0.002**2) / 1e-3 - math.log1p(80.0**2)) / (1e-3 - 1)
_VP_MIN = math.log1p(80.0**2) - 0.5 * _VP_D


def vp_time(sigma: float) -> float:
    """t with log(1 + sigma^2) = beta_d t^2 / 2 + beta_min t."""
    return (math.sqrt(_VP_MIN**2 + 2 * _VP_D * math.log1p(sigma**2)) - _VP_MIN) / _VP_D


def deis_weights(nodes: Sequence[float], start: float, end: float) -> list[float]:
    """Integrals of the Lagrange polynomials in t against dsigma, by 64 point Gauss-Legendre quadrature."""
    points, shares = np.polynomial.legendre.leggauss(64)
    t = start + (end - start) * (points + 1) / 2
    growth = 0.5 * _VP_D * t**2 + _VP_MIN * t
    dsigma = (_VP_D * t + _VP_MIN) * np.exp(growth) / (2 * np.sqrt(np.expm1(growth)))
    return [float((lagrange(nodes, j)(t) * dsigma * shares).sum() * (end - start) / 2) for j in range(len(nodes))]
