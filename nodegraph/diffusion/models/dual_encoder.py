"""An image tower and a text tower that put what belongs together close to each other (CLIP, Radford et al. 2021), small."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nodegraph.diffusion.models.clip_text import ClipText
from nodegraph.diffusion.models.dual_encoder_config import DualEncoderConfig

LARGEST_SCALE = 100.0  # of cosines before the softmax, as in CLIP (section 2.5)
FIRST_SCALE = 1 / 0.07


class DualEncoder(nn.Module):
    """Pictures and texts as unit vectors of one space; the cosine of two says how well they go together."""

    def __init__(self, config: DualEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.image = ImageTower(config)
        self.text = ClipText(config.text)
        self.log_scale = nn.Parameter(torch.tensor(math.log(FIRST_SCALE)))

    def pictures(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in 0..1, of any size -> (B, width) float32 of length 1."""
        return F.normalize(self.image(fitted(images, self.config.size)).float(), dim=-1)

    def words(self, ids: Tensor) -> Tensor:
        """(B, L) tokens -> (B, width) float32 of length 1."""
        return F.normalize(self.text(ids).pooled.float(), dim=-1)

    def scale(self) -> Tensor:
        """What cosines are multiplied with before a softmax: one over the temperature, learnt."""
        return self.log_scale.float().exp().clamp(max=LARGEST_SCALE)


def fitted(images: Tensor, size: int) -> Tensor:
    """(B, 3, H, W) -> (B, 3, size, size): the middle square, low-pass filtered where it is made smaller."""
    edge = min(images.shape[-2:])
    top, left = ((side - edge) // 2 for side in images.shape[-2:])
    square = images[..., top : top + edge, left : left + edge]
    return square if edge == size else F.interpolate(square, (size, size), mode="bilinear", antialias=True, align_corners=False)


class ImageTower(nn.Module):
    """A residual network: stages of blocks, each at half the resolution of the one before, a mean over places, a projection."""

    def __init__(self, config: DualEncoderConfig) -> None:
        super().__init__()
        widths = config.widths
        self.stem = nn.Conv2d(3, widths[0], 2 * config.stem - 1, stride=config.stem, padding=config.stem - 1)
        self.stages = nn.ModuleList(
            Stage(widths[max(0, i - 1)], width, count, config.groups)
            for i, (width, count) in enumerate(zip(widths, config.blocks, strict=True))
        )
        self.norm = nn.GroupNorm(config.groups, widths[-1])
        self.projection = nn.Linear(widths[-1], config.width, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, size, size) in 0..1 -> (B, width)."""
        x = self.stem((images * 2 - 1).to(self.stem.weight.dtype))
        for stage in self.stages:
            x = stage(x)
        features = F.silu(self.norm(x)).mean(dim=(2, 3))  # (B, widths[-1])
        out: Tensor = self.projection(features)
        return out


class Stage(nn.Module):
    """Blocks at one resolution, after halving it where the width changes."""

    def __init__(self, before: int, width: int, count: int, groups: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(before, width, 3, stride=2, padding=1) if before != width else nn.Identity()
        self.blocks = nn.ModuleList(Block(width, groups) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        for block in self.blocks:
            x = block(x)
        return x


class Block(nn.Module):
    """Two convolutions beside the identity, each after a norm (He et al. 2016, pre-activation)."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.GroupNorm(groups, width) for _ in range(2))
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv1(F.silu(self.norm1(x)))
        out: Tensor = x + self.conv2(F.silu(self.norm2(inner)))
        return out
