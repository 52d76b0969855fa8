"""Content hashes of files, remembered by path, size and time of change so that a 7 GB checkpoint is read once, not at every start."""

from __future__ import annotations

import contextlib
import json
import os
from hashlib import blake2b
from pathlib import Path
from typing import Final

from nodegraph.errors import ReadFailed, WriteFailed
from nodegraph.files import write_atomic

CHUNK: Final = 4 * 2**20
MAX_KNOWN: Final = 5000


def hash_file(path: Path) -> str:
    """Hex hash of a file's bytes. Raises ReadFailed."""
    digest = blake2b(digest_size=16)
    try:
        with open(path, "rb") as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise ReadFailed(f"cannot read {path}: {error.strerror or error}", hint="check that the file is there and may be read") from error
    return digest.hexdigest()


class ContentHashes:
    """`hashes(path)` with a memory, kept in a small JSON file between runs if one is given."""

    def __init__(self, memo: Path | None = None) -> None:
        self._memo = memo
        self._known: dict[str, list[object]] = _load(memo)
        self._changed = False

    def __call__(self, path: Path) -> str:
        try:
            stat = os.stat(path)
        except OSError as error:
            raise ReadFailed(f"cannot read {path}: {error.strerror or error}", hint="check that the file is there") from error
        state = [stat.st_size, stat.st_mtime_ns]
        name = os.path.realpath(path)
        known = self._known.get(name)
        if known is not None and known[:2] == state:
            return str(known[2])
        found = hash_file(path)
        self._known[name] = [*state, found]
        self._changed = True
        return found

    def save(self) -> None:
        """Write the memory if it changed. It may be lost at any time without harm."""
        if self._memo is not None and self._changed:
            known = dict(list(self._known.items())[-MAX_KNOWN:])
            with contextlib.suppress(WriteFailed):
                write_atomic(self._memo, lambda stream: stream.write(json.dumps(known).encode()))
            self._changed = False


def _load(memo: Path | None) -> dict[str, list[object]]:
    if memo is None:
        return {}
    try:
        data = json.loads(memo.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(data, dict):
        return {}
    return {name: entry for name, entry in data.items() if isinstance(entry, list) and len(entry) == 3}
