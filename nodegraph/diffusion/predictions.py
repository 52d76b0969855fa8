"""What a network's output means: noise schedules, prediction kinds and the two of them together.

The variable that everything agrees on is sigma. Two conventions exist, told apart by `Prediction.is_flow`:

    variance exploding (eps, v, x0, edm)   x = x0 + sigma * n          sigma from `sigma_min` to `sigma_max`, ab = 1 / (1 + sigma^2)
    rectified flow (flow)                  x = (1 - sigma) * x0 + sigma * n       sigma from 0 to 1

A network trained in the variance preserving convention of DDPM, x_t = sqrt(ab) x0 + sqrt(1 - ab) n, sees `scale_input(x, sigma)`.
Everything here is a frozen value or a pure function, so that a model handle can carry it and a training loss can use it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, get_args

import torch
from torch import Tensor

from nodegraph.errors import InputRefused

BetaKind = Literal["linear", "scaled_linear", "cosine"]
PredictionKind = Literal["eps", "v", "x0", "flow", "edm"]

# A percentage of 0 means "from the very start": above every sigma that a schedule can hold.
BEFORE_START = 999999999.9


# ---- noise schedules


class NoiseSchedule(ABC):
    """The map between a network's timestep and sigma, with a table of the sigmas it was trained on."""

    @property
    def sigmas(self) -> Tensor:
        """(T,) float32 on the CPU, rising: the table that the schedules draw from. Shared: not to be written to."""
        return _table(self)

    @property
    def sigma_min(self) -> float:
        return float(self.sigmas[0])

    @property
    def sigma_max(self) -> float:
        return float(self.sigmas[-1])

    @abstractmethod
    def make_table(self) -> Tensor:
        """Compute the table; `sigmas` keeps it."""

    @abstractmethod
    def timestep(self, sigma: Tensor) -> Tensor:
        """What the network is told for this sigma; same shape as `sigma`."""

    @abstractmethod
    def sigma(self, timestep: Tensor) -> Tensor:
        """The sigma at a timestep, which may be fractional; same shape."""

    @abstractmethod
    def percent_to_sigma(self, percent: float) -> float:
        """The sigma at a fraction of the schedule, 0 the start (pure noise), 1 the end (sigma 0)."""


@lru_cache(maxsize=64)
def _table(schedule: NoiseSchedule) -> Tensor:
    return schedule.make_table()


@lru_cache(maxsize=64)
def _log_table(schedule: NoiseSchedule) -> Tensor:
    return schedule.make_table().double().log().float()


@dataclass(frozen=True)
class DiscreteSchedule(NoiseSchedule):
    """The T steps of DDPM (Ho et al. 2020) as sigma = sqrt((1 - ab) / ab).

    kind: "linear" in beta (DDPM: 1e-4 to 0.02); "scaled_linear", linear in sqrt(beta) (Stable Diffusion; CompVis calls it "linear");
        "cosine" (Nichol & Dhariwal 2021 eq. 17, beta clipped to 0.999; beta_start and beta_end unused)
    zero_terminal_snr: rescale so that the last step is pure noise (Lin et al. 2023, arXiv 2305.08891 alg. 1); its ab is kept at 4.9e-8,
        not 0, because sigma must stay finite
    """

    kind: BetaKind = "scaled_linear"
    beta_start: float = 0.00085
    beta_end: float = 0.012
    steps: int = 1000
    zero_terminal_snr: bool = False

    def betas(self) -> Tensor:
        """(T,) float64."""
        if self.kind == "linear":
            return torch.linspace(self.beta_start, self.beta_end, self.steps, dtype=torch.float64)
        if self.kind == "scaled_linear":
            return torch.linspace(self.beta_start**0.5, self.beta_end**0.5, self.steps, dtype=torch.float64) ** 2
        if self.kind == "cosine":
            return _cosine_betas(self.steps)
        raise InputRefused(f"beta schedule is {self.kind!r}, known are {', '.join(get_args(BetaKind))}")

    def alphas_cumprod(self) -> Tensor:
        """(T,) float64: ab of the DDPM paper, ab[i] after i + 1 steps of noise."""
        bars = torch.cumprod(1.0 - self.betas(), dim=0)
        return _zero_terminal_snr(bars) if self.zero_terminal_snr else bars

    def make_table(self) -> Tensor:
        bars = self.alphas_cumprod()
        return ((1 - bars) / bars).sqrt().float()

    def timestep(self, sigma: Tensor) -> Tensor:
        """The nearest step in log sigma, as a float."""
        table = _log_table(self).to(sigma.device)
        distance = (sigma.float().log().reshape(-1, 1) - table).abs()  # (n, T)
        return distance.argmin(dim=1).reshape(sigma.shape).to(torch.float32)

    def sigma(self, timestep: Tensor) -> Tensor:
        """Linear in log sigma between steps."""
        table = _log_table(self).to(timestep.device)
        t = timestep.float().clamp(0, self.steps - 1)
        low, high, w = t.floor().long(), t.ceil().long(), t.frac()
        return ((1 - w) * table[low] + w * table[high]).exp()

    def percent_to_sigma(self, percent: float) -> float:
        if percent <= 0.0:
            return BEFORE_START
        if percent >= 1.0:
            return 0.0
        return float(self.sigma(torch.tensor((1.0 - percent) * (self.steps - 1))))


