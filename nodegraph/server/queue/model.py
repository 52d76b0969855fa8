"""What the parts of the server tell each other: jobs, their events, and what a worker can do. Plain values, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

Status = Literal["pending", "running", "done", "failed", "cancelled"]
ENDED: frozenset[str] = frozenset(("done", "failed", "cancelled"))


@dataclass(frozen=True, slots=True)
class Submission:
    """A run as it is asked for.

    id: chosen by the client or made here; the same id with the same content is the same job, with another content a conflict
    document: our workflow JSON, already checked; targets: node ids to run, None for every output
    number: smaller runs first; front: before everything that waits
    client: who hears of it (a websocket's client id, or a token's name); empty for nobody
    trace: have its log tell where the time goes (`events.Span`)
    origin: what a foreign protocol must give back word for word (ComfyUI's `prompt`, `extra_data` without secrets, `outputs_to_execute`)
    secrets: kept in memory only, until the job ends
    document_text, origin_text: the same as JSON (`store.packing.encode`), where that is written already; else empty
    """

    id: str
    document: Mapping[str, Any]
    targets: tuple[str, ...] | None = None
    number: float | None = None
    front: bool = False
    client: str = ""
    title: str = ""
    previews: bool = True
    trace: bool = False
    origin: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    document_text: str = field(default="", repr=False, compare=False)
    origin_text: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it is stored. Times are seconds since 1970.

    attempt: 1, or 2 after its worker was lost; outputs: node id -> what the node shows (`NodeFinished.shown`)
    error: `NodegraphError.to_json()` of a failed one; retry_of: the ended job that this one repeats
    """

    id: str
    number: float
    status: Status
    created: float
    client: str = ""
    title: str = ""
    attempt: int = 0
    started: float | None = None
    ended: float | None = None
    targets: tuple[str, ...] | None = None
    outputs: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)
    retry_of: str | None = None


class JobEvent(NamedTuple):
    """One line of a run's log: `data` is `nodegraph.events.Event.to_json()` or one of the queue's own (`job_lost`, `job_retried`, ...).

    seq: 1, 2, 3, ... within the job; 0 for what is told live only because the job's log is full; time: seconds since 1970
    """

    job: str
    seq: int
    time: float
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LivePreview:
    """A picture of work in progress; never stored."""

    job: str
    node: str
    width: int
    height: int
    jpeg: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a worker says that a run ended. lost: the worker died or hung (`reason`: signal, out of memory, last node)."""

    status: Literal["done", "failed", "cancelled", "lost"]
    outputs: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    reason: str = ""
    seconds: float = 0.0


class RunListener(Protocol):
    """Who hears of a run while it goes; called in the event loop, in order."""

    def on_events(self, job: str, events: Sequence[Mapping[str, Any]], text: str = "") -> None:
        """text: the events as JSON where that is at hand, compact and in ASCII; it need not be written anew to be stored"""
        ...

    def on_preview(self, preview: LivePreview) -> None: ...


class Worker(Protocol):
    """A process that executes runs, one at a time; restarts itself after a loss."""

    def prepare(self, document: str, targets: Sequence[str] | None) -> None:
        """A run of this document, as JSON, may come soon: what can be done for it beforehand may be done. Nothing has to."""
        ...

    async def run(self, job: str, submission: Submission, listener: RunListener) -> Outcome:
        """Run to the end. Never raises for faults of the run or of the process; they are in the outcome."""
        ...

    async def cancel(self, job: str) -> None:
        """Ask the run to stop; after a grace period the process is killed and the outcome is `cancelled`."""
        ...

    async def free(self, *, models: bool, results: bool) -> None:
        """Let go of weights and cached results, after the present run."""
        ...
