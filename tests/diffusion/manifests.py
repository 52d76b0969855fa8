"""Keys and shapes of public checkpoint files, without their numbers."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path

Shapes = dict[str, tuple[int, ...]]


@cache
def _all() -> dict[str, dict[str, list[int]]]:
    path = Path(__file__).parent.parent / "data" / "models" / "manifests.json.gz"
    loaded: dict[str, dict[str, list[int]]] = json.loads(gzip.decompress(path.read_bytes()))
    return loaded


def manifest(name: str) -> Shapes:
    """sd15, sdxl, control_sd15, lora_sd15, realesrgan_x4, esrgan_x4_old or embedding_sd15."""
    return {key: tuple(shape) for key, shape in _all()[name].items()}
