"""The autoencoder against diffusers, and its sizes read back from its keys."""

from __future__ import annotations

import pytest
import torch
from oracle import randomised, relative, vae_twin

from nodegraph.diffusion.models.vae import AutoencoderKL, Moments
from nodegraph.diffusion.models.vae_config import VaeConfig

TINY = VaeConfig(ch=32, ch_mult=(1, 2, 3), num_res_blocks=1, norm_groups=8)
CONFIGS = {
    "tiny": TINY,
    "deep": VaeConfig(ch=32, ch_mult=(1, 1, 2), num_res_blocks=2, z_channels=8, embed_dim=8, norm_groups=8),
}
SHAPES = {
    **CONFIGS,
    "attention": VaeConfig(ch=32, ch_mult=(1, 2), num_res_blocks=1, attention_levels=(1,), norm_groups=8),
    "no quant": VaeConfig(ch=32, ch_mult=(1, 2), num_res_blocks=1, z_channels=16, embed_dim=16, use_quant_conv=False, norm_groups=8),
    "sd": VaeConfig(),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
@torch.inference_mode()
def test_it_agrees_with_diffusers(config: VaeConfig) -> None:
    net = randomised(AutoencoderKL(config))
    twin = vae_twin(net, config)
    image, z = torch.rand(2, 3, 24, 16) * 2 - 1, torch.randn(2, config.embed_dim, 5, 7)
    ours, theirs = net.encode(image), twin.encode(image).latent_dist
    assert relative(ours.mean, theirs.mean) < 1e-5
    assert relative(ours.logvar, theirs.logvar) < 1e-5
    assert relative(net.decode(z), twin.decode(z).sample) < 1e-5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@torch.inference_mode()
def test_the_full_size_of_sd_agrees_with_diffusers() -> None:
    net = randomised(AutoencoderKL(VaeConfig()))
    twin = vae_twin(net, VaeConfig())
    z = torch.randn(1, 4, 8, 8)
    assert relative(net.decode(z), twin.decode(z).sample) < 1e-5


@pytest.mark.parametrize("config", SHAPES.values(), ids=list(SHAPES))
@torch.inference_mode()
def test_sizes_are_read_back_from_the_keys(config: VaeConfig) -> None:
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in AutoencoderKL(config).state_dict().items()}
    assert VaeConfig.from_state_dict(shapes) == config


@torch.inference_mode()
def test_every_layout_encodes_and_decodes_to_the_stated_sizes() -> None:
    for config in (SHAPES["attention"], SHAPES["no quant"]):
        net = randomised(AutoencoderKL(config))
        moments = net.encode(torch.rand(1, 3, 8, 12))
        assert moments.mean.shape == moments.logvar.shape == (1, config.embed_dim, 4, 6)
        assert net(torch.rand(1, 3, 8, 12)).shape == (1, 3, 8, 12)


def test_a_picture_that_does_not_fill_the_latent_is_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 4, not 24 x 18"):
        AutoencoderKL(TINY).encode(torch.zeros(1, 3, 24, 18))


def test_groups_must_divide_the_widths() -> None:
    with pytest.raises(ValueError, match="32 channels do not divide into 5 groups"):
        VaeConfig(ch=32, norm_groups=5)


def test_moments_are_a_gaussian() -> None:
    moments = Moments(torch.full((2, 1, 2, 2), 3.0), torch.full((2, 1, 2, 2), 2.0).log())
    noise = torch.tensor([1.0, -1.0]).repeat(4).reshape(2, 1, 2, 2)
    assert torch.allclose(moments.sample(noise), 3.0 + noise * 2**0.5)
    by_torch = torch.distributions.kl_divergence(torch.distributions.Normal(3.0, 2**0.5), torch.distributions.Normal(0.0, 1.0))
    assert torch.allclose(moments.kl(), 4 * by_torch.expand(2))


def test_logvar_is_kept_within_bounds() -> None:
    net = randomised(AutoencoderKL(TINY))
    with torch.no_grad():
        net.quant_conv.bias[TINY.embed_dim :] = 1e6  # type: ignore[index]
        assert net.encode(torch.rand(1, 3, 8, 8)).logvar.max() == 20
