"""Which file has which contents: SHA-256 by folder and name, remembered in a small database that may be lost without harm.

A hash is worked out when it is first asked for. Nothing is believed that the file's size and time of change do not confirm.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nodegraph.errors import FileMissing, ReadFailed, UnsafePath, WriteFailed
from nodegraph.files import Files, inside
from nodegraph.server.queue.store.opening import connect, open_database

MOST: Final = 200_000
"""files that are remembered, the oldest go"""
FOLDERS: Final = ("input", "output", "temp")
_HASH: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file as it was when it was hashed. folder: input, output or temp; name: in it"""

    folder: str
    name: str
    size: int
    mtime_ns: int
    hash: str


class AssetIndex:
    """Reads files and waits for the disk: call it in a thread. Thread-safe."""

    def __init__(self, path: Path, files: Files) -> None:
        self._path = path
        self._files = files
        self._ready = False

    def entry(self, folder: str, name: str) -> Entry:
        """The file by its name, its contents read if that has to be. Raises FileMissing, UnsafePath, ReadFailed."""
        path = self._place(folder, name)
        size, mtime_ns = _state(path, name)
        known = self._known(folder, name)
        if known is not None and (known.size, known.mtime_ns) == (size, mtime_ns):
            return known
        found = Entry(folder, name, size, mtime_ns, sha256(path))
        if _state(path, name) == (size, mtime_ns):
            self.note(found)
        return found

    def find(self, hash: str, folder: str | None = None) -> Entry | None:
        """A file that has these contents now, in one folder or any."""
        if _HASH.fullmatch(hash) is None:
            return None
        for known in self._rows("hash = ?", hash):
            if folder not in (None, known.folder):
                continue
            try:
                present = self.entry(known.folder, known.name)
            except (FileMissing, UnsafePath, ReadFailed):
                continue
            if present.hash == hash:
                return present
        return None

    def note(self, entry: Entry) -> None:
        """Remember a file. If that fails it will only be read again."""
        values = (entry.folder, entry.name, entry.size, entry.mtime_ns, entry.hash)
        with suppress(sqlite3.Error, WriteFailed), self._opened() as database:
            database.execute("INSERT OR REPLACE INTO files (folder, name, size, mtime_ns, hash) VALUES (?, ?, ?, ?, ?)", values)
            database.execute("DELETE FROM files WHERE id <= (SELECT max(id) FROM files) - ?", (MOST,))

    def _known(self, folder: str, name: str) -> Entry | None:
        return next(iter(self._rows("folder = ? AND name = ?", folder, name)), None)

    def _rows(self, where: str, *values: str) -> list[Entry]:
        """The newest first."""
        query = f"SELECT folder, name, size, mtime_ns, hash FROM files WHERE {where} ORDER BY id DESC LIMIT 100"
        with suppress(sqlite3.Error, WriteFailed), self._opened() as database:
            return [Entry(*row) for row in database.execute(query, values)]
        return []

    def _opened(self) -> closing[sqlite3.Connection]:
        """A connection of its own for each use: they are few and far between."""
        if self._ready:
            return closing(connect(self._path))
        database = open_database(self._path, Path(__file__).parent / "migrations")
        self._ready = True
        return closing(database)

    def _place(self, folder: str, name: str) -> Path:
        if folder not in FOLDERS:
            raise FileMissing(f"there is no folder {folder!r}")
        return inside(self._files.root(folder), name)


def _state(path: Path, name: str) -> tuple[int, int]:
    try:
        stat = os.stat(path)
    except OSError as error:
        raise FileMissing(f"there is no file {name!r} any more") from error
    return stat.st_size, stat.st_mtime_ns


def sha256(path: Path) -> str:
    """Raises ReadFailed."""
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ReadFailed(f"cannot read {path.name}: {error.strerror or error}") from error
