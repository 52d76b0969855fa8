"""Data sets small enough to train on in seconds: coloured shapes before nothing."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image, ImageDraw

SHAPES = {"red ball": (220, 40, 40), "blue ball": (40, 60, 220), "green box": (40, 170, 60), "yellow box": (240, 210, 60)}


def draw_shape(label: str, size: int = 48) -> Image.Image:
    """RGBA, transparent around the shape."""
    picture = Image.new("RGBA", (size, size), (0, 0, 0, 0))
    pen = ImageDraw.Draw(picture)
    corners = (4, 4, size - 5, size - 5)
    (pen.ellipse if label.endswith("ball") else pen.rectangle)(corners, fill=(*SHAPES[label], 255))
    return picture


def write_shapes(folder: Path, styles: tuple[str, ...] = ("plain",)) -> Path:
    """A data set with a table: every shape in every style."""
    (folder / "images").mkdir(parents=True)
    lines = []
    for label in SHAPES:
        for style in styles:
            file = f"images/{label.replace(' ', '-')}-{style}.png"
            draw_shape(label).save(folder / file)
            lines.append({"file": file, "label": label, "style": style, "licence": "CC0-1.0", "author": "nobody"})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder
