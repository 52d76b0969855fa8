"""Nodes that make and change latents."""

from __future__ import annotations

from typing import Annotated, Literal

from nodegraph import Context, Each, Number, node
from nodegraph.diffusion import Image, Latent, Mask, Vae

Method = Literal["nearest-exact", "bilinear", "area", "bicubic", "bislerp"]


@node("EmptyLatent", category="latent")
def empty_latent(
    width: Annotated[int, Number(16, 16384, step=8)] = 128,
    height: Annotated[int, Number(16, 16384, step=8)] = 128,
    batch: Annotated[int, Number(1, 4096)] = 1,
) -> Latent:
    """A latent to begin from nothing with.

    width: of the picture in pixels; rounded down to a multiple of 8. The demo model was trained at 128
    height: of the picture in pixels
    batch: how many pictures are made at once, each with noise of its own
    """
    import numpy as np

    return Latent(np.zeros((batch, 4, height // 8, width // 8), np.float32))


@node("VAEDecode", category="latent")
def vae_decode(ctx: Context, vae: Vae, latent: Each[Latent]) -> Image:
    """Turn latents into pictures.

    vae: of the checkpoint the latent was made with
    """
    with ctx.load(vae) as net:
        result: Image = net.decode(latent, ctx.track)
    return result


@node("VAEEncode", category="latent")
def vae_encode(ctx: Context, vae: Vae, image: Each[Image]) -> Latent:
    """Turn pictures into latents (the mean of the encoder's distribution).

    image: a border that does not fill a latent pixel (8 x 8) is cut off
    """
    with ctx.load(vae) as net:
        result: Latent = net.encode(image, ctx.track)
    return result


@node("SetLatentNoiseMask", category="latent")
def set_latent_noise_mask(latent: Each[Latent], mask: Each[Mask]) -> Latent:
    """Let sampling change only a part of the latent; the rest stays exactly as it is. For inpainting.

    mask: white is changed, black is kept; any size
    """
    return Latent(latent.data, mask.data, latent.batch_index)


@node("LatentUpscale", category="latent")
def latent_upscale(
    latent: Each[Latent],
    method: Method = "bicubic",
    width: Annotated[int, Number(16, 16384, step=8)] = 256,
    height: Annotated[int, Number(16, 16384, step=8)] = 256,
    crop: Literal["disabled", "center"] = "disabled",
) -> Latent:
    """Resize a latent, to sample it again at a larger size.

    width: of the picture in pixels
    height: of the picture in pixels
    crop: "center" cuts to the new shape first, "disabled" stretches
    """
    from nodegraph.diffusion.resize import resize_latent

    return resize_latent(latent, method, width // 8, height // 8, crop)
