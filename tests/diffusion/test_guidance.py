"""Guidance: what is called with which rows, and how the answers are combined."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from nodegraph.diffusion.entries import Prompt
from nodegraph.diffusion.guidance import GuidanceCall, NetCall, cfg, make_denoiser, rescale_cfg
from nodegraph.diffusion.predictions import ModelSampling
from nodegraph.diffusion.regions import Area, Mask, region_weight
from nodegraph.errors import InputRefused

SAMPLING = ModelSampling()


@dataclass
class Net:
    """A tiny real network: pixels attend to the context tokens. Keeps the calls it got."""

    calls: list[NetCall] = field(default_factory=list)

    def __call__(self, call: NetCall) -> Tensor:
        self.calls.append(call)
        n, c, h, w = call.x.shape
        queries = call.x.reshape(n, c, h * w).transpose(1, 2)  # (N, h * w, C)
        out = scaled_dot_product_attention(queries, call.context, call.context)
        shift = 0 if call.pooled is None else call.pooled.mean(dim=1).reshape(-1, 1, 1, 1)
        return out.transpose(1, 2).reshape(n, c, h, w) + 0.1 * call.x + shift


def tensor(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def prompt(seed: int, tokens: int = 3, **options: object) -> Prompt:
    return Prompt(tensor(1, tokens, 4, seed=seed), **options)  # type: ignore[arg-type]


X = tensor(2, 4, 16, 16, seed=100) * 3
SIGMA = torch.tensor([2.0, 2.0])


def predict(positive: list[Prompt], negative: list[Prompt], scale: float = 5.0, **options: object) -> tuple[Tensor, list[NetCall]]:
    net = Net()
    out = make_denoiser(net, SAMPLING, positive, negative, scale, **options)(X, SIGMA)  # type: ignore[arg-type]
    return out, net.calls


# ---- one entry on each side


def test_both_branches_go_in_one_call_with_named_rows() -> None:
    _, calls = predict([prompt(1)], [prompt(2)])
    assert len(calls) == 1
    assert calls[0].rows == ("cond", "cond", "uncond", "uncond")
    assert calls[0].indices("uncond") == [2, 3]
    assert calls[0].x.shape == (4, 4, 16, 16)
    assert torch.equal(calls[0].t, SAMPLING.timestep(SIGMA).repeat(2))


def test_every_row_knows_its_prompt() -> None:
    positive, negative = prompt(1), prompt(2)
    _, calls = predict([positive], [negative])
    for row, name in enumerate(calls[0].rows):
        expected = positive if name == "cond" else negative
        assert calls[0].prompts[row] is expected
        assert torch.equal(calls[0].context[row], expected.context[0])


def test_the_combination_in_closed_form() -> None:
    both, _ = predict([prompt(1)], [prompt(2)], scale=3.0)
    cond, uncond = predict([prompt(1)], [], 1.0)[0], predict([prompt(2)], [], 1.0)[0]
    torch.testing.assert_close(both, uncond + 3.0 * (cond - uncond), atol=1e-5, rtol=1e-5)


@given(scale=st.floats(-3, 30))
def test_equal_prompts_make_the_scale_irrelevant(scale: float) -> None:
    guided, _ = predict([prompt(1)], [prompt(1)], scale)
    plain, _ = predict([prompt(1)], [], 1.0)
    torch.testing.assert_close(guided, plain, atol=1e-4, rtol=1e-4)


def test_scale_one_makes_no_uncond_call() -> None:
    out, calls = predict([prompt(1)], [prompt(2)], scale=1.0)
    assert [call.rows for call in calls] == [("cond", "cond")]
    assert torch.equal(out, predict([prompt(1)], [], 7.0)[0])


def test_no_positive_prompt_is_refused() -> None:
    with pytest.raises(InputRefused, match="positive"):
        predict([], [prompt(1)])


def test_a_context_without_batch_axis_is_refused() -> None:
    with pytest.raises(InputRefused, match=r"\(3, 4\)"):
        Prompt(tensor(3, 4))


def test_the_network_is_called_without_gradients() -> None:
    weight = torch.nn.Parameter(torch.ones(()))
    x0 = make_denoiser(lambda call: call.x * weight, SAMPLING, [prompt(1)], [prompt(2)], 5.0)(X, SIGMA)
    assert not x0.requires_grad


# ---- batching


@pytest.mark.parametrize(("tokens", "calls_expected"), [((3, 3), 1), ((3, 6), 1), ((2, 3), 1), ((77, 154), 1), ((2, 5), 2), ((77, 78), 2)])
def test_prompts_of_different_length_share_a_call_if_few_repeats_suffice(tokens: tuple[int, int], calls_expected: int) -> None:
    _, calls = predict([prompt(1, tokens[0])], [prompt(2, tokens[1])])
    assert len(calls) == calls_expected


def test_repeated_tokens_change_nothing() -> None:
    together, calls = predict([prompt(1, 2)], [prompt(2, 3)])
    assert calls[0].context.shape[1] == 6
    apart, calls = predict([prompt(1, 2)], [prompt(2, 3)], max_rows=2)
    assert len(calls) == 2
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)


def test_rows_are_split_when_memory_is_short() -> None:
    whole, _ = predict([prompt(1), prompt(2)], [prompt(3)])
    split, calls = predict([prompt(1), prompt(2)], [prompt(3)], max_rows=2)
    assert [len(call.rows) for call in calls] == [2, 2, 2]
    torch.testing.assert_close(whole, split, atol=1e-6, rtol=1e-6)


def test_different_control_is_never_in_one_call() -> None:
    _, calls = predict([prompt(1, control=("edges",))], [prompt(2)])
    assert [set(call.rows) for call in calls] == [{"cond"}, {"uncond"}]


def test_pooled_and_extras_follow_their_rows() -> None:
    positive = prompt(1, pooled=torch.full((1, 5), 1.0), extras={"concat": torch.full((1, 2, 16, 16), 3.0)})
    negative = prompt(2, pooled=torch.full((1, 5), 2.0), extras={"concat": torch.full((1, 2, 16, 16), 4.0)})
    _, (call,) = predict([positive], [negative])
    assert call.pooled is not None
    assert call.pooled[:, 0].tolist() == [1.0, 1.0, 2.0, 2.0]
    assert call.extras["concat"][:, 0, 0, 0].tolist() == [3.0, 3.0, 4.0, 4.0]


def test_a_context_per_picture_is_kept() -> None:
    contexts = tensor(2, 3, 4, seed=8)
    _, (call,) = predict([Prompt(contexts)], [], 1.0)
    assert torch.equal(call.context, contexts)


# ---- several entries


def test_entries_are_averaged_by_strength() -> None:
    both, _ = predict([prompt(1, strength=3.0), prompt(2, strength=1.0)], [], 1.0)
    one, two = predict([prompt(1)], [], 1.0)[0], predict([prompt(2)], [], 1.0)[0]
    torch.testing.assert_close(both, (3 * one + two) / 4, atol=1e-5, rtol=1e-5)


def test_the_strength_of_a_single_entry_means_nothing() -> None:
    torch.testing.assert_close(predict([prompt(1, strength=0.3)], [], 1.0)[0], predict([prompt(1)], [], 1.0)[0])


def test_an_entry_takes_part_in_its_range_only() -> None:
    for sigma, expected in ((10.0, 1), (1.0, 2)):  # 0.5 of the schedule is sigma 1.6156
        net = Net()
        make_denoiser(net, SAMPLING, [prompt(1, end=0.5), prompt(2, start=0.5)], [], 1.0)(X, torch.full((2,), sigma))
        (call,) = net.calls
        assert torch.equal(call.context[0], prompt(expected).context[0])


def test_masks_share_out_the_picture() -> None:
    left = torch.zeros(1, 16, 16)
    left[:, :, :8] = 1
    both, _ = predict([prompt(1, mask=Mask(left)), prompt(2, mask=Mask(1 - left))], [], 1.0)
    one, two = predict([prompt(1)], [], 1.0)[0], predict([prompt(2)], [], 1.0)[0]
    torch.testing.assert_close(both, torch.where(left.bool(), one, two), atol=1e-5, rtol=1e-5)


def test_an_area_shows_the_network_only_its_part() -> None:
    area = Area(8, 12, y=8, x=4)
    out, calls = predict([prompt(1), prompt(2, area=area)], [], 1.0)
    assert sorted(call.x.shape[2:] for call in calls) == [(8, 12), (16, 16)]
    assert torch.equal(out[:, :, :8], predict([prompt(1)], [], 1.0)[0][:, :, :8])


def test_an_area_gets_a_counterpart_on_the_other_side() -> None:
    area = Area(8, 8, y=4, x=4)
    _, calls = predict([prompt(1), prompt(2, area=area, strength=2.0)], [prompt(3)])
    small = next(call for call in calls if call.area == area)
    assert set(small.rows) == {"cond", "uncond"}
    uncond = small.prompts[small.indices("uncond")[0]]
    assert torch.equal(uncond.context, prompt(3).context)
    assert uncond.strength == 2.0


def test_an_area_fades_at_its_inner_edges_only() -> None:
    area, weight = region_weight(Area(16, 8, y=0, x=8), None, 1.0, X)
    assert area == Area(16, 8, 0, 8)
    assert weight[0, 0, 0].tolist() == [0.5, 1, 1, 1, 1, 1, 1, 1]  # a quarter of 8 is 2 pixels: 1/2 and 1
    assert torch.all(weight[0, 0, :, -1] == 1)


def test_mask_bounds_become_the_area() -> None:
    data = torch.zeros(1, 16, 16)
    data[0, 3:9, 5:7] = 0.5
    area, weight = region_weight(None, Mask(data, strength=2.0, to_bounds=True), 1.0, X)
    assert area == Area(6, 2, 3, 5)
    assert torch.all(weight == 1.0)


def test_an_area_outside_the_latent_is_refused() -> None:
    with pytest.raises(InputRefused, match="outside the latent of 16 x 16"):
        predict([prompt(1, area=Area(4, 4, y=16, x=0))], [], 1.0)


# ---- rescaled guidance


def v_of(x0: Tensor) -> Tensor:
    s = SIGMA.reshape(-1, 1, 1, 1)
    return (X / (s**2 + 1) - x0) * (s**2 + 1).sqrt() / s


def test_rescale_one_keeps_the_standard_deviation_of_cond() -> None:
    call = GuidanceCall(X, SIGMA, cond=tensor(2, 4, 16, 16, seed=1), uncond=tensor(2, 4, 16, 16, seed=2), scale=8.0)
    std = v_of(rescale_cfg(1.0)(call)).std(dim=(1, 2, 3))
    torch.testing.assert_close(std, v_of(call.cond).std(dim=(1, 2, 3)), rtol=1e-4, atol=0)
    assert torch.all(v_of(cfg(call)).std(dim=(1, 2, 3)) > 2 * std)


@given(scale=st.floats(0, 20))
def test_rescale_zero_is_plain_guidance(scale: float) -> None:
    call = GuidanceCall(X, SIGMA, cond=tensor(2, 4, 16, 16, seed=1), uncond=tensor(2, 4, 16, 16, seed=2), scale=scale)
    torch.testing.assert_close(rescale_cfg(0.0)(call), cfg(call), atol=1e-4, rtol=1e-4)
