"""Sigma schedules: recorded numbers, ends and order, and the Beta distribution they need."""

from __future__ import annotations

from collections.abc import Callable

import golden
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nodegraph.diffusion.predictions import DiscreteSchedule, EdmSchedule, FlowSchedule, FluxSchedule, ModelSampling, Prediction
from nodegraph.diffusion.schedules import (
    SCHEDULES,
    align_your_steps_sigmas,
    beta_cdf,
    beta_quantile,
    beta_sigmas,
    karras_sigmas,
    laplace_sigmas,
    polyexponential_sigmas,
    sd_turbo_sigmas,
    sigmas_for,
    vp_sigmas,
)
from nodegraph.errors import InputRefused

MODELS = {
    "sd15_eps": ModelSampling(),
    "sdxl_eps": ModelSampling(),
    "sd21_v": ModelSampling(DiscreteSchedule(), Prediction("v")),
    "v_zsnr": ModelSampling(DiscreteSchedule(zero_terminal_snr=True), Prediction("v")),
    "sd3_flow_shift3": ModelSampling(FlowSchedule(3.0), Prediction("flow")),
    "auraflow_shift1.73": ModelSampling(FlowSchedule(1.73, multiplier=1.0), Prediction("flow")),
    "flux_shift1.15": ModelSampling(FluxSchedule(1.15), Prediction("flow")),
    "edm_v_120_0.002": ModelSampling(EdmSchedule(0.002, 120.0), Prediction("v")),
}
KEYS = list(golden.arrays("sigmas.npz"))
BETWEEN = {"dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2"}


def close(ours: np.ndarray, key: str) -> None:
    np.testing.assert_allclose(ours, golden.arrays("sigmas.npz")[key], rtol=1e-6, atol=0)


@pytest.mark.parametrize("key", [k for k in KEYS if k.startswith("basic/")])
def test_recorded_schedule(key: str) -> None:
    _, model, schedule, steps, denoise = key.split("/")
    close(sigmas_for(MODELS[model], schedule, int(steps), float(denoise)).numpy(), key)


@pytest.mark.parametrize("key", [k for k in KEYS if k.startswith("ksampler/")])
def test_recorded_schedule_of_a_sampler(key: str) -> None:
    _, model, sampler, schedule, steps, denoise = key.split("/")
    close(sigmas_for(MODELS[model], schedule, int(steps), float(denoise), drop_penultimate=sampler in BETWEEN).numpy(), key)


@pytest.mark.parametrize("key", [k for k in KEYS if k.startswith("range/")])
def test_recorded_range(key: str) -> None:
    _, model, what = key.split("/")
    schedule = MODELS[model].schedule
    if what == "percent_to_sigma":
        close(np.array([schedule.percent_to_sigma(p) for p in (0, 0.1, 0.25, 0.5, 0.9, 1)]), key)
    else:
        close(np.float64(getattr(schedule, what)), key)


