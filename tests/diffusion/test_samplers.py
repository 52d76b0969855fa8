"""Samplers: recorded numbers, order of convergence in closed form, counts and determinism."""

from __future__ import annotations

import math

import golden
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nodegraph.diffusion.brownian import BrownianPath
from nodegraph.diffusion.noise import NoiseSource
from nodegraph.diffusion.predictions import DiscreteSchedule, FlowSchedule, ModelSampling, Prediction
from nodegraph.diffusion.samplers import SAMPLERS, SamplerSpec
from nodegraph.diffusion.sampling import Run
from nodegraph.diffusion.schedules import karras_sigmas, sigmas_for
from nodegraph.diffusion.solvers_ode import adams_weights
from nodegraph.errors import InputRefused

EPS = ModelSampling(DiscreteSchedule(), Prediction("eps"))
FLOW = ModelSampling(FlowSchedule(3.0), Prediction("flow"))
CASES = [k for k in golden.arrays("samplers.npz") if "/" in k and k.split("/")[0] not in ("noise",) and not k.endswith("/sigmas")]


def recorded_run(key: str) -> tuple[Run, golden.Toy]:
    case, name = key.split("/")
    sampling = FLOW if case == "flow" else EPS
    sigmas = golden.sampler_tensor("flow/sigmas" if case == "flow" else "eps/sigmas")
    sigmas = {"eps_latent_tail6": sigmas[-7:], "eps_leftover": sigmas[:6]}.get(case, sigmas)
    latent = golden.sampler_tensor("latent") if case in ("eps_latent_tail6", "eps_mask") else torch.zeros(1, 4, 8, 8)
    latent = latent.repeat(2, 1, 1, 1) if case == "eps_batch2" else latent
    source = NoiseSource(42)
    toy = golden.Toy(sampling.is_flow)
    return Run(
        denoise=toy,
        sampling=sampling,
        sampler=SAMPLERS[name],
        sigmas=sigmas,
        latent=latent,
        noise=source.initial(latent.shape),
        source=source,
        mask=golden.sampler_tensor("mask") if case == "eps_mask" else None,
    ), toy


def finished(run: Run) -> Tensor:
    *_, last = run
    return run.finish(last)


@pytest.mark.parametrize("key", CASES)
def test_recorded_sampler(key: str) -> None:
    run, toy = recorded_run(key)
    found = finished(run)
    if run.mask is not None:  # ComfyUI leaves what the sampler made of the outside, we put the latent back there
        assert torch.equal(found[run.mask.expand_as(found) == 0], run.latent[run.mask.expand_as(found) == 0])
        found = torch.where(run.mask == 0, golden.sampler_tensor(key), found)
    torch.testing.assert_close(found, golden.sampler_tensor(key), atol=1e-4, rtol=0)
    assert toy.calls == golden.model_calls(key)


# ---- the ODE in closed form: for data ~ N(0, s^2) the ideal denoiser is linear and x(b) = x(a) sqrt((s^2 + b^2) / (s^2 + a^2))

DATA_STD = 0.5
# Observed orders that differ from the formal one: the last steps of dpm_fast are of order 2 and 1; the first of a multistep method are too;
# ipndm's even weights are of order 2 on a smooth schedule; heunpp2 and gradient_estimation weigh slopes in a way that is of order 1.
OBSERVED = {"lms": 3.3, "dpm_fast": 2.0, "dpmpp_3m_sde": 2.0, "ipndm": 2.0, "uni_pc": 2.0, "uni_pc_bh2": 2.0}
# These have no ODE underneath, or choose their own steps.
ODE_SAMPLERS = [name for name in SAMPLERS if name not in ("ddpm", "lcm", "er_sde", "dpm_adaptive")]


def gaussian(x: Tensor, sigma: Tensor) -> Tensor:
    return x * DATA_STD**2 / (DATA_STD**2 + sigma.reshape(-1, 1, 1, 1) ** 2)


