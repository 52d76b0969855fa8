"""Run small graphs of toy nodes and see what happened: `Harness.run(nodes, targets)` gives an `Outcome`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodegraph.cache import Cache, Entry
from nodegraph.calling import Caller
from nodegraph.content import hash_file
from nodegraph.document import Document, Link, NodeEntry
from nodegraph.errors import NodegraphError, Problems
from nodegraph.events import Event, listener
from nodegraph.files import Files, is_unchanged
from nodegraph.graph import Graph, build
from nodegraph.keys import Key, KeyMaker
from nodegraph.registry import Registry
from nodegraph.scheduler import Run, RunResult

Nodes = Mapping[str, tuple[str, Mapping[str, Any]]]


def link(text: str) -> Link:
    """`"add.int"` as a link to output `int` of node `add`."""
    node, _, output = text.rpartition(".")
    return Link(node, output)


def document(nodes: Nodes | Document) -> Document:
    """A document from `{id: (type, inputs)}`; a Document is passed through."""
    if isinstance(nodes, Document):
        return nodes
    return Document({id: NodeEntry(type, dict(inputs)) for id, (type, inputs) in nodes.items()})


@dataclass(frozen=True)
class Outcome:
    """What a run did: ids that ran, ids taken from the cache, events in order, outputs of the targets."""

    result: RunResult
    events: list[Event]
    run: Run

    @property
    def ran(self) -> list[str]:
        return self.result.executed

    @property
    def cached(self) -> list[str]:
        return self.result.cached

    @property
    def error(self) -> NodegraphError | None:
        return self.result.error

    @property
    def status(self) -> str:
        return self.result.status

    @property
    def outputs(self) -> dict[str, Mapping[str, Any]]:
        return self.result.outputs

    def value(self, id: str) -> Any:
        """The only output of a target."""
        (value,) = self.result.outputs[id].values()
        return value

    def text(self, id: str) -> str:
        """The text that a `Show` node showed."""
        (item,) = self.result.shown[id]
        return str(item["text"])

    def told(self, kind: str) -> list[Any]:
        return [event for event in self.events if event.kind == kind]


class Harness:
    """A registry, folders and a key maker for tests; each `run` has a new cache unless one is given."""

    def __init__(self, registry: Registry, files: Files) -> None:
        self.registry = registry
        self.files = files
        self.policy = "cpu/float32"

    def key_maker(self) -> KeyMaker:
        return KeyMaker(self.registry, self.files, self.policy, hash_file, lambda: os.urandom(16))

    def check(self, nodes: Nodes | Document, targets: Iterable[str] | None = None) -> Graph:
        return build(document(nodes), self.registry, self.files, targets)

    def problems(self, nodes: Nodes | Document, targets: Iterable[str] | None = None) -> list[NodegraphError]:
        """Every fault of a document; it is a failure of the test if there is none."""
        try:
            graph = self.check(nodes, targets)
        except Problems as found:
            return list(found.errors)
        raise AssertionError(f"no problem was found in {graph}")

    def problem(self, nodes: Nodes | Document, targets: Iterable[str] | None = None) -> NodegraphError:
        """The one fault of a document."""
        (found,) = self.problems(nodes, targets)
        return found

    def keys(self, nodes: Nodes | Document) -> dict[str, Key]:
        chosen = document(nodes)
        return self.key_maker().keys(self.check(chosen, list(chosen.nodes)))

    def valid(self, entry: Entry) -> bool:
        return all(is_unchanged(item["file"], self.files) for item in entry.shown if "file" in item)

    def prepare(
        self,
        nodes: Nodes | Document | Graph,
        targets: Iterable[str] | None = None,
        cache: Cache | None = None,
        *,
        emit: Callable[[Event], None] | None = None,
        cancelled: threading.Event | None = None,
        helpers: int | None = None,
        kind: type[Run] = Run,
    ) -> tuple[Run, list[Event]]:
        """A run that has not begun, and the list its events go to."""
        graph = nodes if isinstance(nodes, Graph) else self.check(nodes, targets)
        events: list[Event] = []
        stop = cancelled if cancelled is not None else threading.Event()

        def tell(event: Event) -> None:
            events.append(event)
            if emit is not None:
                emit(event)

        sink = listener(tell, stop)
        caller = Caller(self.registry, self.files, sink, stop)
        kept = cache if cache is not None else Cache()
        run = kind(graph, self.key_maker(), kept, caller, emit=sink, valid=self.valid, cancelled=stop, helpers=helpers)
        return run, events

    def run(
        self,
        nodes: Nodes | Document | Graph,
        targets: Iterable[str] | None = None,
        cache: Cache | None = None,
        *,
        emit: Callable[[Event], None] | None = None,
        cancelled: threading.Event | None = None,
        helpers: int | None = None,
        kind: type[Run] = Run,
    ) -> Outcome:
        run, events = self.prepare(nodes, targets, cache, emit=emit, cancelled=cancelled, helpers=helpers, kind=kind)
        return Outcome(run.execute(), events, run)


def folders(base: Path) -> Files:
    """Input, output, temp and models below one folder; input and models exist."""
    for name in ("input", "models"):
        (base / name).mkdir(parents=True, exist_ok=True)
    return Files(base / "input", base / "output", base / "temp", (base / "models",))
