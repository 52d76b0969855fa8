"""A captioned data set of a few drawn shapes, in the form of the emoji one."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image, ImageDraw

COLOURS = {"red": (220, 40, 40), "green": (40, 160, 60), "blue": (40, 80, 220)}


def write_dataset(folder: Path, size: int = 64) -> None:
    (folder / "images").mkdir(parents=True)
    lines = []
    for colour, rgb in COLOURS.items():
        for shape in ("disc", "square"):
            picture = Image.new("RGBA", (size, size))
            box = (size // 8, size // 8, size * 7 // 8, size * 7 // 8)
            draw = ImageDraw.Draw(picture)
            (draw.ellipse if shape == "disc" else draw.rectangle)(box, fill=(*rgb, 255))
            file = f"images/{colour}-{shape}.png"
            picture.save(folder / file)
            lines.append({"file": file, "label": f"{colour} {shape}", "style": "flat", "licence": "CC0-1.0", "author": "the tests"})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