@pytest.mark.parametrize(
    ("key", "ours"),
    [
        ("node/KarrasScheduler/12,14.614642,0.0291675,7", lambda: karras_sigmas(12, 0.0291675, 14.614642)),
        ("node/ExponentialScheduler/12,10,0.05", lambda: polyexponential_sigmas(12, 0.05, 10.0)),
        ("node/PolyexponentialScheduler/12,14.614642,0.0291675,1.5", lambda: polyexponential_sigmas(12, 0.0291675, 14.614642, 1.5)),
        ("node/LaplaceScheduler/12,14.614642,0.0291675,0.0,0.5", lambda: laplace_sigmas(12, 0.0291675, 14.614642)),
        ("node/VPScheduler/12,19.9,0.1,0.001", lambda: vp_sigmas(12)),
        ("node/BetaSamplingScheduler/sd15_eps,12,0.5,0.7", lambda: beta_sigmas(DiscreteSchedule(), 12, 0.5, 0.7)),
        ("node/SDTurboScheduler/sd15_eps,1,1.0", lambda: sd_turbo_sigmas(DiscreteSchedule(), 1)),
        ("node/SDTurboScheduler/sd15_eps,4,1.0", lambda: sd_turbo_sigmas(DiscreteSchedule(), 4)),
        ("node/SDTurboScheduler/sd15_eps,2,0.5", lambda: sd_turbo_sigmas(DiscreteSchedule(), 2, 0.5)),
        ("node/AlignYourStepsScheduler/SD1,10,1.0", lambda: align_your_steps_sigmas("SD1", 10)),
        ("node/AlignYourStepsScheduler/SD1,12,0.6", lambda: align_your_steps_sigmas("SD1", 12, 0.6)),
        ("node/AlignYourStepsScheduler/SDXL,10,1.0", lambda: align_your_steps_sigmas("SDXL", 10)),
        ("node/AlignYourStepsScheduler/SDXL,12,0.6", lambda: align_your_steps_sigmas("SDXL", 12, 0.6)),
        ("node/AlignYourStepsScheduler/SVD,10,1.0", lambda: align_your_steps_sigmas("SVD", 10)),
        ("node/AlignYourStepsScheduler/SVD,12,0.6", lambda: align_your_steps_sigmas("SVD", 12, 0.6)),
    ],
)
def test_recorded_free_schedule(key: str, ours: Callable[[], Tensor]) -> None:
    close(ours().numpy(), key)


@given(steps=st.integers(1, 60), name=st.sampled_from(sorted(SCHEDULES)), model=st.sampled_from(sorted(MODELS)))
def test_every_schedule_falls_to_zero(steps: int, name: str, model: str) -> None:
    sigmas = sigmas_for(MODELS[model], name, steps)
    assert sigmas.dtype == torch.float32
    assert sigmas[-1] == 0
    assert torch.all(sigmas.diff() < 0)
    assert float(sigmas[0]) <= MODELS[model].schedule.sigma_max * (1 + 1e-5)
    if name not in ("ddim_uniform", "beta"):
        assert len(sigmas) == steps + 1


@given(steps=st.integers(1, 40), denoise=st.floats(0.05, 1.0))
def test_denoise_keeps_the_tail(steps: int, denoise: float) -> None:
    part = sigmas_for(ModelSampling(), "karras", steps, denoise)
    whole = sigmas_for(ModelSampling(), "karras", steps if denoise > 0.9999 else int(steps / denoise))
    assert torch.equal(part, whole[-len(part) :])
    assert len(part) == steps + 1


def test_denoise_zero_runs_nothing() -> None:
    assert len(sigmas_for(ModelSampling(), "karras", 10, 0.0)) == 0


def test_unknown_schedule_names_the_known() -> None:
    with pytest.raises(InputRefused, match="karras"):
        sigmas_for(ModelSampling(), "karas", 10)


def test_beta_cdf_is_the_arcsine_law_at_one_half() -> None:
    x = np.linspace(0, 1, 101)
    np.testing.assert_allclose(beta_cdf(x, 0.5, 0.5), 2 / np.pi * np.arcsin(np.sqrt(x)), atol=1e-13)


@given(a=st.floats(0.5, 8), b=st.floats(0.5, 8), p=st.floats(0.01, 0.99))
def test_beta_quantile_inverts_the_cdf(a: float, b: float, p: float) -> None:
    assert beta_cdf(beta_quantile(np.array(p), a, b), a, b) == pytest.approx(p, abs=1e-9)


@given(a=st.floats(0.2, 8), b=st.floats(0.2, 8), x=st.floats(0.001, 0.999))
def test_beta_cdf_is_symmetric(a: float, b: float, x: float) -> None:
    assert beta_cdf(np.array(x), a, b) + beta_cdf(np.array(1 - x), b, a) == pytest.approx(1, abs=1e-10)
