"""The `__metadata__` of a safetensors file, read without the library that reads its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

LARGEST: Final = 16 << 20
"""bytes of a header; those of today's largest models have one"""


def read_metadata(path: Path) -> dict[str, str] | None:
    """Texts by name; None if the file has none, is damaged, or has a header that is too large to look at."""
    try:
        with open(path, "rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            if not 2 <= size <= LARGEST:
                return None
            header: Any = json.loads(stream.read(size))
    except (OSError, ValueError, RecursionError):
        return None
    found = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(found, dict):
        return None
    return {str(name): value for name, value in found.items() if isinstance(value, str)}
