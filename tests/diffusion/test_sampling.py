"""Whole runs: masks, parts of a schedule, previews, and refusals."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nodegraph.diffusion.entries import Prompt
from nodegraph.diffusion.guidance import NetCall
from nodegraph.diffusion.predictions import DiscreteSchedule, FlowSchedule, ModelSampling, Prediction
from nodegraph.diffusion.preview import SD15, SDXL, fit_factors, latent_to_rgb
from nodegraph.diffusion.samplers import SAMPLERS
from nodegraph.diffusion.sampling import Run, sample
from nodegraph.errors import InputRefused

EPS = ModelSampling(DiscreteSchedule(), Prediction("eps"))
V = ModelSampling(DiscreteSchedule(zero_terminal_snr=True), Prediction("v"))
FLOW = ModelSampling(FlowSchedule(3.0), Prediction("flow"))
POSITIVE, NEGATIVE = [Prompt(torch.full((1, 2, 3), 0.5))], [Prompt(torch.full((1, 2, 3), -0.2))]
STEPWISE = [name for name in SAMPLERS if name not in ("dpm_fast", "dpm_adaptive")]


def net(call: NetCall) -> Tensor:
    """Any smooth function of input, time and prompt will do: the laws here hold for all of them."""
    lead = (-1, 1, 1, 1)
    return torch.tanh(call.x) * 0.8 + call.context.mean(dim=(1, 2)).reshape(lead) + 0.1 * torch.cos(call.t.reshape(lead))


def latent(seed: int = 0, batch: int = 1) -> Tensor:
    return torch.randn(batch, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


def run_of(sampling: ModelSampling = EPS, start: Tensor | None = None, **options: object) -> Run:
    settings_ = {"seed": 5, "steps": 6, "cfg": 3.0, **options}
    return sample(net, sampling, torch.zeros(1, 4, 8, 8) if start is None else start, POSITIVE, NEGATIVE, **settings_)  # type: ignore[arg-type]


# ---- runs are values


@pytest.mark.parametrize("sampler", list(SAMPLERS))
@pytest.mark.parametrize("sampling", [EPS, V, FLOW], ids=["eps", "v", "flow"])
def test_a_run_is_repeatable_and_finite(sampling: ModelSampling, sampler: str) -> None:
    run = run_of(sampling, sampler=sampler, schedule="simple")
    first = run.result()
    assert first.shape == (1, 4, 8, 8)
    assert bool(first.isfinite().all())
    assert torch.equal(run.result(), first)
    assert not torch.equal(run_of(sampling, sampler=sampler, schedule="simple", seed=6).result(), first)


@pytest.mark.parametrize("sampler", STEPWISE)
def test_a_run_has_as_many_steps_as_it_says(sampler: str) -> None:
    run = run_of(sampler=sampler, schedule="karras")
    steps = list(run)
    assert len(run) == len(steps) == 6
    assert steps[0].sigma == pytest.approx(14.6146, rel=1e-4)
    assert [a.sigma_next for a in steps[:-1]] == [b.sigma for b in steps[1:]]


def test_the_given_latent_is_not_touched() -> None:
    start = latent()
    before = start.clone()
    run_of(start=start, denoise=0.5, mask=torch.ones(8, 8)).result()
    assert torch.equal(start, before)


# ---- masks


@pytest.mark.parametrize("sampler", list(SAMPLERS))
@pytest.mark.parametrize("sampling", [EPS, FLOW], ids=["eps", "flow"])
def test_outside_the_mask_nothing_changes(sampling: ModelSampling, sampler: str) -> None:
    start = latent(3)
    mask = torch.zeros(8, 8)
    mask[2:6, 1:5] = 1
    out = run_of(sampling, start, sampler=sampler, schedule="simple", mask=mask).result()
    outside = mask.expand_as(out) == 0
    assert torch.equal(out[outside], start[outside])
    assert not torch.isclose(out[~outside], start[~outside]).any()


def test_a_full_mask_is_no_mask() -> None:
    torch.testing.assert_close(run_of(mask=torch.ones(8, 8)).result(), run_of().result(), atol=1e-6, rtol=1e-6)


def test_a_mask_is_resized_and_repeated() -> None:
    mask = torch.zeros(1, 64, 64)
    mask[:, :, 32:] = 1
    run = run_of(start=latent(batch=3), mask=mask)
    assert run.mask is not None
    assert run.mask.shape == (3, 1, 8, 8)
    assert torch.all(run.mask[..., :4] == 0)
    assert torch.all(run.mask[..., 4:] == 1)


def test_the_mask_of_ddim_has_its_own_noise() -> None:
    """With eta 0, ddim is euler; under a mask it differs by the noise put back outside."""
    mask = torch.zeros(8, 8)
    mask[:4] = 1

    def blurring(call: NetCall) -> Tensor:
        return net(call) + call.x.mean(dim=(1, 2, 3), keepdim=True)  # so that the outside is felt inside

    ends = [sample(blurring, EPS, latent(1), POSITIVE, NEGATIVE, seed=5, steps=6, sampler=s, mask=mask).result() for s in ("euler", "ddim")]
    plain = [sample(blurring, EPS, latent(1), POSITIVE, NEGATIVE, seed=5, steps=6, sampler=s).result() for s in ("euler", "ddim")]
    assert torch.equal(*plain)
    assert not torch.allclose(*ends)


# ---- parts of a run


@settings(max_examples=25)
@given(split=st.integers(1, 5), sampler=st.sampled_from(["euler", "heun", "dpm_2", "ddim"]), flow=st.booleans())
def test_two_halves_make_the_whole(split: int, sampler: str, flow: bool) -> None:
    sampling = FLOW if flow else EPS
    options = {"sampler": sampler, "schedule": "simple"}
    first = run_of(sampling, end_step=split, leftover_noise=True, **options).result()
    second = run_of(sampling, first, start_step=split, add_noise=False, **options).result()
    torch.testing.assert_close(second, run_of(sampling, **options).result(), atol=1e-4, rtol=1e-4)


def test_without_leftover_noise_the_last_step_goes_to_zero() -> None:
    run = run_of(end_step=3)
    assert len(run) == 3
    assert list(run)[-1].sigma_next == 0.0


@pytest.mark.parametrize("options", [{"start_step": 6}, {"start_step": 99}, {"end_step": 0}, {"denoise": 0.0}])
def test_a_run_of_no_steps_gives_the_latent_back(options: dict[str, float]) -> None:
    start = latent(2)
    run = run_of(start=start, **options)
    assert len(run) == 0
    assert torch.equal(run.result(), start)


def test_denoise_starts_from_the_latent() -> None:
    start = latent(2)
    run = run_of(start=start, denoise=0.3, schedule="karras")
    assert len(run) == 6
    assert float(run.sigmas[0]) < 5
    nearer = (run_of(start=start, denoise=0.05, schedule="karras").result() - start).abs().mean()
    assert nearer < (run.result() - start).abs().mean()


def test_free_sigmas_are_used_as_they_are() -> None:
    run = run_of(sigmas=torch.tensor([5.0, 2.0, 0.0]))
    assert [step.sigma for step in run] == [5.0, 2.0]


# ---- refusals


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"sampler": "eular"}, "euler"),
        ({"schedule": "normel"}, "normal"),
        ({"steps": 0}, "steps is 0"),
        ({"seed": -1}, "seed"),
        ({"start_step": -1}, "start_step is -1"),
        ({"sampler": "ddim", "options": {"etta": 1.0}}, "eta"),
    ],
)
def test_what_cannot_run_is_refused_before_it_starts(options: dict[str, object], says: str) -> None:
    with pytest.raises(InputRefused, match=says):
        run_of(**options)


def test_sampler_options_reach_the_sampler() -> None:
    assert not torch.equal(run_of(sampler="ddim", options={"eta": 1.0}).result(), run_of(sampler="ddim").result())


# ---- previews


def test_a_preview_is_a_small_picture() -> None:
    rgb = latent_to_rgb(latent(batch=2), SD15)
    assert rgb.shape == (2, 8, 8, 3)
    assert rgb.dtype.name == "uint8"
    assert latent_to_rgb(torch.zeros(1, 4, 2, 2), SD15).flatten().tolist() == [127] * 12


def test_a_preview_of_the_wrong_channels_is_refused() -> None:
    with pytest.raises(InputRefused, match="16 channels"):
        latent_to_rgb(torch.zeros(1, 16, 2, 2), SDXL)


def test_factors_are_recovered_by_the_fit() -> None:
    latents = latent(batch=4)
    pictures = torch.einsum("bchw,cr->brhw", latents, torch.tensor(SDXL.weights)) + torch.tensor(SDXL.bias).reshape(1, 3, 1, 1)
    found = fit_factors(latents, pictures)
    torch.testing.assert_close(torch.tensor(found.weights), torch.tensor(SDXL.weights), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.tensor(found.bias), torch.tensor(SDXL.bias), atol=1e-5, rtol=1e-5)
