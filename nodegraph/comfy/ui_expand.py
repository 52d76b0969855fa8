"""Subgraphs unfolded, and every wire followed to what really feeds it.

A `Frame` is the canvas or one unfolded instance of a subgraph; its nodes get ids such as `1:2`. `Tracer.trace` follows a wire through
reroutes, borders of subgraphs, primitives, bypassed and muted nodes. Nothing here recurses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from nodegraph.comfy.converted import Warnings
from nodegraph.comfy.ui_file import BYPASSED, MUTED, Port, UiFile, UiGraph, UiNode
from nodegraph.comfy.ui_widgets import CONTROL_WORDS
from nodegraph.errors import Cycle, GraphTooLarge, NodegraphError, shorten

MAX_DEPTH: Final = 40
MAX_UNFOLDED: Final = 300_000
"""nodes, slots and values in all copies of subgraphs together"""
_LOOKED_AT: Final = 50
"""inputs of a bypassed node whose types are compared one by one; no honest node has as many"""
REROUTES: Final = frozenset({"Reroute", "Reroute (rgthree)", "ReroutePrimitive|pysssss"})
PRIMITIVE: Final = "PrimitiveNode"
SET_NODES: Final = frozenset({"SetNode", "easy setNode"})
GET_NODES: Final = frozenset({"GetNode", "easy getNode"})
VIRTUAL: Final = REROUTES | SET_NODES | GET_NODES | {PRIMITIVE}


class Origin(NamedTuple):
    """What feeds an input: output `slot` of a node that runs."""

    frame: Frame
    node: UiNode
    slot: int


class Constant(NamedTuple):
    """What feeds an input: a value set elsewhere, on a primitive or on the outside of a subgraph."""

    value: Any


Source = Origin | Constant | None


class Traced(NamedTuple):
    """Where a wire leads, and the first switched-off node on its way: one that it was led past, or a muted one at which it ended."""

    source: Source = None
    off: Origin | None = None


@dataclass(eq=False, slots=True)
class Frame:
    graph: UiGraph
    prefix: str = ""
    parent: Frame | None = None
    instance: UiNode | None = None
    depth: int = 0
    off: bool = False
    """it, or something around it, is muted or bypassed"""
    children: dict[str, Frame] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    """settings made on the outside of this instance, by the name of the subgraph's input"""
    overrides: dict[str, dict[str, Any]] = field(default_factory=dict)
    """settings of inner nodes made from outside: by node, by widget"""
    setters: dict[str, UiNode] = field(default_factory=dict)
    """nodes that name what flows into them, for those that fetch it by name"""

    def id_of(self, node: UiNode) -> str:
        return self.prefix + node.id

    def ancestors(self) -> Iterator[Frame]:
        frame: Frame | None = self
        while frame is not None:
            yield frame
            frame = frame.parent


def unfold(file: UiFile, problems: list[NodegraphError], warnings: Warnings) -> list[Frame]:
    """The canvas and every instance of a subgraph, outer ones first.

    A subgraph inside itself is added to `problems`; raises GraphTooLarge when copies of copies come to too many nodes.
    """
    root = Frame(file.root)
    frames: list[Frame] = []
    waiting = [root]
    total = 0
    while waiting:
        frame = waiting.pop()
        frames.append(frame)
        total += frame.graph.weight if frame.parent is not None else 0
        if total > MAX_UNFOLDED:
            raise GraphTooLarge("its subgraphs unfold to far too many nodes", hint="use fewer copies of nested subgraphs")
        inner = [child for node in frame.graph.nodes.values() if (child := _child(frame, node, file, problems, warnings)) is not None]
        waiting.extend(reversed(inner))
    return frames


def _child(frame: Frame, node: UiNode, file: UiFile, problems: list[NodegraphError], warnings: Warnings) -> Frame | None:
    if node.type in SET_NODES and isinstance(name := first_value(node), str):
        frame.setters[name] = node
    graph = file.definitions.get(node.type)
    if graph is None:
        return None
    id = frame.id_of(node)
    if any(above.graph is graph for above in frame.ancestors()):
        fault = f"the subgraph {shorten(graph.name or graph.id)!r} contains itself"
        problems.append(Cycle(fault, node=shorten(id, 60), hint="open it in ComfyUI and take the inner copy out"))
        return None
    if frame.depth >= MAX_DEPTH:
        raise GraphTooLarge(f"subgraphs are nested more than {MAX_DEPTH} deep", hint="unpack some of them in ComfyUI")
    child = Frame(graph, id + ":", frame, node, frame.depth + 1, frame.off or node.mode in (MUTED, BYPASSED))
    _set_values(child, node, frame, warnings)
    frame.children[node.id] = child
    return child


# --------------------------------------------------------------------------------------------- settings on the outside


