"""The engine as one object for scripts, the command line and later the worker: documents in, events and results out.

import nodegraph
result = nodegraph.run("workflow.json", {"3.seed": 1})
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nodegraph import events as ev
from nodegraph.cache import Cache, DiskCache, Entry, MemoryCache
from nodegraph.calling import Caller
from nodegraph.content import ContentHashes
from nodegraph.context import Services
from nodegraph.device import Policy, numeric_policy
from nodegraph.document import Document
from nodegraph.errors import Cancelled, WriteFailed
from nodegraph.files import is_unchanged, write_atomic
from nodegraph.graph import Graph, GraphNode, build
from nodegraph.keys import KeyMaker, what_changed
from nodegraph.overrides import apply_overrides
from nodegraph.plan import Plan, needed, plan
from nodegraph.registry import Registry, builtin_registry
from nodegraph.scheduler import Run, RunResult
from nodegraph.settings import Settings, default_settings

Workflow = str | Path | Document | Mapping[str, Any]


class Engine:
    """Registry, cache, weights and folders of a session. Use it in a `with` block, or `close` it."""

    def __init__(self, settings: Settings | None = None, registry: Registry | None = None) -> None:
        self.settings = settings if settings is not None else default_settings()
        self.registry = registry if registry is not None else builtin_registry(self.settings.packs)
        self.files = self.settings.files()
        disk = DiskCache(self.settings.cache, self.settings.disk_bytes) if self.settings.cache is not None else None
        self.cache = Cache(MemoryCache(self.settings.memory_bytes), disk)
        self._hashes = ContentHashes(self.settings.cache / "files.json" if self.settings.cache is not None else None)
        self._services: Services | None = None
        self._lock = threading.Lock()
        self._policy: Policy | None = None

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish writing to the disk cache."""
        self.cache.flush()
        self._hashes.save()

    def free(self, *, models: bool = False, results: bool = False) -> None:
        """Let go of weights that are not in use, and of results that are kept in memory."""
        if results:
            self.cache.memory.clear()
        with self._lock:
            services = self._services
        if models and services is not None:
            services.free()

    def usage(self) -> dict[str, Any]:
        """Bytes, counts and hits of the results in memory, and what weights are loaded."""
        kept, services = self.cache.memory, self._services
        results = {"bytes": kept.bytes, "budget": kept.budget, "entries": len(kept), "hits": kept.hits, "misses": kept.misses}
        weights = (
            {"bytes": services.used_bytes(), "loaded": services.report()} if services is not None else {"bytes": 0, "loaded": "nothing"}
        )
        return {"results": results, "weights": weights}

    # ------------------------------------------------------------------------------ workflows

    def document(self, workflow: Workflow, overrides: Mapping[str, Any] | None = None) -> Document:
        """A Document from a path (any accepted format), plain data or a Document, with inputs replaced."""
        document = workflow if isinstance(workflow, Document) else _read(workflow)
        return apply_overrides(document, self.registry, overrides or {})

    def check(self, workflow: Workflow, overrides: Mapping[str, Any] | None = None, targets: Iterable[str] | None = None) -> Graph:
        """The checked graph of a workflow; nothing is run. Raises Problems with every fault at once."""
        return build(self.document(workflow, overrides), self.registry, self.files, targets)

    def plan(self, graph: Graph) -> Plan:
        """What would run now, and what is cached."""
        keys = self.key_maker()
        return plan(graph, keys.keys(graph), self.cache, self.is_valid, keys.places(graph))

    # ------------------------------------------------------------------------------ running

    def run(
        self,
        workflow: Workflow | Graph,
        overrides: Mapping[str, Any] | None = None,
        *,
        targets: Iterable[str] | None = None,
        emit: ev.Sink = ev.ignore,
        cancelled: threading.Event | None = None,
        previews: bool = False,
        trace: bool = False,
        secrets: Mapping[str, str] = MappingProxyType({}),
        foreign: Callable[[], Mapping[str, Any]] = dict,
    ) -> RunResult:
        """Run a workflow to its end.

        emit: is told what happens, by one thread at a time; what it raises ends the run and is raised here
        cancelled: set it from anywhere to stop within one step
        trace: tell also where the time goes (`events.Span`)
        secrets: what `ctx.secret(name)` gives to nodes
        foreign: gives the workflow in another program's forms, for the files that nodes save (`ctx.foreign`)

        Faults of the graph are raised (Problems), and files that cannot be read; faults of nodes are in the result's `error`.
        """
        if isinstance(workflow, Graph) and (overrides or targets is not None):
            raise TypeError("overrides and targets belong to `check`, which makes the graph")
        graph = workflow if isinstance(workflow, Graph) else self.check(workflow, overrides, targets)
        stop = cancelled if cancelled is not None else threading.Event()
        tell = ev.listener(emit, stop)
        saved = cache(lambda: graph.document.to_json() if graph.document is not None else None)
        caller = Caller(self.registry, self.files, tell, stop, self.services, saved, previews, secrets, cache(foreign))
        run = Run(graph, self.key_maker(), self.cache, caller, emit=tell, valid=self.is_valid, cancelled=stop, trace=trace)
        return run.execute()

    def is_valid(self, entry: Entry) -> bool:
        """Whether a cached result that saved files still stands: they lie where they would be saved now, untouched."""
        files = [item["file"] for item in entry.shown if isinstance(item.get("file"), Mapping)]
        return all(is_unchanged(file, self.files) for file in files)

    def key_maker(self) -> KeyMaker:
        return KeyMaker(self.registry, self.files, self.policy().key, self._hashes, lambda: os.urandom(16))

    def policy(self) -> Policy:
        """Device and number format, found without importing torch where there is only a CPU."""
        with self._lock:
            if self._policy is None:
                self._policy = numeric_policy(self.settings.device, self.settings.dtype)
            return self._policy

    def services(self) -> Services:
        """The weights store, made when the first node loads a model."""
        policy = self.policy()
        with self._lock:
            if self._services is None:
                from nodegraph.diffusion.store import WeightStore

                self._services = WeightStore(policy.device, policy.dtype)
            return self._services

    # ------------------------------------------------------------------------------ why

    def explain(self, graph: Graph, name: str) -> dict[str, list[str]]:
        """For each node that would run now: which parts of its key changed since the last `remember(graph, name)`."""
        keys = self.key_maker()
        all_keys = keys.keys(graph)
        before = self._remembered(name)
        run = plan(graph, all_keys, self.cache, self.is_valid).run
        return {id: reasons_for(graph.nodes[id], before.get(id), keys.explain(graph.nodes[id], all_keys)) for id in run}

    def compare(self, graph: Graph, before: Graph | None) -> dict[str, list[str]]:
        """For each node that the targets depend on, in order: what differs from an earlier graph, nothing if nothing does."""
        keys = self.key_maker()
        all_keys = keys.keys(graph)
        old_keys = keys.keys(before) if before is not None else {}
        asked = needed(graph)
        parts = {id: keys.explain(before.nodes[id], old_keys) for id in asked if before is not None and id in before.nodes}
        return {id: reasons_for(graph.nodes[id], parts.get(id), keys.explain(graph.nodes[id], all_keys)) for id in asked}

    def remember(self, graph: Graph, name: str) -> None:
        """Keep the parts of every key under `name`, for a later `explain`."""
        path = self._memory_of(name)
        if path is None:
            return
        keys = self.key_maker()
        all_keys = keys.keys(graph)
        parts = {id: keys.explain(node, all_keys) for id, node in graph.nodes.items()}
        try:
            write_atomic(path, lambda stream: stream.write(json.dumps(parts).encode()))
        except WriteFailed:
            return

    def _memory_of(self, name: str) -> Path | None:
        if self.settings.cache is None:
            return None
        return self.settings.cache / "explain" / (blake2b(name.encode(), digest_size=12).hexdigest() + ".json")

    def _remembered(self, name: str) -> dict[str, dict[str, str]]:
        path = self._memory_of(name)
        try:
            data = json.loads(path.read_text()) if path is not None else {}
        except (OSError, ValueError):
            return {}
        return {id: parts for id, parts in data.items() if isinstance(parts, dict)} if isinstance(data, dict) else {}


