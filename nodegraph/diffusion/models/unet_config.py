"""The shape of a U-Net, stated or read from the keys and shapes of a checkpoint. No torch here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Shapes = Mapping[str, Sequence[int]]
GROUPS = 32  # of every GroupNorm in the family


@dataclass(frozen=True)
class UNetConfig:
    """Sizes of a U-Net; the defaults are Stable Diffusion 1.x.

    channel_mult: width of each level as a multiple of `model_channels`
    num_res_blocks: residual blocks of each level on the way down, one number or one per level
    transformer_depth: transformer blocks at each level; 0 means no attention there
    num_heads, head_dim: one of them is given; the other follows from the width
    adm_in_channels: width of the vector `y`; None when the network takes none
    use_linear_in_transformer: project tokens by a linear layer instead of a 1x1 convolution (SD 2 and XL)
    """

    in_channels: int = 4
    out_channels: int = 4
    model_channels: int = 320
    channel_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int | tuple[int, ...] = 2
    transformer_depth: tuple[int, ...] = (1, 1, 1, 0)
    transformer_depth_middle: int = 1
    context_dim: int = 768
    num_heads: int | None = 8
    head_dim: int | None = None
    adm_in_channels: int | None = None
    use_linear_in_transformer: bool = False

    def __post_init__(self) -> None:
        if len(self.transformer_depth) != self.levels:
            raise ValueError(f"{self.levels} levels need as many transformer depths, not {self.transformer_depth}")
        if isinstance(self.num_res_blocks, tuple) and len(self.num_res_blocks) != self.levels:
            raise ValueError(f"{self.levels} levels need as many block counts, not {self.num_res_blocks}")
        if (self.num_heads is None) == (self.head_dim is None):
            raise ValueError("give one of num_heads and head_dim, not both and not neither")
        for level, depth in enumerate(self.transformer_depth):
            if self.channels(level) < 1 or self.channels(level) % GROUPS:
                raise ValueError(f"{self.channels(level)} channels do not divide into {GROUPS} groups of the norms")
            if depth or (self.transformer_depth_middle and level + 1 == self.levels):
                self.heads(self.channels(level))

    @property
    def levels(self) -> int:
        """Number of resolutions."""
        return len(self.channel_mult)

    def channels(self, level: int) -> int:
        """Width of a level."""
        return self.model_channels * self.channel_mult[level]

    def res_blocks(self, level: int) -> int:
        """Residual blocks of a level on the way down (one more on the way up)."""
        return self.num_res_blocks if isinstance(self.num_res_blocks, int) else self.num_res_blocks[level]

    def heads(self, channels: int) -> int:
        """Attention heads at a width."""
        heads = self.num_heads if self.num_heads is not None else channels // (self.head_dim or 1)
        if heads < 1 or channels % heads:
            raise ValueError(f"{channels} channels do not divide into {heads} heads")
        return heads

    @classmethod
    def from_state_dict(cls, shapes: Shapes, *, num_heads: int | None = None, head_dim: int | None = None) -> UNetConfig:
        """Read the sizes from keys and shapes alone (prefix already stripped).

        The number of heads leaves no trace in the shapes: unless given, it is 8 for a context width of 768
        (Stable Diffusion 1) and heads of 64 channels otherwise (2 and XL), or fewer in a narrower network.
        """
        model_channels, in_channels = shapes["input_blocks.0.0.weight"][:2]
        levels = _levels(shapes)
        context_dim = _first_dim(shapes, r"transformer_blocks\.0\.attn2\.to_k\.weight$", 1) or 0
        if num_heads is None and head_dim is None:
            num_heads, head_dim = (8, None) if context_dim == 768 else (None, min(64, model_channels))
        return cls(
            in_channels=in_channels,
            out_channels=shapes["out.2.weight"][0],
            model_channels=model_channels,
            channel_mult=tuple(level[0].width // model_channels for level in levels),
            num_res_blocks=_one_or_all([len(level) for level in levels]),
            transformer_depth=tuple(level[0].depth for level in levels),
            transformer_depth_middle=_depth(shapes, "middle_block.1."),
            context_dim=context_dim,
            num_heads=num_heads,
            head_dim=head_dim,
            adm_in_channels=_first_dim(shapes, r"^label_emb\.0\.0\.weight$", 1),
            use_linear_in_transformer=any(key.endswith(".proj_in.weight") and len(shape) == 2 for key, shape in shapes.items()),
        )


@dataclass(frozen=True)
class _Res:
    width: int
    depth: int


def _levels(shapes: Shapes) -> list[list[_Res]]:
    """Residual blocks of the way down, grouped by level."""
    levels: list[list[_Res]] = [[]]
    count = len({key.split(".")[1] for key in shapes if key.startswith("input_blocks.")})
    for index in range(1, count):
        if f"input_blocks.{index}.0.op.weight" in shapes:
            levels.append([])
            continue
        width = shapes[f"input_blocks.{index}.0.out_layers.3.weight"][0]
        levels[-1].append(_Res(width, _depth(shapes, f"input_blocks.{index}.1.")))
    return levels


def _depth(shapes: Shapes, prefix: str) -> int:
    pattern = re.compile(re.escape(prefix) + r"transformer_blocks\.(\d+)\.")
    return len({match[1] for match in map(pattern.match, shapes) if match})


def _first_dim(shapes: Shapes, pattern: str, axis: int) -> int | None:
    return next((shape[axis] for key, shape in shapes.items() if re.search(pattern, key)), None)


def _one_or_all(counts: list[int]) -> int | tuple[int, ...]:
    return counts[0] if len(set(counts)) == 1 else tuple(counts)