def _set_values(child: Frame, node: UiNode, frame: Frame, warnings: Warnings) -> None:
    """Settings that an instance makes for its inside; those that a frame further out makes for the instance come last."""
    proxies = node.properties.get("proxyWidgets")
    if node.named is not None:
        child.values.update(node.named)
    elif isinstance(node.widgets, list) and node.widgets and isinstance(proxies, list) and proxies:
        _set_by_proxy(child, node.widgets, proxies)
    elif isinstance(node.widgets, list) and any(value is not None for value in node.widgets):
        _set_by_position(child, node, warnings)
    child.values.update(frame.overrides.get(node.id, {}))
    child.values = {name: value for name, value in child.values.items() if value is not None}


def _set_by_proxy(child: Frame, values: list[Any], proxies: list[Any]) -> None:
    """Each proxy is [inner node, widget] and owns the value at its place; node "-1" is the subgraph's own input."""
    for proxy, value in zip(proxies, values, strict=False):
        if value is None or not isinstance(proxy, list) or len(proxy) < 2 or not all(isinstance(part, str) for part in proxy[:2]):
            continue
        inner, name = proxy[:2]
        if inner == "-1":
            child.values[name] = value
        elif name != "control_after_generate" and not name.startswith("$$"):
            child.overrides.setdefault(inner, {})[name] = value


def _set_by_position(child: Frame, node: UiNode, warnings: Warnings) -> None:
    shown = {port.name for port in node.inputs if port.widget is not None}
    names = [port.name for i, port in enumerate(child.graph.inputs) if i in child.graph.settings or port.name in shown]
    values = list(node.widgets)
    if len(values) > len(names):
        values = [value for value in values if not (isinstance(value, str) and value in CONTROL_WORDS)]
    if len(values) != len(names):
        text = f"{len(node.widgets)} values are stored for the {len(names)} settings of the subgraph; its inner values are taken"
        warnings.add(text, child.prefix[:-1], child.graph.name)
        return
    child.values.update(zip(names, values, strict=True))


def first_value(node: UiNode) -> Any:
    """The first widget of a node of the editor, such as the value of a primitive or the name of a setter."""
    values = node.widgets if isinstance(node.widgets, list) else list(node.widgets.values()) if isinstance(node.widgets, dict) else []
    return values[0] if values else None


# --------------------------------------------------------------------------------------------- following wires


class _Place(NamedTuple):
    """A wire as seen from its target end; `wanted` is the type of the input that asks."""

    frame: Frame
    link: str
    wanted: str


class Tracer:
    """Finds what feeds an input. Every wire is followed once per type that asks for it."""

    def __init__(self, warnings: Warnings) -> None:
        self.warnings = warnings
        self.known: dict[_Place, Traced] = {}

    def trace(self, frame: Frame, port: Port) -> Traced:
        """What feeds `port` of a node in `frame`."""
        if port.link is None:
            return Traced()
        place: _Place | None = _Place(frame, port.link, port.type)
        path: dict[_Place, None] = {}
        found = Traced()
        while place is not None:
            if place in self.known:
                found = self.known[place]
                break
            if place in path:
                target = place.frame.graph.wires[place.link].target
                self.warnings.add("its wire runs in a circle and feeds nothing", place.frame.prefix + target)
                break
            path[place] = None
            step = self._step(place)
            place, found = (step, found) if isinstance(step, _Place) else (None, Traced(step))
        for passed in reversed(path):
            source = found.source if found.source is not None else _set_outside(passed)
            found = self.known[passed] = Traced(source, _switched_off(passed) or found.off)
        return found

    def _step(self, place: _Place) -> _Place | Source:
        frame = place.frame
        wire = frame.graph.wires.get(place.link)
        if wire is None:
            return self._open(place, f"link {shorten(place.link)}")
        if wire.origin == frame.graph.input_node and frame.instance is not None:
            return self._outwards(frame, frame.instance, wire.origin_slot, place.wanted)
        node = frame.graph.nodes.get(wire.origin)
        if node is None:
            return self._open(place, f"node {shorten(wire.origin)}")
        if node.mode == MUTED:
            return None
        if node.mode == BYPASSED:
            return _go_on(frame, _bypass(node, wire.origin_slot, place.wanted), place.wanted)
        return self._through(place, node, wire.origin_slot)

    def _open(self, place: _Place, what: str) -> Source:
        where = place.frame.prefix[:-1] or None
        self.warnings.add(f"a wire comes from {what}, which is not there; the input is left open", where)
        return None

    def _through(self, place: _Place, node: UiNode, slot: int) -> _Place | Source:
        """Past an active node if it only exists in the editor, into it if it is a subgraph; else it is the origin."""
        frame = place.frame
        if node.type in REROUTES or node.type in SET_NODES:
            return _go_on(frame, node.inputs[0] if node.inputs else None, place.wanted)
        if node.type == PRIMITIVE:
            value = first_value(node)
            return Constant(value) if value is not None else None
        if node.type in GET_NODES:
            return self._fetch(frame, node, place.wanted)
        child = frame.children.get(node.id)
        if child is not None:
            return _inwards(child, node, slot, place.wanted)
        return Origin(frame, node, slot)

    def _fetch(self, frame: Frame, node: UiNode, wanted: str) -> _Place | None:
        name = first_value(node)
        for outer in frame.ancestors():
            setter = outer.setters.get(name) if isinstance(name, str) else None
            if setter is not None and setter.mode not in (MUTED, BYPASSED):
                return _go_on(outer, setter.inputs[0] if setter.inputs else None, wanted)
        self.warnings.add(f"nothing sets the name {shorten(name)} that it fetches", frame.id_of(node), node.type)
        return None

    def _outwards(self, frame: Frame, instance: UiNode, slot: int, wanted: str) -> _Place | None:
        """From an input of a subgraph to what is connected to it on its outside."""
        if slot >= len(frame.graph.inputs):
            return None
        name = frame.graph.inputs[slot].name
        port = next((port for port in instance.inputs if port.name == name), None)
        return _go_on(frame.parent, port, wanted) if frame.parent is not None else None


