"""The U-Net of Stable Diffusion 1, 2 and XL (Rombach et al. 2022), in the CompVis key layout."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nodegraph.diffusion.models.attention import NO_INFO, Attention, AttnPatch, BlockKind, LayerName, StepInfo, attention_patched
from nodegraph.diffusion.models.unet_config import GROUPS, UNetConfig

Control = Mapping[str, Sequence[Tensor | None]]


@dataclass(frozen=True)
class BlockCall:
    """One block of the U-Net about to run. x: (B, C, h, w); skip: (B, C', h, w) for output blocks, else None."""

    block: BlockKind
    index: int
    x: Tensor
    skip: Tensor | None
    info: StepInfo


BlockProceed = Callable[[BlockCall], Tensor]
BlockPatch = Callable[[BlockCall, BlockProceed], Tensor]


@dataclass(frozen=True)
class _Inputs:
    """What every layer of one forward pass shares."""

    emb: Tensor  # (B, 4 * model_channels), already through SiLU
    context: Tensor | None  # (B, L, D)
    info: StepInfo


class UNet(nn.Module):
    """Predicts noise, velocity or flow from a noisy latent; which of them is a matter of training, not of this module."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        self.block_patches: tuple[BlockPatch, ...] = ()
        width = config.model_channels * 4
        self.time_embed = nn.Sequential(nn.Linear(config.model_channels, width), nn.SiLU(), nn.Linear(width, width))
        if config.adm_in_channels is not None:
            self.label_emb = nn.Sequential(nn.Sequential(nn.Linear(config.adm_in_channels, width), nn.SiLU(), nn.Linear(width, width)))
        self.input_blocks = nn.ModuleList(_input_blocks(config))
        self.middle_block = _middle_block(config)
        self.output_blocks = nn.ModuleList(_output_blocks(config))
        first = config.channels(0)
        self.out = nn.Sequential(nn.GroupNorm(GROUPS, first), nn.SiLU(), nn.Conv2d(first, config.out_channels, 3, padding=1))

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        context: Tensor | None = None,
        y: Tensor | None = None,
        control: Control | None = None,
        info: StepInfo = NO_INFO,
    ) -> Tensor:
        """Run the network.

        x: (B, in_channels, h, w) of any size
        t: (B,) float, model time in 0..1000 (fractions are fine)
        context: (B, L, context_dim); L is free
        y: (B, adm_in_channels), for SDXL and other class-conditioned networks
        control: residuals by place, "input" (last of the list goes to the last skip), "middle" and "output"
        Returns (B, out_channels, h, w).
        """
        inputs = _Inputs(F.silu(self._embed(x, t, y)), context, info)
        stack = _ControlStack(control)
        skips: list[Tensor] = []
        h = x
        for index, block in enumerate(self.input_blocks):
            h = stack.add("input", self._run("input", index, block, h, None, inputs))
            skips.append(h)
        h = stack.add("middle", self._run("middle", 0, self.middle_block, h, None, inputs))
        for index, block in enumerate(self.output_blocks):
            skip = stack.add("output", skips.pop())
            size = skips[-1].shape[-2:] if skips else None
            h = self._run("output", index, block, h, skip, inputs, size)
        out: Tensor = self.out(h)
        return out

    def _embed(self, x: Tensor, t: Tensor, y: Tensor | None) -> Tensor:
        emb: Tensor = self.time_embed(timestep_embedding(t, self.config.model_channels).to(x.dtype))
        if self.config.adm_in_channels is None:
            return emb
        if y is None:
            raise ValueError(f"this network needs y of shape (B, {self.config.adm_in_channels})")
        return torch.add(emb, self.label_emb(y.to(x.dtype)))

    def _run(
        self,
        kind: BlockKind,
        index: int,
        block: nn.Module,
        x: Tensor,
        skip: Tensor | None,
        inputs: _Inputs,
        size: torch.Size | None = None,
    ) -> Tensor:
        def core(call: BlockCall) -> Tensor:
            out: Tensor = block(_join(call.x, call.skip), inputs, size)
            return out

        proceed: BlockProceed = core
        for patch in reversed(self.block_patches):
            proceed = _wrap(patch, proceed)
        return proceed(BlockCall(kind, index, x, skip, inputs.info))


@contextmanager
def hooked(net: UNet, attention: Sequence[AttnPatch] = (), blocks: Sequence[BlockPatch] = ()) -> Iterator[UNet]:
    """Put patches on a network inside the `with` block; taken off again also after an exception.

    The first patch of a sequence is the outermost. A nested block adds its patches inside those already there.
    """
    before = net.block_patches
    with attention_patched(net, attention):
        try:
            net.block_patches = (*before, *blocks)
            yield net
        finally:
            net.block_patches = before


def timestep_embedding(t: Tensor, width: int) -> Tensor:
    """Sinusoidal code of (B,) times: (B, width) float32, cosines then sines, frequencies exp(-ln(10000) i / (width / 2))."""
    half = width // 2
    freqs = torch.exp(torch.arange(half, dtype=torch.float32, device=t.device) * (-math.log(10000.0) / half))
    angles = t.float()[:, None] * freqs[None]  # (B, half)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def zero_output_layers(net: UNet) -> UNet:
    """Zero the last layer of every residual branch and of the whole network, as training from scratch wants it."""
    for module in net.modules():
        last = _last_layer(module)
        for parameter in () if last is None else last.parameters():
            nn.init.zeros_(parameter)
    return net


class ResBlock(nn.Module):
    """Two convolutions with the time code added between them."""

    def __init__(self, in_channels: int, out_channels: int, emb_channels: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(nn.GroupNorm(GROUPS, in_channels), nn.SiLU(), nn.Conv2d(in_channels, out_channels, 3, padding=1))
        # inputs.emb has passed the SiLU already: it is the same for every block, so the UNet applies it once
        self.emb_layers = nn.Sequential(nn.Identity(), nn.Linear(emb_channels, out_channels))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(GROUPS, out_channels), nn.SiLU(), nn.Identity(), nn.Conv2d(out_channels, out_channels, 3, padding=1)
        )
        same = in_channels == out_channels
        self.skip_connection = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, inputs: _Inputs) -> Tensor:
        h = self.in_layers(x).add_(self.emb_layers(inputs.emb)[:, :, None, None])  # in place on a fresh output
        out: Tensor = self.out_layers(h).add_(self.skip_connection(x))
        return out


class Downsample(nn.Module):
    """Halve height and width by a strided convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor, inputs: _Inputs) -> Tensor:
        out: Tensor = self.op(x)
        return out


