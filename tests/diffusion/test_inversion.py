"""DDIM inversion: there and back again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nodegraph.diffusion.inversion import invert
from nodegraph.diffusion.noise import NoiseSource
from nodegraph.diffusion.predictions import FlowSchedule, ModelSampling, Prediction
from nodegraph.diffusion.samplers import SAMPLERS
from nodegraph.diffusion.schedules import sigmas_for


def gaussian(flow: bool) -> Callable[[Tensor, Tensor], Tensor]:
    """E[x0 | x] for channels of different standard deviation."""
    std = torch.tensor([0.3, 0.6, 1.0, 1.5]).reshape(1, 4, 1, 1)

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        s = sigma.reshape(-1, 1, 1, 1)
        alpha = 1 - s if flow else torch.ones_like(s)
        return x * alpha * std**2 / ((alpha * std) ** 2 + s**2)

    return denoise


def round_trip_error(steps: int, flow: bool) -> float:
    """Relative error of a latent after inversion and sampling."""
    sampling = ModelSampling(FlowSchedule(), Prediction("flow")) if flow else ModelSampling()
    sigmas, denoise = sigmas_for(sampling, "simple", steps), gaussian(flow)
    latent = NoiseSource(4).initial((1, 4, 8, 8))
    *_, noised = invert(denoise, latent, sigmas.flip(0), flow=flow)
    *_, last = SAMPLERS["euler"].function(denoise, noised.x, sigmas, noise=NoiseSource(0), flow=flow)
    return float((last.x - latent).norm() / latent.norm())


@pytest.mark.parametrize("flow", [False, True])
def test_the_round_trip_gets_exact_with_more_steps(flow: bool) -> None:
    few, many = round_trip_error(50, flow), round_trip_error(400, flow)
    assert few < 0.06
    assert many == pytest.approx(few / 8, rel=0.15)  # of first order
