"""Enlarge pictures with a network."""

from __future__ import annotations

from typing import Annotated

from nodegraph import Context, Each, Number, node
from nodegraph.diffusion import Image, Upscaler


@node("UpscaleImage", category="image")
def upscale_image(ctx: Context, upscaler: Upscaler, image: Each[Image], tile: Annotated[int, Number(64, 4096, step=32)] = 512) -> Image:
    """Enlarge pictures with a super-resolution network, four times with the one that is shipped (Real-ESRGAN, Wang et al. 2021).

    tile: side of the pieces that are worked on at once, in pixels; smaller needs less memory
    """
    with ctx.load(upscaler) as net:
        result: Image = net.enlarge(image, tile=tile, track=ctx.track)
    return result
