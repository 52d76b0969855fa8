"""Turn the small graph a node returned (`Expand`) into checked graph nodes with ids of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nodegraph.authoring import Ref
from nodegraph.document import Document, Link, NodeEntry
from nodegraph.errors import BadLink, NodegraphError, TypeMismatch
from nodegraph.files import Files
from nodegraph.graph import GraphNode, build
from nodegraph.registry import Registry
from nodegraph.types import ANY, Type
from nodegraph.values import Expand, Result


def expanded_nodes(
    parent: GraphNode, expansion: Expand, prefix: str, registry: Registry, files: Files
) -> tuple[list[GraphNode], Mapping[str, Any]]:
    """(nodes in topological order, what stands for each output of the parent: a Link or plain data).

    Inner nodes are called `prefix` + their name. Raises Problems, BadLink or TypeMismatch if the expansion is not a valid graph.
    """
    outside: dict[Link, Type] = {}
    entries = {
        prefix + name: NodeEntry(call.type, {input: _value(value, prefix, parent, outside) for input, value in call.inputs.items()})
        for name, call in expansion.nodes.items()
    }
    try:
        graph = build(Document(entries), registry, files, targets=list(entries), outside=outside)
        outputs = {name: _output(expansion, name, prefix) for name in parent.spec.outputs}
    except NodegraphError as error:
        raise error.at(parent.root or parent.id, parent.spec.id) from error
    for node in graph.nodes.values():
        node.root = parent.root or parent.id
    return list(graph.nodes.values()), outputs


def _value(value: Any, prefix: str, parent: GraphNode, outside: dict[Link, Type]) -> Any:
    if isinstance(value, Result):
        return Link(prefix + value.node, value.output)
    if isinstance(value, Ref):
        if isinstance(value.source, Link):
            name = next((n for n, link in parent.links.items() if link == value.source), "")
            outside[value.source] = parent.sources.get(name, ANY)
        return value.source
    return value


def _output(expansion: Expand, name: str, prefix: str) -> Any:
    if name not in expansion.outputs:
        raise TypeMismatch(f"its expansion says nothing for output `{name}`", hint=f"it has: {', '.join(expansion.outputs) or 'none'}")
    value = expansion.outputs[name]
    if isinstance(value, Ref):
        return value.source
    if not isinstance(value, Result):
        return value
    if value.node not in expansion.nodes:
        raise BadLink(f"its expansion takes output `{name}` from {value.node}, which is not in it", hint="name a node of the expansion")
    return Link(prefix + value.node, value.output)
