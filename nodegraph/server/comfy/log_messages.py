"""`logs` messages for clients that follow the server's log: what was logged since the last one, never more than a client can take."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from nodegraph.server.comfy.messages import Message, message
from nodegraph.server.logs import Entry, LogBook

SCREEN: Final = {"cols": 120, "rows": 40}
GATHER_SECONDS: Final = 0.2
MOST_WAITING: Final = 200
"""entries kept for the next message; the older ones are in `/internal/logs/raw`"""


class Reader(Protocol):
    async def send(self, messages: Iterable[Message]) -> None: ...


class LogTeller:
    """Tells the followers of a log. reader_of: the open socket of a client, if it has one"""

    def __init__(self, book: LogBook, reader_of: Callable[[str], Reader | None]) -> None:
        self._book = book
        self._reader_of = reader_of
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Entry] = deque(maxlen=MOST_WAITING)
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._due = False

    def listen(self) -> None:
        self._book.listeners.append(self._note)

    def _note(self, entry: Entry) -> None:
        """In whatever thread."""
        if self._book.clients and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._add, entry)

    def _add(self, entry: Entry) -> None:
        self._waiting.append(entry)
        if not self._due:
            self._due = True
            self._loop.call_later(GATHER_SECONDS, self._tell)

    def _tell(self) -> None:
        self._due = False
        told = [message("logs", entries=list(self._waiting), size=SCREEN)]
        self._waiting.clear()
        for client in list(self._book.clients):
            reader = self._reader_of(client)
            if reader is not None and client not in self._sending:
                task = self._loop.create_task(_send(reader, told))
                self._sending[client] = task
                task.add_done_callback(lambda _, client=client: self._sending.pop(client, None))  # type: ignore[misc]


async def _send(reader: Reader, told: list[Message]) -> None:
    """A client that does not read misses this one; whoever talks with it finds out what is wrong."""
    try:
        await reader.send(told)
    except (TimeoutError, ConnectionError):
        return
