"""The one file: a thread that writes, in groups that share one fsync, and threads that read."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from nodegraph.errors import ReadFailed, WriteFailed
from nodegraph.server.queue.store.lock import FolderLock
from nodegraph.server.queue.store.opening import connect, is_damage, open_database, suspect

log = logging.getLogger(__name__)

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]
"""what is done with a connection inside a transaction; it may be done again when the first time failed, so it changes nothing else"""

MOST_IN_GROUP: Final = 1000
READERS: Final = 2
"""a long listing must not keep a job from being started"""

FILE_NAME: Final = "jobs.db"
RESTART: Final = "restart the server: it moves the damaged file aside and starts with an empty one"


@dataclass(slots=True)
class _Write:
    operation: Operation[Any]
    durable: bool
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None


class Store:
    """Operations on the database, called from an event loop.

    store = Store.open(state_folder)
    await store.write(operation)     # returns when it is on disk
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: FolderLock) -> None:
        self.path = path
        self._lock = lock
        self._connection = connection
        self._queue: SimpleQueue[_Write | None] = SimpleQueue()
        self._synchronous = ""
        self._writer = threading.Thread(target=self._write_all, name="store-write", daemon=True)
        self._writer.start()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-read")
        self._idle: list[sqlite3.Connection] = []
        self.closed = False

    @classmethod
    def open(cls, folder: Path) -> Store:
        """The store of a state folder, made if it is not there.

        Raises StateInUse if another server has it, FormatTooNew, WriteFailed. A damaged file is moved aside, which the log says.
        """
        path = folder / FILE_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FolderLock(folder / "lock")
        except OSError as error:
            raise WriteFailed(f"cannot write to {folder}: {error.strerror or error}", hint="choose another folder with --state") from error
        try:
            return cls(path, open_database(path), lock)
        except sqlite3.Error as error:
            lock.release()
            raise write_fault(path, error) from error
        except BaseException:
            lock.release()
            raise

    async def close(self) -> None:
        """Write what was asked for, then let go of the file. Twice does no harm."""
        if self.closed:
            return
        self.closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._let_go)

    def _let_go(self) -> None:
        self._writer.join()
        self._readers.shutdown()
        for connection in (*self._idle, self._connection):
            connection.close()
        self._lock.release()

    # ------------------------------------------------------------------------------ writing

    def write(self, operation: Operation[T], *, durable: bool = True) -> asyncio.Future[T]:
        """Do it in a transaction, in the order of the calls, and tell when that is committed.

        durable: also synced, so that a loss of power cannot undo it; otherwise only the death of this process cannot
        The future raises what the operation raised, or WriteFailed; then nothing of it is in the database.
        """
        if self.closed:
            raise RuntimeError("the store is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue.put(_Write(operation, durable, loop, future))
        return future

    def _write_all(self) -> None:
        while (first := self._queue.get()) is not None:
            group, more = self._gather(first)
            self._commit(group)
            _tell(group)
            if not more:
                return

    def _gather(self, first: _Write) -> tuple[list[_Write], bool]:
        """All that waits, and whether more can come."""
        group = [first]
        while len(group) < MOST_IN_GROUP:
            try:
                item = self._queue.get_nowait()
            except Empty:
                break
            if item is None:
                return group, False
            group.append(item)
        return group, True

    def _commit(self, group: list[_Write]) -> None:
        """One transaction for all; if that fails, one for each, so that what fits on a full disk gets there."""
        try:
            self._transaction(group)
        except Exception as error:  # noqa: BLE001 - raised again by the futures; the thread must go on
            self._roll_back()
            if len(group) > 1:
                for item in group:
                    self._commit([item])
            else:
                group[0].error = write_fault(self.path, error)

    def _transaction(self, group: list[_Write]) -> None:
        self._sync("FULL" if any(item.durable for item in group) else "NORMAL")
        self._connection.execute("BEGIN IMMEDIATE")
        for item in group:
            self._apply(item)
        self._connection.execute("COMMIT")

    def _sync(self, how: str) -> None:
        if how != self._synchronous:
            self._connection.execute(f"PRAGMA synchronous = {how}")
            self._synchronous = how

    def _apply(self, item: _Write) -> None:
        item.result, item.error = None, None
        self._connection.execute("SAVEPOINT one")
        try:
            item.result = item.operation(self._connection)
        except Exception as error:  # raised again by the future of whoever asked
            if not self._connection.in_transaction:
                raise  # SQLite gave up the whole transaction: the disk is full or the file damaged
            self._connection.execute("ROLLBACK TO one")
            item.error = write_fault(self.path, error)
        self._connection.execute("RELEASE one")

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error:
                log.exception("rolling back in %s", self.path)

    # ------------------------------------------------------------------------------ reading

    async def read(self, operation: Operation[T]) -> T:
        """Do it with a connection that sees all that is committed. Raises what it raises, or ReadFailed."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, operation)

    def _read(self, operation: Operation[T]) -> T:
        try:
            connection = self._idle.pop() if self._idle else connect(self.path, read_only=True)
            try:
                connection.execute("BEGIN")
                return operation(connection)
            finally:
                connection.execute("ROLLBACK")
                self._idle.append(connection)
        except sqlite3.Error as error:
            if is_damage(error):
                suspect(self.path)
            raise ReadFailed(f"cannot read {self.path}: {error}", hint=RESTART if is_damage(error) else None) from error


def _tell(group: list[_Write]) -> None:
    """Set the futures, with one call into each loop."""
    for loop in {item.loop for item in group}:
        try:
            loop.call_soon_threadsafe(_settle, [item for item in group if item.loop is loop])
        except RuntimeError:
            log.debug("an event loop ended before it was told that its writes were done")


def _settle(group: list[_Write]) -> None:
    for item in group:
        if item.future.done():
            continue
        if item.error is not None:
            item.future.set_exception(item.error)
        else:
            item.future.set_result(item.result)


def write_fault(path: Path, error: Exception) -> Exception:
    """What SQLite said, with the way out; other errors as they are."""
    if not isinstance(error, sqlite3.Error):
        return error
    if is_damage(error):
        suspect(path)
        return WriteFailed(f"{path} is damaged: {error}", hint=RESTART)
    hint = "free some space on that disk; nothing half-written was left" if _is_full(error) else "choose another folder with --state"
    return WriteFailed(f"cannot write {path}: {error}", hint=hint)


def _is_full(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