def _cosine_betas(steps: int, s: float = 0.008) -> Tensor:
    t = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    bars = torch.cos((t + s) / (1 + s) * math.pi / 2) ** 2
    return (1 - bars[1:] / bars[:-1]).clamp(max=0.999)


def _zero_terminal_snr(bars: Tensor) -> Tensor:
    root = bars.sqrt()
    first, last = root[0].clone(), root[-1].clone()
    out = ((root - last) * (first / (first - last))) ** 2
    out[-1] = 4.8973451890853435e-08  # the value that zero-SNR checkpoints are sampled with everywhere: sigma_max 4518.76
    return out


@dataclass(frozen=True)
class FlowSchedule(NoiseSchedule):
    """Rectified flow with a resolution shift (Esser et al. 2024, SD3, eq. 23): sigma = shift * t / (1 + (shift - 1) * t).

    multiplier: the network is told sigma * multiplier (1000 in SD3, 1 in AuraFlow)
    """

    shift: float = 1.0
    multiplier: float = 1000.0
    steps: int = 1000

    def make_table(self) -> Tensor:
        return self.sigma(torch.arange(1, self.steps + 1) / self.steps * self.multiplier)

    def timestep(self, sigma: Tensor) -> Tensor:
        return sigma * self.multiplier

    def sigma(self, timestep: Tensor) -> Tensor:
        """Not the inverse of `timestep` unless shift is 1: this one maps an unshifted time, `timestep` says what the network is told."""
        t = timestep / self.multiplier
        return self.shift * t / (1 + (self.shift - 1) * t)

    def percent_to_sigma(self, percent: float) -> float:
        t = min(max(1.0 - percent, 0.0), 1.0)
        return self.shift * t / (1 + (self.shift - 1) * t)


@dataclass(frozen=True)
class FluxSchedule(NoiseSchedule):
    """Rectified flow with the exponential time shift of FLUX: sigma = e^mu / (e^mu + 1/t - 1); the network is told sigma."""

    shift: float = 1.15
    steps: int = 10000

    def make_table(self) -> Tensor:
        return self.sigma(torch.arange(1, self.steps + 1) / self.steps)

    def timestep(self, sigma: Tensor) -> Tensor:
        return sigma

    def sigma(self, timestep: Tensor) -> Tensor:
        grow = math.exp(self.shift)
        return grow / (grow + (1 / timestep - 1))

    def percent_to_sigma(self, percent: float) -> float:
        t = min(max(1.0 - percent, 0.0), 1.0)
        grow = math.exp(self.shift)
        return grow / (grow + (1 / t - 1)) if t > 0 else 0.0


@dataclass(frozen=True)
class EdmSchedule(NoiseSchedule):
    """Continuous sigma (Karras et al. 2022): the network is told c_noise = ln(sigma) / 4; the table is even in log sigma."""

    smallest: float = 0.002
    largest: float = 80.0
    steps: int = 1000

    def make_table(self) -> Tensor:
        return torch.linspace(math.log(self.smallest), math.log(self.largest), self.steps).exp()

    def timestep(self, sigma: Tensor) -> Tensor:
        return 0.25 * sigma.log()

    def sigma(self, timestep: Tensor) -> Tensor:
        return (timestep / 0.25).exp()

    def percent_to_sigma(self, percent: float) -> float:
        if percent <= 0.0:
            return BEFORE_START
        if percent >= 1.0:
            return 0.0
        low, high = math.log(self.sigma_min), math.log(self.sigma_max)
        return math.exp(low + (high - low) * (1.0 - percent))


# ---- prediction kinds


