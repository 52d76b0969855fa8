"""The JSON of ComfyUI's editor (versions 0.4 and 1) as typed values: nodes, wires and subgraph definitions, of proven form.

Both ways of writing a link become a `Wire`; ids become text; nothing is expanded or resolved yet.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from nodegraph.comfy.constants import describe
from nodegraph.document import MAX_NODES
from nodegraph.errors import FormatTooNew, GraphTooLarge, NodegraphError, UnknownFormat, shorten

ALWAYS, MUTED, BYPASSED = 0, 2, 4
NEWEST: Final = 1
_SAVE_AGAIN: Final = "open the file in ComfyUI and save it again"
MAX_PORTS: Final = 500
_MAX_ID = 200
_MAX_SLOT = 10**6
_COLOR = re.compile(r"#[0-9a-fA-F]{3,8}")


class Wire(NamedTuple):
    origin: str
    origin_slot: int
    target: str
    target_slot: int


class Port(NamedTuple):
    """An input or output of a node or of a subgraph. widget: the setting that it replaces when connected; label: what people call it"""

    name: str
    type: str
    link: str | None = None
    widget: str | None = None
    label: str = ""


@dataclass(frozen=True, slots=True)
class UiNode:
    id: str
    type: str
    mode: int
    title: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    widgets: Any
    """`widgets_values` as saved: a list by position, an object by name, or None"""
    named: dict[str, Any] | None
    properties: dict[str, Any]
    layout: dict[str, Any]


@dataclass(slots=True)
class UiGraph:
    """The canvas, or the inside of a subgraph. `inputs` and `outputs` are the subgraph's own."""

    id: str
    name: str
    nodes: dict[str, UiNode]
    wires: dict[str, Wire]
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()
    groups: tuple[dict[str, Any], ...] = ()
    input_node: str = "-10"
    output_node: str = "-20"
    borders: tuple[list[float] | None, list[float] | None] = (None, None)
    """where the nodes of the inputs and of the outputs are"""
    results: dict[int, str] = field(default_factory=dict)
    """the wire that ends at each output of the subgraph"""
    settings: frozenset[int] = frozenset()
    """the subgraph's inputs that feed a widget inside, so that they have a value of their own outside"""
    weight: int = 0
    """how much one copy of it costs: its nodes, their slots and stored values"""


class UiFile(NamedTuple):
    root: UiGraph
    definitions: dict[str, UiGraph]
    group_nodes: frozenset[str]
    """types of the former kind of subgraph, named `workflow/NAME`"""


def is_ui_json(data: Any) -> bool:
    """Whether this looks like a file of ComfyUI's editor: a list of nodes with links or the counters beside it."""
    if not isinstance(data, dict) or not isinstance(data.get("nodes"), list):
        return False
    return any(key in data for key in ("links", "last_node_id", "last_link_id", "state"))


def parse_ui(data: Any, problems: list[NodegraphError]) -> UiFile:
    """Read the whole file. Faults of form are added to `problems`.

    Raises FormatTooNew, GraphTooLarge or UnknownFormat where reading on would be vain.
    """
    if not is_ui_json(data):
        raise UnknownFormat(f"this is no workflow of ComfyUI's editor but {describe(data)}", hint="in ComfyUI, use Workflow > Export")
    _check_version(data.get("version"))
    root = _parse_graph(data, "", problems)
    definitions: dict[str, UiGraph] = {}
    for raw in _definitions(data):
        graph = _parse_graph(raw, raw["id"], problems)
        if definitions.setdefault(graph.id, graph) is not graph:
            problems.append(UnknownFormat(f"two subgraphs have the id {shorten(graph.id)}", hint=_SAVE_AGAIN))
    if any(len(graph.inputs) > MAX_PORTS or len(graph.outputs) > MAX_PORTS for graph in definitions.values()):
        raise UnknownFormat(f"a subgraph has more than {MAX_PORTS} inputs or outputs", hint="is the file broken?")
    total = len(root.nodes) + sum(len(graph.nodes) for graph in definitions.values())
    if total > MAX_NODES:
        raise GraphTooLarge(f"the workflow has {total} nodes; at most {MAX_NODES} are accepted")
    extra = data.get("extra")
    legacy = extra.get("groupNodes") if isinstance(extra, dict) else None
    return UiFile(root, definitions, frozenset(map(str, legacy)) if isinstance(legacy, dict) else frozenset())


