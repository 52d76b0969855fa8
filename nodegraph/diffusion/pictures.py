"""Picture files to values and back, with distrust: sizes are checked before a pixel is decoded, what is no picture is refused."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from nodegraph.diffusion.values import Image, Mask
from nodegraph.errors import NotAPicture, ReadFailed, TooLarge
from nodegraph.files import write_atomic

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

MAX_PIXELS: Final = 200_000_000
MAX_FRAMES: Final = 4096
FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")


def open_picture(path: Path) -> Picture:
    """A decoded picture, upright. Raises NotAPicture, TooLarge (decompression bombs) or ReadFailed."""
    from PIL import Image as Pillow
    from PIL import ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is checked below, and more strictly
            picture = Pillow.open(io.BytesIO(path.read_bytes()), formats=FORMATS)
            frames = getattr(picture, "n_frames", 1)
            if picture.width * picture.height * frames > MAX_PIXELS or frames > MAX_FRAMES:
                raise TooLarge(
                    f"{path.name} has {picture.width}x{picture.height} pixels and {frames} frames; the limit is {MAX_PIXELS:,} pixels",
                    hint="make it smaller in another program",
                )
            picture.load()
            upright: Picture = ImageOps.exif_transpose(picture) if frames == 1 else picture
            return upright
    except Pillow.DecompressionBombError as error:
        raise TooLarge(f"{path.name} would decode to far more than {MAX_PIXELS:,} pixels", hint="make it smaller elsewhere") from error
    except UnidentifiedImageError as error:
        raise NotAPicture(f"{path.name} is not a picture that can be read", hint=f"use one of {', '.join(FORMATS)}") from error
    except OSError as error:
        if error.errno is not None:
            raise ReadFailed(f"cannot read {path}: {error.strerror}", hint="check that the file may be read") from error
        raise NotAPicture(f"{path.name} is damaged: {error}", hint="save it again in another program") from error
    except (SyntaxError, ValueError, EOFError, TypeError, IndexError) as error:
        raise NotAPicture(f"{path.name} is damaged: {error}", hint="save it again in another program") from error


def read_image(path: Path) -> tuple[Image, Mask]:
    """(picture, mask) of a file, all frames as a batch. The mask is 1 where the picture is transparent, 0 everywhere without alpha."""
    import numpy as np
    from PIL import ImageSequence

    colours, alphas = [], []
    for frame in ImageSequence.Iterator(open_picture(path)):
        rgba = np.asarray(_eight_bit(frame).convert("RGBA"), dtype=np.float32) / 255.0  # (H, W, 4)
        colours.append(rgba[..., :3])
        alphas.append(1.0 - rgba[..., 3])
    return Image(np.ascontiguousarray(np.stack(colours))), Mask(np.stack(alphas))


SLACK: Final = 2**-10
"""of a step: k / 255 * 255 may come out a little below k in float32"""


def _eight_bit(picture: Any) -> Any:
    """16-bit grey pictures are scaled down; Pillow alone would clip them."""
    if picture.mode in ("I", "I;16", "I;16B", "I;16L"):
        return picture.point(lambda value: value * (1 / 257)).convert("L")
    return picture


def to_bytes(image: Image) -> Any:
    """uint8 (B, H, W, 3)."""
    return eight_bits(image.data)


def eight_bits(values: Any) -> Any:
    """0..1 as 0..255, uint8: cut off as ComfyUI does, so that its files and ours are alike, but what was k / 255 is k again.

    Rounding to the nearest would be as good; it gives other files wherever a value lies in the upper half of a step.
    """
    import numpy as np

    return np.clip(values * 255.0 + SLACK, 0, 255).astype(np.uint8)


def encode(
    pixels: Any,
    format: str = "png",
    quality: int = 90,
    workflow: Mapping[str, Any] | None = None,
    foreign: Mapping[str, Any] = MappingProxyType({}),
) -> bytes:
    """A picture file of uint8 (H, W, 3) pixels: "png", "webp" (quality 100 is lossless) or "jpeg".

    workflow: put into PNG and WebP, so that the picture can be opened as what made it
    foreign: put beside it, the same for other programs, by the names that these look for
    """
    from PIL import Image as Pillow

    from nodegraph import media

    picture, stream = Pillow.fromarray(pixels), io.BytesIO()
    if format == "png":
        picture.save(stream, "PNG", pnginfo=media.png_info(workflow, foreign) if workflow is not None else None, compress_level=4)
    elif format == "webp":
        exif = media.webp_exif(workflow, media.with_tag(foreign)) if workflow is not None else b""
        picture.save(stream, "WEBP", quality=quality, lossless=quality == 100, exif=exif)
    else:
        picture.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def name_values(workflow: Mapping[str, Any] | None, image: Image) -> dict[str, str]:
    """What `%...%` may stand for in a file name: the size, and every literal of the workflow as NODE.INPUT by id, title and type."""
    values = {"width": str(image.width), "height": str(image.height)}
    for id, entry in (workflow or {}).get("nodes", {}).items():
        for input, value in entry["inputs"].items():
            if isinstance(value, str | int | float):
                for owner in (entry["type"], entry.get("title"), id):
                    if owner:
                        values[f"{owner}.{input}"] = str(value)
    return values


def write_png(path: Path, image: Image) -> None:
    """Write or replace one picture file, whole."""
    data = encode(to_bytes(image)[0])
    write_atomic(path, lambda stream: stream.write(data))
