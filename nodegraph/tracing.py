"""The spans of one run as events: `queue`, `key`, `cache` and `run` are told here, what happens within a node by `spans.span` there."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Awaitable, Iterator
from typing import TypeVar

from nodegraph.events import Sink, Span
from nodegraph.spans import Tell, span, timed, traced

T = TypeVar("T")


class Tracing:
    """Made only for runs that are traced. `emit` takes `events.Span`s."""

    def __init__(self, emit: Sink) -> None:
        self._emit = emit
        self._ready: dict[str, float] = {}

    def sink(self, node: str) -> Tell:
        """Tells the spans of a node."""

        def tell(name: str, start: float, seconds: float) -> None:
            self._emit(Span(name, node, start, seconds, threading.current_thread().name))

        return tell

    def whole(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Time something that concerns the whole run."""
        return timed(name, self.sink(""))

    def ready(self, node: str) -> None:
        """From here on the node waits for a thread."""
        self._ready[node] = time.time()

    @contextlib.contextmanager
    def node(self, id: str) -> Iterator[None]:
        """Time the call of a node, and tell the spans within it."""
        tell = self.sink(id)
        since = self._ready.pop(id, None)
        if since is not None:
            tell("queue", since, max(0.0, time.time() - since))
        with traced(tell), span("run"):
            yield

    async def awaited(self, id: str, work: Awaitable[T]) -> T:
        """As `node`, for a node that is an `async def`."""
        with self.node(id):
            return await work
