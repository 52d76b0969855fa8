"""What a run would do, found without running anything: a pure function of graph, keys and cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeGuard

from nodegraph.cache import Cache, Entry
from nodegraph.document import Link
from nodegraph.graph import Graph, GraphNode
from nodegraph.keys import Key

Valid = Callable[[Entry], bool]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do if it started now. Of `run`, early cut-off may spare some; lazy inputs that are asked for come on top."""

    run: tuple[str, ...]
    cached: tuple[str, ...]


def plan(
    graph: Graph,
    keys: Mapping[str, Key],
    cache: Cache,
    valid: Valid = lambda entry: True,
    places: Mapping[str, Key] = MappingProxyType({}),
) -> Plan:
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
        entry = cache.get(keys[id], places.get(id, b""))
        if is_usable(entry, valid):
            cached.append(id)
        else:
            run.append(id)
            stack += [link.node for link in strict_links(graph.nodes[id])]
    return Plan(tuple(run), tuple(cached))


def is_usable(entry: Entry | None, valid: Valid) -> TypeGuard[Entry]:
    """Whether a result is there and what it showed is still as it was."""
    return entry is not None and (not entry.shown or valid(entry))


def strict_links(node: GraphNode) -> Iterator[Link]:
    """The links whose values must be there before the node is called."""
    inputs = node.spec.inputs
    for name, link in node.links.items():
        spec = inputs[name]
        if not (spec.lazy or spec.raw):
            yield link


def needed(graph: Graph) -> list[str]:
    """The nodes that the targets depend on, also through lazy inputs, in the order of the graph."""
    seen = set(graph.targets)
    stack = list(seen)
    while stack:
        for link in graph.nodes[stack.pop()].links.values():
            if link.node not in seen:
                seen.add(link.node)
                stack.append(link.node)
    return [id for id in graph.nodes if id in seen]