@dataclass(frozen=True)
class Prediction:
    """How the network's input is scaled and what its output stands for.

    eps    the noise n (Ho et al. 2020)
    v      v = sqrt(ab) n - sqrt(1 - ab) x0 (Salimans & Ho 2022)
    x0     the clean latent
    flow   n - x0, the velocity of rectified flow (Liu et al. 2022)
    edm    F of Karras et al. 2022 eq. 7: x0 = c_skip x + c_out F; -v where sigma_data is 1

    sigma_data: standard deviation of the data in the input scale 1 / sqrt(sigma^2 + sigma_data^2)
    """

    kind: PredictionKind = "eps"
    sigma_data: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(PredictionKind):
            raise InputRefused(f"prediction kind is {self.kind!r}, known are {', '.join(get_args(PredictionKind))}")

    @property
    def is_flow(self) -> bool:
        return self.kind == "flow"

    def scale_input(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The noisy latent as the network wants it. x (B, ...), sigma (B,) or a scalar."""
        if self.is_flow:
            return x
        return x / (_like(sigma, x) ** 2 + self.sigma_data**2).sqrt()

    def to_x0(self, output: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        """The clean latent that this output means. x is the unscaled noisy latent."""
        s = _like(sigma, x)
        if self.kind == "x0":
            return output
        if self.kind in ("eps", "flow"):
            return x - output * s
        skip, out = self._edm_coefficients(s)
        return x * skip + output * out

    def from_x0(self, x0: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        """The inverse of `to_x0`: the output that would mean this clean latent; sigma > 0."""
        s = _like(sigma, x)
        if self.kind == "x0":
            return x0
        if self.kind in ("eps", "flow"):
            return (x - x0) / s
        skip, out = self._edm_coefficients(s)
        return (x0 - x * skip) / out

    def target(self, x0: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        """What the network should answer for x0 noised with `noise`: the regression target of training."""
        if self.kind == "x0":
            return x0
        if self.kind == "eps":
            return noise
        if self.kind == "flow":
            return noise - x0
        s = _like(sigma, x0)
        f = (s * x0 - self.sigma_data**2 * noise) / (self.sigma_data * (s**2 + self.sigma_data**2).sqrt())
        return -f if self.kind == "v" else f

    def add_noise(self, x0: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        """x0 at noise level sigma, unscaled: what a sampler holds."""
        s = _like(sigma, x0)
        return s * noise + (1 - s) * x0 if self.is_flow else x0 + noise * s

    def snr(self, sigma: Tensor) -> Tensor:
        """Signal to noise ratio (of variances), ab / (1 - ab) in DDPM's letters."""
        return ((1 - sigma) / sigma) ** 2 if self.is_flow else (self.sigma_data / sigma) ** 2

    def _edm_coefficients(self, s: Tensor) -> tuple[Tensor, Tensor]:
        total = s**2 + self.sigma_data**2
        out = s * self.sigma_data / total.sqrt()
        return self.sigma_data**2 / total, -out if self.kind == "v" else out


def _like(sigma: Tensor, x: Tensor) -> Tensor:
    """sigma as (B, 1, 1, ...) against x (B, ...); a scalar stays one."""
    return sigma if sigma.ndim == 0 else sigma.reshape(-1, *[1] * (x.ndim - 1))


# ---- both together


@dataclass(frozen=True)
class ModelSampling:
    """A schedule and a prediction: all that sampling and training need to know about a diffusion model."""

    schedule: NoiseSchedule = field(default_factory=DiscreteSchedule)
    prediction: Prediction = field(default_factory=Prediction)

    @property
    def is_flow(self) -> bool:
        return self.prediction.is_flow

    def scale_input(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.prediction.scale_input(x, sigma)

    def to_x0(self, output: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        return self.prediction.to_x0(output, x, sigma)

    def add_noise(self, x0: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        return self.prediction.add_noise(x0, noise, sigma)

    def target(self, x0: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        return self.prediction.target(x0, noise, sigma)

    def timestep(self, sigma: Tensor) -> Tensor:
        return self.schedule.timestep(sigma)

    def training_sigma(self, timestep: Tensor) -> Tensor:
        """(B,) integer steps 0..T-1 -> (B,) entries of the sigma table."""
        return self.schedule.sigmas.to(timestep.device)[timestep]

    def starts_at_max(self, sigma: float) -> bool:
        return sigma > self.schedule.sigma_max or math.isclose(sigma, self.schedule.sigma_max, rel_tol=1e-5)

    def start(self, latent: Tensor, noise: Tensor, sigma: float) -> Tensor:
        """The state that a sampler begins with at its first sigma.

        At the model's sigma_max the noise is scaled by sqrt(1 + sigma^2) instead of sigma, so that the scaled input has variance 1 as
        DDPM's x_T has it.
        """
        if not self.is_flow and self.starts_at_max(sigma):
            return noise * math.sqrt(1.0 + sigma**2) + latent
        return self.add_noise(latent, noise, torch.tensor(sigma, dtype=latent.dtype))

    def finish(self, x: Tensor, sigma: float) -> Tensor:
        """Undo the scale of the clean part at the last sigma, so that a later run can start there with no noise added."""
        return x / (1.0 - sigma) if self.is_flow else x
