"""Nodes that change latents: size, frame, batches, and one mixed with another. Places and sizes are in pixels of the picture."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from nodegraph import Each, InputRefused, Number, Slider, node
from nodegraph.diffusion import Latent, Mask

if TYPE_CHECKING:
    from nodegraph.diffusion.values import Floats

Method = Literal["nearest-exact", "bilinear", "area", "bicubic", "bislerp"]
Pixels = Annotated[int, Number(0, 16384, step=8)]
Place = Annotated[int, Number(-16384, 16384, step=8)]
Share = Annotated[float, Slider(0, 1, step=0.01)]
Count = Annotated[int, Number(1, 4096)]
PER_LATENT_PIXEL = 8


@node("LatentUpscaleBy", category="latent")
def latent_upscale_by(
    latent: Each[Latent], factor: Each[Annotated[float, Number(0.01, 8, step=0.05)]] = 1.5, method: Each[Method] = "bicubic"
) -> Latent:
    """Resize a latent by a factor, to sample it again at a larger size.

    factor: 2 doubles width and height
    method: "bislerp" mixes directions and lengths instead of numbers, which blurs less
    """
    from nodegraph.diffusion.resize import resize_latent

    height, width = latent.data.shape[2:]
    return resize_latent(latent, method, max(1, round(width * factor)), max(1, round(height * factor)))


@node("LatentFlip", category="latent")
def latent_flip(
    latent: Each[Latent], direction: Each[Literal["x-axis: vertically", "y-axis: horizontally"]] = "y-axis: horizontally"
) -> Latent:
    """Mirror a latent, with its mask.

    direction: vertically swaps top and bottom, horizontally swaps left and right
    """
    import numpy as np

    axis = -2 if direction.startswith("x") else -1
    return _both(latent, lambda data: np.flip(data, axis))


@node("LatentRotate", category="latent")
def latent_rotate(latent: Each[Latent], angle: Each[Literal["none", "90 degrees", "180 degrees", "270 degrees"]] = "90 degrees") -> Latent:
    """Turn a latent by quarters, with its mask.

    angle: clockwise
    """
    import numpy as np

    quarters = ("none", "90 degrees", "180 degrees", "270 degrees").index(angle)
    return _both(latent, lambda data: np.rot90(data, quarters, axes=(-1, -2)))


def _both(latent: Latent, change: Any) -> Latent:
    """The same change of rows and columns to latents and mask."""
    import numpy as np

    mask = None if latent.mask is None else np.ascontiguousarray(change(latent.mask))
    return replace(latent, data=np.ascontiguousarray(change(latent.data)), mask=mask)


@node("LatentCrop", category="latent")
def latent_crop(
    latent: Each[Latent],
    width: Each[Annotated[int, Number(8, 16384, step=8)]] = 512,
    height: Each[Annotated[int, Number(8, 16384, step=8)]] = 512,
    x: Each[Pixels] = 0,
    y: Each[Pixels] = 0,
) -> Latent:
    """Cut a rectangle out of a latent, with its mask. What of it lies outside is left out.

    width: in pixels, rounded down to a multiple of 8
    height: in pixels, rounded down to a multiple of 8
    x: of the left edge, in pixels
    y: of the top edge, in pixels
    """
    from nodegraph.diffusion.placing import scaled_window, window

    size = latent.data.shape[2:]
    x, y, width, height = (number // PER_LATENT_PIXEL for number in (x, y, width, height))
    part = window(size, x, y, width, height, "latent", "latent pixels (8x8 pixels each)")
    mask = None if latent.mask is None else latent.mask[:, *scaled_window(part, size, latent.mask.shape[1:])].copy()
    return replace(latent, data=latent.data[:, :, *part].copy(), mask=mask)


@node("LatentComposite", category="latent")
def latent_composite(
    base: Each[Latent],
    overlay: Each[Latent],
    mask: Each[Mask] | None = None,
    x: Each[Place] = 0,
    y: Each[Place] = 0,
    feather: Each[Pixels] = 0,
    resize: Each[bool] = False,
) -> Latent:
    """Put one latent over another. What reaches over the edge is left out; the mask for sampling stays that of the base.

    mask: where the overlay shows, 1 fully; stretched to the overlay's size. Without it, everywhere
    x: of the overlay's left edge on the base, in pixels
    y: of the overlay's top edge on the base, in pixels
    feather: over how many pixels the overlay fades in from its edges, except those at an edge of the base
    resize: stretch the overlay to the size of the base first
    """
    import numpy as np

    from nodegraph.diffusion.placing import paste
    from nodegraph.diffusion.resize import resize_latent, resize_mask

    _same_channels(base, overlay)
    if resize:
        overlay = resize_latent(overlay, "bilinear", base.data.shape[3], base.data.shape[2])
    height, width = overlay.data.shape[2:]
    column, row = x // PER_LATENT_PIXEL, y // PER_LATENT_PIXEL
    fade = _fade(row, height, base.data.shape[2], feather)[:, None] * _fade(column, width, base.data.shape[3], feather)[None, :]
    share = fade[None, :, :, None]  # (1, h, w, 1)
    if mask is not None:
        share = share * resize_mask(mask, width, height).data[..., None]
    pasted = paste(np.moveaxis(base.data, 1, -1), np.moveaxis(overlay.data, 1, -1), column, row, share, "latents")
    return base.with_data(np.ascontiguousarray(np.moveaxis(pasted, -1, 1)))


def _fade(start: int, length: int, limit: int, feather: int) -> Any:
    """(length,) of one axis of an overlay: 1/n, 2/n, ... 1 from each end that lies inside 0..limit of the base, n latent pixels wide."""
    import numpy as np

    wide = feather // PER_LATENT_PIXEL
    place = np.arange(length, dtype=np.float32)
    fade = np.ones(length, np.float32)
    if wide and start > 0:
        fade *= np.minimum((place + 1) / wide, 1)
    if wide and start + length < limit:
        fade *= np.minimum((length - place) / wide, 1)
    return fade


@node("LatentBlend", category="latent")
def latent_blend(base: Each[Latent], overlay: Each[Latent], keep: Each[Share] = 0.5) -> Latent:
    """Mix two latents: base * keep + overlay * (1 - keep).

    overlay: cut and resized to the size of `base` if it has another; a single one is repeated for a batch
    keep: how much of the base stays
    """
    first, second = _matched(base, overlay)
    return base.with_data(first * keep + second * (1 - keep))


@node("LatentInterpolate", category="latent")
def latent_interpolate(base: Each[Latent], overlay: Each[Latent], keep: Each[Share] = 0.5) -> Latent:
    """Mix two latents by direction and length of each pixel's vector apart, which keeps the contrast that plain mixing loses.

    overlay: cut and resized to the size of `base` if it has another; a single one is repeated for a batch
    keep: how much of the base stays
    """
    import numpy as np

    first, second = _matched(base, overlay)
    lengths = [np.linalg.norm(data, axis=1, keepdims=True) for data in (first, second)]  # (B, 1, h, w) each
    mixed = _unit(first, lengths[0]) * keep + _unit(second, lengths[1]) * (1 - keep)
    direction = _unit(mixed, np.linalg.norm(mixed, axis=1, keepdims=True))
    return base.with_data((direction * (lengths[0] * keep + lengths[1] * (1 - keep))).astype(np.float32))


def _unit(data: Any, length: Any) -> Any:
    import numpy as np

    return data / np.where(length == 0, 1, length)


def _matched(base: Latent, overlay: Latent) -> tuple[Floats, Floats]:
    """The data of both with one shape; the overlay is resized to the base."""
    from nodegraph.diffusion.placing import same_batch
    from nodegraph.diffusion.resize import resize_latent

    _same_channels(base, overlay)
    height, width = base.data.shape[2:]
    fitted = resize_latent(overlay, "bicubic", width, height, "center")
    first, second = same_batch(base.data, fitted.data, "latents")
    return first, second


def _same_channels(first: Latent, second: Latent) -> None:
    if first.data.shape[1] != second.data.shape[1]:
        raise InputRefused(
            f"the latents have {first.data.shape[1]} and {second.data.shape[1]} channels",
            hint="they come from different kinds of model; decode one to a picture and encode it with the VAE of the other",
        )


@node("LatentBatch", category="latent")
def latent_batch(first: Each[Latent], second: Each[Latent]) -> Latent:
    """Put two latents of one size into one batch. Each keeps its noise: two first rows get the same noise.

    second: of the same size; where only one of them has a mask, the other may change everywhere
    """
    import numpy as np

    _same_channels(first, second)
    _same_size(first, second)
    index = _index(first) + _index(second)
    return Latent(np.concatenate([first.data, second.data]), _joined_masks(first, second), index)


def _same_size(first: Latent, second: Latent) -> None:
    one, two = first.data.shape[2:], second.data.shape[2:]
    if one != two:
        sizes = [f"{shape[1] * PER_LATENT_PIXEL}x{shape[0] * PER_LATENT_PIXEL}" for shape in (one, two)]
        raise InputRefused(f"the latents are of pictures of {sizes[0]} and {sizes[1]}", hint="put `LatentUpscale` before one of them")


def _index(latent: Latent) -> tuple[int, ...]:
    return tuple(range(len(latent))) if latent.batch_index is None else latent.batch_index


def _joined_masks(first: Latent, second: Latent) -> Floats | None:
    """One mask a row for both, in the size of the first mask there is."""
    import numpy as np

    from nodegraph.diffusion.resize import resize_mask

    known = first.mask if first.mask is not None else second.mask
    if known is None:
        return None
    height, width = known.shape[1:]
    masks = []
    for latent in (first, second):
        data = np.ones((1, height, width), np.float32) if latent.mask is None else latent.mask
        masks.append(_mask_rows(resize_mask(Mask(data), width, height).data, len(latent)))
    return np.concatenate(masks)


def _mask_rows(mask: Floats, count: int) -> Floats:
    """(N, H, W) -> (count, H, W), repeated in turn."""
    import numpy as np

    return np.resize(mask, (count, *mask.shape[1:]))


@node("RepeatLatent", category="latent")
def repeat_latent(latent: Each[Latent], amount: Each[Count] = 1) -> Latent:
    """Repeat a batch of latents as a whole, each row with noise of its own when it is sampled.

    amount: how many times it is there afterwards
    """
    import numpy as np

    index = latent.batch_index
    if index is not None:
        span = max(index) - min(index) + 1
        index = tuple(i + span * turn for turn in range(amount) for i in index)
    mask = latent.mask
    if mask is not None and len(mask) > 1:
        mask = np.tile(_mask_rows(mask, len(latent)), (amount, 1, 1))
    return Latent(np.tile(latent.data, (amount, 1, 1, 1)), mask, index)


@node("LatentFromBatch", category="latent")
def latent_from_batch(latent: Each[Latent], index: Each[Annotated[int, Number(0, 4095)]] = 0, count: Each[Count] = 1) -> Latent:
    """Take rows out of a batch. They remember where they were, so they get the same noise as in the whole batch.

    index: of the first one, counted from 0
    count: how many; fewer if the batch ends before
    """
    if not 0 <= index < len(latent):
        raise InputRefused(f"latent {index} was asked for; the batch has {len(latent)}", input="index", hint=f"use 0 to {len(latent) - 1}")
    rows = slice(index, index + max(count, 1))
    mask = latent.mask
    if mask is not None and len(mask) > 1:
        mask = _mask_rows(mask, len(latent))[rows].copy()
    return Latent(latent.data[rows].copy(), mask, _index(latent)[rows])
