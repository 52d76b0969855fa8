"""Subgraphs that cannot stay unfolded, and every wire followed to what really feeds it.

A `Frame` is the canvas, the inside of a subgraph that stays one, or one unfolded instance of another; the nodes of that get ids such as
`1:2`. `Tracer.trace` follows a wire through reroutes, borders of unfolded subgraphs, primitives, bypassed and muted nodes. Nothing here
recurses.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from nodegraph.comfy.converted import Warnings
from nodegraph.comfy.ui_file import BYPASSED, MUTED, Port, UiGraph, UiNode
from nodegraph.comfy.ui_subgraphs import GET_NODES, SET_NODES, Kept, is_setting, proxies_of
from nodegraph.comfy.ui_widgets import CONTROL_WORDS, first_value
from nodegraph.errors import GraphTooLarge, shorten

MAX_UNFOLDED: Final = 300_000
"""nodes, slots and values in all copies of subgraphs together"""
_LOOKED_AT: Final = 50
"""inputs of a bypassed node whose types are compared one by one; no honest node has as many"""
REROUTES: Final = frozenset({"Reroute", "Reroute (rgthree)", "ReroutePrimitive|pysssss"})
PRIMITIVE: Final = "PrimitiveNode"
VIRTUAL: Final = REROUTES | SET_NODES | GET_NODES | {PRIMITIVE}


class Origin(NamedTuple):
    """What feeds an input: output `slot` of a node that runs."""

    frame: Frame
    node: UiNode
    slot: int


class Inlet(NamedTuple):
    """What feeds an input: an input of the subgraph that it is in, by its place."""

    place: int


class Constant(NamedTuple):
    """What feeds an input: a value set elsewhere, on a primitive or on the outside of a subgraph."""

    value: Any


Source = Origin | Inlet | Constant | None


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
    kept: Kept | None = None
    """it is the inside of this one"""
    off: bool = False
    """it, or something around it, is muted or bypassed"""
    children: dict[str, Frame] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    """settings made on the outside of this instance, by the name of the subgraph's input; or the Inlet that makes them"""
    overrides: dict[str, dict[str, Any]] = field(default_factory=dict)
    """the same of inner nodes: by node, by widget"""
    setters: dict[str, UiNode] = field(default_factory=dict)
    """nodes that name what flows into them, for those that fetch it by name"""

    def id_of(self, node: UiNode) -> str:
        return self.prefix + node.id

    def ancestors(self) -> Iterator[Frame]:
        frame: Frame | None = self
        while frame is not None:
            yield frame
            frame = frame.parent


def unfold(root: Frame, definitions: Mapping[str, UiGraph], kept: Container[str], room: int, warnings: Warnings) -> list[Frame]:
    """A canvas and every instance in it of a subgraph that does not stay one, outer ones first.

    Raises GraphTooLarge when copies of copies come to more than `room`, counted as `UiGraph.weight` does.
    """
    frames: list[Frame] = []
    waiting = [root]
    while waiting:
        frame = waiting.pop()
        frames.append(frame)
        room -= frame.graph.weight if frame.parent is not None else 0
        if room < 0:
            raise GraphTooLarge("its subgraphs unfold to far too many nodes", hint="use fewer copies of nested subgraphs")
        for node in frame.graph.nodes.values():
            if node.type in SET_NODES and isinstance(name := first_value(node), str):
                frame.setters[name] = node
            elif node.type in definitions and node.type not in kept:
                off = frame.off or node.mode in (MUTED, BYPASSED)
                child = Frame(definitions[node.type], frame.id_of(node) + ":", frame, node, off=off)
                own = settings_of(frame, node, child.graph, warnings)
                child.values, child.overrides = {**own.values, **frame.overrides.get(node.id, {})}, own.overrides
                frame.children[node.id] = child
        waiting.extend(reversed(frame.children.values()))
    return frames


# --------------------------------------------------------------------------------------------- settings on the outside


class Settings(NamedTuple):
    """What an instance sets: inputs of its subgraph by name, and settings of inner nodes by node and widget."""

    values: dict[str, Any]
    overrides: dict[str, dict[str, Any]]


