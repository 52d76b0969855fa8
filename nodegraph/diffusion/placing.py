"""Rectangles: what of one array lies over another, what is cut out, and pasting. Rows and columns are axes 1 and 2, batch is axis 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nodegraph.errors import InputRefused

Window = tuple[slice, slice]
"""rows, columns"""


def window(size: Sequence[int], x: int, y: int, width: int, height: int, what: str, unit: str = "pixels") -> Window:
    """The part of a cut that lies inside an array of size (H, W). Raises InputRefused if there is none; `what` is cut, for the message."""
    rows, columns = _inside(y, height, size[0]), _inside(x, width, size[1])
    if rows.start >= rows.stop or columns.start >= columns.stop:
        raise InputRefused(
            f"a cut of {width}x{height} at x {x}, y {y} leaves nothing of a {what} of {size[1]}x{size[0]} {unit}",
            hint=f"x must be less than {size[1]}, y less than {size[0]}, and the cut at least 1x1",
        )
    return rows, columns


def centre_window(size: Sequence[int], new_width: int, new_height: int, crop: str) -> Window:
    """The largest middle part of (H, W) in the shape of the new size; everything if `crop` is "disabled"."""
    height, width = size
    x = y = 0
    if crop == "center":
        ours, wanted = width / height, new_width / new_height
        x = round((width - width * (wanted / ours)) / 2) if ours > wanted else 0
        y = round((height - height * (ours / wanted)) / 2) if ours < wanted else 0
        x, y = min(x, (width - 1) // 2), min(y, (height - 1) // 2)  # at least one pixel stays
    return slice(y, height - y), slice(x, width - x)


def scaled_window(part: Window, size: Sequence[int], other: Sequence[int]) -> Window:
    """The same part of an array of another (height, width): a latent's window on its mask. At least one pixel each way."""
    return _scaled(part[0], size[0], other[0]), _scaled(part[1], size[1], other[1])


def _scaled(part: slice, length: int, other: int) -> slice:
    start = min(round(part.start * other / length), other - 1)
    return slice(start, max(round(part.stop * other / length), start + 1))


def _inside(start: int, length: int, limit: int) -> slice:
    """start .. start + length as far as it lies in 0 .. limit."""
    return slice(min(max(start, 0), limit), min(max(start + length, 0), limit))


def overlap(base: Sequence[int], overlay: Sequence[int], x: int, y: int) -> tuple[Window, Window]:
    """(part of the base that is covered, part of the overlay that covers it) with the overlay's corner at x, y, which may be negative.

    base, overlay: (height, width). Both parts are empty if they do not meet.
    """
    rows, columns = _inside(y, overlay[0], base[0]), _inside(x, overlay[1], base[1])
    return (rows, columns), (_moved(rows, -y), _moved(columns, -x))


def _moved(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by) if part.stop > part.start else slice(0, 0)


def same_batch(a: Any, b: Any, what: str) -> tuple[Any, Any]:
    """Both arrays with the larger batch; a batch of 1 is repeated. Raises InputRefused if neither is 1 and they differ."""
    if a.shape[0] != b.shape[0] and 1 not in (a.shape[0], b.shape[0]):
        raise InputRefused(f"the {what} come in batches of {a.shape[0]} and {b.shape[0]}", hint="give batches of one size, or a single one")
    count = max(a.shape[0], b.shape[0])
    return np.broadcast_to(a, (count, *a.shape[1:])), np.broadcast_to(b, (count, *b.shape[1:]))


def paste(base: Any, overlay: Any, x: int, y: int, share: Any = None, what: str = "pictures") -> Any:
    """base * (1 - share) + overlay * share where they meet, base elsewhere, as a new array. (B, H, W, C) over (B, H, W, C).

    share: (B or 1, h, w, 1) in 0..1 over the overlay, or None for 1 everywhere
    """
    base, overlay = same_batch(base, overlay, what)
    covered, covering = overlap(base.shape[1:3], overlay.shape[1:3], x, y)
    result = base.copy()
    above = overlay[:, *covering]
    if share is not None:
        _, share = same_batch(base, share, f"{what} and masks")
        part = share[:, *covering]
        above = above * part + base[:, *covered] * (1 - part)
    result[:, *covered] = above
    return result
