"""Nodes that change pictures: size, colours, sharpness, frame, and one over another."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from nodegraph import Each, InputRefused, Number, Slider, node
from nodegraph.diffusion import Image, Mask

Method = Literal["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]
Crop = Literal["disabled", "center"]
Pixels = Annotated[int, Number(0, 16384)]
Place = Annotated[int, Number(-16384, 16384)]
Radius = Annotated[int, Number(1, 64)]
Sigma = Annotated[float, Number(0.1, 10, step=0.1)]


class Padded(NamedTuple):
    image: Image
    mask: Mask


@node("ImageScale", category="image")
def image_scale(
    image: Each[Image],
    width: Each[Pixels] = 512,
    height: Each[Pixels] = 512,
    method: Each[Method] = "lanczos",
    crop: Each[Crop] = "disabled",
) -> Image:
    """Resize pictures to a given width and height.

    width: in pixels; 0 follows from the height, keeping the shape
    height: in pixels; 0 follows from the width, keeping the shape
    method: "lanczos" is sharpest, "area" is best for making pictures much smaller, "nearest-exact" keeps hard pixels
    crop: "center" cuts to the new shape first, "disabled" stretches
    """
    from nodegraph.diffusion.resize import resize_image

    if width == 0 and height == 0:
        return image
    width = width or max(1, round(image.width * height / image.height))
    height = height or max(1, round(image.height * width / image.width))
    return resize_image(image, method, width, height, crop)


@node("ImageScaleBy", category="image")
def image_scale_by(
    image: Each[Image], factor: Each[Annotated[float, Number(0.01, 16, step=0.05)]] = 2.0, method: Each[Method] = "lanczos"
) -> Image:
    """Make pictures larger or smaller by a factor.

    factor: 2 doubles width and height
    method: "lanczos" is sharpest, "area" is best for making pictures much smaller, "nearest-exact" keeps hard pixels
    """
    from nodegraph.diffusion.resize import resize_image

    return resize_image(image, method, max(1, round(image.width * factor)), max(1, round(image.height * factor)))


@node("ImageInvert", category="image")
def image_invert(image: Each[Image]) -> Image:
    """Turn every colour into its opposite: 1 - value."""
    return Image(1 - image.data)


@node("ImageBlend", category="image")
def image_blend(
    base: Each[Image],
    overlay: Each[Image],
    amount: Each[Annotated[float, Slider(0, 1, step=0.01)]] = 0.5,
    mode: Each[Literal["normal", "multiply", "screen", "overlay", "soft_light", "difference"]] = "normal",
) -> Image:
    """Mix two pictures: base * (1 - amount) + mixed * amount.

    overlay: cut and resized to the size of `base` if it has another; a single picture is repeated for a batch
    amount: 0 keeps the base, 1 gives the mode's full effect
    mode: "normal" is the overlay itself, "multiply" darkens, "screen" lightens, "overlay" and "soft_light" add contrast,
        "difference" subtracts
    """
    from nodegraph.diffusion.blends import blend
    from nodegraph.diffusion.placing import same_batch
    from nodegraph.diffusion.resize import resize_image

    fitted = resize_image(overlay, "bicubic", base.width, base.height, "center")
    below, above = same_batch(base.data, fitted.data, "pictures")
    return Image(blend(below, above, amount, mode))


@node("ImageBlur", category="image")
def image_blur(image: Each[Image], radius: Each[Radius] = 1, sigma: Each[Sigma] = 1.0) -> Image:
    """Blur pictures with a Gaussian bell.

    radius: how many pixels away a pixel still counts
    sigma: width of the bell in units of the radius; small is nearly no blur, large is an even mean
    """
    from nodegraph.diffusion.blur import blur

    return Image(blur(image.data, radius, sigma))


@node("ImageSharpen", category="image")
def image_sharpen(
    image: Each[Image],
    radius: Each[Radius] = 1,
    sigma: Each[Sigma] = 1.0,
    amount: Each[Annotated[float, Number(0, 5, step=0.01)]] = 1.0,
) -> Image:
    """Sharpen pictures (unsharp mask): image + 10 * amount * (image - blurred).

    radius: of the blur, in pixels
    sigma: of the blur, in units of the radius
    amount: 0 changes nothing; 0.1 adds the missing detail once
    """
    import numpy as np

    from nodegraph.diffusion.blur import blur

    detail = image.data - blur(image.data, radius, sigma)
    return Image(np.clip(image.data + np.float32(10 * amount) * detail, 0, 1))


@node("ImagePad", category="image")
def image_pad(
    image: Each[Image],
    left: Each[Pixels] = 0,
    top: Each[Pixels] = 0,
    right: Each[Pixels] = 0,
    bottom: Each[Pixels] = 0,
    feather: Each[Pixels] = 40,
) -> Padded:
    """Put a grey border around pictures, with a mask of what is to be painted there. For outpainting.

    feather: over how many pixels of the picture the mask fades out next to a border; not used if the picture is less than twice as large
    mask: 1 on the border
    """
    import numpy as np

    batch, height, width, channels = image.data.shape
    inside = (slice(top, top + height), slice(left, left + width))
    data = np.full((batch, height + top + bottom, width + left + right, channels), 0.5, np.float32)
    data[:, *inside] = image.data
    mask = np.ones((1, *data.shape[1:3]), np.float32)
    mask[:, *inside] = _fade(height, width, (left, top, right, bottom), feather)
    return Padded(Image(data), Mask(mask))


def _fade(height: int, width: int, borders: tuple[int, int, int, int], feather: int) -> Any:
    """(height, width): ((feather - d) / feather)^2 for a pixel d away from the nearest border that is painted, 0 from `feather` on.

    The first row and column are 0 away, the last ones 1.
    """
    import numpy as np

    if not 0 < 2 * feather < min(height, width):
        return np.zeros((height, width), np.float32)
    left, top, right, bottom = borders
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    distance = np.full((height, width), feather)
    for border, away in ((left, columns), (top, rows), (right, width - columns), (bottom, height - rows)):
        if border:
            distance = np.minimum(distance, away)
    return (((feather - distance) / feather) ** 2).astype(np.float32)


@node("ImageCrop", category="image")
def image_crop(
    image: Each[Image],
    width: Each[Annotated[int, Number(1, 16384)]] = 512,
    height: Each[Annotated[int, Number(1, 16384)]] = 512,
    x: Each[Pixels] = 0,
    y: Each[Pixels] = 0,
) -> Image:
    """Cut a rectangle out of pictures. What of it lies outside the picture is left out.

    x: of the left edge, in pixels
    y: of the top edge, in pixels
    """
    from nodegraph.diffusion.placing import window

    part = window((image.height, image.width), x, y, width, height, "picture")
    return Image(image.data[:, *part].copy())


@node("ImageComposite", category="image")
def image_composite(
    base: Each[Image],
    overlay: Each[Image],
    mask: Each[Mask] | None = None,
    x: Each[Place] = 0,
    y: Each[Place] = 0,
    resize: Each[bool] = False,
) -> Image:
    """Put one picture over another. What reaches over the edge is left out.

    mask: where the overlay shows, 1 fully; stretched to the overlay's size. Without it, everywhere
    x: of the overlay's left edge on the base, in pixels
    y: of the overlay's top edge on the base, in pixels
    resize: stretch the overlay to the size of the base first
    """
    from nodegraph.diffusion.placing import paste
    from nodegraph.diffusion.resize import resize_image, resize_mask

    if resize:
        overlay = resize_image(overlay, "bilinear", base.width, base.height)
    share = None if mask is None else resize_mask(mask, overlay.width, overlay.height).data[..., None]
    return Image(paste(base.data, overlay.data, x, y, share))


@node("ImageFlip", category="image")
def image_flip(
    image: Each[Image], direction: Each[Literal["x-axis: vertically", "y-axis: horizontally"]] = "y-axis: horizontally"
) -> Image:
    """Mirror pictures top to bottom or left to right.

    direction: vertically swaps top and bottom, horizontally swaps left and right
    """
    axis = 1 if direction.startswith("x") else 2
    return Image(_flipped(image.data, axis))


def _flipped(data: Any, axis: int) -> Any:
    import numpy as np

    return np.ascontiguousarray(np.flip(data, axis))


@node("ImageRotate", category="image")
def image_rotate(image: Each[Image], angle: Each[Literal["none", "90 degrees", "180 degrees", "270 degrees"]] = "90 degrees") -> Image:
    """Turn pictures by quarters.

    angle: clockwise
    """
    import numpy as np

    quarters = ("none", "90 degrees", "180 degrees", "270 degrees").index(angle)
    return Image(np.ascontiguousarray(np.rot90(image.data, quarters, axes=(2, 1))))


@node("ImageStitch", category="image")
def image_stitch(
    first: Each[Image],
    second: Each[Image],
    direction: Each[Literal["right", "down", "left", "up"]] = "right",
    fit: Each[bool] = True,
    gap: Each[Annotated[int, Number(0, 1024)]] = 0,
    color: Each[Literal["white", "black", "red", "green", "blue"]] = "white",
) -> Image:
    """Put two pictures next to each other.

    direction: where the second one goes, seen from the first
    fit: resize the second so that the edges that meet are equally long; otherwise the smaller one is centred
    gap: pixels between them
    color: of the gap, and of what is added around a smaller one
    """
    import numpy as np

    from nodegraph.diffusion.placing import same_batch

    axis = 2 if direction in ("right", "left") else 1
    second = _fitted(first, second, axis) if fit else second
    one, two = same_batch(first.data, second.data, "pictures")
    rgb = np.array(_COLORS[color], np.float32)
    across = max(one.shape[3 - axis], two.shape[3 - axis])
    pair = [_centred(data, 3 - axis, across, rgb) for data in (one, two)]
    shape = list(pair[0].shape)
    shape[axis] = gap
    between = np.broadcast_to(rgb, shape)
    order = [pair[0], between, pair[1]] if direction in ("right", "down") else [pair[1], between, pair[0]]
    return Image(np.concatenate(order, axis))


_COLORS = {"white": (1, 1, 1), "black": (0, 0, 0), "red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}


def _fitted(first: Image, second: Image, axis: int) -> Image:
    """`second` with the height (axis 2) or width (axis 1) of `first`, keeping its shape."""
    from nodegraph.diffusion.resize import resize_image

    if axis == 2:
        return resize_image(second, "lanczos", max(1, second.width * first.height // second.height), first.height)
    return resize_image(second, "lanczos", first.width, max(1, second.height * first.width // second.width))


def _centred(data: Any, axis: int, length: int, rgb: Any) -> Any:
    """(B, H, W, 3) in the middle of an axis of `length`, the rest in one colour."""
    import numpy as np

    shape = list(data.shape)
    shape[axis] = length
    result = np.empty(shape, np.float32)
    result[:] = rgb
    start = (length - data.shape[axis]) // 2
    np.moveaxis(result, axis, 0)[start : start + data.shape[axis]] = np.moveaxis(data, axis, 0)
    return result


@node("EmptyImage", category="image")
def empty_image(
    width: Annotated[int, Number(1, 16384)] = 512,
    height: Annotated[int, Number(1, 16384)] = 512,
    batch: Annotated[int, Number(1, 4096)] = 1,
    color: Annotated[int, Number(0, 0xFFFFFF)] = 0,
) -> Image:
    """Pictures of one colour.

    color: 65536 * red + 256 * green + blue, each 0..255; 0 is black, 16777215 white
    """
    import numpy as np

    rgb = np.array([color >> 16 & 255, color >> 8 & 255, color & 255], np.float32) / np.float32(255)
    return Image(np.tile(rgb, (batch, height, width, 1)))


@node("ImageFromBatch", category="image")
def image_from_batch(
    image: Each[Image], index: Each[Annotated[int, Number(0, 4095)]] = 0, count: Each[Annotated[int, Number(1, 4096)]] = 1
) -> Image:
    """Take pictures out of a batch.

    index: of the first one, counted from 0
    count: how many; fewer if the batch ends before
    """
    if not 0 <= index < len(image):
        raise InputRefused(f"picture {index} was asked for; the batch has {len(image)}", input="index", hint=f"use 0 to {len(image) - 1}")
    return Image(image.data[index : index + max(count, 1)].copy())


@node("RepeatImage", category="image")
def repeat_image(image: Each[Image], amount: Each[Annotated[int, Number(1, 4096)]] = 1) -> Image:
    """Repeat a batch of pictures as a whole: 1 2 becomes 1 2 1 2.

    amount: how many times it is there afterwards
    """
    import numpy as np

    return Image(np.tile(image.data, (amount, 1, 1, 1)))


class Size(NamedTuple):
    width: int
    height: int
    batch: int


@node("ImageSize", category="image")
def image_size(image: Each[Image]) -> Size:
    """Width, height and number of pictures in a batch.

    width: in pixels
    height: in pixels
    """
    return Size(image.width, image.height, len(image))