def settings_of(frame: Frame, node: UiNode, graph: UiGraph, warnings: Warnings) -> Settings:
    """Settings that an instance makes itself for its inside."""
    found = Settings({}, {})
    if node.named is not None:
        found.values.update(node.named)
    elif isinstance(node.widgets, list) and any(value is not None for value in node.widgets):
        proxies = list(proxies_of(node))
        shown = [(inner, name) for inner, name in proxies if inner == "-1" or is_setting(name)]
        fitting = next((names for names in (proxies, shown) if len(names) == len(node.widgets)), None)
        if fitting is not None:
            _set_by_proxy(found, fitting, node.widgets)
        elif proxies:
            _warn_of_count(frame.id_of(node), len(node.widgets), len(shown), graph, warnings)
        else:
            found.values.update(_by_position(frame.id_of(node), node, graph, warnings))
    return Settings({name: value for name, value in found.values.items() if value is not None}, found.overrides)


def _set_by_proxy(found: Settings, proxies: Sequence[tuple[str, str]], values: Sequence[Any]) -> None:
    """Each proxy is (inner node, widget) and owns the value at its place; node "-1" is the subgraph's own input."""
    for (inner, name), value in zip(proxies, values, strict=True):
        if value is not None and inner == "-1":
            found.values[name] = value
        elif value is not None and is_setting(name):
            found.overrides.setdefault(inner, {})[name] = value


def _warn_of_count(id: str, stored: int, settings: int, graph: UiGraph, warnings: Warnings) -> None:
    """To hand them out by guess would set the wrong ones."""
    text = f"{stored} values are stored for the {settings} settings of the subgraph; its inner values are taken"
    warnings.add(text, id, graph.name)


def _by_position(id: str, node: UiNode, graph: UiGraph, warnings: Warnings) -> dict[str, Any]:
    shown = {port.name for port in node.inputs if port.widget is not None}
    names = [port.name for i, port in enumerate(graph.inputs) if i in graph.settings or port.name in shown]
    values = list(node.widgets)
    if len(values) > len(names):
        values = [value for value in values if not (isinstance(value, str) and value in CONTROL_WORDS)]
    if len(values) != len(names):
        _warn_of_count(id, len(node.widgets), len(names), graph, warnings)
        return {}
    return dict(zip(names, values, strict=True))


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
        if wire.origin == frame.graph.input_node and frame.kept is not None:
            return Inlet(wire.origin_slot) if wire.origin_slot < len(frame.graph.inputs) else None
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
        """Past an active node if it only exists in the editor, into it if it is unfolded; else it is the origin."""
        frame = place.frame
        if node.type in REROUTES or node.type in SET_NODES:
            return _go_on(frame, node.inputs[0] if node.inputs else None, place.wanted)
        if node.type == PRIMITIVE:
            inlet = next(iter(frame.overrides.get(node.id, {}).values()), None)
            value = inlet if isinstance(inlet, Inlet) else first_value(node)
            return as_source(value)
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


def as_source(value: Any) -> Constant | Inlet | None:
    return value if isinstance(value, Inlet) else Constant(value) if value is not None else None


def _set_outside(place: _Place) -> Constant | Inlet | None:
    """The value that an instance has for the input of its subgraph where a wire begins: it counts if nothing comes from further out."""
    frame, wire = place.frame, place.frame.graph.wires.get(place.link)
    if wire is None or wire.origin != frame.graph.input_node or wire.origin_slot >= len(frame.graph.inputs):
        return None
    name = frame.graph.inputs[wire.origin_slot].name
    return as_source(frame.values.get(name))


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
    """From an output of an instance to the wire that ends there inside."""
    link = child.graph.results.get(output_of(instance, child.graph, slot))
    return _Place(child, link, wanted) if link is not None else None


def output_of(instance: UiNode, graph: UiGraph, slot: int) -> int:
    """The output of a subgraph that one of an instance stands for: a stale instance may list them in another order."""
    name = instance.outputs[slot].name if slot < len(instance.outputs) else None
    if name is not None and (slot >= len(graph.outputs) or graph.outputs[slot].name != name):
        return next((i for i, port in enumerate(graph.outputs) if port.name == name), slot)
    return slot


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
    """All nodes that are more than a help of the editor, with the frame they are in; those that stand for a kept subgraph too."""
    for frame in frames:
        for node in frame.graph.nodes.values():
            if node.type not in VIRTUAL and node.id not in frame.children:
                yield frame, node
