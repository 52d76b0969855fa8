"""What a run tells while it goes: small frozen values, each with its JSON. The engine emits them, it never knows who listens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from operator import attrgetter
from typing import Any, ClassVar, Literal

from nodegraph.errors import NodegraphError


@dataclass(frozen=True, slots=True)
class Event:
    kind: ClassVar[str] = "event"

    def to_json(self) -> dict[str, Any]:
        """Plain data; binary parts (previews) are left out and travel beside it."""
        names, values = _parts(type(self))  # type: ignore[arg-type]
        return {"event": self.kind, **dict(zip(names, values(self), strict=True))}


@cache
def _parts(kind: type[Event]) -> tuple[tuple[str, ...], Callable[[Event], tuple[Any, ...]]]:
    """The names of an event's fields that are plain data, and what takes them all at once."""
    names = tuple(field.name for field in fields(kind) if field.type != "bytes")
    return names, attrgetter(*names)


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    kind = "run_started"
    total: int
    """nodes that have to run, as far as is known at the start"""
    cached: Sequence[str]
    """nodes whose results are at hand, whether the run will use them or only what was made from them"""


@dataclass(frozen=True, slots=True)
class NodeStarted(Event):
    kind = "node_started"
    node: str
    type: str


@dataclass(frozen=True, slots=True)
class Progress(Event):
    kind = "progress"
    node: str
    value: float
    total: float | None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Preview(Event):
    """A small picture of work in progress, JPEG."""

    kind = "preview"
    node: str
    width: int
    height: int
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class Log(Event):
    kind = "log"
    node: str
    level: Literal["info", "warning"]
    text: str


@dataclass(frozen=True, slots=True)
class NodeFinished(Event):
    """`cached`: nothing was run. `shown`: what the node shows to people: saved files, text. `nbytes`: memory that its results take."""

    kind = "node_finished"
    node: str
    type: str
    seconds: float
    cached: bool = False
    shown: Sequence[Mapping[str, Any]] = ()
    nbytes: int = 0


@dataclass(frozen=True, slots=True)
class NodeBlocked(Event):
    kind = "node_blocked"
    node: str
    reason: str


@dataclass(frozen=True, slots=True)
class NodeFailed(Event):
    kind = "node_failed"
    node: str
    error: NodegraphError

    def to_json(self) -> dict[str, Any]:
        return {"event": self.kind, "node": self.node, "error": self.error.to_json()}


@dataclass(frozen=True, slots=True)
class Span(Event):
    """Where time went, told only if the run is traced: `queue`, `key`, `cache`, `load`, `move`, `run`, `encode`, `save`.

    node: empty for what concerns the whole run; start: seconds since 1970; thread: spans of one thread lie within each other or apart
    """

    kind = "span"
    name: str
    node: str
    start: float
    seconds: float
    thread: str


@dataclass(frozen=True, slots=True)
class RunFinished(Event):
    kind = "run_finished"
    status: Literal["done", "failed", "cancelled"]
    seconds: float
    executed: int
    cached: int


Sink = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The sink of someone who does not listen."""


class Listener:
    """A sink that is called by one thread at a time. If it raises, it is not called again, the run is cancelled, and `error` is kept."""

    def __init__(self, sink: Sink, cancelled: threading.Event) -> None:
        self.error: BaseException | None = None
        self._sink = sink
        self._cancelled = cancelled
        self._lock = threading.RLock()

    def __call__(self, event: Event) -> None:
        with self._lock:
            if self.error is not None:
                return
            try:
                self._sink(event)
            except BaseException as error:  # noqa: BLE001 - told to whoever started the run; a node must not be blamed for it
                self.error = error
                self._cancelled.set()


def listener(sink: Sink, cancelled: threading.Event) -> Sink:
    """`sink` made safe to call from many threads; who does not listen stays `ignore`."""
    return sink if sink is ignore or isinstance(sink, Listener) else Listener(sink, cancelled)
