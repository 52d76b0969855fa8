"""Frames to one moving picture file: GIF, animated WebP or animated PNG."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from nodegraph.diffusion.pictures import to_bytes
from nodegraph.diffusion.values import Image
from nodegraph.errors import InputRefused

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Format = Literal["webp", "gif", "apng"]
Method = Literal["default", "fastest", "slowest"]

SUFFIXES: Final[Mapping[str, str]] = {"webp": ".webp", "gif": ".gif", "apng": ".png"}
TICKS: Final[Mapping[str, int]] = {"webp": 1, "gif": 10, "apng": 1}
"""the shortest time that a file can express, in milliseconds"""
FASTEST: Final[Mapping[str, int]] = {"webp": 100, "gif": 50, "apng": 100}
"""frames a second that programs still show: browsers slow faster ones down to 10"""
LARGEST: Final[Mapping[str, int]] = {"webp": 16383, "gif": 65535, "apng": 2**31 - 1}
_WEBP_METHODS: Final[Mapping[str, int]] = {"fastest": 0, "default": 4, "slowest": 6}


def durations(count: int, fps: float, format: Format) -> list[int]:
    """How long each frame is shown, in milliseconds that the format can say; the sum is never off by more than a tick."""
    tick = TICKS[format]
    ends = [round(i * 1000 / (fps * tick)) * tick for i in range(count + 1)]
    return [max(after - before, tick) for before, after in pairwise(ends)]


def frames_of(images: Sequence[Image]) -> list[Any]:
    """All rows of all pictures in order, uint8 (H, W, 3). Raises InputRefused if they differ in size or there are fewer than two."""
    for number, image in enumerate(images):
        if (image.width, image.height) != (images[0].width, images[0].height):
            raise InputRefused(
                f"the frames differ in size: the first is {images[0].width}x{images[0].height}, number {number + 1} of the list is"
                f" {image.width}x{image.height}",
                input="images",
                hint="put `ImageScale` before it",
            )
    frames = [row for image in images for row in to_bytes(image)]
    if len(frames) < 2:
        raise InputRefused(
            f"an animation needs two frames or more, {len(frames)} came",
            input="images",
            hint="connect a list or a batch, or use `SaveImage`",
        )
    return frames


def check(format: Format, fps: float, width: int, height: int) -> None:
    """Raises InputRefused for what the format cannot hold."""
    if not 0 < fps <= FASTEST[format]:
        raise InputRefused(
            f"fps is {fps:g}, a {format} can show more than 0 up to {FASTEST[format]}", input="fps", hint=f"use 1 to {FASTEST[format]}"
        )
    if max(width, height) > LARGEST[format]:
        raise InputRefused(
            f"the frames are {width}x{height}, a {format} can be {LARGEST[format]} pixels wide and high at most",
            input="format",
            hint="use another format, or make them smaller with `ImageScale`",
        )


def encode_animation(
    frames: Sequence[Any],
    fps: float,
    format: Format = "webp",
    *,
    loop: bool = True,
    quality: int = 90,
    lossless: bool = False,
    method: Method = "default",
    compress_level: int = 4,
    workflow: Mapping[str, Any] | None = None,
    foreign: Mapping[str, Any] = MappingProxyType({}),
) -> bytes:
    """A file of uint8 (H, W, 3) frames of one size. Equal frames that follow one another may be stored as one that is shown longer.

    loop: begin again for ever; else play once
    quality, lossless, method: of webp, see `SaveAnimation`
    compress_level: of apng, 0..9
    workflow: put into webp and apng, so that the file can be opened as what made it; gif has no place for it
    foreign: put beside it, the same for other programs, by the names that these look for
    """
    from PIL import Image as Pillow

    pictures = [Pillow.fromarray(frame) for frame in frames]
    if format == "gif":
        pictures = [_indexed(picture) for picture in pictures]
    options: dict[str, Any] = {"webp": {"quality": quality, "lossless": lossless, "method": _WEBP_METHODS[method]}, "gif": {}}.get(
        format, {"compress_level": compress_level}
    )
    stream = io.BytesIO()
    try:
        pictures[0].save(
            stream,
            "PNG" if format == "apng" else format.upper(),
            save_all=True,
            append_images=pictures[1:],
            duration=durations(len(pictures), fps, format),
            **options,
            **_repeats(format, loop),
            **_metadata(format, workflow, foreign),
        )
    except (struct.error, OverflowError, ValueError) as error:
        raise InputRefused(
            f"a frame, or several equal ones, stand for longer than {format} can say", input="fps", hint="use more fps, or webp"
        ) from error
    return stream.getvalue()


def _repeats(format: Format, loop: bool) -> dict[str, int]:
    """How often to play, in Pillow's words: 0 is for ever; a gif that is played once has no number."""
    if loop:
        return {"loop": 0}
    return {} if format == "gif" else {"loop": 1}


def _metadata(format: Format, workflow: Mapping[str, Any] | None, foreign: Mapping[str, Any]) -> dict[str, Any]:
    from nodegraph import media

    if workflow is None or format == "gif":
        return {}
    if format == "webp":
        return {"exif": media.webp_exif(workflow, media.with_tag(foreign))}
    return {"pnginfo": media.png_info(workflow, foreign)}


def _indexed(picture: Picture) -> Picture:
    """A picture of the 256 colours that suit it best, as a GIF wants it."""
    from PIL import Image as Pillow

    return picture.quantize(256, method=Pillow.Quantize.MEDIANCUT, dither=Pillow.Dither.NONE)
