"""The diffusion layer: values, handles to weights, sampling. Names are fetched when first used; torch comes with those that need it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nodegraph.diffusion.handles import ImageTextEncoder, Model, Patch, TextEncoder, TrainingSet, Upscaler, Vae, WeightsRef
    from nodegraph.diffusion.values import Cond, Conditioning, Image, Latent, Mask

_WHERE = {
    **dict.fromkeys(("ImageTextEncoder", "Model", "Patch", "TextEncoder", "TrainingSet", "Upscaler", "Vae", "WeightsRef"), "handles"),
    **dict.fromkeys(("Cond", "Conditioning", "Image", "Latent", "Mask"), "values"),
}

__all__ = [
    "Cond",
    "Conditioning",
    "Image",
    "ImageTextEncoder",
    "Latent",
    "Mask",
    "Model",
    "Patch",
    "TextEncoder",
    "TrainingSet",
    "Upscaler",
    "Vae",
    "WeightsRef",
]


def __getattr__(name: str) -> Any:
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module 'nodegraph.diffusion' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"nodegraph.diffusion.{module}"), name)
    globals()[name] = value
    return value