def without_noise(spec: SamplerSpec) -> dict[str, float]:
    return {name: 0.0 for name in ("eta", "s_noise") if name in spec.options}


def ode_error(name: str, steps: int) -> float:
    spec = SAMPLERS[name]
    sigmas = karras_sigmas(steps, 0.1, 10.0)[:-1].double()
    x = torch.full((1, 1, 1, 1), 3.0, dtype=torch.float64)
    *_, last = spec.function(gaussian, x, sigmas, noise=NoiseSource(0), **without_noise(spec))
    exact = 3.0 * math.sqrt((DATA_STD**2 + float(sigmas[-1]) ** 2) / (DATA_STD**2 + float(sigmas[0]) ** 2))
    return abs(float(last.x) - exact)


@pytest.mark.parametrize("name", ODE_SAMPLERS)
def test_order_of_convergence(name: str) -> None:
    observed = math.log2(ode_error(name, 40) / ode_error(name, 160)) / 2
    expected = OBSERVED.get(name, SAMPLERS[name].order)
    assert expected - 0.2 < observed < expected + 0.5


def test_adaptive_error_follows_its_tolerance() -> None:
    sigmas = karras_sigmas(10, 0.1, 10.0)[:-1].double()
    x = torch.full((1, 1, 1, 1), 3.0, dtype=torch.float64)
    exact = 3.0 * math.sqrt((DATA_STD**2 + 0.01) / (DATA_STD**2 + 100))
    errors = []
    for tolerance in (0.05, 0.005, 0.0005):
        *_, last = SAMPLERS["dpm_adaptive"].function(gaussian, x, sigmas, noise=NoiseSource(0), rtol=tolerance, atol=tolerance / 10)
        errors.append(abs(float(last.x) - exact))
    assert errors[0] > errors[1] > 2 * errors[2]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_adams_weights_integrate_polynomials_exactly(order: int) -> None:
    nodes = [3.0, 3.7, 5.1, 7.3][:order]
    for power in range(order):
        integral = sum(w * n**power for w, n in zip(adams_weights(nodes, 3.0, 2.2), nodes, strict=True))
        assert integral == pytest.approx((2.2 ** (power + 1) - 3.0 ** (power + 1)) / (power + 1), rel=1e-9)


# ---- laws


@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize("name", [name for name, spec in SAMPLERS.items() if not spec.stochastic])
def test_an_oracle_is_followed_exactly(name: str, flow: bool) -> None:
    """With the true x0 known, every state of a deterministic solver is x0 noised to its sigma."""
    x0, n = torch.randn(2, 2, 4, 4, 4, generator=torch.Generator().manual_seed(1)).double()
    sigmas = torch.linspace(0.95, 0.0, 9).double()

    def noised(sigma: float) -> Tensor:
        return (1 - sigma) * x0 + sigma * n if flow else x0 + sigma * n

    for step in SAMPLERS[name].function(lambda x, s: x0, noised(0.95), sigmas, noise=NoiseSource(0), flow=flow):
        if step.sigma_next > 0 or name not in ("dpm_fast", "dpm_adaptive"):  # these stop before 0
            torch.testing.assert_close(step.x, noised(step.sigma_next), atol=2e-4 if name.startswith("uni_pc") else 1e-6, rtol=0)


