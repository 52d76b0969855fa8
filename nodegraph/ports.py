"""What the ports of subgraphs look like, by what they are connected to inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from nodegraph.document import INLET, INSTANCE, OUTLET, Document, Link, Port, Subgraph
from nodegraph.registry import Registry
from nodegraph.types import ANY, Var, to_text

_NOT_OF_A_PORT: Final = frozenset({"required", "lazy", "raw"})


def with_looks(document: Document, registry: Registry) -> Document:
    """Inputs of subgraphs get type, range, choices and widget of the input that they set first inside, outputs the type of their source.

    Their own defaults stay. Definitions that others use must come before them; what is not known stays as it is.
    """
    known: dict[str, Subgraph] = {}
    for id, definition in document.subgraphs.items():
        known[INSTANCE + id] = _with_looks(definition, registry, known)
    return replace(document, subgraphs={id: known[INSTANCE + id] for id in document.subgraphs})


def _with_looks(definition: Subgraph, registry: Registry, known: Mapping[str, Subgraph]) -> Subgraph:
    inlets = {id for id, entry in definition.nodes.items() if entry.type == INLET}
    takes: dict[str, Mapping[str, Any]] = {}
    for entry in definition.nodes.values():
        for name, value in entry.inputs.items():
            if type(value) is Link and value.node in inlets and (look := _input(entry.type, name, registry, known)) is not None:
                takes.setdefault(value.output, look)
    gives: dict[str, Mapping[str, Any]] = {}
    for outlet in (entry for entry in definition.nodes.values() if entry.type == OUTLET):
        for name, value in outlet.inputs.items():
            if type(value) is Link:
                look = takes.get(value.output) if value.node in inlets else _output(definition, value, registry, known)
                gives[name] = {"type": look["type"]} if look is not None else {}
    inputs = {name: Port(name, {**port.raw, **takes.get(name, {}), **_default(port)}) for name, port in definition.inputs.items()}
    outputs = {name: Port(name, {**port.raw, **gives.get(name, {})}) for name, port in definition.outputs.items()}
    return replace(definition, inputs=inputs, outputs=outputs)


def _default(port: Port) -> dict[str, Any]:
    return {"default": port.default} if port.has_default else {}


def _input(type_: str, name: str, registry: Registry, known: Mapping[str, Subgraph]) -> Mapping[str, Any] | None:
    if type_ in known:
        port = known[type_].inputs.get(name)
        return {key: value for key, value in port.raw.items() if key != "name"} if port is not None else None
    spec = registry.specs.get(type_)
    found = spec.inputs.get(name) if spec is not None else None
    if found is None or found.type == ANY or isinstance(found.type, Var):
        return None
    return {key: value for key, value in found.to_json().items() if key not in _NOT_OF_A_PORT}


def _output(definition: Subgraph, link: Link, registry: Registry, known: Mapping[str, Subgraph]) -> Mapping[str, Any] | None:
    source = definition.nodes.get(link.node)
    if source is None:
        return None
    if source.type in known:
        port = known[source.type].outputs.get(link.output)
        return port.raw if port is not None and "type" in port.raw else None
    spec = registry.specs.get(source.type)
    found = spec.outputs.get(link.output) if spec is not None else None
    return {"type": to_text(found.type)} if found is not None and found.type != ANY and not isinstance(found.type, Var) else None