def _check_version(version: Any) -> None:
    if isinstance(version, int | float) and not isinstance(version, bool) and not version < NEWEST + 1:
        raise FormatTooNew(f"the file has version {shorten(version)}; versions up to {NEWEST} are known", hint="update nodegraph")


def _definitions(data: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """All subgraph definitions, those inside definitions too."""
    waiting: list[Any] = [data]
    while waiting:
        holder = waiting.pop().get("definitions")
        found = holder.get("subgraphs") if isinstance(holder, dict) else None
        for raw in found if isinstance(found, list) else ():
            if isinstance(raw, dict) and isinstance(raw.get("id"), str):
                yield raw
                waiting.append(raw)


def _parse_graph(raw: dict[str, Any], id: str, problems: list[NodegraphError]) -> UiGraph:
    name = raw.get("name")
    graph = UiGraph(id, name if isinstance(name, str) else "", {}, {})
    for item in _items(raw.get("nodes"), "nodes", problems):
        _add_node(graph, item, problems)
    for item in _items(raw.get("links", []), "links", problems):
        _add_wire(graph, item, problems)
    graph.inputs, graph.outputs = _ports(raw.get("inputs")), _ports(raw.get("outputs"))
    graph.groups = tuple(group for item in _loose_list(raw.get("groups")) if (group := _group(item)) is not None)
    graph.input_node = _border_id(raw.get("inputNode"), "-10")
    graph.output_node = _border_id(raw.get("outputNode"), "-20")
    graph.borders = _border_place(raw.get("inputNode")), _border_place(raw.get("outputNode"))
    graph.results = {wire.target_slot: link for link, wire in graph.wires.items() if wire.target == graph.output_node}
    graph.settings = frozenset(wire.origin_slot for wire in graph.wires.values() if _feeds_widget(graph, wire))
    graph.weight = 1 + len(graph.inputs) + len(graph.groups) + sum(map(_weight, graph.nodes.values()))
    return graph


def _feeds_widget(graph: UiGraph, wire: Wire) -> bool:
    node = graph.nodes.get(wire.target) if wire.origin == graph.input_node else None
    return node is not None and wire.target_slot < len(node.inputs) and node.inputs[wire.target_slot].widget is not None


def _weight(node: UiNode) -> int:
    lists = (node.inputs, node.outputs, node.widgets, node.named, node.properties.get("models"), node.properties.get("proxyWidgets"))
    return 1 + sum(len(part) for part in lists if isinstance(part, list | tuple | dict))


def _items(raw: Any, what: str, problems: list[NodegraphError]) -> list[Any]:
    if isinstance(raw, list):
        return [item for item in raw if item is not None]
    problems.append(UnknownFormat(f"`{what}` must be a list, not {describe(raw)}", hint=_SAVE_AGAIN))
    return []


def _loose_list(raw: Any) -> list[Any]:
    """Parts without which a workflow still means the same are passed over when they are malformed."""
    return raw if isinstance(raw, list) else []


def _add_node(graph: UiGraph, raw: Any, problems: list[NodegraphError]) -> None:
    id = read_id(raw.get("id")) if isinstance(raw, dict) else None
    type_ = raw.get("type") if isinstance(raw, dict) else None
    if id is None or not isinstance(type_, str) or not 0 < len(type_) <= 500:
        what = f"one with the id {describe(raw.get('id'))} and the type {describe(type_)}" if isinstance(raw, dict) else describe(raw)
        problems.append(UnknownFormat(f"a node must be an object with `id` and `type`, not {what}", node=id, hint=_SAVE_AGAIN))
    elif _count(raw.get("inputs")) > MAX_PORTS or _count(raw.get("outputs")) > MAX_PORTS:
        fault = f"it has more than {MAX_PORTS} inputs or outputs"
        problems.append(UnknownFormat(fault, node=id, node_type=type_, hint="is the file broken?"))
    elif id in graph.nodes:
        problems.append(UnknownFormat("two nodes have this id", node=id, node_type=type_, hint=_SAVE_AGAIN))
    else:
        graph.nodes[id] = _parse_node(id, type_, raw)


def _count(raw: Any) -> int:
    return len(raw) if isinstance(raw, list) else 0


def _parse_node(id: str, type_: str, raw: dict[str, Any]) -> UiNode:
    mode, title, named, properties = raw.get("mode"), raw.get("title"), raw.get("widgets_values_named"), raw.get("properties")
    widgets = raw.get("widgets_values")
    return UiNode(
        id,
        type_,
        mode if type(mode) is int and mode in (MUTED, BYPASSED) else ALWAYS,
        title if isinstance(title, str) else "",
        _ports(raw.get("inputs")),
        _ports(raw.get("outputs")),
        widgets if isinstance(widgets, list | dict) else None,
        named if isinstance(named, dict) and named else None,
        properties if isinstance(properties, dict) else {},
        _layout(raw),
    )


def _ports(raw: Any) -> tuple[Port, ...]:
    return tuple(_port(item) for item in _loose_list(raw))


def _port(raw: Any) -> Port:
    if not isinstance(raw, dict):
        return Port("", "*")
    name, widget, label = raw.get("name"), raw.get("widget"), raw.get("label")
    widget_name = widget.get("name") if isinstance(widget, dict) else None
    return Port(
        name if isinstance(name, str) else "",
        _type_name(raw.get("type")),
        read_id(raw.get("link")),
        widget_name if isinstance(widget_name, str) else None,
        label if isinstance(label, str) else "",
    )


def _type_name(raw: Any) -> str:
    """A slot's type: a name, a list of choices in old files, or litegraph's numbers for "anything"."""
    if isinstance(raw, str):
        return raw[:200] or "*"
    return "COMBO" if isinstance(raw, list) else "*"


def _add_wire(graph: UiGraph, raw: Any, problems: list[NodegraphError]) -> None:
    if isinstance(raw, dict):
        values = [raw.get(key) for key in ("id", "origin_id", "origin_slot", "target_id", "target_slot")]
    else:
        values = raw[:5] if isinstance(raw, list) else []
    if len(values) == 5:
        link, origin, target = read_id(values[0]), read_id(values[1]), read_id(values[3])
        origin_slot, target_slot = _slot(values[2]), _slot(values[4])
        if link is not None and origin is not None and target is not None and origin_slot is not None and target_slot is not None:
            graph.wires[link] = Wire(origin, origin_slot, target, target_slot)
            return
    hint = "a link is [id, origin, slot, target, slot, type] or an object with these; save the workflow again"
    problems.append(UnknownFormat(f"{describe(raw)} is not a link", hint=hint))


def read_id(raw: Any) -> str | None:
    """The id of a node or link as text: whole numbers and short texts are ids."""
    if isinstance(raw, str):
        return raw if 0 < len(raw) <= _MAX_ID else None
    if type(raw) is float and raw.is_integer():
        raw = int(raw)
    return str(raw) if type(raw) is int and abs(raw) < 10**30 else None


def _slot(raw: Any) -> int | None:
    if isinstance(raw, str) and re.fullmatch(r"[0-9]{1,6}", raw):
        return int(raw)
    if type(raw) is float and raw.is_integer():
        raw = int(raw)
    return raw if type(raw) is int and 0 <= raw < _MAX_SLOT else None


def _border_id(raw: Any, usual: str) -> str:
    return (read_id(raw.get("id")) if isinstance(raw, dict) else None) or usual


def _border_place(raw: Any) -> list[float] | None:
    return read_numbers(raw.get("bounding"), 4) if isinstance(raw, dict) else None


# --------------------------------------------------------------------------------------------- looks


def _layout(raw: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key in ("pos", "size"):
        pair = read_numbers(raw.get(key), 2)
        if pair is not None:
            out[key] = pair
    color = next((c for c in (raw.get("color"), raw.get("bgcolor")) if isinstance(c, str) and _COLOR.fullmatch(c)), None)
    if color is not None:
        out["color"] = color
    flags = raw.get("flags")
    if isinstance(flags, dict) and flags.get("collapsed") is True:
        out["collapsed"] = True
    return out


def _group(raw: Any) -> dict[str, Any] | None:
    bounding = read_numbers(raw.get("bounding"), 4) if isinstance(raw, dict) else None
    if bounding is None:
        return None
    title, color = raw.get("title"), raw.get("color")
    group: dict[str, Any] = {"title": title[:1000] if isinstance(title, str) else "", "bounding": bounding}
    if isinstance(color, str) and _COLOR.fullmatch(color):
        group["color"] = color
    return group


def read_numbers(raw: Any, count: int) -> list[float] | None:
    """Coordinates, saved as a list or as `{"0": x, "1": y}`; None if they are not finite numbers of a sane size."""
    values: list[Any] = [raw.get(str(i)) for i in range(count)] if isinstance(raw, dict) else raw[:count] if isinstance(raw, list) else []
    if len(values) != count or not all(type(v) in (int, float) and abs(v) < 1e9 and math.isfinite(v) for v in values):
        return None
    return values
