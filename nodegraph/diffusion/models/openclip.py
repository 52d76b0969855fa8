"""Key names of OpenCLIP's text encoders (SD 2, SDXL) in those of the transformers library. No torch needed for the shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_RENAMED = (
    (r"^token_embedding\.", "text_model.embeddings.token_embedding."),
    (r"^positional_embedding$", "text_model.embeddings.position_embedding.weight"),
    (r"^ln_final\.", "text_model.final_layer_norm."),
    (r"^transformer\.resblocks\.(\d+)\.ln_(1|2)\.", r"text_model.encoder.layers.\1.layer_norm\2."),
    (r"^transformer\.resblocks\.(\d+)\.mlp\.c_fc\.", r"text_model.encoder.layers.\1.mlp.fc1."),
    (r"^transformer\.resblocks\.(\d+)\.mlp\.c_proj\.", r"text_model.encoder.layers.\1.mlp.fc2."),
    (r"^transformer\.resblocks\.(\d+)\.attn\.out_proj\.", r"text_model.encoder.layers.\1.self_attn.out_proj."),
)
_JOINED = re.compile(r"^transformer\.resblocks\.(\d+)\.attn\.in_proj_(weight|bias)$")


def openclip_shapes(shapes: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """Shapes by the names of the transformers library; those of unknown keys are left out."""
    out: dict[str, tuple[int, ...]] = {}
    for key, shape in shapes.items():
        if key == "text_projection":
            out["text_projection.weight"] = (shape[1], shape[0])
        elif names := _names(key):
            out.update({name: (shape[0] // len(names), *shape[1:]) for name in names})
    return out


def openclip_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by the names of the transformers library; parts of joined projections are views, nothing is copied.

    `text_projection` of OpenCLIP is multiplied from the right, so it is transposed to become a linear layer.
    """
    out: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        if key == "text_projection":
            out["text_projection.weight"] = tensor.t()
        elif names := _names(key):
            out.update(zip(names, tensor.chunk(len(names)), strict=True))
    return out


def _names(key: str) -> list[str]:
    """What a key is called in the transformers library: three names for a joined projection, none if unknown."""
    if joined := _JOINED.match(key):
        return [f"text_model.encoder.layers.{joined[1]}.self_attn.{part}_proj.{joined[2]}" for part in "qkv"]
    for pattern, name in _RENAMED:
        if re.match(pattern, key):
            return [re.sub(pattern, name, key)]
    return []
