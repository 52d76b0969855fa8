"""How much a folder may hold. Uploads beyond that are refused; passing files make room, the oldest first. Outputs are never touched."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from nodegraph.server.http_errors import StorageFull

AGAIN: Final = 600.0
"""seconds after which a folder is counted anew: others write there too"""
SMALLEST: Final = 16 * 1024
"""bytes that a file counts as at least: very many tiny files fill a disk too"""
KEEP_FREE: Final = 128 << 20
"""bytes that stay free on the disk whatever the limit says"""


def cost(size: int) -> int:
    return max(size, SMALLEST)


class Aged(NamedTuple):
    """A file; its size as it counts."""

    mtime: float
    size: int
    path: str


def files_below(folder: Path) -> Iterator[Aged]:
    """Every regular file below a folder, links not followed."""
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            with suppress(OSError):
                info = os.lstat(path)
                yield Aged(info.st_mtime, cost(info.st_size), path)


def trim(folder: Path, limit: int) -> int:
    """Remove the oldest files below a folder until the rest fits into `limit` bytes, and folders that became empty. Returns how many."""
    found = sorted(files_below(folder))
    excess = sum(file.size for file in found) - limit
    removed = 0
    for file in found:
        if excess <= 0:
            break
        with suppress(OSError):
            os.unlink(file.path)
            excess -= file.size
            removed += 1
            with suppress(OSError):
                if Path(file.path).parent != folder:
                    os.rmdir(os.path.dirname(file.path))
    return removed


class Quota:
    """Bytes that requests may still put into a folder.

    folder: counted when first needed and again now and then; None to count only what is put there while the server runs
    """

    def __init__(self, folder: Path | None, limit: int, what: str) -> None:
        self._folder = folder
        self._limit = limit
        self._what = what
        self._used = 0
        self._counted: float | None = None
        self._coming = 0

    def count(self) -> None:
        """Takes time in a large folder: call it in a thread before `coming`."""
        now = time.monotonic()
        if self._folder is not None and (self._counted is None or now - self._counted > AGAIN):
            self._used = sum(file.size for file in files_below(self._folder))
            self._counted = now

    @contextmanager
    def coming(self) -> Iterator[Reservation]:
        """Room for something that is being received; given back at the end, except what was kept."""
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            self._coming -= reservation.size

    def reserve(self, size: int) -> None:
        if self._used + self._coming + size > self._limit:
            raise StorageFull(
                f"{self._what} may hold {self._limit} bytes, and this would be more",
                hint="delete what is not needed, or start the server with a higher --limit",
            )
        self._coming += size

    def changed(self, by: int) -> None:
        """More (or less) is kept now than was counted."""
        self._used = max(0, self._used + by)


class Reservation:
    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self.size = 0

    def add(self, size: int) -> None:
        """Raises StorageFull."""
        self._quota.reserve(size)
        self.size += size


def require_free_disk(folder: Path, size: int) -> None:
    """Raises StorageFull if a file of this size would fill the disk to the brim."""
    while not folder.exists():
        folder = folder.parent
    if shutil.disk_usage(folder).free - size < KEEP_FREE:
        raise StorageFull("the disk is almost full", hint="free some space; nothing half-written was left")
