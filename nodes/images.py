"""Nodes that read, save, show and arrange pictures."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from nodegraph import Context, Each, InputFile, InputRefused, Number, node
from nodegraph.diffusion import Image, Mask


class ImageAndMask(NamedTuple):
    image: Image
    mask: Mask


@node("LoadImage", category="image")
def load_image(ctx: Context, file: Annotated[str, InputFile("image")]) -> ImageAndMask:
    """Read a picture from the input folder; of an animation, all frames as a batch.

    file: PNG, JPEG, WebP, GIF, BMP or TIFF
    mask: 1 where the picture is transparent, all 0 if it has no transparency
    """
    from nodegraph.diffusion.pictures import read_image

    return ImageAndMask(*read_image(ctx.files.find_input(file)))


@node("LoadMask", category="mask")
def load_mask(ctx: Context, file: Annotated[str, InputFile("image")], channel: Literal["alpha", "red", "green", "blue"] = "alpha") -> Mask:
    """Read one channel of a picture as a mask.

    channel: of "alpha", transparent is 1; of a colour, bright is 1
    """
    from nodegraph.diffusion.pictures import read_image

    image, mask = read_image(ctx.files.find_input(file))
    if channel == "alpha":
        return mask
    return Mask(image.data[..., ("red", "green", "blue").index(channel)].copy())


@node("SaveImage", category="image", output=True)
def save_image(
    ctx: Context,
    image: Each[Image],
    name: str = "picture",
    format: Literal["png", "webp", "jpeg"] = "png",
    quality: Annotated[int, Number(1, 100)] = 90,
    embed: bool = True,
) -> None:
    """Save pictures to the output folder. Never overwrites: each gets the next free number.

    name: may have folders and %date%, %time%, %width%, %height%, %KSampler.seed% and the like
    quality: of webp (100 is lossless) and jpeg
    embed: put the workflow into the file, so that dropping the picture brings it back; `nodegraph strip` removes it
    """
    _write(ctx, image, "output", name, format, quality, embed)


@node("PreviewImage", category="image", output=True)
def preview_image(ctx: Context, image: Each[Image]) -> None:
    """Show pictures without keeping them: they go to the temporary folder."""
    _write(ctx, image, "temp", "preview", "png", 90, embed=False)


def _write(ctx: Context, image: Image, root: str, name: str, format: str, quality: int, embed: bool) -> None:
    from nodegraph.diffusion.pictures import encode, name_values, to_bytes

    values = name_values(ctx.workflow, image) if "%" in name else {}
    suffix = ".jpg" if format == "jpeg" else f".{format}"
    for pixels in to_bytes(image):
        data = encode(pixels, format, quality, ctx.workflow if embed else None, ctx.foreign)
        saved = ctx.files.save(root, name.strip() or "picture", suffix, lambda stream, data=data: stream.write(data), values)  # type: ignore[misc]
        ctx.show("image", file=saved, width=image.width, height=image.height)


@node("ImageGrid", category="image")
def image_grid(
    images: list[Image],
    columns: Annotated[int, Number(0, 100)] = 0,
    gap: Annotated[int, Number(0, 256)] = 4,
    row_labels: list[str] | None = None,
    column_labels: list[str] | None = None,
    captions: list[str] | None = None,
) -> Image:
    """Arrange pictures on one sheet, row by row. Smaller ones are centred in their cell.

    columns: how many side by side; 0 makes the sheet about square
    gap: pixels between pictures
    row_labels: text at the left of each row; repeated labels of `Combinations` are shown once a row
    column_labels: text above each column, in up to three lines
    captions: text below each picture, in up to three lines
    """
    import math

    from nodegraph.diffusion.sheets import sheet

    pictures = [row for image in images for row in image.data]
    if not pictures:
        raise InputRefused("there are no pictures to arrange", input="images", hint="connect a list with at least one picture")
    if captions and len(captions) != len(pictures):
        raise InputRefused(
            f"there are {len(captions)} captions for {len(pictures)} pictures",
            input="captions",
            hint="connect a list with one for each picture",
        )
    across = columns or math.ceil(math.sqrt(len(pictures)))
    down = math.ceil(len(pictures) / across)
    rows = row_labels or []
    if len(rows) == len(pictures) and down < len(rows):
        rows = rows[::across]
    return sheet(pictures, across, gap, rows, column_labels or [], captions or [])
