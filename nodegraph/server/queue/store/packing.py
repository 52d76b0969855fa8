"""How JSON lies in the database: short text as it is, long text compressed."""

from __future__ import annotations

import json
import zlib
from typing import Any, Final

from nodegraph.errors import BadValue

COMPRESSED_FROM: Final = 2048
"""characters; shorter JSON is stored as text"""


def encode(value: Any) -> str:
    """Compact JSON, ASCII only: text from outside may hold half characters that UTF-8 cannot say.

    Raises BadValue for numbers that JSON does not have.
    """
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise BadValue(f"this cannot be stored as JSON: {error}", hint="nan and infinity are no numbers in JSON") from error


def pack(text: str) -> str | bytes:
    return text if len(text) < COMPRESSED_FROM else zlib.compress(text.encode(), 1)


def unpack(stored: str | bytes) -> str:
    return stored if isinstance(stored, str) else zlib.decompress(stored).decode()