@pytest.mark.parametrize("name", [name for name, spec in SAMPLERS.items() if spec.stochastic])
def test_a_stochastic_sampler_ends_on_an_oracle(name: str) -> None:
    x0 = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    *_, last = SAMPLERS[name].function(lambda x, s: x0, torch.randn(2, 4, 4, 4) * 10, karras_sigmas(6, 0.1, 10.0), noise=NoiseSource(0))
    torch.testing.assert_close(last.x, x0, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", [name for name, spec in SAMPLERS.items() if spec.stochastic and name != "lcm"])
def test_a_stochastic_sampler_keeps_the_distribution(name: str) -> None:
    """Many small steps on Gaussian data must end with the variance of the data, noise included. (lcm is not meant to.)"""
    sigmas = karras_sigmas(400, 0.1, 10.0)[:-1]
    start = torch.randn(1, 1, 96, 96, generator=torch.Generator().manual_seed(5)) * math.sqrt(DATA_STD**2 + 100)
    *_, last = SAMPLERS[name].function(gaussian, start, sigmas, noise=NoiseSource(0))
    assert float(last.x.var()) == pytest.approx(DATA_STD**2 + 0.01, rel=0.05)


@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize("name", list(SAMPLERS))
def test_few_steps_are_finite_and_counted(name: str, steps: int, flow: bool) -> None:
    sampling = FLOW if flow else EPS
    sigmas = sigmas_for(sampling, "simple", steps, drop_penultimate=SAMPLERS[name].drop_penultimate)
    x = NoiseSource(3).initial((1, 4, 4, 4)) * float(sigmas[0])
    before = x.clone()
    found = list(SAMPLERS[name].function(gaussian, x, sigmas, noise=NoiseSource(3), flow=flow))
    assert torch.equal(x, before)
    assert all(bool(step.x.isfinite().all()) for step in found)
    assert [step.index for step in found] == list(range(len(found)))
    if not name.startswith(("dpm_fast", "dpm_adaptive")):
        assert len(found) == found[0].total == steps
    assert found[-1].index == found[-1].total - 1


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "dpm_adaptive"])  # its step size looks at the whole batch
def test_a_row_of_a_batch_can_be_made_alone(name: str) -> None:
    sigmas = karras_sigmas(5, 0.1, 10.0)

    def run(source: NoiseSource, batch: int) -> Tensor:
        x = source.initial((batch, 4, 4, 4)) * 10
        *_, last = SAMPLERS[name].function(gaussian, x, sigmas, noise=source)
        return last.x

    together = run(NoiseSource(9), 3)
    assert torch.equal(run(NoiseSource(9, (1,), 3), 1), together[1:2])
    assert torch.equal(run(NoiseSource(9, (2, 0), 3), 2), together[[2, 0]])


def test_ddim_with_eta_one_is_ddpm() -> None:
    """Over all 1000 steps DDIM with eta 1 and DDPM with the small variance are the same sampler (Song et al. 2020, sec. 4.1)."""
    sigmas = torch.cat([EPS.schedule.sigmas.flip(0), torch.zeros(1)]).double()
    start = NoiseSource(1).initial((1, 4, 4, 4)).double() * 14.6
    runs = [
        list(SAMPLERS[name].function(gaussian, start, sigmas, noise=NoiseSource(1), **options))
        for name, options in (("ddim", {"eta": 1.0}), ("ddpm", {"variance": "small"}))
    ]
    for a, b in zip(*runs, strict=True):
        torch.testing.assert_close(a.x / math.sqrt(1 + a.sigma_next**2), b.x / math.sqrt(1 + b.sigma_next**2), atol=1e-5, rtol=0)


def test_ddim_eta_scales_sigma_not_variance() -> None:
    """With x0 = 0 and x = 0 only the injected noise is left: its standard deviation must be linear in eta."""
    sigmas = torch.tensor([4.0, 2.0, 1.0])
    zeros = torch.zeros(1, 1, 64, 64)
    stds = []
    for eta in (0.25, 0.5, 1.0):
        first = next(iter(SAMPLERS["ddim"].function(lambda x, s: torch.zeros_like(x), zeros, sigmas, noise=NoiseSource(2), eta=eta)))
        stds.append(float(first.x.std()))
    assert stds[1] / stds[0] == pytest.approx(2, rel=1e-4)
    assert stds[2] / stds[1] == pytest.approx(2, rel=1e-4)


