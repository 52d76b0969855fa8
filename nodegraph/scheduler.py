"""Run a checked graph: demand driven, cached, in lanes.

`plan` says what would run, and is a pure function of graph, keys and cache. `Run` does it. The thread that calls `Run.execute` works
through the ready nodes itself; helpers step in only while it is held up by a long one, so that ten thousand small nodes cost no thread
switches and a picture is still encoded while the next one is sampled. At most one node of the device lane runs at a time; `async`
nodes share one event loop. Nothing recurses: long chains, nested lazy inputs and loops of expansions all pass through one work list.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from nodegraph import events as ev
from nodegraph.cache import SMALL, Cache, Entry, size_of
from nodegraph.calling import Caller, Pending
from nodegraph.document import Link
from nodegraph.errors import Cancelled, NodegraphError, RunawayExpansion
from nodegraph.expansion import expanded_nodes
from nodegraph.graph import Graph, GraphNode
from nodegraph.keys import Key, KeyMaker, canonical, digest
from nodegraph.values import Blocked, Expand

MAX_EXPANDED: Final = 200_000
PATIENCE: Final = 0.002
"""seconds a node may hold up the main thread before helpers take over what is ready"""
CHEAP: Final = 1 << 12
_PLAIN: Final = frozenset((bool, int, float, str, type(None)))
Valid = Callable[[Entry], bool]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do if it started now."""

    run: tuple[str, ...]
    cached: tuple[str, ...]


def plan(graph: Graph, keys: Mapping[str, Key], cache: Cache, valid: Valid = lambda entry: True) -> Plan:
    """Which nodes must run for the targets and which results are at hand. Lazy inputs count as needed only when asked for."""
    run: list[str] = []
    cached: list[str] = []
    seen: set[str] = set()
    stack = list(reversed(graph.targets))
    while stack:
        id = stack.pop()
        if id in seen:
            continue
        seen.add(id)
        entry = cache.get(keys[id])
        if entry is not None and (not entry.shown or valid(entry)):
            cached.append(id)
        else:
            run.append(id)
            stack += [link.node for link in strict_links(graph.nodes[id])]
    return Plan(tuple(run), tuple(cached))


def strict_links(node: GraphNode) -> Iterator[Link]:
    """The links whose values must be there before the node is called."""
    inputs = node.spec.inputs
    for name, link in node.links.items():
        spec = inputs[name]
        if not (spec.lazy or spec.raw):
            yield link


@dataclass(slots=True)
class RunResult:
    """How a run ended. `outputs` and `shown` by node id; of failed and cancelled runs, what was finished."""

    status: str
    outputs: dict[str, Mapping[str, Any]]
    shown: dict[str, tuple[Mapping[str, Any], ...]]
    executed: list[str]
    cached: list[str]
    seconds: float
    error: NodegraphError | None = None
    reasons: dict[str, list[str]] = field(default_factory=dict)


class Run:
    """One execution of one graph. Made anew for each; `cancel` may be called from any thread."""

    def __init__(
        self,
        graph: Graph,
        keys: KeyMaker,
        cache: Cache,
        caller: Caller,
        *,
        emit: ev.Sink = ev.ignore,
        valid: Valid = lambda entry: True,
        cancelled: threading.Event | None = None,
        helpers: int | None = None,
    ) -> None:
        self.graph = graph
        self.nodes = dict(graph.nodes)
        self.key_maker = keys
        self.keys = keys.keys(graph)
        self.cache = cache
        self.caller = caller
        self.emit = emit
        self.valid = valid
        self.cancelled = cancelled if cancelled is not None else threading.Event()
        self.entries: dict[str, Entry] = {}
        self.waiting: dict[str, int] = {}
        self.consumers: dict[str, list[str]] = {}
        self.uses: dict[str, int] = {}
        self.expanding: dict[str, Mapping[str, Any]] = {}
        self.started: dict[str, float] = {}
        self.expanded: dict[str, int] = {}
        self.executed: list[str] = []
        self.cached: list[str] = []
        self.error: NodegraphError | None = None
        self.stopped = False
        self.ready: deque[str] = deque()
        self.running = 0
        self.device_busy = False
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.busy_since = 0.0
        self.helper_count = min(4, (os.cpu_count() or 1) + 1) if helpers is None else helpers
        self.helpers: list[threading.Thread] = []
        self.idle_helpers = 0
        self.loop: asyncio.AbstractEventLoop | None = None
        self.loop_thread: threading.Thread | None = None
        self.targets = set(graph.targets)

    def cancel(self) -> None:
        """Stop within one step of whatever runs. What was finished stays in the cache."""
        self.cancelled.set()
        with self.lock:
            self.changed.notify_all()

    # ------------------------------------------------------------------------------- the whole

    def execute(self) -> RunResult:
        """Run to the end in this thread and return how it went; faults of nodes are in the result, not raised."""
        begin = time.perf_counter()
        try:
            with self.lock:
                self.demand(self.graph.targets)
            if self.emit is not ev.ignore:
                self.emit(ev.RunStarted(len(self.waiting), list(self.cached)))
            self.work(main=True)
        finally:
            self.close()
        if self.error is None and self.cancelled.is_set() and not self.is_complete():
            status = "cancelled"
        else:
            status = "failed" if self.error is not None else "done"
        seconds = time.perf_counter() - begin
        if self.emit is not ev.ignore:
            self.emit(ev.RunFinished(status, seconds, len(self.executed), len(self.cached)))  # type: ignore[arg-type]
        done = [id for id in self.graph.targets if id in self.entries]
        return RunResult(
            status,
            {id: self.entries[id].outputs for id in done},
            {id: self.entries[id].shown for id in done if self.entries[id].shown},
            self.executed,
            self.cached,
            seconds,
            self.error,
        )

    def is_complete(self) -> bool:
        return all(id in self.entries for id in self.targets)

    # ------------------------------------------------------------------------------- demand: what is needed

    def demand(self, ids: Iterable[str]) -> None:
        """Make sure these nodes get a result: from the cache, or by running them once their inputs are there. Lock held."""
        stack = list(ids)
        while stack:
            id = stack.pop()
            if id in self.entries or id in self.waiting:
                continue
            entry = self.look_up(id)
            if entry is not None:
                self.cached.append(id)
                self.arrive(id, entry, cached=True)
                continue
            missing = 0
            for link in strict_links(self.nodes[id]):
                source = link.node
                self.uses[source] = self.uses.get(source, 0) + 1
                if source not in self.entries:
                    missing += 1
                    self.consumers.setdefault(source, []).append(id)
                    stack.append(source)
            self.waiting[id] = missing
            if not missing:
                self.ready.append(id)

    def look_up(self, id: str) -> Entry | None:
        entry = self.cache.get(self.keys[id])
        if entry is None or (entry.shown and not self.valid(entry)):
            return None
        return entry

    def arrive(self, id: str, entry: Entry, cached: bool = False) -> None:
        """A node has its result: tell consumers, close expansions that waited for it. Lock held; a work list, no recursion."""
        todo = [(id, entry)]
        while todo:
            id, entry = todo.pop()
            self.entries[id] = entry
            if self.emit is not ev.ignore and (entry.shown or not cached):
                seconds = 0.0 if cached else entry.seconds
                self.emit(ev.NodeFinished(id, self.nodes[id].spec.id, seconds, cached, entry.shown))
            for consumer in self.consumers.pop(id, ()):
                self.waiting[consumer] -= 1
                if self.waiting[consumer]:
                    continue
                if consumer in self.expanding:
                    todo.append((consumer, self.close_expansion(consumer)))
                else:
                    self.ready.append(consumer)
        if self.idle_helpers and len(self.ready) > 1:
            self.changed.notify()

    # ------------------------------------------------------------------------------- work: run what is ready

    def work(self, main: bool = False) -> None:
        """Take ready nodes and run them until there are none left to come. Helpers only take what the main thread cannot get to."""
        while (id := self.take(main)) is not None:
            if main:
                self.busy_since = time.monotonic()
            self.run_node(id)
            if main:
                self.busy_since = 0.0

    def take(self, main: bool) -> str | None:
        """The next node to run, or None when this thread is done. Waits if others may still make something ready."""
        with self.lock:
            while True:
                if self.is_over():
                    self.changed.notify_all()
                    return None
                id = self.pick() if main or self.main_is_held_up() else None
                if id is not None:
                    if self.ready and len(self.helpers) < (1 if main else self.helper_count):
                        self.start_helper()
                    return id
                self.wait_for_change(main)

    def is_over(self) -> bool:
        stop = self.stopped or self.cancelled.is_set()
        return (stop and (not self.running or self.error is None)) or (not self.ready and not self.running)

    def main_is_held_up(self) -> bool:
        since = self.busy_since
        return bool(self.ready) and since > 0.0 and time.monotonic() - since >= PATIENCE

    def wait_for_change(self, main: bool) -> None:
        if main:
            self.changed.wait(0.1)
        elif self.ready and not self.device_only():
            self.changed.wait(PATIENCE)
        else:
            self.idle_helpers += 1
            self.changed.wait(0.5)
            self.idle_helpers -= 1

    def device_only(self) -> bool:
        """Whether everything ready waits for the device."""
        return self.device_busy and all(self.nodes[id].spec.lane == "device" for id in self.ready)

    def pick(self) -> str | None:
        if not self.ready:
            return None
        id = self.ready.popleft()
        if self.device_busy and self.nodes[id].spec.lane == "device":
            self.ready.append(id)
            for _ in range(len(self.ready) - 1):
                id = self.ready.popleft()
                if self.nodes[id].spec.lane != "device":
                    break
                self.ready.append(id)
            else:
                return None
        self.running += 1
        if self.nodes[id].spec.lane == "device":
            self.device_busy = True
        return id

    def start_helper(self) -> None:
        thread = threading.Thread(target=self.work, name=f"nodegraph-helper-{len(self.helpers)}", daemon=True)
        self.helpers.append(thread)
        thread.start()

    def close(self) -> None:
        with self.lock:
            self.stopped = True
            self.changed.notify_all()
        for thread in self.helpers:
            thread.join()
        if self.loop is not None and self.loop_thread is not None:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.loop_thread.join()
            self.loop.close()

    # ------------------------------------------------------------------------------- one node

    def run_node(self, id: str) -> None:
        """Call one node and take in what it gives. Everything that can go wrong ends in `fail`."""
        node = self.nodes[id]
        try:
            values = self.gather(node)
            blocked = next((v for v in values.values() if type(v) is Blocked), None)
            actual = self.actual_key(node)
            known = self.cache.get_actual(actual) if actual is not None else None
            if blocked is not None:
                self.finish(id, self.blocked_entry(node, blocked), None)
            elif known is not None and (not known.shown or self.valid(known)):
                self.cut_off(id, known)
            elif node.spec.lane == "async":
                self.run_async(id, node, values, actual)
            else:
                self.call(id, node, values, actual)
        except BaseException as error:  # noqa: BLE001 - the one place where a run's faults end up
            self.fail(id, error)

    def gather(self, node: GraphNode) -> dict[str, Any]:
        """The values of all strict links."""
        entries = self.entries
        values = {}
        for name, link in node.links.items():
            spec = node.spec.inputs[name]
            if not (spec.lazy or spec.raw):
                values[name] = entries[link.node].outputs[link.output]
        return values

    def actual_key(self, node: GraphNode) -> Key | None:
        """The key by identities of what came in; None where that cannot be known beforehand (lazy inputs) or does not count."""
        spec = node.spec
        if not node.links or not spec.cached or spec.fingerprint is not None:
            return None
        for name in node.links:
            if spec.inputs[name].lazy or spec.inputs[name].raw:
                return None
        return self.key_maker.actual_key(node, {link: self.value_id(link) for link in node.links.values()})

    def value_id(self, link: Link) -> Key:
        """Identity of a value: by its content where that is known, else by where it came from."""
        entry = self.entries.get(link.node)
        known = entry.value_ids.get(link.output) if entry is not None else None
        return known if known is not None else digest(self.keys[link.node] + link.output.encode())

    def call(self, id: str, node: GraphNode, values: dict[str, Any], actual: Key | None) -> None:
        if self.emit is not ev.ignore:
            self.emit(ev.NodeStarted(id, node.spec.id))
        begin = self.started.setdefault(id, time.perf_counter())
        outputs, shown = self.caller.call(node, values, self.ask_for)
        self.settle(id, node, values, outputs, shown, actual, time.perf_counter() - begin)

    def ask_for(self, link: Link) -> Any:
        """What a lazy input's `.get()` does: the value, or `Pending`, which sends the node back to wait for it."""
        entry = self.entries.get(link.node)
        if entry is None:
            raise Pending(link)
        return entry.outputs[link.output]

    def run_async(self, id: str, node: GraphNode, values: dict[str, Any], actual: Key | None) -> None:
        if self.emit is not ev.ignore:
            self.emit(ev.NodeStarted(id, node.spec.id))
        begin = time.perf_counter()

        async def main() -> None:
            try:
                task = asyncio.ensure_future(self.caller.call_async(node, values, self.ask_for))
                while not task.done():
                    await asyncio.wait([task], timeout=0.05)
                    if self.cancelled.is_set() and not task.done():
                        task.cancel()
                outputs, shown = await task
                self.settle(id, node, values, outputs, shown, actual, time.perf_counter() - begin)
            except asyncio.CancelledError:
                self.fail(id, Cancelled())
            except BaseException as error:  # noqa: BLE001 - as in run_node
                self.fail(id, error)

        asyncio.run_coroutine_threadsafe(main(), self.event_loop())

    def event_loop(self) -> asyncio.AbstractEventLoop:
        with self.lock:
            if self.loop is None:
                self.loop = asyncio.new_event_loop()
                self.loop_thread = threading.Thread(target=self.loop.run_forever, name="nodegraph-async", daemon=True)
                self.loop_thread.start()
            return self.loop

    # ------------------------------------------------------------------------------- what a node gave

    def settle(
        self,
        id: str,
        node: GraphNode,
        values: Mapping[str, Any],
        outputs: Any,
        shown: tuple[Mapping[str, Any], ...],
        actual: Key | None,
        seconds: float,
    ) -> None:
        if type(outputs) is Expand:
            with self.lock:
                self.expand(id, node, outputs)
                self.leave(node)
            return
        entry = Entry(outputs, shown, seconds, SMALL, self.value_ids(node, values, outputs, actual))
        if any(type(value) not in _PLAIN for value in outputs.values()):
            entry.nbytes = size_of(outputs)
        if node.spec.cached:
            self.cache.put(self.keys[id], entry, actual)
        self.finish(id, entry, seconds)

    def value_ids(self, node: GraphNode, values: Mapping[str, Any], outputs: Mapping[str, Any], actual: Key | None) -> dict[str, Key]:
        """Identity of each output: small plain values by content; a value merely passed on keeps its own; else by the actual key."""
        ids: dict[str, Key] = {}
        for name, value in outputs.items():
            kind = type(value)
            if kind is int:
                ids[name] = digest(b"Vi%d;" % value)
            elif kind in _PLAIN and (kind is not str or len(value) < CHEAP):
                ids[name] = digest(b"V" + canonical(value))
            else:
                passed = self.passed_on(node, values, value)
                if passed is not None:
                    ids[name] = passed
                elif actual is not None:
                    ids[name] = digest(actual + name.encode())
        return ids

    def passed_on(self, node: GraphNode, values: Mapping[str, Any], value: Any) -> Key | None:
        for name, link in node.links.items():
            if name in values:
                if values[name] is value:
                    return self.value_id(link)
            else:
                entry = self.entries.get(link.node)
                if entry is not None and entry.outputs.get(link.output) is value:
                    return self.value_id(link)
        return None

    def finish(self, id: str, entry: Entry, seconds: float | None) -> None:
        with self.lock:
            if seconds is not None:
                self.executed.append(id)
            self.leave(self.nodes[id])
            self.release_inputs(self.nodes[id])
            self.arrive(id, entry)

    def cut_off(self, id: str, entry: Entry) -> None:
        """The same values came in as in some earlier run: its result stands, under the new key too."""
        self.cache.memory.put(self.keys[id], entry)
        with self.lock:
            self.cached.append(id)
            self.leave(self.nodes[id])
            self.release_inputs(self.nodes[id])
            self.arrive(id, entry, cached=True)

    def blocked_entry(self, node: GraphNode, blocked: Blocked) -> Entry:
        if self.emit is not ev.ignore:
            self.emit(ev.NodeBlocked(node.id, blocked.reason))
        return Entry(dict.fromkeys(node.spec.outputs, blocked))

    def leave(self, node: GraphNode) -> None:
        """The node no longer occupies its thread or lane. Lock held."""
        self.running -= 1
        if node.spec.lane == "device":
            self.device_busy = False
        if not self.running or self.idle_helpers:
            self.changed.notify_all()

    def release_inputs(self, node: GraphNode) -> None:
        """Let go of results whose last consumer this was; the cache keeps them as far as its budget allows. Lock held."""
        for link in strict_links(node):
            left = self.uses.get(link.node, 0) - 1
            self.uses[link.node] = left
            if left <= 0 and link.node not in self.targets and link.node in self.entries and link.node not in self.expanding:
                del self.entries[link.node]
                self.waiting.pop(link.node, None)

    def fail(self, id: str, error: BaseException) -> None:
        """End of a node that did not give a result: waiting for a lazy input, blocked, cancelled or failed."""
        node = self.nodes[id]
        with self.lock:
            self.leave(node)
            if isinstance(error, Pending):
                self.wait_for_lazy(id, error.link)
                return
            self.stopped = True
            if not isinstance(error, Cancelled | KeyboardInterrupt) and self.error is None:
                self.error = self.caller.explain(node, error)
                if self.emit is not ev.ignore:
                    self.emit(ev.NodeFailed(id, self.error))
            elif self.error is None:
                self.cancelled.set()
            self.changed.notify_all()

    def wait_for_lazy(self, id: str, link: Link) -> None:
        """Put the node back until the value it asked for is there."""
        self.uses[link.node] = self.uses.get(link.node, 0) + 1
        if link.node in self.entries:
            self.ready.append(id)
            return
        self.waiting[id] = 1
        self.consumers.setdefault(link.node, []).append(id)
        self.demand([link.node])

    # ------------------------------------------------------------------------------- expansion

    def expand(self, id: str, node: GraphNode, expansion: Expand) -> None:
        """Put the nodes of an expansion into the graph; the node itself gets its result when theirs are there. Lock held."""
        root = node.root or id
        turn = self.expanded.get(root, 0)
        made, outputs = expanded_nodes(node, expansion, f"{root}/{turn}.", self.caller.registry, self.caller.files)
        self.expanded[root] = turn + 1
        if len(self.nodes) + len(made) > MAX_EXPANDED + len(self.graph.nodes):
            raise RunawayExpansion(
                f"it has expanded into more than {MAX_EXPANDED} nodes", node=root, hint="check the condition that ends the loop"
            )
        for inner in made:
            self.nodes[inner.id] = inner
            self.keys[inner.id] = self.key_maker.key(inner, self.keys)
        self.expanding[id] = outputs
        sources = {value.node for value in outputs.values() if type(value) is Link}
        self.waiting[id] = len(sources)
        for source in sources:
            self.uses[source] = self.uses.get(source, 0) + 1
        missing = [source for source in sources if source not in self.entries]
        self.waiting[id] = len(missing)
        for source in missing:
            self.consumers.setdefault(source, []).append(id)
        if missing:
            self.demand(missing)
        else:
            self.arrive(id, self.close_expansion(id))

    def close_expansion(self, id: str) -> Entry:
        """The result of a node whose expansion has finished."""
        outputs = self.expanding.pop(id)
        node = self.nodes[id]
        values: dict[str, Any] = {}
        value_ids: dict[str, Key] = {}
        shown: list[Mapping[str, Any]] = []
        for name, value in outputs.items():
            if type(value) is Link:
                entry = self.entries[value.node]
                values[name] = entry.outputs[value.output]
                value_ids[name] = self.value_id(value)
                shown += [item for item in entry.shown if item not in shown]
            else:
                values[name] = value
        seconds = time.perf_counter() - self.started.get(id, time.perf_counter())
        result = Entry(values, tuple(shown), seconds, size_of(values), value_ids)
        self.executed.append(id)
        if node.spec.cached:
            self.cache.put(self.keys[id], result)
        self.release_inputs(node)
        for source in {value.node for value in outputs.values() if type(value) is Link}:
            self.uses[source] -= 1
            if self.uses[source] <= 0 and source not in self.targets:
                self.entries.pop(source, None)
        return result
