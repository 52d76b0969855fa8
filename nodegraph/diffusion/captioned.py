"""Pictures with a few lines of small text below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

INK = (40, 42, 48)
SIZE = 11  # of letters, in pixels
STEP = 14


def captioned(picture: NDArray[np.float32], lines: Sequence[str]) -> NDArray[np.float32]:
    """(H, W, 3) in 0..1 with a strip below, as high for every picture that has as many lines; each is shortened to the width."""
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    width, font = picture.shape[1], ImageFont.load_default(SIZE)
    strip = Pillow.new("RGB", (width, STEP * len(lines) + 4), (255, 255, 255))
    draw = ImageDraw.Draw(strip)
    for row, line in enumerate(lines):
        draw.text((width // 2, 2 + row * STEP), _fitted(line, font, width), fill=INK, font=font, anchor="ma")
    return np.concatenate([picture, np.asarray(strip, np.float32) / np.float32(255)])


def _fitted(line: str, font: Any, width: int) -> str:
    while len(line) > 1 and font.getlength(line) > width:
        line = line[:-2] + "…"
    return line
