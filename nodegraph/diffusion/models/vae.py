"""The autoencoder of latent diffusion (Rombach et al. 2022), in the CompVis key layout. No latent scaling happens here."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nodegraph.diffusion.models.vae_config import VaeConfig


@dataclass(frozen=True)
class Moments:
    """The Gaussian an image is encoded to. mean, logvar: (B, embed_dim, h, w); logvar is clamped to -30..20."""

    mean: Tensor
    logvar: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """mean + exp(logvar / 2) * noise, with noise from the standard normal distribution, shaped as the mean."""
        return self.mean + torch.exp(0.5 * self.logvar) * noise

    def kl(self) -> Tensor:
        """KL divergence from the standard normal distribution, (B,), summed over the latent."""
        return 0.5 * (self.mean.square() + self.logvar.exp() - 1 - self.logvar).sum(dim=(1, 2, 3))


class AutoencoderKL(nn.Module):
    """Picture to latent and back. Height and width of a picture must be multiples of `config.factor`."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        moments = 2 * config.z_channels
        self.quant_conv = nn.Conv2d(moments, 2 * config.embed_dim, 1) if config.use_quant_conv else nn.Identity()
        self.post_quant_conv = nn.Conv2d(config.embed_dim, config.z_channels, 1) if config.use_quant_conv else nn.Identity()

    def encode(self, image: Tensor) -> Moments:
        """image: (B, 3, H, W) in -1..1 -> moments of (B, embed_dim, H / factor, W / factor)."""
        factor = self.config.factor
        if image.shape[-2] % factor or image.shape[-1] % factor:
            raise ValueError(f"height and width must be multiples of {factor}, not {image.shape[-2]} x {image.shape[-1]}")
        mean, logvar = self.quant_conv(self.encoder(image)).chunk(2, dim=1)
        return Moments(mean, logvar.clamp(-30.0, 20.0))

    def decode(self, z: Tensor) -> Tensor:
        """z: (B, embed_dim, h, w) -> (B, 3, h * factor, w * factor), about -1..1, not clamped."""
        image: Tensor = self.decoder(self.post_quant_conv(z))
        return image

    def forward(self, image: Tensor) -> Tensor:
        """The reconstruction from the mean."""
        return self.decode(self.encode(image).mean)


class ResnetBlock(nn.Module):
    """Two convolutions and a residual."""

    def __init__(self, in_channels: int, out_channels: int, groups: int) -> None:
        super().__init__()
        self.norm1 = _norm(in_channels, groups)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = _norm(out_channels, groups)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        if in_channels != out_channels:
            self.nin_shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        out: Tensor = h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)
        return out


class AttnBlock(nn.Module):
    """Single-head self-attention over all pixels."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = _norm(channels, groups)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (layer(h).flatten(2).transpose(1, 2)[:, None] for layer in (self.q, self.k, self.v))  # (B, 1, h * w, C)
        out = F.scaled_dot_product_attention(q, k, v)
        out = out[:, 0].transpose(1, 2).reshape(x.shape)  # (B, C, h, w)
        result: Tensor = x + self.proj_out(out)
        return result


class Downsample(nn.Module):
    """Strided convolution, padded at the right and at the bottom only."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)))
        return out


class Upsample(nn.Module):
    """Nearest neighbour, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out


class Level(nn.Module):
    """One resolution: residual blocks, each followed by attention where the level has it, then the change of resolution."""

    def __init__(self, widths: list[int], attention: bool, groups: int) -> None:
        super().__init__()
        self.block = nn.ModuleList(ResnetBlock(a, b, groups) for a, b in pairwise(widths))
        self.attn = nn.ModuleList(AttnBlock(width, groups) for width in widths[1:] if attention)

    def forward(self, x: Tensor) -> Tensor:
        for index, block in enumerate(self.block):
            x = block(x)
            if self.attn:
                x = self.attn[index](x)
        return self.resample(x)

    def resample(self, x: Tensor) -> Tensor:
        """The change of resolution; none at the last level."""
        return x


class DownLevel(Level):
    """A level of the encoder that ends by halving."""

    def __init__(self, widths: list[int], attention: bool, groups: int) -> None:
        super().__init__(widths, attention, groups)
        self.downsample = Downsample(widths[-1])

    def resample(self, x: Tensor) -> Tensor:
        out: Tensor = self.downsample(x)
        return out


class UpLevel(Level):
    """A level of the decoder that ends by doubling."""

    def __init__(self, widths: list[int], attention: bool, groups: int) -> None:
        super().__init__(widths, attention, groups)
        self.upsample = Upsample(widths[-1])

    def resample(self, x: Tensor) -> Tensor:
        out: Tensor = self.upsample(x)
        return out


class Middle(nn.Module):
    """Residual, attention, residual at the lowest resolution."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.block_1 = ResnetBlock(channels, channels, groups)
        self.attn_1 = AttnBlock(channels, groups)
        self.block_2 = ResnetBlock(channels, channels, groups)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block_2(self.attn_1(self.block_1(x)))
        return out


class Encoder(nn.Module):
    """(B, 3, H, W) -> (B, 2 * z_channels, H / factor, W / factor)."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(config.in_channels, config.channels(0), 3, padding=1)
        self.down = nn.ModuleList(_encoder_level(config, level) for level in range(config.levels))
        width = config.channels(config.levels - 1)
        self.mid = Middle(width, config.norm_groups)
        self.norm_out = _norm(width, config.norm_groups)
        self.conv_out = nn.Conv2d(width, 2 * config.z_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_in(x)
        for level in self.down:
            h = level(h)
        out: Tensor = self.conv_out(F.silu(self.norm_out(self.mid(h))))
        return out


class Decoder(nn.Module):
    """(B, z_channels, h, w) -> (B, 3, h * factor, w * factor)."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        width = config.channels(config.levels - 1)
        self.conv_in = nn.Conv2d(config.z_channels, width, 3, padding=1)
        self.mid = Middle(width, config.norm_groups)
        self.up = nn.ModuleList(_decoder_level(config, level) for level in range(config.levels))
        self.norm_out = _norm(config.channels(0), config.norm_groups)
        self.conv_out = nn.Conv2d(config.channels(0), config.out_channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        h = self.mid(self.conv_in(z))
        for level in reversed(self.up):
            h = level(h)
        out: Tensor = self.conv_out(F.silu(self.norm_out(h)))
        return out

    @property
    def last_layer(self) -> Tensor:
        """The last weight, which balances adversarial losses (Esser et al. 2021, eq. 7)."""
        return self.conv_out.weight


def _norm(channels: int, groups: int) -> nn.GroupNorm:
    return nn.GroupNorm(groups, channels, eps=1e-6)


def _encoder_level(config: VaeConfig, level: int) -> Level:
    widths = [config.channels(max(level - 1, 0))] + [config.channels(level)] * config.num_res_blocks
    kind = DownLevel if level + 1 < config.levels else Level
    return kind(widths, level in config.attention_levels, config.norm_groups)


def _decoder_level(config: VaeConfig, level: int) -> Level:
    widths = [config.channels(min(level + 1, config.levels - 1))] + [config.channels(level)] * (config.num_res_blocks + 1)
    kind = UpLevel if level else Level
    return kind(widths, level in config.attention_levels, config.norm_groups)
