"""Nodes that name model files. They look at headers only; weights are read when something is run with them."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from nodegraph import Context, ModelFile, Number, node
from nodegraph.diffusion import Model, TextEncoder, Upscaler, Vae, WeightsRef


class Checkpoint(NamedTuple):
    model: Model
    clip: TextEncoder
    vae: Vae


@node("LoadCheckpoint", category="loaders", lane="cpu")
def load_checkpoint(ctx: Context, file: Annotated[str, ModelFile("checkpoints")] = "tiny-emoji.safetensors") -> Checkpoint:
    """Name a checkpoint: its denoising network, text encoder and VAE. Takes milliseconds; weights are read when first used.

    file: a .safetensors file in `models/checkpoints`
    model: the network that denoises, for `KSampler`
    clip: the text encoder, for `CLIPEncode`
    vae: between latents and pictures, for `VAEDecode` and `VAEEncode`
    """
    from nodegraph.diffusion.identify import identify
    from nodegraph.diffusion.weights import open_weights

    path = ctx.files.find_model("checkpoints", file)
    weights = open_weights(path)
    identify(weights.shapes, weights.metadata)
    ref = WeightsRef.of(path)
    return Checkpoint(Model(ref), TextEncoder(ref), Vae(ref))


@node("LoadUpscaler", category="loaders", lane="cpu")
def load_upscaler(ctx: Context, file: Annotated[str, ModelFile("upscale_models")] = "realesr-animevideov3-x4.safetensors") -> Upscaler:
    """Name a network that enlarges pictures (SRVGGNetCompact or RRDBNet, as Real-ESRGAN and ESRGAN use).

    file: a .safetensors file in `models/upscale_models`
    """
    from nodegraph.diffusion.identify import identify_upscaler
    from nodegraph.diffusion.weights import open_weights

    path = ctx.files.find_model("upscale_models", file)
    identify_upscaler(open_weights(path).shapes)
    return Upscaler(WeightsRef.of(path))


@node("CLIPSkip", category="text", lane="cpu")
def clip_skip(clip: TextEncoder, stop_at: Annotated[int, Number(-24, -1)] = -2) -> TextEncoder:
    """Use an earlier layer of the text encoder.

    stop_at: -1 is the last layer, -2 the one before it ("clip skip 2")
    """
    return TextEncoder(clip.weights, stop_at)
