"""A whole checkpoint of random weights that loads in milliseconds, in the key layout of Stable Diffusion."""

from __future__ import annotations

from pathlib import Path

import torch

from nodegraph.diffusion.models.clip_config import ClipTextConfig
from nodegraph.diffusion.models.clip_text import ClipText
from nodegraph.diffusion.models.unet import UNet
from nodegraph.diffusion.models.unet_config import UNetConfig
from nodegraph.diffusion.models.vae import AutoencoderKL
from nodegraph.diffusion.models.vae_config import VaeConfig
from nodegraph.diffusion.weights import save_weights

METADATA = {
    "modelspec.prediction_type": "v",
    "nodegraph.unet_heads": "2",
    "nodegraph.vae_norm_groups": "4",
    "nodegraph.clip_heads": "2",
    "nodegraph.scale_factor": "0.9",
}


def tiny_parts(seed: int = 0) -> dict[str, torch.nn.Module]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return {
            "model.diffusion_model.": UNet(
                UNetConfig(model_channels=32, channel_mult=(1, 2), num_res_blocks=1, transformer_depth=(1, 0), context_dim=32, num_heads=2)
            ),
            "first_stage_model.": AutoencoderKL(VaeConfig(ch=8, ch_mult=(1, 1, 2, 2), num_res_blocks=1, norm_groups=4)),
            "cond_stage_model.transformer.": ClipText(ClipTextConfig(width=32, layers=2, heads=2, intermediate=64)),
        }


def write_tiny_checkpoint(path: Path, seed: int = 0) -> None:
    parts = tiny_parts(seed)
    tensors = {prefix + key: value.half().contiguous() for prefix, part in parts.items() for key, value in part.state_dict().items()}
    save_weights(path, tensors, METADATA)
