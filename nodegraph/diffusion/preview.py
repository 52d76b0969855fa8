"""A quick picture of a latent without the VAE: one linear map per pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nodegraph.errors import InputRefused


@dataclass(frozen=True)
class LatentToRgb:
    """rgb = latent @ weights + bias, in -1..1.

    weights: C rows of 3; bias: 3
    """

    weights: tuple[tuple[float, float, float], ...]
    bias: tuple[float, float, float] = (0.0, 0.0, 0.0)


# Least-squares fits published for the Stable Diffusion autoencoders, for latents in model space (scaled to unit variance).
SD15 = LatentToRgb(
    (
        (0.3512, 0.2297, 0.3227),
        (0.3250, 0.4974, 0.2350),
        (-0.2829, 0.1762, 0.2721),
        (-0.2120, -0.2616, -0.7177),
    )
)
SDXL = LatentToRgb(
    (
        (0.3651, 0.4232, 0.4341),
        (-0.2533, -0.0042, 0.1068),
        (0.1076, 0.1111, -0.0362),
        (-0.3165, -0.2492, -0.2188),
    ),
    (0.1084, -0.0175, -0.0011),
)


def latent_to_rgb(x0: Tensor, factors: LatentToRgb) -> NDArray[np.uint8]:
    """(B, C, h, w) latents in model space -> (B, h, w, 3) uint8 pictures of the same small size."""
    if x0.shape[1] != len(factors.weights):
        raise InputRefused(f"the latent has {x0.shape[1]} channels, the preview factors are for {len(factors.weights)}")
    weights = torch.tensor(factors.weights, device=x0.device)
    rgb = torch.einsum("bchw,cr->bhwr", x0.float(), weights) + torch.tensor(factors.bias, device=x0.device)
    out: NDArray[np.uint8] = (((rgb + 1) / 2).clamp(0, 1) * 255).to(torch.uint8).cpu().numpy()
    return out


def fit_factors(latents: Tensor, pictures: Tensor) -> LatentToRgb:
    """Least-squares factors from pairs of latents (B, C, h, w) and pictures (B, 3, h, w) in -1..1 of the same small size."""
    channels = latents.shape[1]
    points = latents.double().movedim(1, -1).reshape(-1, channels)  # (B * h * w, C)
    points = torch.cat([points, torch.ones_like(points[:, :1])], dim=1)
    colours = pictures.double().movedim(1, -1).reshape(-1, 3)
    solved = torch.linalg.lstsq(points, colours).solution.tolist()  # (C + 1, 3)
    rows: Sequence[tuple[float, float, float]] = [(r[0], r[1], r[2]) for r in solved]
    return LatentToRgb(tuple(rows[:channels]), rows[channels])
