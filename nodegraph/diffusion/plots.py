"""Small plots as pictures, without a plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nodegraph.diffusion.values import Image

WIDTH, HEIGHT, MARGIN = 640, 360, 48
PAPER, INK, GRID, POINTS, LINE = (255, 255, 255), (60, 64, 72), (226, 229, 234), (190, 208, 240), (38, 96, 190)


def loss_curve(losses: Sequence[float]) -> Image:
    """Loss over steps on a logarithmic axis: every step as a dot, a running mean as a line."""
    import numpy as np
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    picture = Pillow.new("RGB", (WIDTH, HEIGHT), PAPER)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(12)
    good = [max(value, 1e-8) for value in losses if math.isfinite(value)]
    if not good:
        draw.text((WIDTH // 2, HEIGHT // 2), "no steps yet", fill=INK, font=font, anchor="mm")
        return Image(np.asarray(picture, np.float32)[None] / 255.0)
    low, high = (math.log10(limit) for limit in (float(np.quantile(good, 0.002)) * 0.95, float(np.quantile(good, 0.998)) * 1.05))

    def at(step: float, value: float) -> tuple[float, float]:
        across = MARGIN + step / max(len(good) - 1, 1) * (WIDTH - MARGIN - 16)
        share = (math.log10(value) - low) / max(high - low, 1e-9)
        return across, HEIGHT - MARGIN + 16 - min(max(share, 0), 1) * (HEIGHT - MARGIN - 8)

    for tick in range(5):
        value = 10 ** (low + (high - low) * tick / 4)
        y = at(0, value)[1]
        draw.line((MARGIN, y, WIDTH - 16, y), fill=GRID)
        draw.text((MARGIN - 6, y), f"{value:.3g}", fill=INK, font=font, anchor="rm")
    for step in range(0, len(good), max(len(good) // 3000, 1)):
        draw.point(at(step, good[step]), fill=POINTS)
    window = max(len(good) // 60, 1)
    smooth = np.convolve(good, np.ones(window) / window, mode="valid")
    draw.line([at(i + window / 2, float(v)) for i, v in enumerate(smooth)], fill=LINE, width=2)
    draw.text((WIDTH // 2, HEIGHT - 8), f"{len(good)} steps, last {smooth[-1]:.4g}", fill=INK, font=font, anchor="mb")
    return Image(np.asarray(picture, np.float32)[None] / 255.0)
