"""The U-Net against diffusers, its hooks, and its sizes read back from its keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from oracle import randomised, relative, unet_twin
from torch import Tensor

from nodegraph.diffusion.models.attention import AttnCall, Proceed, StepInfo, attention_layers
from nodegraph.diffusion.models.unet import BlockCall, BlockProceed, UNet, UNetConfig, hooked, timestep_embedding, zero_output_layers

SD1 = UNetConfig(model_channels=32, channel_mult=(1, 2, 3), num_res_blocks=1, transformer_depth=(1, 1, 0), context_dim=24, num_heads=4)
SD2 = replace(SD1, num_res_blocks=2, num_heads=None, head_dim=16, use_linear_in_transformer=True)
XL = replace(SD2, transformer_depth=(0, 2, 3), transformer_depth_middle=3, adm_in_channels=64)
CONFIGS = {"sd1": SD1, "sd2": SD2, "xl": XL}


def inputs(config: UNetConfig, size: tuple[int, int] = (8, 12), batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, config.in_channels, *size, generator=generator)
    context = torch.randn(batch, 7, config.context_dim, generator=generator)
    return x, torch.tensor([3.25, 977.0])[:batch], context


@pytest.fixture
def net() -> UNet:
    return randomised(UNet(SD1))


@torch.inference_mode()
def run(net: UNet, **options: Any) -> Tensor:
    return net(*inputs(net.config), **options)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["sd1", "sd2"])
@torch.inference_mode()
def test_it_agrees_with_diffusers(name: str) -> None:
    config = CONFIGS[name]
    net = randomised(UNet(config))
    theirs = unet_twin(net, config)(*inputs(config)).sample
    assert relative(net(*inputs(config)), theirs) < 1e-5


@pytest.mark.filterwarnings("ignore")
@torch.inference_mode()
def test_the_vector_of_xl_agrees_with_diffusers() -> None:
    net = randomised(UNet(XL))
    x, t, context = inputs(XL)
    pooled, sizes = torch.randn(2, 16), torch.tensor([[64.0, 96, 0, 8, 128, 96]] * 2)
    y = torch.cat([pooled, timestep_embedding(sizes.flatten(), 8).reshape(2, -1)], dim=1)  # (2, 16 + 6 * 8)
    added = {"text_embeds": pooled, "time_ids": sizes}
    theirs = unet_twin(net, XL)(x, t, context, added_cond_kwargs=added).sample
    assert relative(net(x, t, context, y), theirs) < 1e-5


@pytest.mark.filterwarnings("ignore")
@torch.inference_mode()
def test_control_residuals_are_added_where_diffusers_adds_them(net: UNet) -> None:
    x, t, context = inputs(SD1)
    recorded: list[Tensor] = []

    def record(call: BlockCall, proceed: BlockProceed) -> Tensor:
        out = proceed(call)
        if call.block == "input":
            recorded.append(out)
        return out

    with hooked(net, blocks=[record]):
        net(x, t, context)
    residuals = [torch.randn_like(skip) for skip in recorded]
    middle = torch.randn_like(recorded[-1])
    theirs = unet_twin(net, SD1)(x, t, context, down_block_additional_residuals=residuals, mid_block_additional_residual=middle).sample
    assert relative(net(x, t, context, control={"output": residuals, "middle": [middle]}), theirs) < 1e-5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@torch.inference_mode()
def test_the_full_size_of_sd1_agrees_with_diffusers() -> None:
    config = UNetConfig()
    with torch.device("meta"):
        net = UNet(config)
    net = randomised(net.to_empty(device="cpu"))
    assert sum(parameter.numel() for parameter in net.parameters()) == 859_520_964
    assert relative(net(*inputs(config)), unet_twin(net, config)(*inputs(config)).sample) < 1e-5


@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
def test_sizes_are_read_back_from_the_keys(config: UNetConfig) -> None:
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in UNet(config).state_dict().items()}
    heads = {"num_heads": config.num_heads, "head_dim": config.head_dim}
    assert UNetConfig.from_state_dict(shapes, **heads) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"transformer_depth": (1, 1)}, "3 levels need as many transformer depths"),
        ({"num_res_blocks": (1, 1)}, "3 levels need as many block counts"),
        ({"head_dim": 8}, "one of num_heads and head_dim"),
        ({"num_heads": 5}, "32 channels do not divide into 5 heads"),
        ({"num_heads": None, "head_dim": 64}, "32 channels do not divide into 0 heads"),
        ({"model_channels": 40, "num_heads": 4}, "40 channels do not divide into 32 groups"),
    ],
)
def test_impossible_sizes_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SD1, **change)


@torch.inference_mode()
def test_an_odd_size_comes_back_as_it_went_in(net: UNet) -> None:
    assert net(*inputs(SD1, size=(7, 9))).shape == (2, 4, 7, 9)


def test_a_missing_vector_is_named() -> None:
    net = UNet(XL)
    with pytest.raises(ValueError, match=r"needs y of shape \(B, 64\)"):
        net(*inputs(XL))


@torch.inference_mode()
def test_without_patches_fused_attention_gives_the_same_bits(net: UNet) -> None:
    plain = run(net)
    with hooked(net):
        assert torch.equal(run(net), plain)
    with hooked(net, attention=[lambda call, proceed: proceed(call)], blocks=[lambda call, proceed: proceed(call)]):
        assert torch.equal(run(net), plain)


def test_patches_are_gone_after_the_block_and_after_an_exception(net: UNet) -> None:
    plain = run(net)

    def fail_inside() -> None:
        with hooked(net, attention=[_zero], blocks=[lambda call, proceed: proceed(call) * 0]):
            assert not torch.equal(run(net), plain)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_inside()
    assert torch.equal(run(net), plain)
    assert not net.block_patches
    assert not any(layer.patches for layer in attention_layers(net))


def test_a_patch_that_raises_leaves_nothing_behind(net: UNet) -> None:
    def boom(call: AttnCall, proceed: Proceed) -> Tensor:
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"), hooked(net, attention=[boom]):
        run(net)
    assert not any(layer.patches for layer in attention_layers(net))


def test_the_first_patch_is_the_outermost_and_nested_blocks_go_inside(net: UNet) -> None:
    order: list[str] = []

    def named(name: str) -> Any:
        def patch(call: Any, proceed: Any) -> Tensor:
            order.append(name)
            return proceed(call)

        return patch

    with hooked(net, attention=[named("a"), named("b")], blocks=[named("x")]), hooked(net, attention=[named("c")], blocks=[named("y")]):
        run(net)
    layers = len(attention_layers(net))
    assert order.count("a") == layers
    assert [name for name in order if name in "abc"] == ["a", "b", "c"] * layers
    blocks = len(net.input_blocks) + 1 + len(net.output_blocks)
    assert [name for name in order if name in "xy"] == ["x", "y"] * blocks


def test_every_layer_has_a_name_of_its_own_and_runs_once(net: UNet) -> None:
    seen: list[AttnCall] = []

    def note(call: AttnCall, proceed: Proceed) -> Tensor:
        seen.append(call)
        return proceed(call)

    with hooked(net, attention=[note]):
        run(net)
    names = [str(call.layer) for call in seen]
    assert len(set(names)) == len(names) == 14
    assert names[:4] == ["input.1.0.self", "input.1.0.cross", "input.3.0.self", "input.3.0.cross"]
    assert {"middle.0.0.self", "output.2.0.cross", "output.5.0.self"} <= set(names)
    assert all(call.size[0] * call.size[1] == call.q.shape[2] for call in seen)
    assert all(call.k.shape[2] == (7 if call.layer.kind == "cross" else call.q.shape[2]) for call in seen)


def test_probabilities_are_the_slow_way_to_the_same_result(net: UNet) -> None:
    plain = run(net)
    with hooked(net, attention=[lambda call, proceed: call.probabilities() @ call.v]):
        assert relative(run(net), plain) < 1e-5


def test_replaced_rows_change_only_themselves(net: UNet) -> None:
    def swap(call: AttnCall, proceed: Proceed) -> Tensor:
        return proceed(call.with_rows("cond", k=call.k[1:], v=call.v[1:]))

    x, t, context = inputs(SD1)
    same = x[:1].expand(2, -1, -1, -1), t[:1].expand(2), context
    with hooked(net, attention=[swap]), torch.inference_mode():
        out = net(*same, info=StepInfo(rows=("cond", "uncond")))
        assert torch.allclose(out[0], out[1], atol=1e-5)
    with torch.inference_mode():
        assert torch.allclose(out[1], net(*same)[1], atol=1e-5)
        assert not torch.allclose(out[0], net(*same)[0], atol=1e-2)


def test_replacing_rows_by_other_sizes_is_refused() -> None:
    q = torch.zeros(2, 1, 4, 8)
    layer = attention_layers(UNet(SD1))[0].name
    call = AttnCall(layer, q, q, q, info=StepInfo(rows=("cond", "uncond")))
    with pytest.raises(ValueError, match="same tokens and head width"):
        call.with_rows("cond", k=torch.zeros(1, 1, 5, 8))


def test_a_mask_hides_tokens(net: UNet) -> None:
    def only_first(call: AttnCall, proceed: Proceed) -> Tensor:
        mask = torch.zeros(1, 1, 1, call.k.shape[2], dtype=torch.bool)
        mask[..., 0] = True
        masked = replace(call, mask=mask)
        out = proceed(masked)
        assert torch.allclose(out, call.v[:, :, :1].expand_as(out), atol=1e-6)
        assert torch.allclose(masked.probabilities() @ call.v, out, atol=1e-6)
        return out

    with hooked(net, attention=[only_first]):
        run(net)


@torch.inference_mode()
def test_a_block_patch_can_change_the_skip(net: UNet) -> None:
    def drop(call: BlockCall, proceed: BlockProceed) -> Tensor:
        return proceed(call if call.skip is None else replace(call, skip=torch.zeros_like(call.skip)))

    with hooked(net, blocks=[drop]):
        patched = run(net)
    assert not torch.allclose(patched, run(net), atol=1e-2)


def test_time_codes_are_cosines_then_sines() -> None:
    code = timestep_embedding(torch.tensor([0.0, 1.0]), 4)
    expected = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.540302, 0.99995, 0.841471, 0.0099998]])
    assert torch.allclose(code, expected, atol=1e-6)


def test_zeroed_output_layers_start_from_nothing() -> None:
    net = zero_output_layers(UNet(SD1))
    assert not run(net).any()


def _zero(call: AttnCall, proceed: Proceed) -> Tensor:
    return torch.zeros_like(proceed(call))


def test_gradients_are_those_of_small_steps() -> None:
    """The derivative along a random direction in all weights at once, against a central difference, in float64."""
    net = randomised(UNet(SD1)).double()
    x, t, context = (tensor.double() for tensor in inputs(SD1))
    parameters = list(net.parameters())
    directions = [torch.randn(parameter.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64) for parameter in parameters]
    net(x, t, context).square().mean().backward()
    slope = sum(float((parameter.grad * direction).sum()) for parameter, direction in zip(parameters, directions, strict=True))

    def moved(step: float) -> float:
        with torch.no_grad():
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter.add_(direction, alpha=step)
            loss = float(net(x, t, context).square().mean())
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter.sub_(direction, alpha=step)
        return loss

    assert slope == pytest.approx((moved(1e-5) - moved(-1e-5)) / 2e-5, rel=1e-4)
