"""Initial weights of an autoencoder that already transmits a blurred picture, so that training begins with detail, not with colour.

First every residual branch is silenced and the rest made isometric, then the last layer of each half is fitted to a batch of pictures by
least squares. Measured: it starts where the usual initial weights are after several hundred steps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nodegraph.diffusion.models.vae import AttnBlock, AutoencoderKL, Decoder, Encoder, ResnetBlock

QUIET = -6.0  # log variance of the latent; the usual weights give 0, noise as large as the signal


def start_linear(net: AutoencoderKL) -> AutoencoderKL:
    """Silence every residual branch, so that what is left is linear: isometric channel maps, averaging down, repeating up."""
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, ResnetBlock):
                _silence(module.conv2)
                if hasattr(module, "nin_shortcut"):
                    _isometry(module.nin_shortcut)
            elif isinstance(module, AttnBlock):
                _silence(module.proj_out)
        for name, module in net.named_modules():
            if name.endswith((".conv_in", "downsample.conv", "upsample.conv")) and isinstance(module, nn.Conv2d):
                _isometry(module, average=name.endswith("downsample.conv"))
        if net.config.use_quant_conv:
            _quieten(net)
    return net


def _silence(conv: nn.Conv2d) -> None:
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(biases(conv))


def _isometry(conv: nn.Conv2d, average: bool = False) -> None:
    """A (semi-)orthogonal map of the channels at the middle tap, or spread over the 2x2 taps that a strided convolution starts at."""
    matrix = nn.init.orthogonal_(torch.empty(conv.out_channels, conv.in_channels))
    nn.init.normal_(conv.weight, std=0.01)
    middle = conv.kernel_size[0] // 2
    if average:
        conv.weight[:, :, :2, :2] += matrix[:, :, None, None] / 4
    else:
        conv.weight[:, :, middle, middle] += matrix
    nn.init.zeros_(biases(conv))


def biases(conv: nn.Conv2d) -> Tensor:
    """The bias of a convolution that has one."""
    assert conv.bias is not None
    return conv.bias


def _quieten(net: AutoencoderKL) -> None:
    half = net.config.embed_dim
    assert isinstance(net.quant_conv, nn.Conv2d)
    net.quant_conv.weight[half:].zero_()
    biases(net.quant_conv)[half:].fill_(QUIET)


def fit_ends(net: AutoencoderKL, images: Tensor) -> None:
    """Fit the last convolutions of encoder and decoder to `images` (B, 3, H, W): the first three latent channels become the whitened mean
    colours of the squares that a latent pixel stands for, the others begin near zero, and the decoder paints the squares."""
    if not net.config.use_quant_conv:
        return
    with torch.no_grad():
        colours = _whiten(F.avg_pool2d(images, net.config.factor))  # (B, 3, h, w)
        _identity(net.quant_conv, net.config.embed_dim)
        _identity(net.post_quant_conv, net.config.z_channels)
        _fit(net.encoder, images, colours)
        _fit(net.decoder, net.post_quant_conv(net.encode(images).mean), images)


def _whiten(values: Tensor) -> Tensor:
    """Mean 0 and covariance 1 over all pixels, by the Cholesky factor. (B, C, h, w) -> same."""
    flat = values.transpose(0, 1).flatten(1).double()  # (C, B * h * w); pictures of two colours have next to no variance in the third
    centred = flat - flat.mean(dim=1, keepdim=True)
    factor = torch.linalg.cholesky(centred @ centred.T / flat.shape[1] + 1e-4 * torch.eye(len(flat), dtype=torch.float64))
    white: Tensor = torch.linalg.solve_triangular(factor, centred, upper=False).float()
    return white.reshape(values.shape[1], values.shape[0], *values.shape[2:]).transpose(0, 1)


def _identity(conv: nn.Module, count: int) -> None:
    assert isinstance(conv, nn.Conv2d)
    conv.weight[:count].zero_()
    conv.weight[range(count), range(count)] = 1.0
    biases(conv)[:count].zero_()


def _fit(half: Encoder | Decoder, inputs: Tensor, wanted: Tensor) -> None:
    """Ridge regression of `wanted` from what reaches `half.conv_out`, at its middle tap."""
    seen: list[Tensor] = []
    handle = half.conv_out.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        half(inputs)
    finally:
        handle.remove()
    flat = seen[0].transpose(0, 1).flatten(1)  # (C, pixels)
    rows = torch.cat([flat, torch.ones_like(flat[:1])]).double()
    goal = wanted.transpose(0, 1).flatten(1).double()  # (channels, pixels)
    ridge = 1e-3 * rows.shape[1] * torch.eye(len(rows), dtype=torch.float64)
    solution = torch.linalg.solve(rows @ rows.T + ridge, rows @ goal.T).T.float()  # (channels, C + 1)
    count = len(goal)
    half.conv_out.weight[:count] *= 0.1
    half.conv_out.weight[:count, :, 1, 1] = solution[:, :-1]
    biases(half.conv_out)[:count] = solution[:, -1]