class Upsample(nn.Module):
    """To the size of the next skip, which is double or one less: nearest neighbour, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, size: torch.Size | None) -> Tensor:
        target = (x.shape[-2] * 2, x.shape[-1] * 2) if size is None else tuple(size)
        out: Tensor = self.conv(F.interpolate(x, size=target, mode="nearest"))
        return out


class FirstConv(nn.Conv2d):
    """The convolution into the network, callable like any other layer of a block."""

    def forward(self, input: Tensor, inputs: _Inputs | None = None) -> Tensor:
        return super().forward(input)


class TokenConv(nn.Conv2d):
    """A 1x1 convolution stored as such, applied to tokens (B, N, C): the same sums without a change of layout."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 1)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight.flatten(1), self.bias)


class GEGLU(nn.Module):
    """x * gelu(gate), both from one projection (Shazeer 2020)."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(channels, inner * 2)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        out: Tensor = value * F.gelu(gate)
        return out


class FeedForward(nn.Module):
    """Gated two-layer perceptron, four times as wide inside."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(GEGLU(channels, channels * 4), nn.Identity(), nn.Linear(channels * 4, channels))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention, feed-forward, each with its own norm and residual."""

    def __init__(self, channels: int, config: UNetConfig, block: BlockKind, index: int, depth: int) -> None:
        super().__init__()
        heads = config.heads(channels)
        self.attn1 = Attention(channels, channels, heads, LayerName(block, index, depth, "self"))
        self.attn2 = Attention(channels, config.context_dim, heads, LayerName(block, index, depth, "cross"))
        self.ff = FeedForward(channels)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(channels), nn.LayerNorm(channels), nn.LayerNorm(channels)

    def forward(self, x: Tensor, size: tuple[int, int], inputs: _Inputs) -> Tensor:
        # every branch ends in a linear layer, whose fresh output can take the residual in place
        x = self.attn1(self.norm1(x), None, size, inputs.info).add_(x)
        x = self.attn2(self.norm2(x), inputs.context, size, inputs.info).add_(x)
        out: Tensor = self.ff(self.norm3(x)).add_(x)
        return out


