"""Pictures encoded anew for the browser: smaller, or one part of their channels. Sizes are checked before a pixel is decoded.

Everything here takes time and memory: call it in a thread, through `Workshop`, which lets one picture in at a time.
"""

from __future__ import annotations

import asyncio
import io
import re
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final, Literal, NamedTuple, TypeVar

from nodegraph.errors import NotAPicture, TooLarge
from nodegraph.server.http_errors import BadRequest

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

T = TypeVar("T")
Channel = Literal["rgba", "rgb", "a"]
FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
SUFFIX: Final = {"webp": ".webp", "jpeg": ".jpg", "png": ".png"}
MOST_TEXT: Final = 64 << 20


class Workshop:
    """Decodes one picture at a time, so that a page full of large pictures costs the memory of one."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(1)

    async def work(self, do: Callable[[], T]) -> T:
        async with self._free:
            return await asyncio.to_thread(do)


class Preview(NamedTuple):
    """format: of the result; quality: 1 to 100; fit: the most pixels on a side, 0 for as many as there are"""

    format: Literal["webp", "jpeg", "png"]
    quality: int = 90
    fit: int = 0


def parse_preview(text: str, channel: Channel) -> Preview:
    """`webp;90`, `jpeg`, `;75` ...: other formats, and JPEG for something with alpha, become WebP. Raises BadRequest."""
    name, _, rest = text.partition(";")
    match = re.fullmatch(r"(?:.*;)?(\d{1,3})", rest or "90", re.ASCII)
    if match is None or not 1 <= int(match[1]) <= 100:
        raise BadRequest("preview must be webp or jpeg, with a quality from 1 to 100", hint="for instance preview=webp;90")
    return Preview("jpeg" if name == "jpeg" and "a" not in channel else "webp", int(match[1]))


def parse_fit(text: str) -> int:
    """Raises BadRequest."""
    if not re.fullmatch(r"[1-9]\d{0,4}", text, re.ASCII):
        raise BadRequest("fit must be a number of pixels", hint="for instance fit=256")
    return int(text)


def parse_channel(text: str) -> Channel:
    if text not in ("rgba", "rgb", "a"):
        raise BadRequest("channel must be rgba, rgb or a")
    return text  # type: ignore[return-value]


@contextmanager
def decoding(stream: IO[bytes], name: str, pixels: int) -> Iterator[Picture]:
    """The first frame of a picture, upright as nodes see it. Raises NotAPicture or TooLarge."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own limit is looser than the one below
            stream.seek(0)
            with Image.open(stream, formats=FORMATS) as picture:
                if picture.width * picture.height > pixels:
                    raise TooLarge(f"{name} has {picture.width}x{picture.height} pixels; at most {pixels:,} are decoded here")
                picture.load()
                if getattr(picture, "n_frames", 1) == 1:
                    ImageOps.exif_transpose(picture, in_place=True)
                yield picture
    except Image.DecompressionBombError as error:
        raise TooLarge(f"{name} would decode to far more than {pixels:,} pixels") from error
    except UnidentifiedImageError as error:
        raise NotAPicture(f"{name} is not a picture that can be read") from error
    except (OSError, SyntaxError, ValueError, EOFError, TypeError, IndexError, KeyError, OverflowError, struct.error) as error:
        raise NotAPicture(f"{name} is damaged") from error


def reencode(stream: IO[bytes], name: str, pixels: int, channel: Channel, preview: Preview) -> bytes:
    """A picture in another format, or with only its colours (`rgb`) or only its alpha (`a`). Raises NotAPicture or TooLarge."""
    with decoding(stream, name, pixels) as picture:
        if preview.fit:
            picture.thumbnail((preview.fit, preview.fit))
        result = _channel(picture, channel)
        if preview.format == "jpeg" and result.mode != "RGB":
            result = result.convert("RGB")
        out = io.BytesIO()
        options = {"compress_level": 1} if preview.format == "png" else {"quality": preview.quality}
        result.save(out, preview.format.upper(), **options)
        return out.getvalue()


def _channel(picture: Picture, channel: Channel) -> Picture:
    from PIL import Image

    if channel == "rgb":
        return picture.convert("RGB")
    rgba = picture.convert("RGBA")
    if channel == "rgba":
        return rgba if "A" in picture.getbands() or "transparency" in picture.info else picture.convert("RGB")
    alone = Image.new("RGBA", picture.size)
    alone.putalpha(rgba.getchannel("A"))
    return alone


def with_alpha_of(original: IO[bytes], mask: IO[bytes], name: str, pixels: int) -> bytes:
    """The original as PNG with the alpha of the mask and its own texts (workflow, prompt). Raises NotAPicture, TooLarge, BadRequest."""
    from PIL.PngImagePlugin import PngInfo

    with decoding(mask, "the mask", pixels) as painted:
        alpha = painted.convert("RGBA").getchannel("A")
    with decoding(original, name, pixels) as picture:
        if picture.size != alpha.size:
            raise BadRequest(f"the mask has {alpha.width}x{alpha.height} pixels, {name} has {picture.width}x{picture.height}")
        texts = PngInfo()
        for key, text in getattr(picture, "text", {}).items():
            texts.add_text(key, text)
        result = picture.convert("RGBA")
        result.putalpha(alpha)
        out = io.BytesIO()
        result.save(out, "PNG", compress_level=4, pnginfo=texts)
        return out.getvalue()
