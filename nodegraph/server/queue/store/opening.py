"""Opening the database: its settings, its numbered migrations, and what happens to a file that is damaged or too new."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from nodegraph.errors import FormatTooNew
from nodegraph.files import write_failed

log = logging.getLogger(__name__)

BUSY_SECONDS: Final = 5.0
"""how long a connection waits for a lock; only a tool beside the server can hold one"""

WAL_BYTES: Final = 16 * 2**20
"""the write-ahead log is cut back to this after a burst"""

SIDE_FILES: Final = ("", "-wal", "-shm")


def open_database(path: Path, folder: Path | None = None) -> sqlite3.Connection:
    """A connection for writing, with every migration applied.

    A file that SQLite cannot read is moved aside, said in the log, and a new one is made. folder: of the migrations
    Raises FormatTooNew for a database of a newer version, WriteFailed when the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_failed(path, error) from error
    try:
        return _prepared(path, folder)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        aside = move_aside(path)
        _mark(path).unlink(missing_ok=True)
        log.error("the job database %s is damaged (%s); it was moved to %s, and an empty one was made", path, error, aside)
        return _prepared(path, folder)


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection with transactions made by hand; it may be used by another thread than the one that opened it."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA foreign_keys = ON")
    if read_only:
        connection.execute("PRAGMA query_only = ON")
    return connection


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken, rather than the disk full or the statement wrong."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def suspect(path: Path) -> None:
    """Have the file checked as a whole when it is opened next, which takes long: damage was met in it."""
    try:
        _mark(path).touch()
    except OSError as error:
        log.error("%s is damaged, and that cannot be noted: %s", path, error)


def _mark(path: Path) -> Path:
    return path.with_name(f"{path.name}.suspect")


def move_aside(path: Path) -> Path:
    """Rename the database and its side files; nothing is deleted. Returns the new name of the database."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    names = (path.with_name(f"{path.name}.damaged-{stamp}{extra}") for extra in ("", *(f"-{n}" for n in range(1, 1000))))
    aside = next(name for name in names if not name.exists())
    for suffix in SIDE_FILES:
        side = Path(f"{path}{suffix}")
        if side.exists():
            side.replace(f"{aside}{suffix}")
    return aside


def _prepared(path: Path, folder: Path | None) -> sqlite3.Connection:
    connection = connect(path)
    try:
        if version(connection) == 0:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # has to come before the first table
        refuse_newer(connection, path, len(migrations(folder)))
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        migrate(connection, folder)
        if _mark(path).exists():
            _check(connection)
            _mark(path).unlink()
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection) -> None:
    """Raises a DatabaseError that `is_damage` if anything in the file is broken."""
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        error = sqlite3.DatabaseError(found)
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


# ------------------------------------------------------------------------------------------------ migrations


def migrations(folder: Path | None = None) -> list[tuple[int, Path]]:
    """`0001_name.sql`, `0002_...`: numbered from 1 without gaps."""
    found = sorted((folder or Path(__file__).parent / "migrations").glob("[0-9]*_*.sql"))
    return [(int(path.name.split("_")[0]), path) for path in found]


def version(connection: sqlite3.Connection) -> int:
    """The number of the last migration that was applied."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def refuse_newer(connection: sqlite3.Connection, path: Path, known: int) -> None:
    """Raises FormatTooNew."""
    if version(connection) > known:
        raise FormatTooNew(
            f"{path} was written by a newer version: it has schema {version(connection)}, this version knows {known}",
            hint="use the newer version, or another folder with --state",
        )


def migrate(connection: sqlite3.Connection, folder: Path | None = None) -> None:
    """Apply what is missing, each in a transaction of its own together with its number."""
    for number, script in migrations(folder)[version(connection) :]:
        _apply(connection, number, script.read_text(encoding="utf-8"))


def _apply(connection: sqlite3.Connection, number: int, script: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements(script):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def statements(script: str) -> Iterator[str]:
    """A script cut into its statements."""
    part = ""
    for line in script.splitlines(keepends=True):
        part += line
        if sqlite3.complete_statement(part):
            yield part
            part = ""
