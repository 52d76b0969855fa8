"""Change inputs of a loaded workflow from outside: `3.seed=7`, `KSampler.steps=8`, `prompt.text=a red fox`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from nodegraph.document import INSTANCE, Document, NodeEntry, as_link, parse_json
from nodegraph.errors import BadOverride, NodegraphError, Problems, did_you_mean, shorten
from nodegraph.registry import Registry
from nodegraph.subgraphs import inner_of
from nodegraph.types import STR, Var


def apply_overrides(document: Document, registry: Registry, overrides: Mapping[str, Any]) -> Document:
    """A copy of the document with inputs replaced. Keys are NODE.INPUT; NODE is an id, else a title or type that only one node has.

    A node inside a subgraph is named after it, as in `draw/sample.seed`; what is set there holds for that copy of the subgraph only.

    Raises Problems with every override that names nothing.
    """
    if not overrides:
        return document
    changed = replace(document, nodes=dict(document.nodes), subgraphs=dict(document.subgraphs))
    own: set[str] = set()
    problems: list[NodegraphError] = []
    for key, value in overrides.items():
        try:
            path, name = find_input(changed, registry, key)
            link = as_link(value) if isinstance(value, Mapping) else None
            _set(_level(changed, path[:-1], own), path[-1], name, value if link is None else link)
        except BadOverride as error:
            problems.append(error)
    if problems:
        raise Problems(problems)
    return changed


def _set(nodes: dict[str, NodeEntry], id: str, name: str, value: Any) -> None:
    nodes[id] = replace(nodes[id], inputs={**nodes[id].inputs, name: value})


def _level(document: Document, around: Sequence[str], own: set[str]) -> dict[str, NodeEntry]:
    """The nodes inside instances within instances, free to be changed. own: definitions that were copied already"""
    nodes = document.nodes
    for id in around:
        name = nodes[id].type.removeprefix(INSTANCE)
        if name not in own or _uses(document, name) > 1:
            definition = replace(document.subgraphs[name], nodes=dict(document.subgraphs[name].nodes))
            if _uses(document, name) > 1:
                name = next(new for n in count(2) if (new := f"{name}-{n}") not in document.subgraphs)
                nodes[id] = replace(nodes[id], type=INSTANCE + name)
            document.subgraphs[name] = definition
            own.add(name)
        nodes = document.subgraphs[name].nodes
    return nodes


def _uses(document: Document, name: str) -> int:
    """How many nodes stand for a subgraph."""
    levels = [document.nodes, *(subgraph.nodes for subgraph in document.subgraphs.values())]
    return sum(entry.type == INSTANCE + name for level in levels for entry in level.values())


def find_input(document: Document, registry: Registry, key: str) -> tuple[tuple[str, ...], str]:
    """(ids of the node and those it is in, outer ones first; input name) that `NODE.INPUT` means. Raises BadOverride."""
    node, dot, name = key.rpartition(".") if isinstance(key, str) else ("", "", "")
    if not dot or not node or not name:
        raise BadOverride(
            f"{shorten(key)} does not name an input", hint="write NODE.INPUT=VALUE, for instance 3.seed=7 or KSampler.steps=8"
        )
    path = find_path(document, node)
    entry = _entry(document, path)
    inputs = _inputs_of(document, registry, entry)
    if inputs is not None and name not in inputs:
        known = ", ".join(inputs)
        told = f"node {'/'.join(path)} ({entry.type}) has no input `{shorten(name)}`"
        raise BadOverride(told, hint=did_you_mean(name, inputs, f"it has: {known}"))
    return path, name


def _entry(document: Document, path: Sequence[str]) -> NodeEntry:
    nodes = document.nodes
    for id in path[:-1]:
        nodes = document.subgraphs[nodes[id].type.removeprefix(INSTANCE)].nodes
    return nodes[path[-1]]


def _inputs_of(document: Document, registry: Registry, entry: NodeEntry) -> Iterable[str] | None:
    """Names; None of an unknown type."""
    spec, definition = registry.specs.get(entry.type), inner_of(document, entry)
    return definition.inputs if definition is not None else spec.inputs if spec is not None else None


def find_path(document: Document, name: str) -> tuple[str, ...]:
    """The ids of the node that `NODE`, or `OUTER/NODE` for one inside a subgraph, names, and of those it is in. Raises BadOverride."""
    path: list[str] = []
    nodes: Mapping[str, NodeEntry] = document.nodes
    while name not in nodes and "/" in name:
        outer, _, rest = name.partition("/")
        try:
            id = find_node(nodes, outer)
        except BadOverride:
            if any(entry.title == name or entry.type == name for entry in nodes.values()):
                break
            raise
        inner = inner_of(document, nodes[id])
        if inner is None:
            break
        path.append(id)
        nodes, name = inner.nodes, rest
    return (*path, find_node(nodes, name))


def find_node(nodes: Mapping[str, NodeEntry], name: str) -> str:
    """The id of the one node that an id, title or type names."""
    if name in nodes:
        return name
    for matches in (
        [id for id, entry in nodes.items() if entry.title == name],
        [id for id, entry in nodes.items() if entry.type == name],
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise BadOverride(
                f"{len(matches)} nodes are called {shorten(name)}: {', '.join(matches[:8])}", hint="use the id of one of them"
            )
    names = [*nodes, *(e.title for e in nodes.values() if e.title), *(e.type for e in nodes.values())]
    listed = ", ".join(f"{id} ({entry.title or entry.type})" for id, entry in list(nodes.items())[:12])
    guess = did_you_mean(name, names)
    raise BadOverride(f"there is no node {shorten(name)}", hint=f"{guess} The nodes: {listed}" if guess else f"the nodes: {listed}")


def parse_override(document: Document, registry: Registry, text: str) -> tuple[str, Any]:
    """`NODE.INPUT=VALUE` as (key, value). The value is JSON, but stays text where the input wants text."""
    key, equals, raw = text.partition("=")
    if not equals:
        raise BadOverride(f"{shorten(text)} has no `=`", hint="write NODE.INPUT=VALUE, for instance 3.seed=7")
    path, name = find_input(document, registry, key.strip())
    entry = _entry(document, path)
    definition = inner_of(document, entry)
    if definition is not None and definition.inputs[name].raw.get("type") == "str":
        return key.strip(), raw
    spec = registry.specs.get(entry.type)
    input = spec.inputs.get(name) if spec is not None else None
    current = entry.inputs.get(name)
    wants_text = input is not None and (input.type == STR or (isinstance(input.type, Var) and isinstance(current, str)))
    if wants_text and not (input is not None and input.mapped and raw.lstrip().startswith("[")):
        return key.strip(), raw
    return key.strip(), parse_value(raw)


def parse_value(raw: str) -> Any:
    try:
        value = parse_json(raw)
    except NodegraphError:
        return raw
    return (as_link(value) or raw) if isinstance(value, dict) else value
