"""Upscale networks: recorded numbers, three layouts of keys, and the model that ships."""

from __future__ import annotations

from pathlib import Path

import golden
import numpy as np
import pytest
import torch
from manifests import manifest
from oracle import randomised
from synthetic import UPSCALE_RULES, synthetic_part
from torch import Tensor, nn
from torch.nn import functional as F

from nodegraph.diffusion.identify import identify_upscaler
from nodegraph.diffusion.loading import build_upscaler, fill
from nodegraph.diffusion.models.upscaler import RRDBNet, SRVGGNetCompact
from nodegraph.diffusion.models.upscaler_config import CompactConfig, RrdbConfig, new_names
from nodegraph.diffusion.weights import open_weights, save_weights
from nodegraph.errors import UnknownModel

SHIPPED = Path(__file__).parents[2] / "models" / "upscale_models" / "realesr-animevideov3-x4.safetensors"
SMALL = RrdbConfig(width=8, growth=4, blocks=2)


def shapes_of(net: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in net.state_dict().items()}


@pytest.mark.slow
@torch.inference_mode()
def test_recorded_picture() -> None:
    recorded = golden.arrays("upscale.npz")
    tensors = synthetic_part(manifest("realesrgan_x4"), "", UPSCALE_RULES, half=False)
    net = fill(lambda: RRDBNet(RrdbConfig()), tensors, torch.float32)
    image = torch.from_numpy(recorded["input"]).permute(2, 0, 1)[None] / 255  # (1, 3, 48, 64)
    crop = net(image)[0, :, 30:126, 40:168].permute(1, 2, 0)[::4, ::4].clamp(0, 1)
    assert np.abs(crop.numpy() - recorded["crop"]).max() < 1e-4


@pytest.mark.parametrize("name", ["realesrgan_x4", "esrgan_x4_old"])
def test_public_layouts_are_recognised(name: str) -> None:
    assert identify_upscaler(manifest(name)) == RrdbConfig()
    with torch.device("meta"):
        assert set(new_names(manifest(name)).values()) == set(RRDBNet(RrdbConfig()).state_dict())


def test_old_and_new_names_mean_the_same_layers() -> None:
    old, new = manifest("esrgan_x4_old"), manifest("realesrgan_x4")
    assert {name: old[key] for key, name in new_names(old).items()} == new
    trunk = ["RRDB_trunk.0.RDB1.conv1.weight", "trunk_conv.bias", "upconv2.bias", "HRconv.weight", "conv_last.bias"]
    ours = ["body.0.rdb1.conv1.weight", "conv_body.bias", "conv_up2.bias", "conv_hr.weight", "conv_last.bias"]
    assert new_names(dict.fromkeys(trunk, ())) == dict(zip(trunk, ours, strict=True))


@pytest.mark.parametrize(("doublings", "unshuffle", "scale"), [(1, 1, 2), (2, 1, 4), (3, 1, 8), (2, 2, 2), (2, 4, 1)])
@torch.inference_mode()
def test_every_scale(doublings: int, unshuffle: int, scale: int) -> None:
    config = RrdbConfig(width=8, growth=4, blocks=1, doublings=doublings, unshuffle=unshuffle)
    net = randomised(RRDBNet(config))
    assert identify_upscaler(shapes_of(net)) == config
    assert net.scale == scale
    assert net(torch.rand(2, 3, 5, 7)).shape == (2, 3, 5 * scale, 7 * scale)


@pytest.mark.parametrize("scale", [1, 2, 4])
@torch.inference_mode()
def test_compact_networks_start_from_the_nearest_neighbour(scale: int) -> None:
    config = CompactConfig(width=8, convs=3, scale=scale)
    net = SRVGGNetCompact(config)
    assert identify_upscaler(shapes_of(net)) == config
    image = torch.rand(1, 3, 5, 6)
    for parameter in net.body[-1].parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(net(image), F.interpolate(image, scale_factor=float(scale)))


def test_weights_under_a_name_of_training_are_found(tmp_path: Path) -> None:
    net = randomised(RRDBNet(SMALL))
    last = {f"params.{key}": value + 1 for key, value in net.state_dict().items()}
    averaged = {f"params_ema.{key}": value for key, value in net.state_dict().items()}
    save_weights(tmp_path / "net.safetensors", last | averaged)
    image = torch.rand(1, 3, 4, 4)
    with torch.inference_mode():
        assert torch.allclose(build_upscaler(open_weights(tmp_path / "net.safetensors"))(image), net(image), atol=1e-6)


def test_other_files_are_named_for_what_they_are() -> None:
    with pytest.raises(UnknownModel, match="a LoRA: load it with LoadLoRA"):
        identify_upscaler(manifest("lora_sd15"))


def picture() -> Tensor:
    """A red disc with a dark rim on a yellow ground, painted large and averaged down: (1, 3, 64, 64), and (1, 3, 256, 256)."""
    axis = torch.linspace(-1, 1, 1024)
    radius = (axis[:, None] ** 2 + axis[None] ** 2).sqrt()
    colours = torch.tensor([[0.9, 0.1, 0.1], [0.15, 0.1, 0.1], [1.0, 0.9, 0.3]])
    ring = (radius > 0.6).long() + (radius > 0.68).long()
    return colours[ring].permute(2, 0, 1)[None]


def steepness(image: Tensor) -> Tensor:
    """Mean squared difference of neighbours: for the same edges, higher is crisper."""
    return image.diff(dim=2).square().mean() + image.diff(dim=3).square().mean()


@torch.inference_mode()
def test_the_shipped_model_is_crisp_and_keeps_colours() -> None:
    weights = open_weights(SHIPPED)
    assert "Xintao Wang" in weights.metadata["modelspec.license"]
    large = picture()
    small, truth = F.avg_pool2d(large, 16), F.avg_pool2d(large, 4)
    ours = build_upscaler(weights)(small).clamp(0, 1)
    bicubic = F.interpolate(small, scale_factor=4, mode="bicubic").clamp(0, 1)
    assert ours.shape == truth.shape
    assert (ours - truth).square().mean() < (bicubic - truth).square().mean()
    assert steepness(ours) > 1.3 * steepness(bicubic)
    assert (ours.mean(dim=(2, 3)) - small.mean(dim=(2, 3))).abs().max() < 0.02
