"""How much of the past is kept: the oldest ended jobs go first. Files that a run saved are never touched."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

AT_ONCE: Final = 200
"""jobs erased in one transaction, so that submissions need not wait long"""

PAGES_BACK: Final = 1000
"""pages given back to the file system in one transaction"""


@dataclass(frozen=True, slots=True)
class Limits:
    """jobs: ended ones kept; bytes: of their documents, events and outputs in the database
    waiting: jobs in the queue, beyond which a submission is refused; events: of one job, beyond which progress is told live only
    """

    jobs: int = 10_000
    bytes: int = 256 * 2**20
    waiting: int = 10_000
    events: int = 200_000


@dataclass(frozen=True, slots=True)
class Usage:
    jobs: int
    bytes: int


def usage(connection: sqlite3.Connection) -> Usage:
    """What the ended jobs take."""
    count, size = connection.execute("SELECT count(*), ifnull(sum(bytes), 0) FROM jobs WHERE ended IS NOT NULL").fetchone()
    return Usage(int(count), int(size))


def trim(connection: sqlite3.Connection, limits: Limits) -> bool:
    """Erase the oldest ended jobs until the limits are kept, at most AT_ONCE. Returns whether there is more to erase."""
    now = usage(connection)
    many, size = now.jobs - limits.jobs, now.bytes - limits.bytes
    doomed = []
    for serial, taken in connection.execute(
        "SELECT serial, bytes FROM jobs WHERE ended IS NOT NULL ORDER BY ended, serial LIMIT ?", (AT_ONCE,)
    ):
        if many <= 0 and size <= 0:
            break
        doomed.append(serial)
        many, size = many - 1, size - taken
    _erase(connection, doomed)
    return many > 0 or size > 0


def clear(connection: sqlite3.Connection, before: float) -> bool:
    """Erase jobs that ended before a time, at most AT_ONCE. Returns whether there may be more."""
    query = "SELECT serial FROM jobs WHERE ended IS NOT NULL AND ended <= ? ORDER BY ended, serial LIMIT ?"
    serials = [serial for (serial,) in connection.execute(query, (before, AT_ONCE))]
    _erase(connection, serials)
    return len(serials) == AT_ONCE


def _erase(connection: sqlite3.Connection, serials: list[int]) -> None:
    if serials:
        connection.executemany("DELETE FROM jobs WHERE serial = ?", [(serial,) for serial in serials])
        _give_back(connection)


def _give_back(connection: sqlite3.Connection) -> None:
    """Shorten the file by its free pages; each execution of the pragma takes one step, which is one page."""
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    for _ in range(min(int(free), PAGES_BACK)):
        connection.execute("PRAGMA incremental_vacuum(1)")
