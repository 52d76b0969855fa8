"""The shape of a CLIP text encoder, stated or read from the keys and shapes of a checkpoint. No torch here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Shapes = Mapping[str, Sequence[int]]
Activation = Literal["quick_gelu", "gelu"]

BOS, EOS = 49406, 49407


@dataclass(frozen=True)
class ClipTextConfig:
    """Sizes of a CLIP text transformer; the defaults are those of CLIP ViT-L/14.

    activation: "quick_gelu" in OpenAI's own models, "gelu" in the OpenCLIP models H and bigG
    projection: width of the pooled vector after `text_projection`; None when there is no such layer
    eos: the token whose hidden state is the pooled vector
    """

    vocab: int = 49408
    positions: int = 77
    width: int = 768
    layers: int = 12
    heads: int = 12
    intermediate: int = 3072
    activation: Activation = "quick_gelu"
    projection: int | None = None
    eos: int = EOS

    def __post_init__(self) -> None:
        if self.width < 1 or self.heads < 1 or self.width % self.heads:
            raise ValueError(f"a width of {self.width} does not divide into {self.heads} heads")

    @classmethod
    def from_state_dict(cls, shapes: Shapes, *, heads: int | None = None, activation: Activation | None = None) -> ClipTextConfig:
        """Read the sizes from keys and shapes alone (prefix stripped, transformers' names).

        Two facts leave no trace in the shapes. Heads are 64 wide unless `heads` says otherwise, but at least two.
        The activation is that of OpenCLIP ("gelu") for widths of 1024 and 1280, else OpenAI's.
        """
        vocab, width = shapes["text_model.embeddings.token_embedding.weight"]
        projection = shapes.get("text_projection.weight")
        return cls(
            vocab=vocab,
            positions=shapes["text_model.embeddings.position_embedding.weight"][0],
            width=width,
            layers=_count(shapes, r"text_model\.encoder\.layers\.(\d+)\."),
            heads=heads or max(2, width // 64),
            intermediate=shapes["text_model.encoder.layers.0.mlp.fc1.weight"][0],
            activation=activation or ("gelu" if width in (1024, 1280) else "quick_gelu"),
            projection=None if projection is None else projection[0],
        )


def _count(shapes: Shapes, pattern: str) -> int:
    compiled = re.compile(pattern)
    return len({match[1] for match in map(compiled.match, shapes) if match})