class SpatialTransformer(nn.Module):
    """Transformer blocks over the pixels of a feature map."""

    def __init__(self, channels: int, blocks: int, config: UNetConfig, block: BlockKind, index: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels, eps=1e-6)
        self.proj_in = _token_projection(channels, config)
        self.transformer_blocks = nn.ModuleList(TransformerBlock(channels, config, block, index, depth) for depth in range(blocks))
        self.proj_out = _token_projection(channels, config)

    def forward(self, x: Tensor, inputs: _Inputs) -> Tensor:
        batch, channels, height, width = x.shape
        tokens = self.proj_in(self.norm(x).flatten(2).transpose(1, 2))  # (B, h * w, C)
        for block in self.transformer_blocks:
            tokens = block(tokens, (height, width), inputs)
        out = self.proj_out(tokens).transpose(1, 2).reshape(batch, channels, height, width)
        result: Tensor = x + out
        return result


class Block(nn.Sequential):
    """One entry of the U-Net's lists: its layers in turn."""

    def forward(self, input: Tensor, inputs: _Inputs | None = None, size: torch.Size | None = None) -> Tensor:
        for layer in self:
            input = layer(input, size) if isinstance(layer, Upsample) else layer(input, inputs)
        return input


class _ControlStack:
    """Residuals of ControlNets, taken from the end of each list."""

    def __init__(self, control: Control | None) -> None:
        self._left = {} if control is None else {place: list(values) for place, values in control.items()}

    def add(self, place: str, h: Tensor) -> Tensor:
        left = self._left.get(place)
        residual = left.pop() if left else None
        return h if residual is None else h + residual.to(h)


def _join(x: Tensor, skip: Tensor | None) -> Tensor:
    if skip is None:
        return x
    if x.shape[-2:] != skip.shape[-2:]:  # only after a patch that changed the resolution
        x = F.interpolate(x, size=skip.shape[-2:], mode="nearest")
    return torch.cat([x, skip], dim=1)


def _wrap(patch: BlockPatch, core: BlockProceed) -> BlockProceed:
    return lambda call: patch(call, core)


def _last_layer(module: nn.Module) -> nn.Module | None:
    if isinstance(module, ResBlock):
        return module.out_layers[3]
    if isinstance(module, SpatialTransformer):
        return module.proj_out
    return module.out[2] if isinstance(module, UNet) else None


def _token_projection(channels: int, config: UNetConfig) -> nn.Module:
    return nn.Linear(channels, channels) if config.use_linear_in_transformer else TokenConv(channels)


def _layers(config: UNetConfig, level: int, width: int, place: tuple[BlockKind, int]) -> list[nn.Module]:
    """A ResBlock into `level` from `width` channels, and the transformer of that level if it has one."""
    channels, depth = config.channels(level), config.transformer_depth[level]
    layers: list[nn.Module] = [ResBlock(width, channels, config.model_channels * 4)]
    if depth:
        layers.append(SpatialTransformer(channels, depth, config, *place))
    return layers


def _input_blocks(config: UNetConfig) -> list[Block]:
    width = config.model_channels
    blocks = [Block(FirstConv(config.in_channels, width, 3, padding=1))]
    for level in range(config.levels):
        for _ in range(config.res_blocks(level)):
            blocks.append(Block(*_layers(config, level, width, ("input", len(blocks)))))
            width = config.channels(level)
        if level + 1 < config.levels:
            blocks.append(Block(Downsample(width)))
    return blocks


def _middle_block(config: UNetConfig) -> Block:
    width, emb = config.channels(config.levels - 1), config.model_channels * 4
    layers: list[nn.Module] = [ResBlock(width, width, emb)]
    if config.transformer_depth_middle:
        layers.append(SpatialTransformer(width, config.transformer_depth_middle, config, "middle", 0))
    return Block(*layers, ResBlock(width, width, emb))


def _output_blocks(config: UNetConfig) -> list[Block]:
    skips = _skip_widths(config)
    width = config.channels(config.levels - 1)
    blocks: list[Block] = []
    for level in reversed(range(config.levels)):
        for last in [False] * config.res_blocks(level) + [True]:
            layers = _layers(config, level, width + skips.pop(), ("output", len(blocks)))
            width = config.channels(level)
            if last and level:
                layers.append(Upsample(width))
            blocks.append(Block(*layers))
    return blocks


def _skip_widths(config: UNetConfig) -> list[int]:
    """Channels of what each input block hands to its output block."""
    widths = [config.model_channels]
    for level in range(config.levels):
        widths += [config.channels(level)] * config.res_blocks(level)
        if level + 1 < config.levels:
            widths.append(config.channels(level))
    return widths
