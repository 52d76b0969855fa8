"""Noise led from one seed towards another: the ends are the two seeds, the way between keeps its strength."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_sampling import EPS, NEGATIVE, POSITIVE, latent, net, run_of
from torch import Tensor

from nodegraph.diffusion.guidance import NetCall
from nodegraph.diffusion.noise import NoiseSource, Variation
from nodegraph.diffusion.samplers import SAMPLERS
from nodegraph.diffusion.sampling import sample
from nodegraph.errors import InputRefused

SEED = st.integers(0, 2**64 - 1)
SHAPE = (2, 4, 8, 8)


def result(sampler: str, seed: int, variation: Variation | None = None) -> Tensor:
    return run_of(sampler=sampler, schedule="karras", seed=seed, variation=variation).result()


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_strength_0_is_the_seed_and_strength_1_the_other_to_the_bit(sampler: str) -> None:
    own, other = result(sampler, 5), result(sampler, 6)
    assert torch.equal(result(sampler, 5, Variation(6, 0.0)), own)
    assert torch.equal(result(sampler, 5, Variation(6, 1.0)), other)
    between = result(sampler, 5, Variation(6, 0.4))
    assert not torch.equal(between, own)
    assert not torch.equal(between, other)


@given(seed=SEED, other=SEED, strength=st.floats(0, 1))
def test_the_noise_stays_as_strong_on_the_way(seed: int, other: int, strength: float) -> None:
    ends = [NoiseSource(each).initial(SHAPE).flatten(1).norm(dim=1) for each in (seed, other)]
    length = NoiseSource(seed, variation=Variation(other, strength)).initial(SHAPE).flatten(1).norm(dim=1)
    torch.testing.assert_close(length, ends[0] * (1 - strength) + ends[1] * strength, rtol=1e-4, atol=0)


@given(seed=SEED, strength=st.floats(0, 1))
def test_led_towards_itself_it_is_itself(seed: int, strength: float) -> None:
    varied = NoiseSource(seed, variation=Variation(seed, strength)).initial(SHAPE)
    torch.testing.assert_close(varied, NoiseSource(seed).initial(SHAPE), rtol=0, atol=1e-6)


@settings(max_examples=20)
@given(strength=st.floats(0.05, 0.95))
def test_there_and_back_are_one_way(strength: float) -> None:
    there = NoiseSource(1, variation=Variation(2, strength)).initial(SHAPE)
    back = NoiseSource(2, variation=Variation(1, 1 - strength)).initial(SHAPE)
    torch.testing.assert_close(there, back, rtol=0, atol=1e-5)


def test_a_little_further_is_a_little_different() -> None:
    """No jump on the way, at the ends neither: what an animation needs."""
    way = [result("euler_ancestral", 5, Variation(6, k / 40)) for k in range(41)]
    steps = torch.stack([(b - a).abs().mean() for a, b in itertools.pairwise(way)])
    assert float(steps.max()) < 4 * float(steps.mean())


def test_a_row_of_a_batch_keeps_its_noise() -> None:
    variation = Variation(6, 0.3)
    together = NoiseSource(5, variation=variation).initial((3, 4, 8, 8))
    assert torch.equal(NoiseSource(5, (2, 0), variation=variation).initial((2, 4, 8, 8)), together[[2, 0]])


def test_the_noise_outside_a_mask_is_that_of_the_other_seed_too() -> None:
    """`ddim` puts fresh noise outside the mask."""
    mask = torch.zeros(8, 8)
    mask[:4] = 1

    def blurring(call: NetCall) -> Tensor:
        return net(call) + call.x.mean(dim=(1, 2, 3), keepdim=True)  # so that the outside is felt inside

    def run(seed: int, variation: Variation | None = None) -> Tensor:
        return sample(
            blurring, EPS, latent(1), POSITIVE, NEGATIVE, seed=seed, steps=4, sampler="ddim", mask=mask, variation=variation
        ).result()

    assert torch.equal(run(5, Variation(6, 1.0)), run(6))


@pytest.mark.parametrize(("seed", "strength", "name"), [(-1, 0.5, "variation_seed"), (2**64, 0.5, "variation_seed"), (1, 1.5, "strength")])
def test_what_is_out_of_range_is_refused_by_name(seed: int, strength: float, name: str) -> None:
    with pytest.raises(InputRefused, match=name):
        Variation(seed, strength)
