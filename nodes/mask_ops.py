"""Nodes that make and change masks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from nodegraph import Each, Number, Slider, node
from nodegraph.diffusion import Image, Mask

Pixels = Annotated[int, Number(0, 16384)]
Place = Annotated[int, Number(-16384, 16384)]
Size = Annotated[int, Number(1, 16384)]
Share = Annotated[float, Slider(0, 1, step=0.01)]


@node("InvertMask", category="mask")
def invert_mask(mask: Each[Mask]) -> Mask:
    """Swap inside and outside: 1 - value."""
    return Mask(1 - mask.data)


@node("GrowMask", category="mask")
def grow_mask(mask: Each[Mask], amount: Each[Place] = 8, tapered_corners: Each[bool] = True) -> Mask:
    """Make a mask larger or smaller: each pixel takes the largest (or smallest) value around it.

    amount: by how many pixels; negative makes the mask smaller
    tapered_corners: grow a point into a diamond; otherwise into a square
    """
    import numpy as np

    around = np.maximum if amount > 0 else np.minimum
    data = mask.data
    for _ in range(abs(amount)):
        grown = _step(data, around, tapered_corners)
        if np.array_equal(grown, data):
            break
        data = grown
    return Mask(data)


def _step(data: Any, around: Any, tapered: bool) -> Any:
    """One pixel of growth of (B, H, W); nothing comes in over the edge."""
    rows = _along(data, data, around, 1)
    return _along(data, rows, around, 2) if tapered else _along(rows, rows, around, 2)


def _along(source: Any, start: Any, around: Any, axis: int) -> Any:
    """`start` joined with `source` moved by one pixel both ways along an axis."""
    import numpy as np

    result = start.copy()
    moved, from_ = np.moveaxis(result, axis, 0), np.moveaxis(source, axis, 0)
    around(moved[1:], from_[:-1], out=moved[1:])
    around(moved[:-1], from_[1:], out=moved[:-1])
    return result


@node("FeatherMask", category="mask")
def feather_mask(
    mask: Each[Mask], left: Each[Pixels] = 0, top: Each[Pixels] = 0, right: Each[Pixels] = 0, bottom: Each[Pixels] = 0
) -> Mask:
    """Fade a mask out towards the edges of the picture, in a straight line.

    left: over how many pixels from the left edge
    top: over how many pixels from the top edge
    right: over how many pixels from the right edge
    bottom: over how many pixels from the bottom edge
    """
    _, height, width = mask.data.shape
    return Mask(mask.data * (_ramp(height, top, bottom)[:, None] * _ramp(width, left, right)[None, :]))


def _ramp(length: int, first: int, last: int) -> Any:
    """(length,): 1/n, 2/n, ... 1 from the start, n = `first`; 2/n, 3/n, ... 1 from the end, n = `last`.

    That the ramp at the end is a pixel shorter is ComfyUI's convention, kept so that its workflows give the same mask.
    """
    import numpy as np

    first, last = min(first, length), min(last, length)
    from_end = np.arange(length, 0, -1, dtype=np.float32) + 1
    rising = np.minimum(np.arange(1, length + 1, dtype=np.float32) / max(first, 1), 1)
    return (rising * np.minimum(from_end / max(last, 1), 1)).astype(np.float32)


@node("MaskComposite", category="mask")
def mask_composite(
    base: Each[Mask],
    overlay: Each[Mask],
    x: Each[Place] = 0,
    y: Each[Place] = 0,
    operation: Each[Literal["multiply", "add", "subtract", "and", "or", "xor"]] = "multiply",
) -> Mask:
    """Combine two masks where the second lies over the first. What reaches over the edge is left out.

    x: of the overlay's left edge on the base, in pixels
    y: of the overlay's top edge on the base, in pixels
    operation: "multiply", "add" and "subtract" work on values; "and", "or" and "xor" round them to 0 or 1 first
    """
    from nodegraph.diffusion.placing import overlap, same_batch

    below, above = same_batch(base.data, overlay.data, "masks")
    covered, covering = overlap(below.shape[1:], above.shape[1:], x, y)
    result = below.copy()
    result[:, *covered] = _combined(below[:, *covered], above[:, *covering], operation)
    return Mask(result)


def _combined(base: Any, overlay: Any, operation: str) -> Any:
    import numpy as np

    if operation in ("multiply", "add", "subtract"):
        work = {"multiply": np.multiply, "add": np.add, "subtract": np.subtract}[operation]
        return np.clip(work(base, overlay), 0, 1)
    logic = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}[operation]
    return logic(np.rint(base) != 0, np.rint(overlay) != 0).astype(np.float32)


@node("MaskToImage", category="mask")
def mask_to_image(mask: Each[Mask]) -> Image:
    """Show a mask as a grey picture. Connecting a mask to a picture input does the same."""
    import numpy as np

    return Image(np.repeat(mask.data[..., None], 3, axis=-1))


@node("ImageToMask", category="mask")
def image_to_mask(image: Each[Image], channel: Each[Literal["red", "green", "blue"]] = "red") -> Mask:
    """Take one colour of a picture as a mask.

    channel: bright is 1
    """
    return Mask(image.data[..., ("red", "green", "blue").index(channel)].copy())


@node("SolidMask", category="mask")
def solid_mask(value: Each[Share] = 1.0, width: Each[Size] = 512, height: Each[Size] = 512) -> Mask:
    """A mask with one value everywhere.

    value: 1 is fully there, 0 not at all
    """
    import numpy as np

    return Mask(np.full((1, height, width), value, np.float32))


@node("CropMask", category="mask")
def crop_mask(mask: Each[Mask], x: Each[Pixels] = 0, y: Each[Pixels] = 0, width: Each[Size] = 512, height: Each[Size] = 512) -> Mask:
    """Cut a rectangle out of a mask. What of it lies outside is left out.

    x: of the left edge, in pixels
    y: of the top edge, in pixels
    """
    from nodegraph.diffusion.placing import window

    part = window(mask.data.shape[1:], x, y, width, height, "mask")
    return Mask(mask.data[:, *part].copy())


@node("ThresholdMask", category="mask")
def threshold_mask(mask: Each[Mask], value: Each[Share] = 0.5) -> Mask:
    """Make a mask hard: 1 where it is more than a value, 0 elsewhere.

    value: the limit; what equals it becomes 0
    """
    import numpy as np

    return Mask((mask.data > np.float32(value)).astype(np.float32))
