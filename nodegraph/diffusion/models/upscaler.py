"""Networks that enlarge pictures: SRVGGNetCompact and RRDBNet (Wang et al. 2021, Real-ESRGAN; Wang et al. 2018, ESRGAN)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nodegraph.diffusion.models.upscaler_config import CompactConfig, RrdbConfig

SLOPE = 0.2  # of every leaky rectifier of RRDBNet


class SRVGGNetCompact(nn.Module):
    """A plain stack of convolutions and a nearest-neighbour residual: small and fast."""

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        layers: list[nn.Module] = [nn.Conv2d(config.channels, width, 3, padding=1), nn.PReLU(width)]
        for _ in range(config.convs):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width)]
        layers.append(nn.Conv2d(width, config.channels * config.scale**2, 3, padding=1))
        self.body = nn.ModuleList(layers)

    @property
    def scale(self) -> int:
        """How much larger the picture becomes, along each side."""
        return self.config.scale

    def forward(self, image: Tensor) -> Tensor:
        """image: (B, 3, H, W) in 0..1 -> (B, 3, scale * H, scale * W), about 0..1, not clamped."""
        h = image
        for layer in self.body:
            h = layer(h)
        return F.pixel_shuffle(h, self.scale) + F.interpolate(image, scale_factor=float(self.scale), mode="nearest")


class RRDBNet(nn.Module):
    """Residual-in-residual dense blocks, then doublings by nearest neighbour and convolution."""

    def __init__(self, config: RrdbConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.conv_first = _conv(config.channels * config.unshuffle**2, width)
        self.body = nn.Sequential(*(RRDB(width, config.growth) for _ in range(config.blocks)))
        self.conv_body = _conv(width, width)
        for number in range(1, config.doublings + 1):
            self.add_module(f"conv_up{number}", _conv(width, width))
        self.conv_hr = _conv(width, width)
        self.conv_last = _conv(width, config.channels)

    @property
    def scale(self) -> int:
        """How much larger the picture becomes, along each side."""
        return self.config.scale

    def forward(self, image: Tensor) -> Tensor:
        """image: (B, 3, H, W) in 0..1 -> (B, 3, scale * H, scale * W), about 0..1, not clamped."""
        height, width = image.shape[-2:]
        h = self.conv_first(self._folded(image))
        h = h + self.conv_body(self.body(h))
        for number in range(1, self.config.doublings + 1):
            h = F.interpolate(h, scale_factor=2.0, mode="nearest")
            h = F.leaky_relu(self.get_submodule(f"conv_up{number}")(h), SLOPE)
        out: Tensor = self.conv_last(F.leaky_relu(self.conv_hr(h), SLOPE))
        return out[..., : height * self.scale, : width * self.scale]

    def _folded(self, image: Tensor) -> Tensor:
        fold = self.config.unshuffle
        if fold == 1:
            return image
        height, width = image.shape[-2:]
        padded = F.pad(image, (0, -width % fold, 0, -height % fold), mode="replicate")
        return F.pixel_unshuffle(padded, fold)


class RRDB(nn.Module):
    """Three dense blocks with a damped residual."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(width, growth) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + 0.2 * self.rdb3(self.rdb2(self.rdb1(x)))
        return out


class DenseBlock(nn.Module):
    """Five convolutions, each reading everything before it, with a damped residual."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3, self.conv4 = (_conv(width + i * growth, growth) for i in range(4))
        self.conv5 = _conv(width + 4 * growth, width)

    def forward(self, x: Tensor) -> Tensor:
        features = x
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            features = torch.cat([features, F.leaky_relu(layer(features), SLOPE)], dim=1)  # (B, width + i * growth, H, W)
        out: Tensor = x + 0.2 * self.conv5(features)
        return out


def _conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)
