"""Who hears what: bounded fan-out of events and previews. Publishing never waits for a reader, and no client hears of another's runs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from nodegraph.server.queue.model import JobEvent, LivePreview

SLICE: Final = 250
"""events told in one turn of the loop: readers that keep up empty their buffers between two turns"""

MOST_PREVIEWS: Final = 16
"""pictures kept for one slow reader: the newest of this many nodes"""


QUEUE: Final = "queue"
"""the topic of the queue's length"""


@dataclass(frozen=True, slots=True)
class QueueChanged:
    """remaining: jobs that wait or run."""

    remaining: int


Item = JobEvent | LivePreview | QueueChanged


class Subscription:
    """What one reader has yet to hear: an async iterator for one consumer, which ends when it is closed.

    Events come in order and completely, until more than `limit` of them wait: then it is closed with `overflowed` True and the
    reader has to take up again from the log. Of previews only the newest of a node waits, of notices about the queue the newest.
    """

    __slots__ = (
        "__weakref__",
        "_events",
        "_hub",
        "_last",
        "_live",
        "_taken",
        "_told",
        "_waiter",
        "closed",
        "limit",
        "overflowed",
        "topics",
    )

    def __init__(self, hub: Hub, topics: Sequence[str], limit: int) -> None:
        self.topics = tuple(topics)
        self.limit = limit
        self.overflowed = False
        self.closed = False
        self._last = False
        self._hub = hub
        self._events: deque[JobEvent] = deque()
        self._live: dict[str, tuple[int, LivePreview | QueueChanged]] = {}
        self._told = 0
        self._taken = 0
        self._waiter: asyncio.Future[None] | None = None

    # ------------------------------------------------------------------------------ for the hub

    def tell(self, events: Sequence[JobEvent]) -> None:
        if self.closed:
            return
        if len(self._events) + len(events) > max(self.limit, len(events)):
            self.overflowed = True
            self.close()
            return
        self._events.extend(events)
        self._told += len(events)
        self._wake()

    def show(self, key: str, item: LivePreview | QueueChanged) -> None:
        """Put `item` in the place of the former one of that key, behind all events told so far."""
        if self.closed:
            return
        self._live.pop(key, None)
        if len(self._live) > MOST_PREVIEWS:
            del self._live[next(kept for kept in self._live if kept != QUEUE)]
        self._live[key] = (self._told, item)
        self._wake()

    def end(self) -> None:
        """Nothing more comes: what waits can still be read."""
        self._last = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # ------------------------------------------------------------------------------ for the reader

    def close(self) -> None:
        """Hear no more; what waits is let go. Twice does no harm."""
        if not self.closed:
            self.closed = True
            self._hub.drop(self)
            self._events.clear()
            self._live.clear()
            self._wake()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Item:
        while not self.closed:
            if (item := self.take()) is not None:
                return item
            if self._last:
                self.close()
                break
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        raise StopAsyncIteration

    def take(self) -> Item | None:
        """The next item if there is one."""
        if self._live:
            key, (after, item) = next(iter(self._live.items()))
            if after <= self._taken:
                del self._live[key]
                return item
        if self._events:
            self._taken += 1
            return self._events.popleft()
        return None

    def __len__(self) -> int:
        return len(self._events) + len(self._live)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class _Batch:
    topics: tuple[str, ...]
    events: Sequence[JobEvent]


@dataclass(frozen=True, slots=True)
class _Live:
    topics: tuple[str, ...]
    key: str
    item: LivePreview | QueueChanged


def topics_of(job: str, client: str) -> tuple[str, ...]:
    """Where a job's events go: to those who follow the job, and to its client, if it has one."""
    return (f"job:{job}", f"client:{client}") if client else (f"job:{job}",)


class Hub:
    """One per server; lives in the event loop."""

    def __init__(self) -> None:
        self._readers: dict[str, set[Subscription]] = {}
        self._backlog: deque[_Batch | _Live] = deque()
        self._room = SLICE
        self._turn_asked = False
        self._closed = False

    def close(self) -> None:
        """Tell what is still to be told, then end all readers, and those that come later at once."""
        while self._backlog:
            self._deliver(self._backlog.popleft())
        self._closed = True
        for reader in set().union(*self._readers.values()):
            reader.end()

    def subscribe(self, *, client: str | None = None, job: str | None = None, queue: bool = False, limit: int = 1000) -> Subscription:
        """Hear of a client's jobs, of one job, of the queue's length, or of several of these. An empty client is nobody.

        The caller answers for it that the reader may follow `job`.
        """
        topics = [f"client:{client}"] if client else []
        topics += [f"job:{job}"] if job is not None else []
        topics += [QUEUE] if queue else []
        reader = Subscription(self, topics, limit)
        for topic in topics:
            self._readers.setdefault(topic, set()).add(reader)
        if self._closed:
            reader.close()
        return reader

    def drop(self, reader: Subscription) -> None:
        for topic in reader.topics:
            others = self._readers.get(topic)
            if others is not None:
                others.discard(reader)
                if not others:
                    del self._readers[topic]

    def __len__(self) -> int:
        """How many readers there are."""
        return len(set().union(*self._readers.values()))

    # ------------------------------------------------------------------------------ telling

    def has_readers(self, job: str, client: str) -> bool:
        """Whether anybody would hear what is published of this job."""
        return self._heard(topics_of(job, client))

    def publish(self, client: str, events: Sequence[JobEvent]) -> None:
        """Tell the events of one job, in order, to those who follow it and to its client."""
        if not events:
            return
        topics = topics_of(events[0].job, client)
        if self._heard(topics):
            self._put(_Batch(topics, part) for part in _slices(events))

    def preview(self, client: str, preview: LivePreview) -> None:
        topics = topics_of(preview.job, client)
        if self._heard(topics):
            self._put([_Live(topics, f"{preview.job}/{preview.node}", preview)])

    def queue_changed(self, remaining: int) -> None:
        if QUEUE in self._readers:
            self._put([_Live((QUEUE,), QUEUE, QueueChanged(remaining))])

    def _heard(self, topics: Iterable[str]) -> bool:
        return any(topic in self._readers for topic in topics)

    def _put(self, items: Iterable[_Batch | _Live]) -> None:
        """Tell at once what may still be told in this turn of the loop; the rest goes out in later turns, in order."""
        self._backlog.extend(items)
        self._drain()

    def _drain(self) -> None:
        while self._backlog and self._room > 0:
            self._room -= self._deliver(self._backlog.popleft())
        if not self._turn_asked:
            self._turn_asked = True
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._turn_asked = False
        self._room = SLICE
        if self._backlog:
            self._drain()

    def _deliver(self, item: _Batch | _Live) -> int:
        readers = set().union(*(self._readers.get(topic, ()) for topic in item.topics))
        if isinstance(item, _Batch):
            for reader in readers:
                reader.tell(item.events)
            return len(item.events)
        for reader in readers:
            reader.show(item.key, item.item)
        return 1


def _slices(events: Sequence[JobEvent]) -> Iterator[Sequence[JobEvent]]:
    return (events[start : start + SLICE] for start in range(0, len(events), SLICE))
