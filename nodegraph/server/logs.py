"""The server's log: one record a line whatever it quotes, kept in a bounded book that the editor can read and follow."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from nodegraph.server.safety.redaction import Redactor

MOST_ENTRIES: Final = 1000
LONGEST_ENTRY: Final = 4000
MOST_TRACE: Final = 20_000
MOST_FOLLOWERS: Final = 64
FORM: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"

Entry = dict[str, Any]
"""{"t": ISO time, "m": line with its end}, as ComfyUI has it"""


class SafeFormatter(logging.Formatter):
    """Escapes what records quote: a line feed cannot forge a record, an escape sequence cannot reach the terminal.

    The lines of a traceback stand below their record, each behind a bar.
    """

    def __init__(self, redactor: Redactor | None = None) -> None:
        super().__init__(FORM, "%H:%M:%S")
        self._line: Callable[[str], str] = (redactor or Redactor({})).line

    def format(self, record: logging.LogRecord) -> str:
        record.message = self._line(record.getMessage()[:LONGEST_ENTRY])
        record.asctime = self.formatTime(record, self.datefmt)
        head = self.formatMessage(record)
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        return "\n".join([head, *(f"    | {self._line(line)}" for line in trace[-MOST_TRACE:].splitlines())])


class LogBook(logging.Handler):
    """The newest records, for `/internal/logs`. Followers are told of each new one, in whatever thread it is logged."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(SafeFormatter(redactor))
        self.entries: deque[Entry] = deque(maxlen=MOST_ENTRIES)
        self.clients: dict[str, None] = {}
        self.listeners: list[Callable[[Entry], None]] = []

    def emit(self, record: logging.LogRecord) -> None:
        entry = {"t": time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(record.created)), "m": self.format(record) + "\n"}
        self.entries.append(entry)
        for listener in list(self.listeners):
            listener(entry)

    def follow(self, client: str, enabled: bool) -> None:
        """Whether a websocket client is sent `logs` messages. The oldest follower goes when there are too many."""
        self.clients.pop(client, None)
        if enabled:
            self.clients[client] = None
            if len(self.clients) > MOST_FOLLOWERS:
                del self.clients[next(iter(self.clients))]


def set_up(book: LogBook, stream: Any = None) -> None:
    """Send everything that is logged to stderr and into the book. Once a process, by `serve`."""
    console = logging.StreamHandler(stream)
    console.setFormatter(SafeFormatter())
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.handlers[:] = [console, book]
    logging.getLogger("asyncio").setLevel(logging.WARNING)
