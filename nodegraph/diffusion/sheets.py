"""Contact sheets: pictures in rows and columns with labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nodegraph.diffusion.pictures import eight_bits
from nodegraph.diffusion.values import Image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BACKGROUND = 1.0
INK = (40, 42, 48)


MOST_LINES = 3
"""of a text above or below a picture"""
LINE = 1.3
"""from line to line, in sizes of a letter"""


@dataclass(frozen=True)
class _Plan:
    """Where everything lies, in pixels.

    height, width: of a cell; left, top: what labels take; below: what the caption of a cell takes; size: of letters
    """

    columns: int
    height: int
    width: int
    gap: int
    left: int
    top: int
    below: int
    size: int

    def corner(self, index: int) -> tuple[int, int]:
        """(x, y) of the cell of a picture."""
        row, column = divmod(index, self.columns)
        return self.left + self.gap + column * (self.width + self.gap), self.top + self.gap + row * (self.height + self.below + self.gap)

    def shape(self, count: int) -> tuple[int, int, int]:
        """(H, W, 3) of the whole sheet."""
        x, y = self.corner(-(-count // self.columns) * self.columns)
        return y, x + self.columns * (self.width + self.gap), 3


def sheet(
    pictures: Sequence[NDArray[np.float32]],
    columns: int,
    gap: int,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    captions: Sequence[str] = (),
) -> Image:
    """Pictures (H, W, 3) on one white sheet, row by row, each centred in a cell of the largest size.

    row_labels, column_labels: left of the rows and above the columns, these in up to three lines
    captions: one below each picture, in up to three lines
    """
    import numpy as np

    plan = _plan(pictures, columns, gap, row_labels, column_labels, captions)
    canvas = np.full(plan.shape(len(pictures)), BACKGROUND, np.float32)
    for index, picture in enumerate(pictures):
        x, y = plan.corner(index)
        y, x = y + (plan.height - picture.shape[0]) // 2, x + (plan.width - picture.shape[1]) // 2
        canvas[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    if row_labels or column_labels or captions:
        canvas = _write(canvas, plan, row_labels, column_labels, captions)
    return Image(canvas[None])


def _plan(
    pictures: Sequence[Any], columns: int, gap: int, row_labels: Sequence[str], column_labels: Sequence[str], captions: Sequence[str]
) -> _Plan:
    height, width = max(p.shape[0] for p in pictures), max(p.shape[1] for p in pictures)
    size = max(12, min(20, height // 8))
    above, below = (_most_lines(texts, size, width) for texts in (column_labels, captions))
    return _Plan(
        columns,
        height,
        width,
        gap,
        left=_label_width(row_labels, size, width) + gap if row_labels else 0,
        top=size + int((above - 1) * LINE * size) + 2 * gap if column_labels else 0,
        below=int(below * LINE * size) + 4 if captions else 0,
        size=size,
    )


def _most_lines(texts: Sequence[str], size: int, width: int) -> int:
    """How many lines the longest text takes in a cell."""
    return max((min(len(_lines(text, _font(size), width)), MOST_LINES) for text in texts), default=0)


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _label_width(labels: Sequence[str], size: int, width: int) -> int:
    """As wide as the longest label, but no more than one and a half pictures; longer ones are broken into lines."""
    font = _font(size)
    return int(min(max((font.getlength(label) for label in labels), default=0), 1.5 * width)) + 4


def _write(canvas: Any, plan: _Plan, row_labels: Sequence[str], column_labels: Sequence[str], captions: Sequence[str]) -> Any:
    """The sheet with all its words."""
    import numpy as np
    from PIL import Image as Pillow
    from PIL import ImageDraw

    picture = Pillow.fromarray(eight_bits(canvas))
    draw, font, gap = ImageDraw.Draw(picture), _font(plan.size), plan.gap
    for row, label in enumerate(row_labels):
        y = plan.corner(row * plan.columns)[1] + plan.height // 2
        text = _broken(label, font, plan.left - gap, int(plan.height / (1.4 * plan.size)))
        draw.multiline_text((plan.left - gap // 2 - 2, y), text, fill=INK, font=font, anchor="rm", align="right")
    for column, label in enumerate(column_labels[: plan.columns]):
        x = plan.corner(column)[0] + plan.width // 2
        text = _broken(label, font, plan.width, MOST_LINES)
        draw.multiline_text((x, plan.top // 2 + gap // 2), text, fill=INK, font=font, anchor="mm", align="center")
    for index, caption in enumerate(captions):
        x, y = plan.corner(index)
        text = _broken(caption, font, plan.width, MOST_LINES)
        draw.multiline_text((x + plan.width // 2, y + plan.height + 2), text, fill=INK, font=font, anchor="ma", align="center")
    return np.asarray(picture, np.float32) / 255.0


def _broken(label: str, font: Any, width: int, room: int) -> str:
    """The label in as many lines as it needs and there is room for, broken between words."""
    lines, room = _lines(label, font, width), max(room, 1)
    lines = [*lines[: room - 1], " ".join(lines[room - 1 :])]
    return "\n".join(_fitted(line, font, width) for line in lines)


def _lines(label: str, font: Any, width: int) -> list[str]:
    lines: list[str] = [""]
    for word in label.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _fitted(label: str, font: Any, width: int) -> str:
    """The label, shortened until it fits."""
    while len(label) > 1 and font.getlength(label) > width:
        label = label[:-2] + "…"
    return label
