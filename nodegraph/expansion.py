"""Turn the small graph a node returned (`Expand`) into checked graph nodes with ids of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nodegraph.authoring import Ref
from nodegraph.document import Document, Link, NodeEntry
from nodegraph.errors import BadOutput, Problems, shorten
from nodegraph.files import Files
from nodegraph.graph import GraphNode, build
from nodegraph.literals import converted
from nodegraph.registry import Registry
from nodegraph.types import ANY, Type, fits, type_name
from nodegraph.values import UNSAID, Blocked, Expand, Items, Result


def expanded_nodes(
    parent: GraphNode, expansion: Expand, prefix: str, registry: Registry, files: Files
) -> tuple[list[GraphNode], Mapping[str, Any]]:
    """(nodes in topological order, what stands for each output of the parent: a Link, plain data, or Items of these).

    Inner nodes are called `prefix` + their name. Raises BadOutput if the expansion is not a valid graph.
    """
    outside: dict[Link, Type] = {}
    entries = {
        prefix + name: NodeEntry(call.type, {input: _value(value, prefix, parent, outside) for input, value in call.inputs.items()})
        for name, call in expansion.nodes.items()
    }
    try:
        graph = build(Document(entries), registry, files, targets=list(entries), outside=outside)
    except Problems as error:
        told = "\n".join(f"{problem.where()}: {problem.message}" for problem in error.errors[:5])
        raise BadOutput(f"its expansion is no valid graph\n{told}", hint="this is a fault of the node; mend its function") from error
    _check_promised(parent, expansion)
    outputs = {name: _output(expansion.outputs[name], graph.nodes, name, prefix) for name in parent.spec.outputs}
    for node in graph.nodes.values():
        node.root = parent.root or parent.id
    return list(graph.nodes.values()), outputs


def links_of(outputs: Mapping[str, Any]) -> list[Link]:
    """The links among what stands for the outputs of an expanded node."""
    return [stand for value in outputs.values() for stand in stands_of(value) if type(stand) is Link]


def stands_of(value: Any) -> tuple[Any, ...]:
    """What stands for one output: one thing, or one an item."""
    return value.stands if type(value) is Items else (value,)


def check_output(parent: GraphNode, name: str, value: Any) -> Any:
    """What an expansion gives for an output, in the promised type. Raises BadOutput."""
    type_ = parent.spec.outputs[name].type
    if type(value) is Blocked:
        return value
    found = converted(type_, value)
    if not fits(type_, found):
        message = f"output `{name}` promises {type_}, but its expansion gave {type_name(value)}"
        raise BadOutput(
            message,
            hint="this is a fault of the node; mend its function or its return annotation",
            node=parent.root or parent.id,
            node_type=parent.spec.id,
        )
    return found


def _value(value: Any, prefix: str, parent: GraphNode, outside: dict[Link, Type]) -> Any:
    if isinstance(value, Result):
        return Link(prefix + value.node, value.output)
    if isinstance(value, Ref):
        if isinstance(value.source, Link):
            name = next((n for n, link in parent.links.items() if link == value.source), "")
            outside[value.source] = parent.sources.get(name, ANY)
        return value.source
    return value


def _check_promised(parent: GraphNode, expansion: Expand) -> None:
    """Raises BadOutput unless an expansion speaks of all outputs of its node, for every item, and of no others."""
    promised, hint = parent.spec.outputs, f"say in Expand.outputs what stands for {', '.join(parent.spec.outputs) or 'nothing'}"
    silent = [name for name in promised if any(stand is UNSAID for stand in stands_of(expansion.outputs.get(name, UNSAID)))]
    if silent:
        raise BadOutput(f"its expansion says nothing for output `{silent[0]}`", hint=hint)
    unknown = [name for name in expansion.outputs if name not in promised]
    if unknown:
        raise BadOutput(f"its expansion speaks of outputs that it does not have: {shorten(unknown)}", hint=hint)


def _output(value: Any, made: Mapping[str, GraphNode], name: str, prefix: str) -> Any:
    if type(value) is Items:
        return Items(tuple(_stand(part, made, name, prefix) for part in value.stands))
    return _stand(value, made, name, prefix)


def _stand(value: Any, made: Mapping[str, GraphNode], name: str, prefix: str) -> Any:
    if isinstance(value, Ref):
        return value.source
    if not isinstance(value, Result):
        return value
    inner = made.get(prefix + value.node)
    if inner is None or value.output not in inner.spec.outputs:
        raise BadOutput(
            f"its expansion takes output `{name}` from `{value.output}` of {value.node}, which is not in it",
            hint="name a node of the expansion and one of its outputs",
        )
    return Link(inner.id, value.output)
