"""`Settings` as plain data, for the process that uses them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from nodegraph.files import ModelFolder
from nodegraph.settings import Settings

_PATHS: Final = ("input", "output", "temp")
_LISTS: Final = ("models", "packs")


def to_json(settings: Settings) -> dict[str, Any]:
    out = {field.name: getattr(settings, field.name) for field in fields(settings)}
    for name in _PATHS:
        out[name] = str(out[name])
    for name in _LISTS:
        out[name] = [str(path) for path in out[name]]
    out["cache"] = str(settings.cache) if settings.cache is not None else None
    out["extra_models"] = [{"kind": extra.kind, "path": str(extra.path), "first": extra.first} for extra in settings.extra_models]
    return out


def from_json(data: Mapping[str, Any]) -> Settings:
    """Settings as `to_json` wrote them. Raises TypeError or KeyError for what it did not write."""
    given = dict(data)
    for name in _PATHS:
        given[name] = Path(given[name])
    for name in _LISTS:
        given[name] = tuple(map(Path, given[name]))
    given["cache"] = Path(given["cache"]) if given["cache"] is not None else None
    given["extra_models"] = tuple(ModelFolder(extra["kind"], Path(extra["path"]), extra["first"]) for extra in given["extra_models"])
    return Settings(**given)
