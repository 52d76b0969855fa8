"""Samplers: from a denoiser and falling sigmas to a sequence of steps.

A sampler is a generator of `Step`. It knows nothing of networks, text or guidance: all it has is a function
`denoise(x (B, C, h, w), sigma (B,)) -> x0`.
sigmas is (n + 1,) float32 on the CPU; `flow` says that x = (1 - sigma) x0 + sigma n, where otherwise x = x0 + sigma n.
In the variance exploding convention the probability flow ODE is dx/dsigma = (x - x0) / sigma (Karras et al. 2022, eq. 1), and so it is for
rectified flow, which is why most samplers need not know which they have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from nodegraph.diffusion.noise import NoiseSource

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


@dataclass(frozen=True)
class SamplerSpec:
    """A sampler by name.

    order: global order of convergence on the ODE as the steps shrink (for a stochastic sampler, with its noise off)
    options: keyword arguments and their defaults
    stochastic: adds noise in the steps with its default options
    drop_penultimate: evaluates between sigmas, so the last positive sigma of a schedule is left out
    fresh_mask_noise: under a mask the noise put back outside it comes from seed + 1 (ComfyUI's ddim)
    """

    name: str
    function: Callable[..., Iterator[Step]]
    order: int
    doc: str
    options: Mapping[str, Any] = field(default_factory=dict)
    stochastic: bool = False
    drop_penultimate: bool = False
    fresh_mask_noise: bool = False


def slope(x: Tensor, x0: Tensor, sigma: Tensor) -> Tensor:
    """dx/dsigma of the probability flow ODE."""
    return (x - x0) / sigma


def _intervals(sigmas: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
    for i in range(len(sigmas) - 1):
        yield i, sigmas[i], sigmas[i + 1]


def _at(x: Tensor, sigma: Tensor) -> Tensor:
    """(B,) copies of a sigma on the device of x."""
    return sigma * x.new_ones(x.shape[0])


def euler(denoise: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSource, flow: bool = False) -> Iterator[Step]:
    """Euler steps on the probability flow ODE (Karras et al. 2022, alg. 2 without churn and correction)."""
    total = len(sigmas) - 1
    for i, sigma, sigma_next in _intervals(sigmas):
        x0 = denoise(x, _at(x, sigma))
        x = x + slope(x, x0, sigma) * (sigma_next - sigma)
        yield Step(i, total, float(sigma), float(sigma_next), x, x0)


SAMPLERS: dict[str, SamplerSpec] = {
    "euler": SamplerSpec("euler", euler, 1, "Euler steps on the probability flow ODE"),
}
