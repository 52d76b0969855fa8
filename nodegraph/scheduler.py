"""Run a checked graph: demand driven, cached, in lanes.

A node is demanded when something that must run needs it; it runs when its inputs are there, and its result is let go of when the last
node that may ask for it has ended. Threads and the device are the business of `Lanes`. Nothing recurses: long chains, nested lazy inputs
and loops of expansions all pass through work lists.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from nodegraph import events as ev
from nodegraph.cache import SMALL, Cache, Entry, size_of
from nodegraph.calling import Caller, Pending
from nodegraph.document import Link
from nodegraph.errors import Cancelled, NodegraphError, RunawayExpansion
from nodegraph.expansion import check_output, expanded_nodes, links_of
from nodegraph.graph import Graph, GraphNode
from nodegraph.keys import Key, KeyMaker, canonical, digest
from nodegraph.lanes import Lanes
from nodegraph.plan import Valid, is_usable
from nodegraph.tracing import Tracing
from nodegraph.values import Blocked, Expand, Items

if TYPE_CHECKING:
    from nodegraph.async_lane import AsyncLane

MAX_EXPANDED: Final = 200_000
CHEAP: Final = 1 << 12
"""characters up to which a text is identified by its content"""
_PLAIN: Final = frozenset((bool, int, float, str, type(None)))


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


@dataclass(frozen=True, slots=True)
class _Open:
    """An expansion at work: what stands for the outputs of its node, and the inner nodes that it waits for."""

    outputs: Mapping[str, Any]
    sources: list[str]
    begin: float


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
        trace: bool = False,
    ) -> None:
        self.graph = graph
        self.nodes = dict(graph.nodes)
        self.early: list[ev.Event] | None = []
        self.trace = Tracing(self.tell) if trace else None
        self.key_maker = keys
        with self.part("key"):
            self.keys = keys.keys(graph)
            self.places = keys.places(graph)
        self.cache = cache
        self.caller = caller
        self.cancelled = cancelled if cancelled is not None else threading.Event()
        self.emit = ev.listener(emit, self.cancelled)
        self.valid = valid
        self.targets = set(graph.targets)
        self.entries: dict[str, Entry] = {}
        self.waiting: dict[str, int] = {}
        """of each node that was demanded and not let go of: how many inputs are missing"""
        self.consumers: dict[str, list[str]] = {}
        self.uses: dict[str, int] = {}
        """how many links of demanded nodes may still ask for a result"""
        self.ranks: dict[str, int] = {}
        self.expanding: dict[str, _Open] = {}
        self.turns: dict[str, int] = {}
        self.started: set[str] = set()
        self.arrived: set[str] = set()
        self.executed: list[str] = []
        self.cached: list[str] = []
        self.error: NodegraphError | None = None
        self.interrupt: KeyboardInterrupt | None = None
        self.lanes = Lanes(self.run_node, self.cancelled, helpers)
        self.lock = self.lanes.lock
        self.async_lane: AsyncLane | None = None

    def cancel(self) -> None:
        """Stop within one step of whatever runs. What was finished stays in the cache."""
        self.cancelled.set()

    # ------------------------------------------------------------------------------- the whole

    def execute(self) -> RunResult:
        """Run to the end in this thread and return how it went; faults of nodes are in the result, not raised.

        Raises KeyboardInterrupt, and what the listener raised, after everything has come to rest.
        """
        begin = time.perf_counter()
        try:
            with self.lock, self.part("cache"):
                self.demand(self.graph.targets)
            self.announce()
            self.lanes.work()
        except KeyboardInterrupt as interrupt:
            self.interrupt = interrupt
        finally:
            if self.async_lane is not None:
                self.async_lane.close()
        result = self.result(time.perf_counter() - begin)
        if self.emit is not ev.ignore:
            self.emit(ev.RunFinished(result.status, result.seconds, len(self.executed), len(self.cached)))  # type: ignore[arg-type]
        fault = self.interrupt or getattr(self.emit, "error", None)
        if fault is not None:
            raise fault
        return result

    def announce(self) -> None:
        """Tell that the run began, and then of the results that were at hand."""
        if self.emit is not ev.ignore:
            self.emit(ev.RunStarted(len(self.waiting), [*self.cached, *self.at_hand()]))
        early, self.early = self.early or [], None
        for event in early:
            self.emit(event)

    def at_hand(self) -> list[str]:
        """Nodes that nothing has asked for and whose results are known: before cached ones, or behind lazy inputs."""
        asked = self.entries.keys() | self.waiting.keys()
        entries = {id: self.cache.peek(self.keys[id], self.places.get(id, b"")) for id in self.graph.nodes if id not in asked}
        return [id for id, entry in entries.items() if is_usable(entry, self.valid)]

    def tell(self, event: ev.Event) -> None:
        if self.early is not None:
            self.early.append(event)
        else:
            self.emit(event)

    def part(self, name: str) -> AbstractContextManager[None]:
        """Time a part of the run as a whole, if it is traced."""
        return self.trace.whole(name) if self.trace is not None else nullcontext()

    def result(self, seconds: float) -> RunResult:
        done = [id for id in self.graph.targets if id in self.entries]
        if self.error is not None:
            status = "failed"
        elif len(done) == len(self.graph.targets):
            status = "done"
        elif self.cancelled.is_set() or self.interrupt is not None:
            status = "cancelled"
        else:
            raise RuntimeError(f"the run came to rest without a result for {self.targets - set(done)}: a fault of the engine")
        outputs = {id: self.entries[id].outputs for id in done}
        shown = {id: self.entries[id].shown for id in done if self.entries[id].shown}
        return RunResult(status, outputs, shown, self.executed, self.cached, seconds, self.error)

    # ------------------------------------------------------------------------------- demand: what is needed; lock held

    def demand(self, ids: Iterable[str]) -> None:
        """Make sure these nodes get a result: from the cache, or by running them once their inputs are there."""
        stack = [*ids][::-1]
        while stack:
            id = stack.pop()
            if id in self.entries or id in self.waiting:
                continue
            entry = self.cache.get(self.keys[id], self.places.get(id, b""))
            if is_usable(entry, self.valid):
                if id not in self.arrived:
                    self.cached.append(id)
                self.arrive(id, entry, cached=True)
                continue
            node = self.nodes[id]
            inputs = node.spec.inputs
            self.ranks[id] = len(self.ranks)
            missing = 0
            for name, link in reversed(node.links.items()):
                source = link.node
                self.uses[source] = self.uses.get(source, 0) + 1
                if source not in self.entries and not (inputs[name].lazy or inputs[name].raw):
                    missing += 1
                    self.consumers.setdefault(source, []).append(id)
                    stack.append(source)
            self.waiting[id] = missing
            if not missing:
                self.push(id)

    def push(self, id: str) -> None:
        if self.trace is not None:
            self.trace.ready(id)
        self.lanes.push(self.ranks[id], id, self.nodes[id].spec.lane == "device")

    def arrive(self, id: str, entry: Entry, cached: bool = False) -> None:
        """A node has its result: tell consumers, close expansions that waited for it. A work list, no recursion."""
        todo = [(id, entry)]
        while todo:
            id, entry = todo.pop()
            self.entries[id] = entry
            again = cached and id in self.arrived
            self.arrived.add(id)
            if self.emit is not ev.ignore and not again and (entry.shown or not cached or id in self.started):
                seconds = 0.0 if cached else entry.seconds
                self.tell(ev.NodeFinished(id, self.nodes[id].spec.id, seconds, cached, entry.shown, entry.nbytes - SMALL))
            for consumer in self.consumers.pop(id, ()):
                self.waiting[consumer] -= 1
                if self.waiting[consumer]:
                    continue
                if consumer in self.expanding:
                    todo.append((consumer, self.close_expansion(consumer)))
                else:
                    self.push(consumer)
            cached = False

    def let_go(self, node: GraphNode) -> None:
        """A node has ended: results that nobody else may ask for are freed; the cache keeps them as far as its budget allows."""
        for link in node.links.values():
            self.release(link.node)

    def release(self, id: str) -> None:
        self.uses[id] = left = self.uses[id] - 1
        if left <= 0 and id in self.entries and id not in self.targets and not self.is_unique(id):
            del self.entries[id]
            self.waiting.pop(id, None)

    def is_unique(self, id: str) -> bool:
        """Whether a result could not be had again: a node that is never cached gives one answer a run, whoever asks and when."""
        return not self.nodes[id].spec.cached and id in self.graph.nodes

    # ------------------------------------------------------------------------------- one node

    def run_node(self, id: str) -> bool:
        """Call one node and take in what it gives. Everything that can go wrong ends in `fail`. False: it goes on in the async lane."""
        node = self.nodes[id]
        try:
            values = self.gather(node)
            if isinstance(values, Blocked):
                self.skip(id, node, values)
                return True
            actual = self.actual_key(node, values)
            known = self.cache.get_actual(actual) if actual is not None else self.cache.peek(self.keys[id])
            if is_usable(known, self.valid):
                self.cut_off(id, node, known, actual)
                return True
            if self.emit is not ev.ignore and id not in self.started:
                self.started.add(id)
                self.tell(ev.NodeStarted(id, node.spec.id))
            if node.spec.lane == "async":
                self.begin_async(id, node, values, actual)
                return False
            begin = time.perf_counter()
            if self.trace is None:
                outputs, shown = self.caller.call(node, values, self.ask_for)
            else:
                with self.trace.node(id):
                    outputs, shown = self.caller.call(node, values, self.ask_for)
            self.settle(id, node, values, outputs, shown, actual, begin)
        except BaseException as error:  # noqa: BLE001 - the one place where a run's faults end up
            self.fail(id, error)
        return True

    def begin_async(self, id: str, node: GraphNode, values: dict[str, Any], actual: Key | None) -> None:
        from nodegraph.async_lane import AsyncLane, call_async

        begin = time.perf_counter()

        def done(result: Any, error: BaseException | None) -> None:
            try:
                if error is not None:
                    raise error
                outputs, shown = result
                self.settle(id, node, values, outputs, shown, actual, begin)
            except BaseException as fault:  # noqa: BLE001 - as in run_node
                self.fail(id, fault)
            with self.lock:
                self.lanes.leave(id)

        with self.lock:
            if self.async_lane is None:
                self.async_lane = AsyncLane(self.cancelled)
        work = call_async(self.caller, node, values, self.ask_for)
        self.async_lane.submit(work if self.trace is None else self.trace.awaited(id, work), done)

    def gather(self, node: GraphNode) -> dict[str, Any] | Blocked:
        """The values of all strict links, or the first that is Blocked."""
        entries, inputs = self.entries, node.spec.inputs
        values = {}
        for name, link in node.links.items():
            spec = inputs[name]
            if not (spec.lazy or spec.raw):
                values[name] = value = entries[link.node].outputs[link.output]
                if type(value) is Blocked:
                    return value
        return values

    def ask_for(self, link: Link) -> Any:
        """What a lazy input's `.get()` does: the value, or `Pending`, which sends the node back to wait for it."""
        entry = self.entries.get(link.node)
        if entry is None:
            raise Pending(link)
        return entry.outputs[link.output]

    # ------------------------------------------------------------------------------- identities: early cut-off

    def actual_key(self, node: GraphNode, values: Mapping[str, Any]) -> Key | None:
        """The key by identities of what came in; None where that cannot be known beforehand (lazy inputs) or does not count."""
        spec = node.spec
        if not node.links or not spec.cached or spec.fingerprint is not None:
            return None
        for name in spec.special:
            if name in node.links and (spec.inputs[name].lazy or spec.inputs[name].raw):
                return None
        return self.key_maker.actual_key(node, {link: self.value_id(link) for link in node.links.values()}, values)

    def value_id(self, link: Link) -> Key:
        """Identity of a value: by its content where that is known, else by where it came from."""
        entry = self.entries.get(link.node)
        known = entry.value_ids.get(link.output) if entry is not None else None
        return known if known is not None else digest(self.keys[link.node] + link.output.encode())

    def value_ids(self, node: GraphNode, values: Mapping[str, Any], outputs: Mapping[str, Any], actual: Key | None) -> dict[str, Key]:
        """Identity of each output: small plain values by content; a value merely passed on keeps its own; else by the actual key."""
        ids: dict[str, Key] = {}
        for name, value in outputs.items():
            known = content_id(value) or self.passed_on(node, values, value)
            if known is None and actual is not None:
                known = digest(actual + name.encode())
            if known is not None:
                ids[name] = known
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

    # ------------------------------------------------------------------------------- what a node gave

    def settle(
        self,
        id: str,
        node: GraphNode,
        values: Mapping[str, Any],
        outputs: Any,
        shown: tuple[Mapping[str, Any], ...],
        actual: Key | None,
        begin: float,
    ) -> None:
        if type(outputs) is Expand:
            with self.lock:
                self.expand(id, node, outputs, begin)
            return
        entry = Entry(outputs, shown, time.perf_counter() - begin, SMALL, self.value_ids(node, values, outputs, actual))
        self.keep(id, node, entry, actual)
        with self.lock:
            self.executed.append(id)
            self.let_go(node)
            self.arrive(id, entry)

    def keep(self, id: str, node: GraphNode, entry: Entry, actual: Key | None = None) -> None:
        """Put a result into the cache, unless its node is never cached."""
        if not all(map(is_small, entry.outputs.values())):
            large = [value for value in entry.outputs.values() if not is_small(value)]
            entry.nbytes = SMALL + size_of(large)
        if node.spec.cached:
            self.cache.put(self.keys[id], entry, actual, self.places.get(id, b""))

    def cut_off(self, id: str, node: GraphNode, entry: Entry, actual: Key | None) -> None:
        """The same values came in as in some earlier run: its result stands, under the new key too."""
        if actual is not None:
            self.cache.share(self.keys[id], entry, actual)
        with self.lock:
            self.cached.append(id)
            self.let_go(node)
            self.arrive(id, entry, cached=True)

    def skip(self, id: str, node: GraphNode, blocked: Blocked) -> None:
        """A node that got Blocked passes it on instead of running."""
        if self.emit is not ev.ignore:
            self.tell(ev.NodeBlocked(id, blocked.reason))
        with self.lock:
            self.let_go(node)
            self.arrive(id, Entry(dict.fromkeys(node.spec.outputs, blocked)))

    def fail(self, id: str, error: BaseException) -> None:
        """End of a node that did not give a result: waiting for a lazy input, cancelled or failed."""
        with self.lock:
            if isinstance(error, Pending):
                self.wait_for_lazy(id, error.link)
                return
            if isinstance(error, KeyboardInterrupt):
                self.interrupt = error
            if isinstance(error, Cancelled | KeyboardInterrupt):
                if self.error is None or self.interrupt is not None:
                    self.cancelled.set()
            elif self.error is None:
                self.error = self.explain(id, error)
                if self.emit is not ev.ignore:
                    self.tell(ev.NodeFailed(id, self.error))
                if self.async_lane is not None:
                    self.async_lane.stop()
            self.lanes.stop()

    def explain(self, id: str, error: BaseException) -> NodegraphError:
        node = self.nodes[id]
        known = {name: self.entries.get(link.node) for name, link in node.links.items()}
        values = {name: entry.outputs.get(node.links[name].output) for name, entry in known.items() if entry is not None}
        return self.caller.explain(node, error, values)

    def wait_for_lazy(self, id: str, link: Link) -> None:
        """Put the node back until the value it asked for is there. Lock held."""
        if link.node in self.entries:
            self.push(id)
            return
        self.waiting[id] = 1
        self.consumers.setdefault(link.node, []).append(id)
        self.demand([link.node])

    # ------------------------------------------------------------------------------- expansion; lock held

    def expand(self, id: str, node: GraphNode, expansion: Expand, begin: float) -> None:
        """Put the nodes of an expansion into the graph; the node itself gets its result when theirs are there."""
        root = node.root or id
        if len(self.nodes) + len(expansion.nodes) > MAX_EXPANDED + len(self.graph.nodes):
            raise RunawayExpansion(
                f"it has expanded into more than {MAX_EXPANDED} nodes", node=root, hint="check the condition that ends the loop"
            )
        made, outputs = expanded_nodes(node, expansion, self.prefix(root, expansion), self.caller.registry, self.caller.files)
        for inner in made:
            self.nodes[inner.id] = inner
            self.keys[inner.id] = self.key_maker.key(inner, self.keys)
            place = self.key_maker.place(inner, self.places)
            if place is not None:
                self.places[inner.id] = place
        links = [link.node for link in links_of(outputs)]
        sources = list(dict.fromkeys([*links, *(inner.id for inner in made if inner.spec.output_node)]))
        missing = [source for source in sources if source not in self.entries]
        self.expanding[id] = _Open(outputs, sources, begin)
        self.waiting[id] = len(missing)
        for source in sources:
            self.uses[source] = self.uses.get(source, 0) + 1
        for source in missing:
            self.consumers.setdefault(source, []).append(id)
        if missing:
            self.demand(missing)
        else:
            self.arrive(id, self.close_expansion(id))

    def prefix(self, root: str, expansion: Expand) -> str:
        """What the ids of inner nodes begin with, so that they are new ones."""
        while True:
            turn = self.turns.get(root, 0)
            self.turns[root] = turn + 1
            prefix = f"{root}/{turn}."
            if not any(prefix + name in self.nodes for name in expansion.nodes):
                return prefix

    def close_expansion(self, id: str) -> Entry:
        """The result of a node whose expansion has finished."""
        node, opened = self.nodes[id], self.expanding.pop(id)
        entry = Entry({}, (), time.perf_counter() - opened.begin)
        outputs: dict[str, Any] = {}
        ids: dict[str, Key] = {}
        for name, stands in opened.outputs.items():
            if type(stands) is Items:
                outputs[name] = [check_output(node, name, self.stood_for(part)) for part in stands.stands]
                continue
            value = self.stood_for(stands)
            outputs[name] = check_output(node, name, value)
            known = self.value_id(stands) if type(stands) is Link and outputs[name] is value else content_id(outputs[name])
            if known is not None:
                ids[name] = known
        shown = [item for source in opened.sources for item in self.entries[source].shown]
        entry.outputs, entry.value_ids, entry.shown = outputs, ids, tuple(shown)
        self.executed.append(id)
        self.keep(id, node, entry)
        self.let_go(node)
        for source in opened.sources:
            self.release(source)
        return entry

    def stood_for(self, stands: Any) -> Any:
        """The value of what stands for an output: of a link, what came of it."""
        return self.entries[stands.node].outputs[stands.output] if type(stands) is Link else stands


def is_small(value: Any) -> bool:
    """Plain values that are identified by their content."""
    kind = type(value)
    return kind in _PLAIN and (kind is not str or len(value) < CHEAP)


def content_id(value: Any) -> Key | None:
    """Identity of a small plain value; None for all others."""
    if type(value) is int:
        return digest(b"Vi%d;" % value)
    return digest(b"V" + canonical(value)) if is_small(value) else None
