"""The log of one job while it is open: numbers its events, has them stored, and tells them.

Events are told when they are on disk, so that a client that saw number 17 finds 17 in the log after a crash; but not later than
PATIENCE after they came, should the disk be slow.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from nodegraph.server.queue.counters import Counters
from nodegraph.server.queue.hub import Hub
from nodegraph.server.queue.model import JobEvent, LivePreview
from nodegraph.server.queue.store.database import Store
from nodegraph.server.queue.store.events import Batch, append

log = logging.getLogger(__name__)

PATIENCE: Final = 0.04
"""seconds after which events are told although they are not stored yet"""

RETRY: Final = 1.0
"""seconds before a failed write is tried again"""

CHATTY: Final = frozenset(("progress", "log"))
"""kinds that are told live only when a log is full"""

Change = Callable[[sqlite3.Connection], Any]


@dataclass(frozen=True, slots=True)
class LogPlace:
    """Where logs go. clock: seconds since 1970; most: events stored of one job; patience: see PATIENCE; counters: note how late they are"""

    store: Store
    hub: Hub
    clock: Callable[[], float]
    most: int
    patience: float = PATIENCE
    counters: Counters = field(default_factory=Counters)


class RunLog:
    """The `RunListener` of its job; what a worker says before `open` and after `shut` is not heard."""

    __slots__ = (
        "_client",
        "_heard",
        "_job",
        "_pictures",
        "_place",
        "_retry",
        "_saving",
        "_serial",
        "_timer",
        "_unsaved",
        "_untold",
        "full",
        "last",
    )

    def __init__(self, place: LogPlace, job: str, client: str, serial: int, last: int = 0) -> None:
        self.last = last
        self.full = False
        self._place = place
        self._job = job
        self._client = client
        self._serial = serial
        self._heard = False
        self._unsaved: list[Batch] = []
        self._untold: list[Batch] = []
        self._pictures: dict[str, LivePreview] = {}
        self._saving: asyncio.Future[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._retry: asyncio.TimerHandle | None = None

    def open(self) -> None:
        self._heard = True

    def shut(self) -> None:
        self._heard = False

    # ------------------------------------------------------------------------------ what a worker says

    def on_events(self, job: str, events: Sequence[Mapping[str, Any]], text: str = "") -> None:
        if not self._heard:
            return
        if self.last + len(events) > self._place.most:
            events, text = self._without_chatter(events), ""
        if events:
            self._note(events, text)
            if self._retry is None:
                self._save()

    def on_preview(self, preview: LivePreview) -> None:
        """Told behind the events before it; of those that have to wait for them, only the newest of a node."""
        if self._heard:
            self._pictures.pop(preview.node, None)
            self._pictures[preview.node] = preview
            if not self._untold:
                self._show()

    def _note(self, events: Sequence[Mapping[str, Any]], text: str) -> None:
        batch = self._numbered(events, text)
        self.last = batch.last
        self._unsaved.append(batch)
        self._untold.append(batch)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._place.patience, self._tell)

    def _numbered(self, events: Sequence[Mapping[str, Any]], text: str = "") -> Batch:
        return Batch(self.last + 1, self._place.clock(), events, text)

    def _without_chatter(self, events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """What is stored of a log that is full; the rest is told at once, unnumbered."""
        now = self._place.clock()
        self._tell()
        self._place.hub.publish(self._client, [JobEvent(self._job, 0, now, event) for event in events if event.get("event") in CHATTY])
        kept = [event for event in events if event.get("event") not in CHATTY]
        if not self.full:
            self.full = True
            kept.insert(0, {"event": "log_full", "limit": self._place.most})
        return kept

    # ------------------------------------------------------------------------------ storing

    def _save(self) -> None:
        """Have stored what is not, unless a write is under way: what comes meanwhile goes with the next one."""
        self._retry = None
        if self._saving is None and self._unsaved:
            batches = tuple(self._unsaved)
            self._saving = self._place.store.write(lambda connection: append(connection, self._serial, batches), durable=False)
            self._saving.add_done_callback(lambda future: self._saved(len(batches), future))

    def _saved(self, count: int, future: asyncio.Future[Any]) -> None:
        self._saving = None
        error = future.exception()
        if error is not None:
            log.warning("the events of job %s cannot be stored, trying again: %s", self._job, error)
            self._retry = asyncio.get_running_loop().call_later(RETRY, self._save)
            return
        last = self._unsaved[count - 1].last
        del self._unsaved[:count]
        self._tell(last)
        self._save()

    async def save(self, change: Change, events: Sequence[Mapping[str, Any]], *, durable: bool = True) -> Any:
        """Store `events` of the queue's own and a change of the job in one transaction, after all that came before; then tell them.

        Raises WriteFailed; then nothing was changed or told, and it can be called again.
        """
        while self._saving is not None:
            await asyncio.wait([self._saving])
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        batch = self._numbered(events)
        batches = (*self._unsaved, batch)
        self._saving = self._place.store.write(lambda connection: _both(connection, self._serial, batches, change), durable=durable)
        try:
            result = await self._saving
        finally:
            self._saving = None
        self.last = batch.last
        self._unsaved.clear()
        self._pictures.clear()
        self._untold.append(batch)
        self._tell()
        return result

    # ------------------------------------------------------------------------------ telling

    def _tell(self, last: int | None = None) -> None:
        """Tell what is stored, up to number `last`, or everything."""
        count = len(self._untold) if last is None else bisect_right(self._untold, last, key=lambda batch: batch.last)
        ready, self._untold = self._untold[:count], self._untold[count:]
        if self._timer is not None and not self._untold:
            self._timer.cancel()
            self._timer = None
        if ready:
            self._place.counters.lag.note(max(0.0, self._place.clock() - ready[0].time))
        if self._place.hub.has_readers(self._job, self._client):
            self._place.hub.publish(self._client, [event for batch in ready for event in told(self._job, batch)])
        if not self._untold:
            self._show()

    def _show(self) -> None:
        for preview in self._pictures.values():
            self._place.hub.preview(self._client, preview)
        self._pictures.clear()

    def unsaved(self) -> list[JobEvent]:
        """Events that are not stored yet."""
        return [event for batch in self._unsaved for event in told(self._job, batch)]


def told(job: str, batch: Batch) -> list[JobEvent]:
    return [JobEvent(job, seq, batch.time, event) for seq, event in enumerate(batch.events, batch.first)]


def _both(connection: sqlite3.Connection, serial: int, batches: Sequence[Batch], change: Change) -> Any:
    append(connection, serial, batches)
    return change(connection)
