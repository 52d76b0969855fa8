"""Constants of ComfyUI's files brought into ours: numbers that were saved as text, file names with foreign slashes, wrapped lists."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from nodegraph.comfy.aliases import SAME_CHOICES, ForeignInput, Kind
from nodegraph.errors import shorten

_WHOLE = re.compile(r"\s*([+-]?\d{1,30})(\.0*)?\s*")
_NUMBER = re.compile(r"\s*[+-]?(\d{1,30}\.?\d{0,30}|\.\d{1,30})(e[+-]?\d{1,3})?\s*", re.IGNORECASE)
_HUGE = 10**40
_PLACE = re.compile(r"(.+?) \[(input|output|temp)\]", re.DOTALL)


_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "STRING": "str",
        "INT": "int",
        "FLOAT": "float",
        "BOOLEAN": "bool",
        "COMBO": "str",
        "MODEL": "model",
        "CLIP": "clip",
        "VAE": "vae",
        "CONDITIONING": "conditioning",
        "LATENT": "latent",
        "IMAGE": "image",
        "MASK": "mask",
        "UPSCALE_MODEL": "upscaler",
    }
)
_OF_KIND: Final[Mapping[Kind, str]] = MappingProxyType(
    {"int": "int", "float": "float", "str": "str", "bool": "bool", "choice": "str", "file": "str"}
)
WIDGETS: Final[Mapping[str, str]] = MappingProxyType({"int": "number", "float": "number", "str": "text", "bool": "switch"})
"""by type, the plainest widget that sets it"""


def type_name(theirs: str, kind: ForeignInput | None = None) -> str:
    """Our name of a type of ComfyUI, or of an input that takes values; `*` if it is not known."""
    return _TYPES.get(theirs.upper()) or (_OF_KIND.get(kind.kind) if kind is not None else None) or "*"


def coerce(entry: ForeignInput, value: Any) -> Any:
    """`value` in the form that our input wants, if that loses nothing; else unchanged, for the check of the graph to refuse."""
    if entry.kind == "choice" and isinstance(value, str):
        return SAME_CHOICES.get(entry.theirs, {}).get(value, value)
    return _coerce_kind(entry.kind, value)


def _coerce_kind(kind: Kind, value: Any) -> Any:
    if kind == "int":
        return _whole(value)
    if kind == "float" and isinstance(value, str) and _NUMBER.fullmatch(value):
        number = float(value)
        return number if math.isfinite(number) else value
    if kind == "str" and isinstance(value, int | float) and abs(value) < _HUGE:
        return str(value)
    if kind == "file" and isinstance(value, str):
        return file_name(value)
    return value


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        match = _WHOLE.fullmatch(value)
        return int(match[1]) if match else value
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**64:
        return int(value)
    return value


def file_name(value: str) -> str:
    """A file name with forward slashes, without the mark of the input folder (`cat.png [input]`)."""
    match = _PLACE.fullmatch(value) if value.endswith("]") and len(value) < 2000 else None
    if match is not None and match[2] == "input":
        value = match[1]
    return value.replace("\\", "/")


def other_place(value: Any) -> str | None:
    """`output` or `temp` if a file name says that it lies there and not in the input folder."""
    match = _PLACE.fullmatch(value) if isinstance(value, str) and value.endswith("]") and len(value) < 2000 else None
    return match[2] if match is not None and match[2] != "input" else None


def unwrap(value: Any) -> Any:
    """The constant inside `{"__value__": ...}`, which tells a list from a link."""
    return value["__value__"] if isinstance(value, dict) and value.keys() == {"__value__"} else value


def wrap(value: Any) -> Any:
    return {"__value__": value} if isinstance(value, list | dict) else value


def is_slot(value: Any) -> bool:
    return type(value) is int or (type(value) is float and value.is_integer())


def as_text(value: dict[str, Any]) -> str | None:
    """An object as JSON text: our files have no objects among their values. None if it is nested too deeply."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except (RecursionError, ValueError):
        return None


def describe(value: Any) -> str:
    """A value quoted in a message, without ever walking into it."""
    if isinstance(value, dict):
        keys = ", ".join(shorten(key, 20) for key in list(value)[:6])
        return f"an object with the keys {keys}{', …' if len(value) > 6 else ''}" if value else "an empty object"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    if value is None:
        return "nothing"
    if isinstance(value, int | float):
        return repr(value) if not isinstance(value, int) or abs(value) < _HUGE else "a huge number"
    return f'"{shorten(value, 60)}"'
