"""Put a cut-out picture before a background: what a data set looks like to the networks.

A scene is drawn from a random generator, described in words by `captions`, and painted here; equal scenes give equal pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

COLOURS: dict[str, tuple[int, int, int]] = {
    "white": (255, 255, 255),
    "red": (224, 52, 52),
    "orange": (247, 148, 40),
    "yellow": (250, 216, 70),
    "green": (72, 180, 84),
    "mint": (168, 228, 196),
    "blue": (58, 118, 224),
    "sky blue": (150, 206, 246),
    "purple": (142, 82, 200),
    "pink": (246, 160, 196),
    "grey": (150, 152, 158),
    "black": (24, 24, 28),
}
PLAIN = tuple(name for name in COLOURS if name != "white")


@dataclass(frozen=True)
class Background:
    """One colour, or two running into each other from `top` to `bottom`."""

    top: str
    bottom: str

    @property
    def kind(self) -> Literal["white", "plain", "two-tone"]:
        if self.top != self.bottom:
            return "two-tone"
        return "white" if self.top == "white" else "plain"


@dataclass(frozen=True)
class Scene:
    """One subject before one background.

    scale: longer side of the cut-out as a fraction of the picture's edge
    x, y: centre of the cut-out, 0..1 from the left and the top
    """

    background: Background
    scale: float = 0.9
    x: float = 0.5
    y: float = 0.5
    flip: bool = False


@dataclass(frozen=True)
class SceneRecipe:
    """Chances of everything that may vary around a subject.

    white, plain: chance of a white and of a plainly coloured background; the rest is two-tone
    smallest, largest: range of the scale; shift: largest distance of the centre from the middle, as a fraction of the edge
    flip: chance of mirroring left to right
    """

    white: float = 0.5
    plain: float = 0.35
    smallest: float = 0.8
    largest: float = 0.95
    shift: float = 0.03
    flip: float = 0.0

    def draw(self, rng: np.random.Generator) -> Scene:
        """One random scene; always takes the same number of draws, so that recipes differ only where they should."""
        kind, first, second, scale, x, y, flip = rng.random(7)
        side = self.smallest + scale * (self.largest - self.smallest)
        reach = min(self.shift, (1 - side) / 2) if side < 1 else 0.0
        return Scene(
            self._background(kind, first, second), side, 0.5 + (2 * x - 1) * reach, 0.5 + (2 * y - 1) * reach, bool(flip < self.flip)
        )

    def _background(self, kind: float, first: float, second: float) -> Background:
        if kind < self.white:
            return Background("white", "white")
        top = int(first * len(PLAIN))
        step = 1 + int(second * (len(PLAIN) - 1)) if kind >= self.white + self.plain else 0
        return Background(PLAIN[top], PLAIN[(top + step) % len(PLAIN)])


def paint(picture: Image.Image, scene: Scene, size: int) -> Pixels:
    """The scene as (size, size, 3) uint8: the opaque part of an RGBA picture, scaled with its aspect kept, before the background."""
    canvas = Image.fromarray(paint_background(scene.background, size))
    box = picture.getchannel("A").point(lambda alpha: 255 if alpha > 8 else 0).getbbox() or (0, 0, *picture.size)
    ratio = scene.scale * size / max(box[2] - box[0], box[3] - box[1])
    width, height = (max(1, round((box[i + 2] - box[i]) * ratio)) for i in (0, 1))
    cutout = picture.resize((width, height), Image.Resampling.LANCZOS, box=box)
    if scene.flip:
        cutout = cutout.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    canvas.paste(cutout, (round(scene.x * size - width / 2), round(scene.y * size - height / 2)), cutout)
    return np.asarray(canvas)


def paint_background(background: Background, size: int) -> Pixels:
    """(size, size, 3): a linear run from the colour at the top to the one at the bottom."""
    top, bottom = (np.array(COLOURS[name], dtype=np.float32) for name in (background.top, background.bottom))
    ramp = np.linspace(0, 1, size, dtype=np.float32)[:, None]  # (size, 1)
    rows = (top * (1 - ramp) + bottom * ramp).round().astype(np.uint8)  # (size, 3)
    return np.repeat(rows[:, None], size, axis=1)  # (size, size, 3)