def reasons_for(node: GraphNode, before: Mapping[str, str] | None, after: Mapping[str, str]) -> list[str]:
    """Why a node would run, one line each; nothing if its result is merely no longer kept."""
    if not node.spec.cached:
        return ["it runs every time"]
    return what_changed(before, after)


def _read(workflow: str | Path | Mapping[str, Any]) -> Document:
    from nodegraph.formats import document_from, load_workflow

    if isinstance(workflow, Mapping):
        return document_from(dict(workflow)).document
    return load_workflow(Path(workflow)).document


def run(
    workflow: Workflow,
    overrides: Mapping[str, Any] | None = None,
    *,
    output: str | Path | None = None,
    emit: Callable[[ev.Event], None] = ev.ignore,
    settings: Settings | None = None,
) -> RunResult:
    """Run a workflow file or document with the built-in nodes: `nodegraph.run("workflow.json", {"3.seed": 1})`.

    output: folder for what it saves; default is `output` in the present folder
    Raises Problems for a faulty graph, the node's own NodegraphError if one fails, Cancelled if it was cancelled.
    """
    chosen = settings or default_settings(output=Path(output) if output is not None else None)
    with Engine(chosen) as engine:
        result = engine.run(workflow, overrides, emit=emit)
    if result.error is not None:
        raise result.error
    if result.status == "cancelled":
        raise Cancelled
    return result


def check(workflow: Workflow, overrides: Mapping[str, Any] | None = None, *, settings: Settings | None = None) -> Graph:
    """The checked graph of a workflow with the built-in nodes; raises Problems with every fault."""
    with Engine(settings) as engine:
        return engine.check(workflow, overrides)
