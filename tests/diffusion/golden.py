"""Recorded numbers, and the analytic denoiser that the sampler numbers were recorded on."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).parent.parent / "data" / "golden"


@cache
def arrays(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / name) as file:
        return {key: file[key] for key in file.files}


def sampler_tensor(key: str) -> Tensor:
    return torch.from_numpy(arrays("samplers.npz")[key])


def model_calls(key: str) -> int:
    """How many times the recorded run called the model."""
    return int(json.loads((FOLDER / "model_calls.json").read_text(encoding="utf-8"))[key])


class Mixture:
    """E[x0 | x] for data from a mixture of Gaussians, in float64; `flow` says x = (1 - sigma) x0 + sigma n, else x = x0 + sigma n."""

    def __init__(self, weights: list[float], std: list[float], means: list[list[float]]) -> None:
        self.log_weights = torch.tensor(weights, dtype=torch.float64).log()
        self.std = torch.tensor(std, dtype=torch.float64)
        self.means = torch.tensor(means, dtype=torch.float64)  # (K, D)

    def denoise(self, x: Tensor, sigma: Tensor, flow: bool) -> Tensor:
        y = x.double().reshape(x.shape[0], 1, -1)  # (B, 1, D)
        s = sigma.double().reshape(-1, 1, 1)
        scale = 1 - s if flow else torch.ones_like(s)
        std = self.std.reshape(1, -1, 1)
        variance = (scale * std) ** 2 + s**2  # (B, K, 1)
        rest = y - scale * self.means  # (B, K, D)
        logp = self.log_weights - 0.5 * (rest**2 / variance).sum(-1) - 0.5 * y.shape[-1] * variance[..., 0].log()
        share = logp.softmax(dim=1).unsqueeze(-1)
        x0 = self.means + (scale * std**2 / variance) * rest
        return (share * x0).sum(1).reshape(x.shape).to(x.dtype)


class Toy:
    """A guided mixture as a denoiser; counts its calls."""

    def __init__(self, flow: bool) -> None:
        data = json.loads((FOLDER / "mixture.json").read_text(encoding="utf-8"))
        self.scale, self.flow, self.calls = data["cfg"], flow, 0
        self.cond, self.uncond = Mixture(**data["cond"]), Mixture(**data["uncond"])

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.calls += 1
        cond, uncond = self.cond.denoise(x, sigma, self.flow), self.uncond.denoise(x, sigma, self.flow)
        return uncond + (cond - uncond) * self.scale
