"""The shape of an autoencoder, stated or read from the keys and shapes of a checkpoint. No torch here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Shapes = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class VaeConfig:
    """Sizes of a KL autoencoder; the defaults are those of Stable Diffusion.

    ch, ch_mult: width of each level, from full resolution down
    num_res_blocks: residual blocks of each level of the encoder; the decoder has one more
    z_channels, embed_dim: channels inside and outside of the quantising 1x1 convolutions
    attention_levels: levels with attention besides the middle
    norm_groups: groups of every GroupNorm
    """

    in_channels: int = 3
    out_channels: int = 3
    ch: int = 128
    ch_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    z_channels: int = 4
    embed_dim: int = 4
    attention_levels: tuple[int, ...] = ()
    use_quant_conv: bool = True
    norm_groups: int = 32

    def __post_init__(self) -> None:
        for level in range(self.levels):
            if self.channels(level) < 1 or self.channels(level) % self.norm_groups:
                raise ValueError(f"{self.channels(level)} channels do not divide into {self.norm_groups} groups of the norms")

    @property
    def levels(self) -> int:
        """Number of resolutions."""
        return len(self.ch_mult)

    @property
    def factor(self) -> int:
        """Pixels of a picture for one pixel of a latent, along each side."""
        return int(2 ** (self.levels - 1))

    def channels(self, level: int) -> int:
        """Width of a level."""
        return self.ch * self.ch_mult[level]

    @classmethod
    def from_state_dict(cls, shapes: Shapes) -> VaeConfig:
        """Read the sizes from keys and shapes alone (prefix already stripped).

        The number of groups leaves no trace in the shapes: it is 32, but never less than 4 channels a group at full resolution,
        because a group of one channel would take the absolute colour away.
        """
        ch, in_channels = shapes["encoder.conv_in.weight"][:2]
        widths = [shapes[f"encoder.down.{level}.block.0.conv1.weight"][0] for level in range(_count(shapes, r"encoder\.down\.(\d+)\."))]
        z_channels = shapes["decoder.conv_in.weight"][1]
        quant = shapes.get("post_quant_conv.weight")
        return cls(
            in_channels=in_channels,
            out_channels=shapes["decoder.conv_out.weight"][0],
            ch=ch,
            ch_mult=tuple(width // ch for width in widths),
            num_res_blocks=_count(shapes, r"encoder\.down\.0\.block\.(\d+)\."),
            z_channels=z_channels,
            embed_dim=z_channels if quant is None else quant[1],
            attention_levels=tuple(level for level in range(len(widths)) if f"encoder.down.{level}.attn.0.q.weight" in shapes),
            use_quant_conv=quant is not None,
            norm_groups=max(1, min(32, ch // 4)),
        )


def _count(shapes: Shapes, pattern: str) -> int:
    compiled = re.compile(pattern)
    return len({match[1] for match in map(compiled.match, shapes) if match})
