"""Samplers: recorded numbers, order of convergence in closed form, counts and determinism."""

from __future__ import annotations

import golden
import pytest
import torch
from torch import Tensor

from nodegraph.diffusion.noise import NoiseSource
from nodegraph.diffusion.predictions import DiscreteSchedule, FlowSchedule, ModelSampling, Prediction
from nodegraph.diffusion.samplers import SAMPLERS
from nodegraph.diffusion.sampling import Run

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


@pytest.mark.parametrize("key", [k for k in CASES if k.split("/")[1] in SAMPLERS])
def test_recorded_sampler(key: str) -> None:
    run, toy = recorded_run(key)
    found = finished(run)
    if run.mask is not None:  # ComfyUI leaves what the sampler made of the outside, we put the latent back there
        found = torch.where(run.mask == 0, golden.sampler_tensor(key), found)
    torch.testing.assert_close(found, golden.sampler_tensor(key), atol=1e-4, rtol=0)
    assert toy.calls == golden.model_calls(key)
