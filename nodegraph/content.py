"""Content hashes of files, remembered by path, size and time of change so that a 7 GB checkpoint is read once, not at every start."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from hashlib import blake2b
from pathlib import Path
from typing import Final

from nodegraph.errors import ReadFailed, WriteFailed
from nodegraph.files import write_atomic

CHUNK: Final = 4 * 2**20
MAX_KNOWN: Final = 5000
SETTLED_SECONDS: Final = 2.5
"""a file that changed less than this ago may change again within one tick of its clock (two seconds on FAT): its hash is not remembered"""


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
    """`hashes(path)` with a memory, kept in a small JSON file between runs if one is given. Thread-safe."""

    def __init__(self, memo: Path | None = None) -> None:
        self._memo = memo
        self._known: dict[str, list[object]] = _load(memo)
        self._changed = False
        self._lock = threading.Lock()

    def __call__(self, path: Path) -> str:
        name = os.path.realpath(path)
        state, age = _state(path)
        known = self._known.get(name)
        if known is not None and known[:-1] == state:
            return str(known[-1])
        found = hash_file(path)
        if not 0 <= age < SETTLED_SECONDS and _state(path)[0] == state:
            with self._lock:
                self._known[name] = [*state, found]
                self._changed = True
        return found

    def save(self) -> None:
        """Write the memory if it changed. It may be lost at any time without harm."""
        with self._lock:
            if self._memo is None or not self._changed:
                return
            text = json.dumps(dict(list(self._known.items())[-MAX_KNOWN:]))
            self._changed = False
        with contextlib.suppress(WriteFailed):
            write_atomic(self._memo, lambda stream: stream.write(text.encode()))


def _state(path: Path) -> tuple[list[object], float]:
    """(what changes when a file is written, seconds since it last did)."""
    try:
        stat = os.stat(path)
    except OSError as error:
        raise ReadFailed(f"cannot read {path}: {error.strerror or error}", hint="check that the file is there") from error
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns], time.time() - max(stat.st_mtime, stat.st_ctime)


def _load(memo: Path | None) -> dict[str, list[object]]:
    if memo is None:
        return {}
    try:
        data = json.loads(memo.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(data, dict):
        return {}
    return {name: entry for name, entry in data.items() if isinstance(entry, list) and len(entry) == 4}
