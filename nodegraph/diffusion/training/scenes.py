"""Put cut-out pictures before a background: what a data set looks like to the networks.

A scene is drawn from a random generator, described in words by `captions`, and painted here; equal scenes give equal pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
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
PLACES: dict[str, tuple[float, float]] = {
    "on the left": (0.27, 0.5),
    "on the right": (0.73, 0.5),
    "at the top": (0.5, 0.27),
    "at the bottom": (0.5, 0.73),
    "in the middle": (0.5, 0.5),
}


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
class Figure:
    """Where one cut-out stands.

    scale: its longer side as a fraction of the picture's shorter edge
    x, y: its centre, 0..1 from the left and the top
    """

    scale: float = 0.9
    x: float = 0.5
    y: float = 0.5
    flip: bool = False


@dataclass(frozen=True)
class Scene:
    """One or two subjects, from left to right, before one background.

    place: words for a single small figure ("on the left"), empty for a large one
    other: 0..1, which of the possible companions is the second subject
    """

    background: Background
    figures: tuple[Figure, ...] = (Figure(),)
    place: str = ""
    other: float = 0.0


@dataclass(frozen=True)
class SceneRecipe:
    """Chances of everything that may vary around a subject.

    white, plain: chance of a white and of a plainly coloured background; the rest is two-tone
    smallest, largest: range of the scale; shift: largest distance of the centre from the middle, as a fraction of the edge
    flip: chance of mirroring left to right; pair: of two subjects side by side; small: of a small subject somewhere
    """

    white: float = 0.4
    plain: float = 0.47
    smallest: float = 0.78
    largest: float = 0.95
    shift: float = 0.04
    flip: float = 0.5
    pair: float = 0.15
    small: float = 0.08

    def draw(self, rng: np.random.Generator, forms: bool = True) -> Scene:
        """One random scene; always takes the same number of draws, so that recipes differ only where they should.

        forms: False gives one large subject always: for pictures whose words are written and do not follow the scene
        """
        kind, first, second, form, other = rng.random(5)
        one, two = rng.random(5), rng.random(5)
        background = self._background(kind, first, second)
        if forms and form < self.pair:
            return Scene(background, (self._beside(one, 0.27), self._beside(two, 0.73)), other=float(other))
        if forms and form < self.pair + self.small:
            place = tuple(PLACES)[int(other * len(PLACES))]
            return Scene(background, (self._small(one, place),), place)
        return Scene(background, (self._large(one),))

    def _background(self, kind: float, first: float, second: float) -> Background:
        if kind < self.white:
            return Background("white", "white")
        top = int(first * len(PLAIN))
        step = 1 + int(second * (len(PLAIN) - 1)) if kind >= self.white + self.plain else 0
        return Background(PLAIN[top], PLAIN[(top + step) % len(PLAIN)])

    def _large(self, draws: NDArray[np.float64]) -> Figure:
        side = self.smallest + draws[0] * (self.largest - self.smallest)
        return self._at(draws, side, 0.5, 0.5, min(self.shift, (1 - side) / 2) if side < 1 else 0.0)

    def _small(self, draws: NDArray[np.float64], place: str) -> Figure:
        return self._at(draws, 0.4 + 0.1 * draws[0], *PLACES[place], 0.02)

    def _beside(self, draws: NDArray[np.float64], x: float) -> Figure:
        return self._at(draws, 0.44 + 0.06 * draws[0], x, 0.5, 0.02)

    def _at(self, draws: NDArray[np.float64], side: float, x: float, y: float, reach: float) -> Figure:
        return Figure(float(side), float(x + (2 * draws[1] - 1) * reach), float(y + (2 * draws[2] - 1) * reach), bool(draws[3] < self.flip))


def paint(pictures: Sequence[Image.Image], scene: Scene, size: tuple[int, int]) -> Pixels:
    """The scene as (height, width, 3) uint8; pictures are RGBA, one for each figure; size is (width, height).

    Of a cut-out the opaque part is scaled, aspect kept, and put before the background; a picture without holes fills the canvas.
    """
    if not is_cutout(pictures[0]):
        return fill(pictures[0], scene.figures[0], size)
    canvas = Image.fromarray(paint_background(scene.background, size))
    for picture, figure in zip(pictures, scene.figures, strict=True):
        _put(canvas, picture, figure)
    return np.asarray(canvas)


def is_cutout(picture: Image.Image) -> bool:
    """Whether an RGBA picture has transparent parts, so that a background can be put behind it."""
    lowest, _ = picture.getchannel("A").getextrema()
    return float(lowest) < 250  # type: ignore[arg-type]


def fill(picture: Image.Image, figure: Figure, size: tuple[int, int]) -> Pixels:
    """(height, width, 3): the largest part of a picture that has the aspect of `size`; `figure` says which part, and whether mirrored."""
    ratio = min(picture.width / size[0], picture.height / size[1])
    width, height = ratio * size[0], ratio * size[1]
    left, top = figure.x * (picture.width - width), figure.y * (picture.height - height)
    part = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS, box=(left, top, left + width, top + height))
    return np.asarray(part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if figure.flip else part)


def _put(canvas: Image.Image, picture: Image.Image, figure: Figure) -> None:
    box = picture.getchannel("A").point(lambda alpha: 255 if alpha > 8 else 0).getbbox() or (0, 0, *picture.size)
    ratio = figure.scale * min(canvas.size) / max(box[2] - box[0], box[3] - box[1])
    width, height = (max(1, round((box[i + 2] - box[i]) * ratio)) for i in (0, 1))
    cutout = picture.resize((width, height), Image.Resampling.LANCZOS, box=box)
    if figure.flip:
        cutout = cutout.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    canvas.paste(cutout, (round(figure.x * canvas.width - width / 2), round(figure.y * canvas.height - height / 2)), cutout)


def paint_background(background: Background, size: tuple[int, int]) -> Pixels:
    """(height, width, 3): a linear run from the colour at the top to the one at the bottom."""
    top, bottom = (np.array(COLOURS[name], dtype=np.float32) for name in (background.top, background.bottom))
    ramp = np.linspace(0, 1, size[1], dtype=np.float32)[:, None]  # (height, 1)
    rows = (top * (1 - ramp) + bottom * ramp).round().astype(np.uint8)  # (height, 3)
    return np.repeat(rows[:, None], size[0], axis=1)  # (height, width, 3)
