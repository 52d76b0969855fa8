"""Nodes that name model files. They look at headers only; weights are read when something is run with them."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal, NamedTuple

from nodegraph import Context, InputRefused, ModelFile, Number, node
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


@node("LoadDiffusionModel", category="loaders", lane="cpu")
def load_diffusion_model(ctx: Context, file: Annotated[str, ModelFile("diffusion_models")]) -> Model:
    """Name a file with a denoising network alone; text encoder and VAE come from `LoadTextEncoder` and `LoadVAE`.

    file: a .safetensors file in `models/diffusion_models`
    """
    return Model(_part(ctx, "diffusion_models", file, "unet"))


@node("LoadTextEncoder", category="loaders", lane="cpu")
def load_text_encoder(ctx: Context, file: Annotated[str, ModelFile("text_encoders")]) -> TextEncoder:
    """Name a file with a CLIP text encoder alone, in the layout of OpenAI, OpenCLIP or the transformers library.

    file: a .safetensors file in `models/text_encoders`
    """
    return TextEncoder(_part(ctx, "text_encoders", file, "clip"))


@node("LoadDualTextEncoder", category="loaders", lane="cpu")
def load_dual_text_encoder(
    ctx: Context,
    first: Annotated[str, ModelFile("text_encoders")],
    second: Annotated[str, ModelFile("text_encoders")],
) -> TextEncoder:
    """Name two files with a CLIP text encoder each, which SDXL reads side by side: CLIP-L and CLIP-G.

    first: a .safetensors file in `models/text_encoders`
    second: the other one; which comes first does not matter
    """
    refs = [_part(ctx, "text_encoders", file, "clip") for file in (first, second)]
    return TextEncoder(refs[0], more=(refs[1],))


@node("LoadVAE", category="loaders", lane="cpu")
def load_vae(ctx: Context, file: Annotated[str, ModelFile("vae")]) -> Vae:
    """Name a file with a VAE alone.

    file: a .safetensors file in `models/vae`
    """
    return Vae(_part(ctx, "vae", file, "vae"))


def _part(ctx: Context, folder: str, file: str, part: Literal["unet", "vae", "clip"]) -> WeightsRef:
    """The file, which must hold this part. Raises UnknownModel, saying what it holds instead."""
    from nodegraph.diffusion.identify import identify_part
    from nodegraph.diffusion.weights import open_weights

    path = ctx.files.find_model(folder, file)
    weights = open_weights(path)
    identify_part(weights.shapes, weights.metadata, part)
    return WeightsRef.of(path)


@node("SetPrediction", category="sampling", lane="cpu")
def set_prediction(model: Model, prediction: Literal["eps", "v_prediction", "x0"] = "eps", zero_terminal_snr: bool = False) -> Model:
    """Say what a network predicts, where its file does not or says it wrongly.

    prediction: the noise (eps), the velocity (v_prediction) or the clean picture (x0)
    zero_terminal_snr: the noise schedule was rescaled so that it ends in pure noise
    """
    kinds: dict[str, Literal["eps", "v", "x0"]] = {"eps": "eps", "v_prediction": "v", "x0": "x0"}
    return replace(model, sampling=replace(model.sampling, prediction=kinds[prediction], zero_terminal_snr=zero_terminal_snr))


@node("SetFlowShift", category="sampling", lane="cpu")
def set_flow_shift(model: Model, shift: Annotated[float, Number(0.01, 100, step=0.01)] = 3.0) -> Model:
    """Spend more steps on the outlines of a picture, for a network that predicts a flow. Larger pictures want a larger shift.

    shift: 1 changes nothing; sigma becomes shift * sigma / (1 + (shift - 1) * sigma)
    """
    from nodegraph.diffusion.identify import identify_file
    from nodegraph.diffusion.weights import open_weights

    predicts = model.sampling.prediction or identify_file(open_weights(model.weights.path)).prediction
    if predicts != "flow":
        raise InputRefused(
            f"{model.weights.name} predicts {predicts}, not a flow: there is nothing to shift", hint="take this node out", input="model"
        )
    return replace(model, sampling=replace(model.sampling, shift=shift))


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
    return replace(clip, layer=stop_at)
