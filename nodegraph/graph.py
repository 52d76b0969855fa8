"""Saved workflow x registry -> checked graph. Every fault is found here, all of them at once, before anything runs.

The graph holds its nodes in topological order. No step recurses, so a chain may be as long as memory allows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from nodegraph.document import Document, Link, NodeEntry
from nodegraph.errors import (
    BadLink,
    BadValue,
    BadVersion,
    Cycle,
    MissingInput,
    NodegraphError,
    NotAChoice,
    NothingToRun,
    OutOfRange,
    Problems,
    TypeMismatch,
    UnknownInput,
    UnknownNode,
    did_you_mean,
    shorten,
)
from nodegraph.files import Files
from nodegraph.registry import Registry
from nodegraph.schema import InputSpec, NodeSpec
from nodegraph.types import ANY, ListOf, Type, Union, Var, accepts, convert, fits, type_name

MAX_REPORTED: Final = 200


@dataclass(slots=True)
class GraphNode:
    """A node whose inputs are known to fit. `inputs` = defaults and literals; `links` = where the others come from."""

    id: str
    spec: NodeSpec
    inputs: dict[str, Any]
    links: dict[str, Link]
    mapped: bool = False
    """some `Each` input receives a list: call once an item"""
    casts: dict[str, Type] = field(default_factory=dict)
    """inputs whose value must be converted on arrival"""
    root: str = ""
    """the node of the document it belongs to: itself, or the one that expanded into it"""
    sources: dict[str, Type] = field(default_factory=dict)
    """types of what comes into `Ref` inputs"""


@dataclass(slots=True)
class Graph:
    """Checked nodes in topological order, and the ids that a run is for."""

    nodes: dict[str, GraphNode]
    targets: tuple[str, ...]
    document: Document | None = None
    warnings: list[str] = field(default_factory=list)


def build(
    document: Document,
    registry: Registry,
    files: Files | None = None,
    targets: Iterable[str] | None = None,
    outside: Mapping[Link, Type] | None = None,
) -> Graph:
    """Check a document and freeze it into a Graph.

    files: look up the files that inputs name; without it their presence is not checked
    targets: ids to run; default is every output node
    outside: outputs of nodes that are not in the document but may be linked to (of a graph that this one expands)

    Raises Problems with all faults.
    """
    builder = _Builder(document, registry, files)
    builder.types.update(outside or {})
    return builder.build(targets)


class _Builder:
    """The working state of one `build`."""

    def __init__(self, document: Document, registry: Registry, files: Files | None) -> None:
        self.document = document
        self.registry = registry
        self.files = files
        self.problems: list[NodegraphError] = []
        self.specs: dict[str, NodeSpec] = {}
        self.entries: dict[str, NodeEntry] = {}
        self.links: dict[str, dict[str, Link]] = {}
        self.types: dict[tuple[str, str], Type] = {}
        self.warnings: list[str] = []

    def build(self, targets: Iterable[str] | None) -> Graph:
        self.find_specs()
        self.resolve_links()
        order = self.order()
        nodes = {id: node for id in order if (node := self.check_node(id)) is not None}
        chosen = self.choose_targets(targets)
        if self.problems:
            raise Problems(self.problems[:MAX_REPORTED])
        return Graph(nodes, chosen, self.document, self.warnings)

    # ------------------------------------------------------------------------- which nodes there are

    def find_specs(self) -> None:
        known = self.registry.specs
        for id, entry in self.document.nodes.items():
            if entry.mode == "muted":
                continue
            spec = known.get(entry.type)
            if spec is None:
                self.report_unknown(id, entry)
                continue
            self.specs[id] = spec
            self.entries[id] = entry if entry.version in (None, spec.version) else self.upgraded(id, entry, spec)

    def report_unknown(self, id: str, entry: NodeEntry) -> None:
        try:
            self.registry.get(entry.type)
        except UnknownNode as error:
            self.problems.append(error.at(id, entry.type))

    def upgraded(self, id: str, entry: NodeEntry, spec: NodeSpec) -> NodeEntry:
        version = entry.version or 1
        if version > spec.version:
            self.problem(
                BadVersion, f"it was saved with version {version}; this is version {spec.version}", id, hint="update nodegraph or the pack"
            )
        if version >= spec.version or spec.upgrade is None:
            return entry
        return NodeEntry(entry.type, spec.upgrade(version, dict(entry.inputs)), spec.version, entry.title, entry.mode)

    def problem(self, kind: type[NodegraphError], message: str, id: str, input: str | None = None, hint: str | None = None) -> None:
        self.problems.append(kind(message, node=id, node_type=self.document.nodes[id].type, input=input, hint=hint))

    # ------------------------------------------------------------------------- links through bypassed and muted nodes

    def resolve_links(self) -> None:
        plain = all(entry.mode == "active" for entry in self.document.nodes.values())
        for id, entry in self.entries.items():
            links = {name: value for name, value in entry.inputs.items() if type(value) is Link}
            if not plain:
                found = {name: self.behind(link, id, name) for name, link in links.items()}
                links = {name: link for name, link in found.items() if link is not None}
            self.links[id] = links

    def behind(self, link: Link, id: str, name: str) -> Link | None:
        """Where a link really comes from: through bypassed nodes; None if it ends at a muted one."""
        target = self.specs[id].inputs.get(name)
        seen = set()
        while True:
            entry = self.document.nodes.get(link.node)
            if entry is None or entry.mode == "active":
                return link
            if entry.mode == "muted" or link.node in seen or link.node not in self.specs:
                return None
            seen.add(link.node)
            passed = _bypass(self.specs[link.node], entry, link.output, target.type if target is not None else ANY)
            if passed is None:
                return None
            link = passed

    # ------------------------------------------------------------------------- order

    def order(self) -> list[str]:
        """Topological order of the active nodes (Kahn). Nodes of a cycle are reported and left out."""
        active = [id for id in self.specs if self.entries[id].mode == "active"]
        waiting: dict[str, int] = dict.fromkeys(active, 0)
        consumers: dict[str, list[str]] = {}
        for id in active:
            for link in self.links[id].values():
                if link.node in waiting:
                    waiting[id] += 1
                    consumers.setdefault(link.node, []).append(id)
        order = [id for id in active if not waiting[id]]
        for id in order:
            for consumer in consumers.get(id, ()):
                waiting[consumer] -= 1
                if not waiting[consumer]:
                    order.append(consumer)
        if len(order) < len(active):
            self.report_cycles(set(active) - set(order))
        return order

    def report_cycles(self, stuck: set[str]) -> None:
        import networkx

        graph = networkx.DiGraph((link.node, id) for id in stuck for link in self.links[id].values() if link.node in stuck)
        for component in networkx.strongly_connected_components(graph):
            inner = graph.subgraph(component)
            if inner.number_of_edges():
                path = [edge[0] for edge in networkx.find_cycle(inner)]
                shown = path[:12] + (["…"] if len(path) > 12 else [])
                text = " -> ".join(
                    f"{id} ({self.document.nodes[id].type})" if id in self.document.nodes else id for id in [*shown, path[0]]
                )
                self.problem(Cycle, f"its result would depend on itself: {text}", path[0], hint="remove one of these links")

    # ------------------------------------------------------------------------- one node

    def check_node(self, id: str) -> GraphNode | None:
        spec, entry, links = self.specs[id], self.entries[id], self.links[id]
        before = len(self.problems)
        values: dict[str, Any] = {}
        casts: dict[str, Type] = {}
        mapped = False
        bound: dict[str, Type] = {}
        sources: dict[str, Type] = {}
        given = entry.inputs
        for name, input in spec.inputs.items():
            link = links.get(name)
            if link is not None:
                source = self.source_type(id, name, link)
                if source is not None:
                    mapped |= self.check_link(id, input, link, source, casts, bound)
                    if input.raw:
                        sources[name] = source
            elif name in given and type(given[name]) is not Link:
                values[name] = self.check_literal(id, input, given[name])
                mapped |= input.mapped and type(values[name]) is list
            elif input.required:
                self.report_missing(id, input)
            else:
                values[name] = input.default
        if len(given) > len(values) + len(links) or not links.keys() <= spec.inputs.keys() or not given.keys() <= spec.inputs.keys():
            self.report_extra(id, spec, given)
        for name, output in spec.outputs.items():
            type_ = substitute(output.type, bound) if spec.generic else output.type
            self.types[id, name] = ListOf(type_) if mapped else type_
        return GraphNode(id, spec, values, links, mapped, casts, id, sources) if len(self.problems) == before else None

    def source_type(self, id: str, name: str, link: Link) -> Type | None:
        """The type that comes along a link, or None after reporting why nothing can."""
        type_ = self.types.get(link)
        if type_ is not None:
            return type_
        source = self.specs.get(link.node)
        if link.node not in self.document.nodes:
            known = did_you_mean(link.node, self.document.nodes) or "remove the link or add the node"
            self.problem(BadLink, f"it is linked to node {shorten(link.node)}, which does not exist", id, name, known)
        elif source is not None and link.output not in source.outputs:
            names = ", ".join(f"`{output}`" for output in source.outputs) or "none"
            self.problem(
                BadLink,
                f"it is linked to output `{shorten(link.output)}` of node {link.node} ({source.id}), which has no such output",
                id,
                name,
                f"its outputs: {names}",
            )
        return None

    def check_link(self, id: str, input: InputSpec, link: Link, source: Type, casts: dict[str, Type], bound: dict[str, Type]) -> bool:
        """Check one connection; returns whether it makes the node run once an item."""
        target = input.type
        maps = False
        if input.mapped and isinstance(source, ListOf) and not isinstance(target, ListOf):
            source, maps = source.item, True
        if isinstance(target, Var):
            target = bound.setdefault(target.name, source)
        wraps = isinstance(target, ListOf) and not isinstance(source, ListOf) and accepts(target.item, source)
        if not wraps and not accepts(target, source):
            self.report_mismatch(id, input, link, source)
        elif wraps or (target != source and not isinstance(source, ListOf)):
            casts[input.name] = target
        return maps

    def report_mismatch(self, id: str, input: InputSpec, link: Link, source: Type) -> None:
        if isinstance(source, ListOf) and accepts(input.type, source.item):
            hint = "this input takes one value; pick one with `ListItem`"
        else:
            hint = self.way_between(source, input.type) or "connect an output of the right type"
        from_type = self.document.nodes[link.node].type if link.node in self.document.nodes else "outside"
        self.problem(
            TypeMismatch, f"wants {input.type}, but node {link.node} ({from_type}) `{link.output}` gives {source}", id, input.name, hint
        )

    def way_between(self, source: Type, target: Type) -> str | None:
        """Nodes that turn one type into the other, for the hint."""

        def turns(spec: NodeSpec) -> bool:
            gives = any(out.type == target for out in spec.outputs.values())
            return gives and any(inp.type == source and inp.required for inp in spec.inputs.values())

        names = [spec.id for spec in self.registry if turns(spec)][:3]
        return "put " + " or ".join(f"`{name}`" for name in names) + " between them" if names else None

    def report_missing(self, id: str, input: InputSpec) -> None:
        way = "set a value or connect it" if input.widget is not None else "connect it"
        givers = [s.id for s in self.registry if any(out.type == input.type for out in s.outputs.values())] if input.widget is None else []
        hint = way + (f"; {', '.join(f'`{g}`' for g in givers[:3])} can give {input.type}" if givers else "")
        self.problem(MissingInput, f"nothing is connected, and it wants {input.type}", id, input.name, hint)

    def report_extra(self, id: str, spec: NodeSpec, given: Mapping[str, Any]) -> None:
        for name in given:
            if name not in spec.inputs:
                names = ", ".join(f"`{known}`" for known in spec.inputs) or "none"
                self.problem(
                    UnknownInput, f"{spec.id} has no input of that name", id, name, did_you_mean(name, spec.inputs, f"it has: {names}")
                )

    def check_literal(self, id: str, input: InputSpec, value: Any) -> Any:
        try:
            return check_value(input, value, self.files)
        except NodegraphError as error:
            self.problems.append(error.at(id, self.document.nodes[id].type, input.name))
            return None

    # ------------------------------------------------------------------------- what to run

    def choose_targets(self, targets: Iterable[str] | None) -> tuple[str, ...]:
        if targets is not None:
            chosen = tuple(targets)
            for id in chosen:
                if id not in self.specs or self.entries[id].mode != "active":
                    hint = did_you_mean(id, self.document.nodes, "give the id of an active node")
                    self.problems.append(NothingToRun(f"there is no node {shorten(id)} to run", hint=hint))
            return chosen
        chosen = tuple(id for id, spec in self.specs.items() if spec.output_node and self.entries[id].mode == "active")
        if not chosen and not self.problems:
            self.problems.append(NothingToRun("no node in the workflow saves or shows anything", hint="add `SaveImage` or `PreviewImage`"))
        return chosen


def _bypass(spec: NodeSpec, entry: NodeEntry, output: str, wanted: Type) -> Link | None:
    """The link that stands for an output of a bypassed node: the input in the same place if its type fits, else the first that does."""
    offered = spec.outputs.get(output)
    names = list(spec.inputs)
    place = list(spec.outputs).index(output) if offered is not None else -1
    linked = {name: value for name, value in entry.inputs.items() if type(value) is Link and name in spec.inputs}
    inputs = [names[place]] if 0 <= place < len(names) else []
    for name in [*inputs, *[n for n in names if offered is not None and spec.inputs[n].type == offered.type], *names]:
        if (
            name in linked
            and offered is not None
            and accepts(offered.type, spec.inputs[name].type)
            and accepts(wanted, spec.inputs[name].type)
        ):
            return linked[name]
    return None


def substitute(type_: Type, bound: Mapping[str, Type]) -> Type:
    """A type with its variables replaced by what they stand for; unbound ones may be anything."""
    if isinstance(type_, Var):
        return bound.get(type_.name, ANY)
    if isinstance(type_, ListOf):
        return ListOf(substitute(type_.item, bound))
    if isinstance(type_, Union):
        return Union(tuple(substitute(member, bound) for member in type_.members))
    return type_


def check_value(input: InputSpec, value: Any, files: Files | None = None) -> Any:
    """A literal checked against type, range, choices and files of its input, and returned in the form the node gets.

    Raises BadValue, OutOfRange, NotAChoice, ModelNotFound, FileMissing or UnsafePath. Wrong values are refused, never repaired.
    """
    if input.mapped and type(value) is list:
        return [check_value_one(input, item, files) for item in value]
    return check_value_one(input, value, files)


def check_value_one(input: InputSpec, value: Any, files: Files | None) -> Any:
    if value is None and input.optional:
        return None
    if input.choices is not None:
        return _check_choice(input, value)
    if not fits(input.type, value) or (input.widget is None and not _plain(input.type, value)):
        raise BadValue(f"{shorten(value)} is {_article(type_name(value))}; it wants {input.type}", hint=_value_hint(input))
    if type(value) is float and not math.isfinite(value):
        raise BadValue(f"{value} is not a finite number", hint=_value_hint(input))
    if input.minimum is not None or input.maximum is not None:
        _check_range(input, value)
    if input.folder is not None and files is not None:
        files.find(input.folder, value)
    if type(value) is int:
        value = _to_float(value) if getattr(input.type, "cls", None) is float else value
    return convert(input.type, value)


def _plain(type_: Type, value: Any) -> bool:
    """Inputs without a widget take plain data only if their type says so (`list[str]`, anything, a variable)."""
    return isinstance(type_, ListOf | Var | type(ANY)) or isinstance(value, bool | int | float | str)


def _to_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise OutOfRange(f"a whole number of {len(str(value))} digits is too large", hint="use a smaller number") from error


def _check_choice(input: InputSpec, value: Any) -> Any:
    for choice in input.choices or ():
        if choice == value and type(choice) is type(value):
            return choice
    names = ", ".join(str(choice) for choice in (input.choices or ())[:20])
    guess = did_you_mean(value, [c for c in input.choices or () if isinstance(c, str)]) if isinstance(value, str) else None
    raise NotAChoice(
        f"{shorten(value)} is not one of its choices", hint=f"{guess} The choices: {names}" if guess else f"the choices: {names}"
    )


def _check_range(input: InputSpec, value: float) -> None:
    low, high = input.minimum, input.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        raise OutOfRange(f"{shorten(value)} is outside {_bounds(low, high)}", hint=_value_hint(input))


def _bounds(low: float | None, high: float | None) -> str:
    if low is None:
        return f"the range up to {high}"
    return f"the range from {low}" if high is None else f"the range {low} to {high}"


def _value_hint(input: InputSpec) -> str:
    if input.widget is None:
        return "connect an output to it"
    if input.minimum is not None or input.maximum is not None:
        return f"give a number in {_bounds(input.minimum, input.maximum)}" + ("" if input.required else f"; the default is {input.default}")
    return f"give {_article(str(input.type))}" + ("" if input.required else f"; the default is {shorten(input.default)}")


def _article(word: str) -> str:
    if word in ("nothing", "text"):
        return word
    return f"an {word}" if word[:1] in "aeiou" else f"a {word}"
