"""Twins of our networks in the diffusers and transformers libraries, holding the same weights."""

from __future__ import annotations

from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor, nn

from nodegraph.diffusion.models.clip_config import ClipTextConfig
from nodegraph.diffusion.models.unet_config import UNetConfig
from nodegraph.diffusion.models.vae_config import VaeConfig

Net = TypeVar("Net", bound=nn.Module)


def randomised(net: Net, seed: int = 0) -> Net:
    """Weights that leave nothing at its resting value, norms and biases included."""
    parameters = dict(net.named_parameters())
    pool = torch.randn(max(parameter.numel() for parameter in parameters.values()), generator=torch.Generator().manual_seed(seed))
    for key, parameter in parameters.items():
        noise = pool[: parameter.numel()].view_as(parameter).roll(len(key))
        rest = 1.0 if key.endswith("weight") else 0.0
        with torch.no_grad():
            parameter.copy_(noise / parameter[0].numel() ** 0.5 if parameter.ndim > 1 else rest + 0.1 * noise)
    return net.eval()


def relative(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference, in units of the root mean square of the reference."""
    return float((ours - theirs).abs().max() / theirs.square().mean().sqrt())


def unet_twin(net: nn.Module, config: UNetConfig) -> Any:
    diffusers = pytest.importorskip("diffusers")
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    attends = [depth > 0 for depth in config.transformer_depth]
    extra: dict[str, Any] = {}
    if config.adm_in_channels is not None:
        extra = {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": config.adm_in_channels,
        }
    with torch.device("meta"):
        twin = diffusers.UNet2DConditionModel(
            in_channels=config.in_channels,
            out_channels=config.out_channels,
            block_out_channels=tuple(config.channels(level) for level in range(config.levels)),
            layers_per_block=config.num_res_blocks,
            down_block_types=tuple("CrossAttnDownBlock2D" if there else "DownBlock2D" for there in attends),
            up_block_types=tuple("CrossAttnUpBlock2D" if there else "UpBlock2D" for there in reversed(attends)),
            transformer_layers_per_block=[max(depth, 1) for depth in config.transformer_depth],
            cross_attention_dim=config.context_dim,
            attention_head_dim=[config.heads(config.channels(level)) for level in range(config.levels)],
            use_linear_projection=config.use_linear_in_transformer,
            **extra,
        )
    ours = {f"model.diffusion_model.{key}": value for key, value in net.state_dict().items()}
    options = {"class_embed_type": None, "addition_embed_type": extra.get("addition_embed_type")}
    names = {"layers_per_block", "up_block_types", "use_linear_projection", "num_class_embeds"}
    state = convert_ldm_unet_checkpoint(ours, config={**{k: twin.config[k] for k in names}, **options})
    twin.load_state_dict(state, assign=True)
    return twin.eval()


def vae_twin(net: nn.Module, config: VaeConfig) -> Any:
    diffusers = pytest.importorskip("diffusers")
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    twin = diffusers.AutoencoderKL(
        block_out_channels=[config.channels(level) for level in range(config.levels)],
        layers_per_block=config.num_res_blocks,
        down_block_types=["DownEncoderBlock2D"] * config.levels,
        up_block_types=["UpDecoderBlock2D"] * config.levels,
        latent_channels=config.z_channels,
        norm_num_groups=config.norm_groups,
    ).eval()
    twin.load_state_dict(convert_ldm_vae_checkpoint(dict(net.state_dict()), config=dict(twin.config)))
    return twin


def clip_twin(net: nn.Module, config: ClipTextConfig) -> Any:
    transformers = pytest.importorskip("transformers")
    shape = transformers.CLIPTextConfig(
        vocab_size=config.vocab,
        hidden_size=config.width,
        intermediate_size=config.intermediate,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        hidden_act=config.activation,
        projection_dim=config.projection or 512,
        bos_token_id=49406,
        eos_token_id=config.eos,
        pad_token_id=1,
    )
    kind = transformers.CLIPTextModelWithProjection if config.projection else transformers.CLIPTextModel
    twin = kind(shape).eval()
    nested = any(key.startswith("text_model.") for key in twin.state_dict())
    state = net.state_dict()
    twin.load_state_dict(state if nested else {key.removeprefix("text_model."): value for key, value in state.items()})
    return twin
