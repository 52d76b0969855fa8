"""Which subgraphs of a file stay subgraphs, and by which names their ports are called here.

A `Kept` subgraph becomes a definition of ours. One that fetches by name what is set outside of it has no such border: it is unfolded
wherever it stands. What ComfyUI calls a promoted widget, a setting of an inner node that is shown outside, becomes an input here.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from itertools import count
from typing import Final

from nodegraph.comfy.aliases import ForeignInput
from nodegraph.comfy.converted import Warnings
from nodegraph.comfy.ui_file import MAX_PORTS, Port, UiFile, UiGraph, UiNode
from nodegraph.comfy.ui_widgets import first_value
from nodegraph.document import MAX_SUBGRAPHS
from nodegraph.errors import Cycle, GraphTooLarge, NodegraphError, Problems, shorten
from nodegraph.subgraphs import MAX_DEPTH

SET_NODES: Final = frozenset({"SetNode", "easy setNode"})
GET_NODES: Final = frozenset({"GetNode", "easy getNode"})
CONTROL: Final = "control_after_generate"
"""the widget beside a seed that says what becomes of it after a run"""
_MAX_FETCHED: Final = 300
_MAX_NAME: Final = 200


@dataclass(eq=False, slots=True)
class Kept:
    """A subgraph that stays one. Ports are told by their place: those of the file, then the promoted ones."""

    graph: UiGraph
    inlet: str
    outlet: str
    inputs: list[str]
    outputs: list[str]
    promoted: dict[tuple[str, str], int] = field(default_factory=dict)
    """by inner node and widget, the place of the input that sets it"""
    places: dict[str, int] = field(default_factory=dict)
    """by what a file calls it, where an input is"""
    kinds: dict[int, ForeignInput] = field(default_factory=dict)
    """by the place of an input, what it sets inside first: tells how a stored value is read. Known when its inside was read, as is"""
    given: set[int] = field(default_factory=set)
    """the places of outputs to which something is connected inside"""
    id: str = ""
    """of its definition here"""


def kept_subgraphs(file: UiFile, problems: list[NodegraphError], warnings: Warnings) -> dict[str, Kept]:
    """Those that stay, inner ones first.

    Raises GraphTooLarge for deep nesting, and Problems, those given too, for a subgraph inside itself.
    """
    if len(file.definitions) > MAX_SUBGRAPHS:
        raise GraphTooLarge(f"the workflow has {len(file.definitions)} subgraphs; at most {MAX_SUBGRAPHS} are accepted", hint="split it")
    used = {id: {node.type for node in graph.nodes.values() if node.type in file.definitions} for id, graph in file.definitions.items()}
    try:
        order = list(TopologicalSorter(used).static_order())
    except CycleError as error:
        graph = file.definitions[error.args[1][0]]
        fault = f"the subgraph {shorten(graph.name or graph.id)!r} contains itself"
        raise Problems([*problems, Cycle(fault, hint="open it in ComfyUI and take the inner copy out")]) from error
    depth: dict[str, int] = {}
    for id in order:
        depth[id] = 1 + max((depth[inner] for inner in used[id]), default=0)
        if depth[id] > MAX_DEPTH:
            raise GraphTooLarge(f"subgraphs are nested more than {MAX_DEPTH} deep", hint="unpack some of them in ComfyUI")
    fetching = _fetching(file, order, used)
    shown = _shown_outside(file)
    kept: dict[str, Kept] = {}
    for id in order:
        if id in fetching:
            name = shorten(file.definitions[id].name or id)
            warnings.add(f"the subgraph {name!r} was unfolded: it fetches {shorten(fetching[id])!r}, which is set outside of it")
        else:
            kept[id] = _kept(file.definitions[id], shown.get(id, {}), kept, warnings)
    return kept


def _fetching(file: UiFile, order: list[str], used: Mapping[str, set[str]]) -> dict[str, str]:
    """The subgraphs that fetch something by a name that only something outside of them sets, and such a name."""
    sets = {id: _names(graph, SET_NODES) for id, graph in file.definitions.items()}
    anywhere = set().union(_names(file.root, SET_NODES), *sets.values())
    wanted: dict[str, set[str]] = {}
    for id in order:
        inner = (wanted[one] for one in used[id])
        wanted[id] = (_names(file.definitions[id], GET_NODES) & anywhere).union(*inner) - sets[id]
        if len(wanted[id]) > _MAX_FETCHED:
            raise GraphTooLarge("a subgraph fetches far too many values by name", hint="connect them with wires in ComfyUI")
    return {id: min(names) for id, names in wanted.items() if names}


def _names(graph: UiGraph, types: frozenset[str]) -> set[str]:
    return {name for node in graph.nodes.values() if node.type in types and isinstance(name := first_value(node), str)}


def _shown_outside(file: UiFile) -> dict[str, dict[tuple[str, str], None]]:
    """By subgraph, every inner widget that one of its instances shows, in their order."""
    shown: dict[str, dict[tuple[str, str], None]] = {}
    for graph in (file.root, *file.definitions.values()):
        for node in graph.nodes.values():
            if node.type in file.definitions:
                shown.setdefault(node.type, {}).update(dict.fromkeys(proxies_of(node)))
    return shown


def proxies_of(node: UiNode) -> Iterator[tuple[str, str]]:
    """The inner node and widget of each setting that an instance shows. Those of the subgraph's own inputs say "-1"."""
    proxies = node.properties.get("proxyWidgets")
    for proxy in proxies[:MAX_PORTS] if isinstance(proxies, list) else ():
        ok = isinstance(proxy, list) and len(proxy) >= 2 and all(isinstance(part, str) for part in proxy[:2])
        yield (proxy[0], proxy[1]) if ok else ("", "")


def is_setting(widget: str) -> bool:
    """Whether a shown widget is one: what becomes of a seed, and pictures that are shown outside, are none."""
    return bool(widget) and widget != CONTROL and not widget.startswith("$$")


def _kept(graph: UiGraph, shown: Iterable[tuple[str, str]], known: Mapping[str, Kept], warnings: Warnings) -> Kept:
    names = [port.name for port in graph.inputs]
    found = Kept(graph, _free("in", graph.nodes), _free("out", graph.nodes), _port_names(graph.inputs), _port_names(graph.outputs))
    taken = set(found.inputs)
    for inner, widget in shown:
        if not is_setting(widget) or not _may_be_set(graph.nodes.get(inner), widget, known):
            continue
        if len(found.inputs) >= MAX_PORTS:
            warnings.add(f"the subgraph {shorten(graph.name)!r} shows more than {MAX_PORTS} settings; the rest stay inside")
            break
        found.promoted[inner, widget] = len(found.inputs)
        names.append(widget)
        found.inputs.append(_free(widget[:_MAX_NAME], taken))
        taken.add(found.inputs[-1])
    found.places = {name: place for place, name in reversed([*enumerate(names)])}
    return found


def _may_be_set(node: UiNode | None, widget: str, known: Mapping[str, Kept]) -> bool:
    """Whether the widget is there and nothing is connected to it."""
    if node is None or any(port.link is not None and widget in (port.name, port.widget) for port in node.inputs):
        return False
    return node.type not in known or widget in known[node.type].places


def _port_names(ports: Iterable[Port]) -> list[str]:
    """What people call them, where they gave them a name."""
    names: dict[str, None] = {}
    for i, port in enumerate(ports):
        names[_free((port.label.strip() or port.name or f"port_{i}")[:_MAX_NAME], names)] = None
    return list(names)


def _free(name: str, taken: Container[str]) -> str:
    return name if name not in taken else next(one for i in count(2) if (one := f"{name}_{i}") not in taken)