def test_sigma_hat_is_far_noisier_than_eta_zero() -> None:
    sigmas = sigmas_for(EPS, "ddim_uniform", 20)
    start = NoiseSource(2).initial((1, 1, 32, 32)) * float(sigmas[0])
    ends = []
    for options in ({"eta": 0.0}, {"sigma_hat": True}):
        *_, last = SAMPLERS["ddim"].function(gaussian, start, sigmas[:-1], noise=NoiseSource(2), **options)
        assert bool(last.x.isfinite().all())
        ends.append(float(last.x.diff().var()))  # the energy of the finest detail
    assert ends[1] > 1.3 * ends[0]


def test_lms_of_order_one_is_euler() -> None:
    sigmas, start = karras_sigmas(8, 0.1, 10.0), torch.full((1, 1, 2, 2), 7.0)
    *_, lms = SAMPLERS["lms"].function(gaussian, start, sigmas, noise=NoiseSource(0), order=1)
    *_, euler = SAMPLERS["euler"].function(gaussian, start, sigmas, noise=NoiseSource(0))
    torch.testing.assert_close(lms.x, euler.x, atol=1e-6, rtol=1e-6)


def test_every_sampler_says_what_it_is() -> None:
    for name, spec in SAMPLERS.items():
        assert spec.name == name
        assert len(spec.doc) > 20
        assert spec.order >= 1


# ---- noise


@given(seed=st.integers(0, 2**64 - 1))
def test_initial_noise_is_torchs_for_that_seed(seed: int) -> None:
    expected = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(NoiseSource(seed).initial((2, 4, 4, 4)), expected)


def test_recorded_initial_noise() -> None:
    assert torch.equal(NoiseSource(42).initial((1, 4, 8, 8)), golden.sampler_tensor("noise/1"))
    assert torch.equal(NoiseSource(42).initial((2, 4, 8, 8)), golden.sampler_tensor("noise/2"))


def test_brownian_path_agrees_with_torchsde() -> None:
    torchsde = pytest.importorskip("torchsde")
    tree = torchsde.BrownianTree(t0=0.03, w0=torch.zeros(1, 4, 4, 4), t1=14.6, entropy=7)
    path = BrownianPath(0.03, 14.6, (1, 4, 4, 4), 7)
    for low, high in ((0.03, 14.6), (1.25, 9.0), (0.5, 1.25), (0.031, 0.5), (0.03, 0.030002)):
        torch.testing.assert_close(path.increment(low, high), tree(low, high), atol=5e-6, rtol=0)


@given(times=st.lists(st.floats(0.1, 5.0), min_size=3, max_size=3, unique=True))
def test_brownian_increments_add_up(times: list[float]) -> None:
    a, b, c = sorted(times)
    path, again = BrownianPath(0.1, 5.0, (2, 2), 3), BrownianPath(0.1, 5.0, (2, 2), 3)
    torch.testing.assert_close(path.increment(a, b) + path.increment(b, c), path.increment(a, c), atol=1e-5, rtol=0)
    assert torch.equal(again.increment(a, c), path.increment(a, c))


def test_brownian_increments_have_the_variance_of_their_length() -> None:
    path = BrownianPath(0.0, 8.0, (160, 160), 11)
    for low, high in ((0.0, 1.0), (1.0, 1.5), (2.3, 7.9)):
        assert float(path.increment(low, high).var()) == pytest.approx(high - low, rel=0.03)
    left, right = path.increment(0.0, 3.0), path.increment(3.0, 8.0)
    assert abs(float((left * right).mean())) < 0.1


def test_bad_seeds_and_rows_are_refused() -> None:
    with pytest.raises(InputRefused, match="2\\^64"):
        NoiseSource(-1)
    with pytest.raises(InputRefused, match="1 rows, the latent has 2"):
        NoiseSource(1, (0,)).initial((2, 4, 4, 4))


def test_every_sampler_has_recorded_numbers() -> None:
    """One recording in each convention, at least."""
    for case in ("eps", "flow"):
        assert {key.split("/")[1] for key in CASES if key.startswith(f"{case}/")} == set(SAMPLERS)
