"""Checkpoints told from keys, shapes and metadata, and built from files."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from manifests import Shapes, manifest
from oracle import randomised
from torch import Tensor, nn

from nodegraph.diffusion.identify import CheckpointInfo, identify, identify_file, looks_like
from nodegraph.diffusion.loading import build_clip, build_unet, build_vae, fill
from nodegraph.diffusion.models.clip_text import ClipText, ClipTextConfig
from nodegraph.diffusion.models.unet import UNet, UNetConfig
from nodegraph.diffusion.models.vae import AutoencoderKL
from nodegraph.diffusion.models.vae_config import VaeConfig
from nodegraph.diffusion.weights import open_weights, save_weights
from nodegraph.errors import BrokenWeights, MissingPart, UnknownModel

UNET = UNetConfig(model_channels=32, channel_mult=(1, 2), num_res_blocks=1, transformer_depth=(1, 0), context_dim=64, num_heads=4)
VAE = VaeConfig(ch=32, ch_mult=(1, 2), num_res_blocks=1, norm_groups=4)
CLIP = ClipTextConfig(vocab=100, width=64, layers=2, heads=4, intermediate=96, activation="gelu")
FACTS = {
    "modelspec.prediction_type": "v",
    "nodegraph.scale_factor": "0.9",
    "nodegraph.shift_factor": "-0.1",
    "nodegraph.zero_terminal_snr": "true",
    "nodegraph.unet_heads": "4",
    "nodegraph.vae_norm_groups": "4",
    "nodegraph.clip_heads": "4",
    "nodegraph.clip_activation": "gelu",
}
PREFIXES = ("model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer.")


def tiny_tensors() -> dict[str, Tensor]:
    nets: list[nn.Module] = [randomised(UNet(UNET)), randomised(AutoencoderKL(VAE)), randomised(ClipText(CLIP))]
    return {prefix + key: value for prefix, net in zip(PREFIXES, nets, strict=True) for key, value in net.state_dict().items()}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    save_weights(path, tiny_tensors(), FACTS)
    return path


def shapes_of(tensors: dict[str, Tensor]) -> Shapes:
    return {key: tuple(value.shape) for key, value in tensors.items()}


def test_sd15() -> None:
    info = identify(manifest("sd15"))
    assert (info.family, info.parts, info.prediction, info.scale_factor) == ("sd1", ("unet", "vae", "clip"), "eps", 0.18215)
    assert info.unet is not None
    assert info.unet.config == UNetConfig()
    assert info.vae is not None
    assert info.vae.config == VaeConfig()
    assert [part.config for part in info.clips] == [ClipTextConfig()]
    assert [part.pad for part in info.clips] == [49407]
    assert not info.inpainting


def test_sdxl() -> None:
    info = identify(manifest("sdxl"))
    assert (info.family, info.parts, info.prediction, info.scale_factor) == ("sdxl", ("unet", "vae", "clip"), "eps", 0.13025)
    assert info.unet is not None
    assert info.unet.config == UNetConfig(
        channel_mult=(1, 2, 4),
        transformer_depth=(0, 2, 10),
        transformer_depth_middle=10,
        context_dim=2048,
        num_heads=None,
        head_dim=64,
        adm_in_channels=2816,
        use_linear_in_transformer=True,
    )
    big = ClipTextConfig(width=1280, layers=32, heads=20, intermediate=5120, activation="gelu", projection=1280)
    assert [part.config for part in info.clips] == [ClipTextConfig(), big]
    assert [(part.layout, part.pad) for part in info.clips] == [("transformers", 49407), ("openclip", 0)]


@pytest.mark.parametrize(("name", "parts"), [("sd15", 3), ("sdxl", 4)])
def test_every_tensor_of_a_public_layout_has_its_place(name: str, parts: int) -> None:
    """Models built from what was identified want exactly the keys and shapes that the file has."""
    shapes = manifest(name)
    info = identify(shapes)
    assert info.unet is not None
    assert info.vae is not None
    with torch.device("meta"):
        nets: list[tuple[str, nn.Module]] = [(info.unet.prefix, UNet(info.unet.config)), (info.vae.prefix, AutoencoderKL(info.vae.config))]
        nets += [(part.prefix, ClipText(part.config)) for part in info.clips if part.layout == "transformers"]
    wanted = {prefix + key: tuple(value.shape) for prefix, net in nets for key, value in net.state_dict().items()}
    there = {key: shape for key, shape in shapes.items() if ".embedders.1." not in key and not key.endswith("position_ids")}
    assert wanted == there


def test_an_inpainting_checkpoint_reads_nine_channels() -> None:
    info = identify(manifest("sd15") | {"model.diffusion_model.input_blocks.0.0.weight": (320, 9, 3, 3)})
    assert info.inpainting
    assert info.family == "sd1"


def test_keys_that_announce_v_prediction() -> None:
    info = identify(manifest("sdxl") | {"v_pred": (), "ztsnr": ()})
    assert info.prediction == "v"
    assert info.zero_terminal_snr


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("lora_sd15", "a LoRA"),
        ("control_sd15", "a ControlNet"),
        ("embedding_sd15", "a textual inversion embedding"),
        ("realesrgan_x4", "an upscale model"),
        ("esrgan_x4_old", "an upscale model"),
    ],
)
def test_other_files_are_named_for_what_they_are(name: str, what: str) -> None:
    with pytest.raises(UnknownModel, match=what):
        identify(manifest(name))


def test_unknown_files_are_described() -> None:
    assert looks_like({}) == "no tensors at all"
    assert looks_like({"down_blocks.0.resnets.0.conv1.weight": (1,)}) == "a part of a U-Net in the layout of diffusers"
    assert looks_like({"some.weight": (1,)}) == "1 tensors of no known model (some.weight, ...)"


def test_a_part_alone_is_enough() -> None:
    vae = {key.removeprefix("first_stage_model."): shape for key, shape in manifest("sd15").items() if key.startswith("first_stage_model.")}
    info = identify(vae)
    assert (info.parts, info.family) == (("vae",), "generic")
    assert info.vae is not None
    assert info.vae.prefix == ""


def test_metadata_states_what_shapes_cannot(tiny: Path) -> None:
    info = identify_file(open_weights(tiny))
    assert info.unet is not None
    assert info.vae is not None
    assert (info.unet.config, info.vae.config, info.clips[0].config) == (UNET, VAE, CLIP)
    assert (info.family, info.prediction, info.zero_terminal_snr) == ("generic", "v", True)
    assert (info.scale_factor, info.shift_factor) == (0.9, -0.1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("modelspec.prediction_type", "x0-ish"),
        ("nodegraph.scale_factor", "a lot"),
        ("nodegraph.scale_factor", "nan"),
        ("nodegraph.scale_factor", "0"),
        ("nodegraph.unet_heads", "0"),
        ("nodegraph.unet_heads", "2.5"),
        ("nodegraph.clip_activation", "relu"),
        ("nodegraph.clip_heads", "-1"),
    ],
)
def test_metadata_that_lies_is_refused(key: str, value: str) -> None:
    with pytest.raises(BrokenWeights, match=key):
        identify(shapes_of(tiny_tensors()), {key: value})


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("model.diffusion_model.input_blocks.1.0.out_layers.3.weight", "the U-Net is incomplete: input_blocks.1.0.out_layers.3.weight"),
        ("first_stage_model.decoder.conv_out.weight", "the autoencoder is incomplete: decoder.conv_out.weight"),
        ("cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight", "the text encoder is incomplete"),
    ],
)
def test_an_incomplete_part_is_named(gone: str, message: str) -> None:
    shapes = {key: shape for key, shape in manifest("sd15").items() if key != gone}
    with pytest.raises(BrokenWeights, match=message):
        identify(shapes)


def test_a_key_with_a_huge_number_makes_no_huge_model() -> None:
    far = {"cond_stage_model.transformer.text_model.encoder.layers.999999999.mlp.fc1.weight": (3072, 768)}
    assert identify(manifest("sd15") | far).clips[0].config.layers == 13
    with pytest.raises(BrokenWeights, match="the U-Net is incomplete"):
        identify(manifest("sd15") | {"model.diffusion_model.input_blocks.999999999.0.bias": (1,)})


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(BrokenWeights, match="the U-Net has impossible shapes"):
        identify(manifest("sd15") | {"model.diffusion_model.input_blocks.0.0.weight": (320,)})


@pytest.mark.parametrize(("spread", "prediction"), [(0.2, "v"), (0.02, "eps")])
def test_sd2_is_told_by_the_spread_of_one_bias(spread: float, prediction: str, tmp_path: Path) -> None:
    config = replace(UNetConfig(), context_dim=1024, num_heads=None, head_dim=64, use_linear_in_transformer=True)
    key = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
    with torch.device("meta"):
        shapes = {PREFIXES[0] + name: tuple(value.shape) for name, value in UNet(config).state_dict().items()}
    assert identify(shapes).family == "sd2"
    save_weights(tmp_path / "bias.safetensors", {key: torch.linspace(-1, 1, 320).half() * spread * 3**0.5})
    weights = open_weights(tmp_path / "bias.safetensors")
    info = identify_file(replace(weights, tensors={name: replace(weights.tensors[key], shape=shape) for name, shape in shapes.items()}))
    assert info.prediction == prediction


def test_identifying_imports_no_torch(tiny: Path) -> None:
    code = (
        "import sys; from nodegraph.diffusion.identify import identify_file; from nodegraph.diffusion.weights import open_weights;"
        f"identify_file(open_weights({str(tiny)!r})); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ---------------------------------------------------------------------------------------------- building


def same(net: nn.Module, prefix: str) -> bool:
    tensors = tiny_tensors()
    return all(torch.equal(value, tensors[prefix + key]) for key, value in net.state_dict().items())


def built(path: Path, dtype: torch.dtype = torch.float32) -> tuple[CheckpointInfo, list[nn.Module]]:
    weights = open_weights(path)
    info = identify_file(weights)
    return info, [build_unet(info, weights, dtype), build_vae(info, weights, dtype), *build_clip(info, weights, dtype)]


def test_models_are_built_with_the_tensors_of_the_file(tiny: Path) -> None:
    _, nets = built(tiny)
    for net, prefix in zip(nets, PREFIXES, strict=True):
        assert same(net, prefix)
        assert not net.training
        assert not any(parameter.requires_grad or parameter.is_meta for parameter in net.parameters())


def test_models_are_built_in_the_type_asked_for(tiny: Path) -> None:
    _, nets = built(tiny, torch.bfloat16)
    assert {parameter.dtype for net in nets for parameter in net.parameters()} == {torch.bfloat16}


def test_tensors_of_the_right_type_stay_in_the_file(tiny: Path) -> None:
    weights = open_weights(tiny)
    net = build_unet(identify_file(weights), weights)
    first, second = net.out[2].weight, net.time_embed[0].bias  # type: ignore[union-attr]
    infos = [weights.tensors[PREFIXES[0] + key] for key in ("out.2.weight", "time_embed.0.bias")]
    assert second.data_ptr() - first.data_ptr() == infos[1].start - infos[0].start  # type: ignore[operator]


def test_a_part_that_is_not_there_is_named(tmp_path: Path) -> None:
    save_weights(tmp_path / "vae.safetensors", AutoencoderKL(VAE).state_dict())
    weights = open_weights(tmp_path / "vae.safetensors")
    info = identify_file(weights)
    for build, what in ((build_unet, "U-Net"), (build_clip, "text encoder")):
        with pytest.raises(MissingPart, match=f"vae.safetensors has no {what}, only: vae"):
            build(info, weights)
    with pytest.raises(MissingPart, match="no autoencoder"):
        build_vae(replace(info, vae=None), weights)


def test_missing_and_misshapen_tensors_are_named() -> None:
    state, key = dict(ClipText(CLIP).state_dict()), "text_model.final_layer_norm.bias"
    del state[key]
    with pytest.raises(BrokenWeights, match=r"1 tensors are missing, the first is text_model\.final_layer_norm\.bias"):
        fill(lambda: ClipText(CLIP), state, torch.float32)
    state[key] = torch.zeros(3)
    with pytest.raises(BrokenWeights, match=r"final_layer_norm\.bias is \(3,\), but \(64,\) is needed"):
        fill(lambda: ClipText(CLIP), state, torch.float32)
