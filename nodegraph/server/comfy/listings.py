"""The files that an input may name, listed again only when one of the folders has changed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from nodegraph.files import Files, listing

PICTURES: Final = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_UNSETTLED: Final = 2.0
"""seconds after a change during which a folder may change again without a new time stamp"""

_Stamp = tuple[tuple[str, int], ...]


class _Listed(NamedTuple):
    folders: _Stamp
    names: tuple[str, ...]


class Listings:
    """Names of files by the `folder` of an input: `input`, or a folder of models."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._known: dict[str, _Listed] = {}

    def names(self, folder: str) -> tuple[str, ...]:
        """Sorted, with forward slashes; of the input folder only pictures."""
        known = self._known.get(folder)
        if known is None or not _is_current(known.folders):
            folders = _stamp(self._roots(folder))
            known = self._known[folder] = _Listed(folders, tuple(self._list(folder)))
        return known.names

    def _roots(self, folder: str) -> list[Path]:
        if folder == "input":
            return [root for root in (self._files.input, self._files.examples) if root is not None]
        return [root / folder for root in self._files.models]

    def _list(self, folder: str) -> list[str]:
        if folder != "input":
            return self._files.list_models(folder)
        return sorted({name for root in self._roots(folder) for name in listing(root) if name.lower().endswith(PICTURES)})


def _stamp(roots: Iterable[Path]) -> _Stamp:
    """Every folder below `roots` and when it was last changed; a root that is not there counts as changed never."""
    found: list[tuple[str, int]] = []
    for root in roots:
        found.append((str(root), _changed(str(root))))
        for where, folders, _ in os.walk(root):
            found += ((path, _changed(path)) for path in (os.path.join(where, name) for name in folders))
    return tuple(found)


def _changed(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _is_current(folders: _Stamp) -> bool:
    settled = time.time_ns() - int(_UNSETTLED * 1e9)
    return all(changed < settled and _changed(path) == changed for path, changed in folders)
