"""Event logs: a batch a row, numbered within the job without gaps."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from nodegraph.errors import BadValue
from nodegraph.server.queue.model import JobEvent
from nodegraph.server.queue.store.jobs import serial_of
from nodegraph.server.queue.store.packing import encode, pack, unpack

MOST_READ: Final = 20_000
"""events given at once; a longer log is read in parts"""


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that came together. first: the number of the first one; text: they as JSON, if that is at hand"""

    first: int
    time: float
    events: Sequence[Mapping[str, Any]]
    text: str = ""

    @property
    def last(self) -> int:
        return self.first + len(self.events) - 1


def append(connection: sqlite3.Connection, serial: int, batches: Iterable[Batch]) -> None:
    """Raises sqlite3.IntegrityError for a number that is taken."""
    connection.executemany(
        "INSERT INTO events VALUES (?, ?, ?, ?, ?)",
        [(serial, batch.first, batch.last, batch.time, pack(batch.text or _text(batch.events))) for batch in batches],
    )


def read(connection: sqlite3.Connection, id: str, after: int = 0, most: int = MOST_READ) -> list[JobEvent]:
    """The events of a job with numbers above `after`, in order, about `most` of them. Raises UnknownJob."""
    rows = connection.execute(
        "SELECT first, time, data FROM events WHERE serial = ? AND last > ? ORDER BY first", (serial_of(connection, id), after)
    )
    found: list[JobEvent] = []
    for first, time, data in rows:
        events = json.loads(unpack(data))
        found += [JobEvent(id, first + i, time, event) for i, event in enumerate(events) if first + i > after]
        if len(found) >= most:
            break
    return found


def _text(events: Sequence[Mapping[str, Any]]) -> str:
    try:
        return encode(events)
    except BadValue:
        return encode(_finite(events))


def _finite(value: Any) -> Any:
    """The same with null for what is not a number in JSON: a node may report a progress of nan, and its run must not fail for it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list | tuple) else value
