"""Files that the diffusers library wrote are read as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from oracle import randomised, relative, unet_twin, vae_twin
from test_unet import CONFIGS, XL, inputs

from nodegraph.diffusion.identify import identify_file
from nodegraph.diffusion.loading import build_unet, build_vae
from nodegraph.diffusion.models.diffusers_names import unet_names, vae_names
from nodegraph.diffusion.models.unet import UNet
from nodegraph.diffusion.models.unet_config import UNetConfig
from nodegraph.diffusion.models.vae import AutoencoderKL
from nodegraph.diffusion.models.vae_config import VaeConfig
from nodegraph.diffusion.weights import WeightsFile, open_weights, save_weights
from nodegraph.errors import BrokenWeights

VAES = {
    "two levels": VaeConfig(ch=32, ch_mult=(1, 2), num_res_blocks=1, norm_groups=8),
    "three levels, two blocks": VaeConfig(ch=32, ch_mult=(1, 1, 3), num_res_blocks=2, norm_groups=8),
}


def written(folder: Path, twin: Any, prefix: str = "", **facts: object) -> WeightsFile:
    """The file that the library's network would be saved as."""
    path = folder / "diffusion_pytorch_model.safetensors"
    tensors = {prefix + key: value.contiguous() for key, value in twin.state_dict().items()}
    save_weights(path, tensors, {f"nodegraph.{key}": str(value) for key, value in facts.items()})
    return open_weights(path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("config", [CONFIGS["sd1"], CONFIGS["sd2"], XL], ids=["sd1", "sd2", "xl"])
@pytest.mark.parametrize("prefix", ["", "unet."])
@torch.inference_mode()
def test_a_unet_comes_out_as_it_went_in(config: UNetConfig, prefix: str, tmp_path: Path) -> None:
    net = randomised(UNet(config))
    heads = {"unet_heads": config.num_heads} if config.num_heads is not None else {"unet_head_dim": config.head_dim}
    weights = written(tmp_path, unet_twin(net, config), prefix, **heads)
    info = identify_file(weights)
    assert info.parts == ("unet",)
    assert info.unet is not None
    assert info.unet.config == config
    read = build_unet(info, weights)
    y = None if config.adm_in_channels is None else torch.randn(2, config.adm_in_channels)
    assert torch.equal(read(*inputs(config), y), net(*inputs(config), y))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("config", VAES.values(), ids=list(VAES))
@torch.inference_mode()
def test_a_vae_comes_out_as_it_went_in(config: VaeConfig, tmp_path: Path) -> None:
    net = randomised(AutoencoderKL(config))
    weights = written(tmp_path, vae_twin(net, config), vae_norm_groups=config.norm_groups)
    info = identify_file(weights)
    assert info.parts == ("vae",)
    assert info.vae is not None
    assert info.vae.config == config
    z = torch.randn(1, config.embed_dim, 4, 4)
    assert relative(build_vae(info, weights).decode(z), net.decode(z)) < 1e-5


OLD = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def test_the_older_names_of_attention_are_known_too() -> None:
    for new, old in OLD.items():
        new_key, old_key = (f"decoder.mid_block.attentions.0.{name}.weight" for name in (new, old))
        assert vae_names([new_key])[new_key] == vae_names([old_key])[old_key]


@pytest.mark.filterwarnings("ignore")
def test_no_two_keys_get_one_name_and_none_is_forgotten() -> None:
    for config in (CONFIGS["sd1"], CONFIGS["sd2"], XL):
        net = UNet(config)
        keys = unet_twin(net, config).state_dict().keys()
        names = unet_names(keys)
        assert names.keys() == keys
        assert set(names.values()) == net.state_dict().keys()
        assert len(set(names.values())) == len(names)
    for vae in VAES.values():
        autoencoder = AutoencoderKL(vae)
        keys = vae_twin(autoencoder, vae).state_dict().keys()
        assert set(vae_names(keys).values()) == autoencoder.state_dict().keys()


@pytest.mark.filterwarnings("ignore")
def test_a_torn_file_says_what_is_missing(tmp_path: Path) -> None:
    net = UNet(CONFIGS["sd1"])
    twin = unet_twin(net, CONFIGS["sd1"])
    tensors = {key: value.contiguous() for key, value in twin.state_dict().items() if not key.startswith("mid_block.resnets.1")}
    path = tmp_path / "torn.safetensors"
    save_weights(path, tensors, {"nodegraph.unet_heads": "2"})
    weights = open_weights(path)
    with pytest.raises(BrokenWeights, match=r"tensors are missing, the first is middle_block\.2"):
        build_unet(identify_file(weights), weights)
