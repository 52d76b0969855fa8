"""Between values (read-only NumPy arrays) and tensors. Values are copied, never aliased: a node may write to what it gets."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from nodegraph.diffusion.entries import Prompt
from nodegraph.diffusion.values import Conditioning, Image, Latent


def to_tensor(array: Any, device: torch.device | str = "cpu") -> Tensor:
    """A float32 copy of an array on a device."""
    return torch.tensor(array, dtype=torch.float32, device=device)


def to_array(tensor: Tensor) -> Any:
    """A contiguous float32 array of a tensor, in host memory."""
    return np.ascontiguousarray(tensor.detach().to("cpu", torch.float32).numpy())


def image_tensor(image: Image, device: torch.device | str = "cpu") -> Tensor:
    """(B, 3, H, W) in 0..1."""
    return to_tensor(image.data, device).permute(0, 3, 1, 2).contiguous()


def image_from_tensor(pictures: Tensor) -> Image:
    """From (B, 3, H, W) in 0..1; values outside are clipped."""
    return Image(to_array(pictures.clamp(0, 1).permute(0, 2, 3, 1)))


def latent_tensor(latent: Latent, device: torch.device | str = "cpu") -> Tensor:
    return to_tensor(latent.data, device)


def prompts(conditioning: Conditioning, device: torch.device | str = "cpu") -> list[Prompt]:
    """The entries of a conditioning as the sampler wants them."""
    return [
        Prompt(
            to_tensor(entry.context, device),
            None if entry.pooled is None else to_tensor(entry.pooled, device),
            strength=entry.strength,
            start=entry.start,
            end=entry.end,
        )
        for entry in conditioning.entries
    ]
