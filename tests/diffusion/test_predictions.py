"""Noise schedules and prediction kinds: published vectors, inverses and the training side."""

from __future__ import annotations

import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nodegraph.diffusion.predictions import (
    BetaKind,
    DiscreteSchedule,
    EdmSchedule,
    FlowSchedule,
    FluxSchedule,
    ModelSampling,
    NoiseSchedule,
    Prediction,
    PredictionKind,
)
from nodegraph.errors import InputRefused

KINDS: list[PredictionKind] = ["eps", "v", "x0", "flow", "edm"]
SCHEDULES: list[NoiseSchedule] = [
    DiscreteSchedule(),
    DiscreteSchedule("linear", 1e-4, 0.02),
    DiscreteSchedule("cosine"),
    DiscreteSchedule(zero_terminal_snr=True),
    FlowSchedule(3.0),
    FluxSchedule(),
    EdmSchedule(),
]


def latents(seed: int = 0) -> tuple[Tensor, Tensor]:
    pair = torch.randn(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return pair[0], pair[1]


# ---- schedules


def test_linear_betas_of_ddpm() -> None:
    bars = DiscreteSchedule("linear", 1e-4, 0.02).alphas_cumprod()
    for index, value in ((0, 0.9999), (49, 0.9710157), (499, 0.0785872), (999, 4.03583e-05)):
        assert float(bars[index]) == pytest.approx(value, rel=1e-5)


def test_scaled_linear_betas_of_stable_diffusion() -> None:
    schedule = DiscreteSchedule()
    bars = schedule.alphas_cumprod()
    assert float(bars[0]) == pytest.approx(0.99915, rel=1e-9)
    assert float(bars[999]) == pytest.approx(0.00466010, rel=1e-5)
    assert schedule.sigma_min == pytest.approx(0.0291672, rel=1e-5)
    assert schedule.sigma_max == pytest.approx(14.6146, rel=1e-5)


def test_cosine_betas_follow_their_definition() -> None:
    schedule = DiscreteSchedule("cosine")
    betas, bars = schedule.betas(), schedule.alphas_cumprod()
    assert float(betas.max()) <= 0.999
    t = torch.tensor(500 / 1000, dtype=torch.float64)
    half_pi = torch.pi / 2
    expected = torch.cos((t + 0.008) / 1.008 * half_pi) ** 2 / torch.cos(torch.tensor(0.008 / 1.008 * half_pi, dtype=torch.float64)) ** 2
    assert float(bars[499]) == pytest.approx(float(expected), rel=1e-9)
    assert float(bars[999]) < 1e-6


def test_zero_terminal_snr_keeps_the_first_step_and_empties_the_last() -> None:
    plain, rescaled = DiscreteSchedule().alphas_cumprod(), DiscreteSchedule(zero_terminal_snr=True).alphas_cumprod()
    assert float(rescaled[0]) == pytest.approx(float(plain[0]), rel=1e-9)
    assert float(rescaled[-1]) < 1e-7
    assert torch.all(rescaled.diff() < 0)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_sigma_tables_rise(schedule: NoiseSchedule) -> None:
    assert torch.all(schedule.sigmas.diff() > 0)
    assert schedule.sigmas.dtype == torch.float32
    assert schedule.percent_to_sigma(0.0) >= schedule.sigma_max
    assert schedule.percent_to_sigma(1.0) == 0.0


@given(schedule=st.sampled_from(SCHEDULES), a=st.floats(0, 1), b=st.floats(0, 1))
def test_percent_to_sigma_falls(schedule: NoiseSchedule, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert schedule.percent_to_sigma(low) >= schedule.percent_to_sigma(high)


@given(schedule=st.sampled_from([s for s in SCHEDULES if isinstance(s, DiscreteSchedule)]), index=st.integers(0, 999))
def test_a_discrete_timestep_and_its_sigma_are_inverse(schedule: DiscreteSchedule, index: int) -> None:
    sigma = schedule.sigmas[index]
    assert float(schedule.timestep(sigma)) == index
    assert float(schedule.sigma(torch.tensor(float(index)))) == pytest.approx(float(sigma), rel=1e-5)


def test_a_timestep_keeps_the_shape_of_sigma() -> None:
    for schedule in SCHEDULES:
        assert schedule.timestep(torch.full((3,), 0.5)).shape == (3,)
        assert schedule.timestep(torch.tensor(0.5)).shape == ()


def test_unknown_names_are_refused() -> None:
    kind: BetaKind = "squared"  # type: ignore[assignment]
    with pytest.raises(InputRefused, match="scaled_linear"):
        DiscreteSchedule(kind).betas()
    with pytest.raises(InputRefused, match="eps, v, x0, flow"):
        Prediction("epsilon")  # type: ignore[arg-type]


# ---- predictions


@given(kind=st.sampled_from(KINDS), sigma=st.floats(0.01, 0.99), seed=st.integers(0, 99), data_std=st.sampled_from([1.0, 0.5]))
def test_output_and_x0_are_inverse(kind: PredictionKind, sigma: float, seed: int, data_std: float) -> None:
    prediction = Prediction(kind, data_std)
    output, x = latents(seed)
    sigmas = torch.full((3,), sigma, dtype=torch.float64)
    again = prediction.from_x0(prediction.to_x0(output, x, sigmas), x, sigmas)
    torch.testing.assert_close(again, output, atol=1e-10, rtol=1e-10)


@given(kind=st.sampled_from(KINDS), sigma=st.floats(0.01, 0.99), seed=st.integers(0, 99), data_std=st.sampled_from([1.0, 0.5]))
def test_the_training_target_is_the_output_that_means_x0(kind: PredictionKind, sigma: float, seed: int, data_std: float) -> None:
    prediction = Prediction(kind, data_std)
    x0, noise = latents(seed)
    sigmas = torch.tensor([sigma, sigma / 2, sigma / 3], dtype=torch.float64)
    x = prediction.add_noise(x0, noise, sigmas)
    target = prediction.target(x0, noise, sigmas)
    torch.testing.assert_close(prediction.to_x0(target, x, sigmas), x0, atol=1e-12, rtol=1e-12)


def test_v_is_the_rotation_of_salimans_and_ho() -> None:
    x0, noise = latents()
    sigma = torch.tensor([0.1, 1.0, 10.0], dtype=torch.float64)
    bar = (1 / (1 + sigma**2)).reshape(-1, 1, 1, 1)
    torch.testing.assert_close(Prediction("v").target(x0, noise, sigma), bar.sqrt() * noise - (1 - bar).sqrt() * x0)


def test_the_scaled_input_is_ddpms_noisy_image() -> None:
    x0, noise = latents()
    schedule = DiscreteSchedule("linear", 1e-4, 0.02)
    t = torch.tensor([0, 499, 999])
    bar = schedule.alphas_cumprod()[t].reshape(-1, 1, 1, 1)
    sampling = ModelSampling(schedule)
    sigma = sampling.training_sigma(t)
    torch.testing.assert_close(
        sampling.scale_input(sampling.add_noise(x0, noise, sigma), sigma), bar.sqrt() * x0 + (1 - bar).sqrt() * noise, atol=1e-6, rtol=1e-6
    )
    torch.testing.assert_close(sampling.prediction.snr(sigma).double(), (bar / (1 - bar)).flatten(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("data_std", [0.5, 1.0])
def test_edm_preconditioning_has_unit_target_variance(data_std: float) -> None:
    """Karras et al. 2022, app. B.6: for data of standard deviation sigma_data both input and target have variance 1."""
    generator = torch.Generator().manual_seed(0)
    x0 = torch.randn(4, 1, 200, 200, generator=generator, dtype=torch.float64) * data_std
    noise = torch.randn(4, 1, 200, 200, generator=generator, dtype=torch.float64)
    sigma = torch.tensor([0.01, 0.3, 2.0, 60.0], dtype=torch.float64)
    prediction = Prediction("edm", data_std)
    for value in (prediction.target(x0, noise, sigma), prediction.scale_input(prediction.add_noise(x0, noise, sigma), sigma)):
        torch.testing.assert_close(value.var(dim=(1, 2, 3)), torch.ones(4, dtype=torch.float64), rtol=0.03, atol=0)


def test_the_start_at_sigma_max_has_ddpms_variance() -> None:
    sampling = ModelSampling()
    noise = torch.ones(1, 1, 2, 2)
    top, below = sampling.schedule.sigma_max, 5.0
    assert float(sampling.start(torch.zeros_like(noise), noise, top)[0, 0, 0, 0]) == pytest.approx((1 + top**2) ** 0.5, rel=1e-6)
    assert float(sampling.start(torch.zeros_like(noise), noise, below)[0, 0, 0, 0]) == pytest.approx(below, rel=1e-6)


def test_a_flow_is_finished_by_the_inverse_of_its_start() -> None:
    sampling = ModelSampling(FlowSchedule(3.0), Prediction("flow"))
    x0, _ = latents()
    started = sampling.start(x0, torch.zeros_like(x0), 0.4)
    torch.testing.assert_close(sampling.finish(started, 0.4), x0)


def test_model_sampling_is_a_value() -> None:
    sampling = ModelSampling(FlowSchedule(3.0), Prediction("flow"))
    assert pickle.loads(pickle.dumps(sampling)) == sampling
    assert hash(sampling) == hash(ModelSampling(FlowSchedule(3.0), Prediction("flow")))
    assert sampling != ModelSampling(FlowSchedule(2.0), Prediction("flow"))
