"""What a worker sends: events in batches, pictures, answers, all in the order in which they were given, by a thread of its own.

Whoever emits an event only puts it on a list; writing JSON and waiting for a slow server is the thread's business.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from nodegraph import events as ev
from nodegraph.server.wire import link
from nodegraph.server.wire.board import Board
from nodegraph.server.worker.event_text import events_frame, text_of

FLUSH_SECONDS: Final = 0.02
"""how long events are gathered before they are sent; the first after a pause goes at once"""
MOST_EVENTS: Final = 512
"""events a frame"""
BUSY: Final = 8192
"""events that wait while the server does not read; beyond, progress and messages are left out, what happened to nodes never"""


class Outbox:
    """The worker's end of the link for writing. `send` and `Sink`s may be used from any thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._items: deque[ev.Event | link.Frame] = deque()
        self._pictures: dict[str, ev.Preview] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._urgent = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="nodegraph-outbox", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------------------------- for everybody

    def send(self, data: Mapping[str, Any], binary: bytes = b"") -> None:
        """Send a frame after everything that was given before, without delay."""
        self._items.append(link.Frame(dict(data), binary))
        self._urgent.set()
        self._wake.set()

    def put(self, event: ev.Event) -> None:
        """Send an event with the next batch."""
        kind = type(event)
        if kind is ev.Preview:
            self._put_picture(event)  # type: ignore[arg-type]
        elif len(self._items) < BUSY or kind not in _MAY_BE_LEFT_OUT:
            self._items.append(event)
        if not self._wake.is_set():
            self._wake.set()

    def _put_picture(self, picture: ev.Preview) -> None:
        """Of a node, only the newest picture waits."""
        with self._lock:
            if picture.node not in self._pictures:
                self._items.append(picture)
            self._pictures[picture.node] = picture

    def close(self) -> None:
        """Write what waits, and end the thread."""
        self._closed = True
        self._urgent.set()
        self._wake.set()
        self._thread.join()

    # ------------------------------------------------------------------------------- the thread

    def _work(self) -> None:
        try:
            while not (self._closed and not self._items):
                self._wake.wait()
                self._wake.clear()
                self._write_all()
                if self._urgent.wait(FLUSH_SECONDS):
                    self._urgent.clear()
        except OSError:  # the server closed its end: whoever reads from it sees that too, and ends the process
            self._items.clear()

    def _write_all(self) -> None:
        batch: list[ev.Event] = []
        while self._items:
            item = self._items.popleft()
            if type(item) is link.Frame or type(item) is ev.Preview or len(batch) >= MOST_EVENTS:
                self._write_events(batch)
                batch = []
            if type(item) is link.Frame:
                self._write(link.frame(*item))
            elif type(item) is ev.Preview:
                self._write_picture(item.node)
            else:
                batch.append(item)  # type: ignore[arg-type]
        self._write_events(batch)

    def _write_events(self, batch: Sequence[ev.Event]) -> None:
        if batch:
            self._write(events_frame([text_of(event) for event in batch]))

    def _write_picture(self, node: str) -> None:
        with self._lock:
            picture = self._pictures.pop(node)
        self._write(link.frame({"kind": "preview", "node": node, "width": picture.width, "height": picture.height}, picture.jpeg))

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]


_MAY_BE_LEFT_OUT: Final = frozenset((ev.Progress, ev.Log))


class Sink:
    """Hears the events of one run: passes them on, and knows what the run is doing and has shown."""

    def __init__(self, outbox: Outbox, nodes: Mapping[str, Any], job: str = "", board: Board | None = None) -> None:
        self.doing: dict[str, float] = {}
        """nodes that run now, and since when, in seconds since 1970"""
        self.shown: dict[str, Sequence[Mapping[str, Any]]] = {}
        """what the nodes of the workflow showed"""
        self._outbox: Outbox | None = outbox
        self._nodes = nodes
        self._job = job
        self._board = board

    def __call__(self, event: ev.Event) -> None:
        outbox = self._outbox
        if outbox is None:
            return
        kind = type(event)
        if kind is ev.NodeStarted:
            self._started(event)  # type: ignore[arg-type]
        elif kind is ev.NodeFinished:
            self._finished(event)  # type: ignore[arg-type]
        outbox.put(event)

    def _started(self, event: ev.NodeStarted) -> None:
        self.doing[event.node] = time.time()
        if self._board is not None:
            self._board.note(self._job, f"{event.node} ({event.type})")

    def _finished(self, event: ev.NodeFinished) -> None:
        self.doing.pop(event.node, None)
        if event.shown and event.node in self._nodes:
            self.shown[event.node] = event.shown

    def close(self) -> None:
        """The run is over: what a thread left behind by a node still says is nobody's business."""
        self._outbox = None
        self.doing = {}
