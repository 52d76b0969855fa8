"""Contact sheets: pictures in rows and columns with labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nodegraph.diffusion.values import Image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BACKGROUND = 1.0
INK = (40, 42, 48)


def sheet(
    pictures: Sequence[NDArray[np.float32]], columns: int, gap: int, row_labels: Sequence[str] = (), column_labels: Sequence[str] = ()
) -> Image:
    """Pictures (H, W, 3) on one white sheet, row by row, each centred in a cell of the largest size; labels left and above."""
    import numpy as np

    height, width = max(p.shape[0] for p in pictures), max(p.shape[1] for p in pictures)
    rows = -(-len(pictures) // columns)
    size = max(12, min(20, height // 8))
    left = _label_width(row_labels, size, width) + gap if row_labels else 0
    top = size + 2 * gap if column_labels else 0
    shape = (top + rows * height + (rows + 1) * gap, left + columns * width + (columns + 1) * gap, 3)
    canvas = np.full(shape, BACKGROUND, np.float32)
    for index, picture in enumerate(pictures):
        y = top + gap + (index // columns) * (height + gap) + (height - picture.shape[0]) // 2
        x = left + gap + (index % columns) * (width + gap) + (width - picture.shape[1]) // 2
        canvas[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    if row_labels or column_labels:
        canvas = _write_labels(canvas, row_labels, column_labels, left, top, width, height, gap, size)
    return Image(canvas[None])


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _label_width(labels: Sequence[str], size: int, width: int) -> int:
    """As wide as the longest label, but no more than one and a half pictures; longer ones are broken into lines."""
    font = _font(size)
    return int(min(max((font.getlength(label) for label in labels), default=0), 1.5 * width)) + 4


def _write_labels(
    canvas: Any,
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    left: int,
    top: int,
    width: int,
    height: int,
    gap: int,
    size: int,
) -> Any:
    import numpy as np
    from PIL import Image as Pillow
    from PIL import ImageDraw

    picture = Pillow.fromarray((canvas * 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    font = _font(size)
    for row, label in enumerate(row_labels):
        y = top + gap + row * (height + gap) + height // 2
        draw.multiline_text(
            (left - gap // 2 - 2, y), _broken(label, font, left - gap, height), fill=INK, font=font, anchor="rm", align="right"
        )
    for column, label in enumerate(column_labels):
        x = left + gap + column * (width + gap) + width // 2
        draw.text((x, top // 2 + gap // 2), _fitted(label, font, width), fill=INK, font=font, anchor="mm")
    return np.asarray(picture, np.float32) / 255.0


def _broken(label: str, font: Any, width: int, height: int) -> str:
    """The label in as many lines as it needs and the row has room for, broken between words."""
    lines: list[str] = [""]
    for word in label.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    room = max(int(height / (1.4 * font.size)), 1)
    lines = [*lines[: room - 1], " ".join(lines[room - 1 :])]
    return "\n".join(_fitted(line, font, width) for line in lines)


def _fitted(label: str, font: Any, width: int) -> str:
    """The label, shortened until it fits."""
    while len(label) > 1 and font.getlength(label) > width:
        label = label[:-2] + "…"
    return label
