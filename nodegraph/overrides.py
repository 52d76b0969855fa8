"""Change inputs of a loaded workflow from outside: `3.seed=7`, `KSampler.steps=8`, `prompt.text=a red fox`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nodegraph.document import Document, as_link, parse_json
from nodegraph.errors import BadOverride, NodegraphError, Problems, did_you_mean, shorten
from nodegraph.registry import Registry
from nodegraph.types import STR, Var


def apply_overrides(document: Document, registry: Registry, overrides: Mapping[str, Any]) -> Document:
    """A copy of the document with inputs replaced. Keys are NODE.INPUT; NODE is an id, else a title or type that only one node has.

    Raises Problems with every override that names nothing.
    """
    if not overrides:
        return document
    nodes = {id: replace(entry, inputs=dict(entry.inputs)) for id, entry in document.nodes.items()}
    problems: list[NodegraphError] = []
    for key, value in overrides.items():
        try:
            id, name = find_input(document, registry, key)
            link = as_link(value) if isinstance(value, Mapping) else None
            nodes[id].inputs[name] = value if link is None else link
        except BadOverride as error:
            problems.append(error)
    if problems:
        raise Problems(problems)
    return Document(nodes, document.layout, document.meta, document.rest)


def find_input(document: Document, registry: Registry, key: str) -> tuple[str, str]:
    """(node id, input name) that `NODE.INPUT` means. Raises BadOverride."""
    node, dot, name = key.rpartition(".") if isinstance(key, str) else ("", "", "")
    if not dot or not node or not name:
        raise BadOverride(
            f"{shorten(key)} does not name an input", hint="write NODE.INPUT=VALUE, for instance 3.seed=7 or KSampler.steps=8"
        )
    id = find_node(document, node)
    spec = registry.specs.get(document.nodes[id].type)
    if spec is not None and name not in spec.inputs:
        known = ", ".join(spec.inputs)
        raise BadOverride(f"node {id} ({spec.id}) has no input `{shorten(name)}`", hint=did_you_mean(name, spec.inputs, f"it has: {known}"))
    return id, name


def find_node(document: Document, name: str) -> str:
    """The id of the one node that an id, title or type names."""
    if name in document.nodes:
        return name
    for matches in (
        [id for id, entry in document.nodes.items() if entry.title == name],
        [id for id, entry in document.nodes.items() if entry.type == name],
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise BadOverride(
                f"{len(matches)} nodes are called {shorten(name)}: {', '.join(matches[:8])}", hint="use the id of one of them"
            )
    names = [*document.nodes, *(e.title for e in document.nodes.values() if e.title), *(e.type for e in document.nodes.values())]
    listed = ", ".join(f"{id} ({entry.title or entry.type})" for id, entry in list(document.nodes.items())[:12])
    guess = did_you_mean(name, names)
    raise BadOverride(f"there is no node {shorten(name)}", hint=f"{guess} The nodes: {listed}" if guess else f"the nodes: {listed}")


def parse_override(document: Document, registry: Registry, text: str) -> tuple[str, Any]:
    """`NODE.INPUT=VALUE` as (key, value). The value is JSON, but stays text where the input wants text."""
    key, equals, raw = text.partition("=")
    if not equals:
        raise BadOverride(f"{shorten(text)} has no `=`", hint="write NODE.INPUT=VALUE, for instance 3.seed=7")
    id, name = find_input(document, registry, key.strip())
    spec = registry.specs.get(document.nodes[id].type)
    input = spec.inputs.get(name) if spec is not None else None
    current = document.nodes[id].inputs.get(name)
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