def _set_outside(place: _Place) -> Constant | None:
    """The value that an instance has for the input of its subgraph where a wire begins: it counts if nothing comes from further out."""
    frame, wire = place.frame, place.frame.graph.wires.get(place.link)
    if wire is None or wire.origin != frame.graph.input_node or wire.origin_slot >= len(frame.graph.inputs):
        return None
    name = frame.graph.inputs[wire.origin_slot].name
    return Constant(frame.values[name]) if name in frame.values else None


def _switched_off(place: _Place) -> Origin | None:
    """The node at the other end of a wire if it is muted or bypassed."""
    wire = place.frame.graph.wires.get(place.link)
    node = place.frame.graph.nodes.get(wire.origin) if wire is not None else None
    return Origin(place.frame, node, wire.origin_slot) if wire is not None and node is not None and node.mode in (MUTED, BYPASSED) else None


def only_way(node: UiNode, slot: int) -> bool:
    """Whether just one connected input of a bypassed node fits its output, so that every rule of bypassing takes that one."""
    offered = node.outputs[slot].type if slot < len(node.outputs) else "*"
    linked = [port for port in node.inputs if port.link is not None]
    return offered != "*" and len(linked) < _LOOKED_AT and sum(types_fit(port.type, offered) for port in linked) == 1


def _go_on(frame: Frame, port: Port | None, wanted: str) -> _Place | None:
    return _Place(frame, port.link, wanted) if port is not None and port.link is not None else None


def _inwards(child: Frame, instance: UiNode, slot: int, wanted: str) -> _Place | None:
    """From an output of an instance to the wire that ends there inside. A stale instance may list its outputs in another order."""
    outputs = child.graph.outputs
    name = instance.outputs[slot].name if slot < len(instance.outputs) else None
    if name is not None and (slot >= len(outputs) or outputs[slot].name != name):
        slot = next((i for i, port in enumerate(outputs) if port.name == name), slot)
    link = child.graph.results.get(slot)
    return _Place(child, link, wanted) if link is not None else None


def _bypass(node: UiNode, slot: int, wanted: str) -> Port | None:
    """Which input a bypassed node hands on for an output: the one in the same place if its type fits both ends, else by type."""
    if not node.inputs:
        return None
    same_place = node.inputs[slot] if slot < len(node.inputs) else None
    if wanted == "*":
        return same_place or node.inputs[0]
    offered = node.outputs[slot].type if slot < len(node.outputs) else wanted
    if same_place is not None and types_fit(same_place.type, offered) and types_fit(same_place.type, wanted):
        return same_place
    exact = (port for port in node.inputs if port.type == wanted)
    fitting = (port for port in node.inputs[:_LOOKED_AT] if types_fit(port.type, wanted))
    return next(exact, None) or next(fitting, None)


def types_fit(one: str, other: str) -> bool:
    """ComfyUI's rule for type names: equal, `*`, or sharing a member of `A,B`."""
    if one == other or "*" in (one, other):
        return True
    return not _members(one).isdisjoint(_members(other))


def _members(name: str) -> set[str]:
    return {part.strip() for part in name.casefold().split(",")}


def running(frames: Iterable[Frame]) -> Iterator[tuple[Frame, UiNode]]:
    """All nodes that are more than a help of the editor, with the frame they are in."""
    for frame in frames:
        for node in frame.graph.nodes.values():
            if node.type not in VIRTUAL and node.id not in frame.children:
                yield frame, node
