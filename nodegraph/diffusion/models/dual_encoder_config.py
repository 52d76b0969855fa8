"""The shape of an image-text encoder, stated or read from the keys and shapes of its file. No torch here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nodegraph.diffusion.models.clip_config import ClipTextConfig

Shapes = Mapping[str, Sequence[int]]

ARCHITECTURE = "nodegraph.architecture"
DUAL_ENCODER = "dual-encoder-1"
TOKENS, ROWS = "text.tokens", "text.token_rows"
"""of the token table a file keeps only the rows of known tokens: their ids (n,), and the rows (n, width); the others are zero"""
TABLE = "text.text_model.embeddings.token_embedding.weight"


@dataclass(frozen=True)
class DualEncoderConfig:
    """Sizes of an image tower and a text tower that end in one space.

    size: edge in pixels that pictures are brought to
    stem: how many times smaller the first convolution makes them
    widths: channels of each stage, each working at half the resolution of the one before
    blocks: residual blocks of each stage; groups: of the norms between them
    text: its `projection` is the width of the common space
    """

    size: int = 64
    stem: int = 2
    widths: tuple[int, ...] = (32, 64, 128, 192)
    blocks: tuple[int, ...] = (1, 1, 1, 1)
    groups: int = 8
    text: ClipTextConfig = field(default_factory=lambda: ClipTextConfig(width=64, layers=2, heads=2, intermediate=256, projection=128))

    def __post_init__(self) -> None:
        if self.text.projection is None or len(self.widths) != len(self.blocks):
            raise ValueError("an image-text encoder needs a text projection, and as many stages of blocks as of widths")
        if any(width % self.groups for width in self.widths) or self.size < self.stem * 2 ** (len(self.widths) - 1):
            raise ValueError(f"widths {self.widths} do not divide into {self.groups} groups, or {self.size} pixels are too few")

    @property
    def width(self) -> int:
        """Of the common space."""
        assert self.text.projection is not None
        return self.text.projection

    @classmethod
    def from_state_dict(cls, shapes: Shapes, *, size: int, groups: int, heads: int) -> DualEncoderConfig:
        """Read the sizes from keys and shapes, and from the three facts that leave no trace in them. Raises KeyError, ValueError."""
        stages = sorted({int(match[1]) for match in map(re.compile(r"image\.stages\.(\d+)\.").match, shapes) if match})
        words = {key.removeprefix("text."): shape for key, shape in shapes.items() if key.startswith("text.")}
        words["text_model.embeddings.token_embedding.weight"] = (ClipTextConfig.vocab, shapes[ROWS][1])
        return cls(
            size=size,
            stem=(shapes["image.stem.weight"][2] + 1) // 2,
            widths=tuple(shapes[f"image.stages.{stage}.blocks.0.conv1.weight"][0] for stage in stages),
            blocks=tuple(len({key.split(".")[4] for key in shapes if key.startswith(f"image.stages.{stage}.blocks.")}) for stage in stages),
            groups=groups,
            text=ClipTextConfig.from_state_dict(words, heads=heads),
        )
