"""Saved workflow x registry -> checked graph. Every fault is found here, all of them at once, before anything runs.

The graph holds its nodes in topological order. No step recurses, so a chain may be as long as memory allows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from nodegraph.document import MAX_REPORTED, Document, Link, NodeEntry
from nodegraph.errors import (
    BadLink,
    BadVersion,
    Cycle,
    MissingInput,
    NodegraphError,
    NothingToRun,
    Problems,
    TypeMismatch,
    UnknownInput,
    UnknownNode,
    did_you_mean,
    shorten,
)
from nodegraph.files import Files
from nodegraph.literals import check_value
from nodegraph.registry import Registry
from nodegraph.schema import InputSpec, NodeSpec
from nodegraph.subgraphs import Flat, Place, flatten
from nodegraph.types import (
    ANY,
    Anything,
    ListOf,
    Type,
    Union,
    Var,
    accepts,
    join,
    joint,
    type_of,
)


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
    """linked inputs whose value must be converted or checked on arrival, and to what"""
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
    left_out: tuple[NodegraphError, ...] = ()
    """faults of nodes that no target depends on: a half-built branch does not stop the rest"""


def build(
    document: Document,
    registry: Registry,
    files: Files | None = None,
    targets: Iterable[str] | None = None,
    outside: Mapping[Link, Type] | None = None,
) -> Graph:
    """Check a document and freeze it into a Graph. Its subgraphs are taken apart: node `1` inside node `5` is called `5/1`.

    files: look up the files that inputs name; without it their presence is not checked
    targets: ids to run; default is every output node
    outside: outputs of nodes that are not in the document but may be linked to (of a graph that this one expands)

    Raises Problems with all faults, if one of them concerns a node that a target depends on; else they are in `left_out` of the graph.
    """
    builder = _Builder(flatten(document, registry), registry, files)
    for link, type_ in (outside or {}).items():
        builder.types[link] = type_
    graph = builder.build(targets)
    graph.document = document
    return graph


def upgrade_document(document: Document, registry: Registry) -> Document:
    """A document whose nodes all have the present version of their types. Raises Problems with those that cannot be brought to it."""
    levels = {"": document.nodes, **{id: subgraph.nodes for id, subgraph in document.subgraphs.items()}}
    faults: list[NodegraphError] = []
    hidden = 0
    for id, nodes in levels.items():
        builder = _Builder(Flat(Document(nodes)), registry, None)
        builder.find_specs()
        faults += [problem for problem in builder.problems if isinstance(problem, BadVersion)]
        hidden += builder.hidden
        levels[id] = {**nodes, **builder.entries}
    if faults:
        raise Problems(faults, hidden)
    subgraphs = {id: replace(subgraph, nodes=levels[id]) for id, subgraph in document.subgraphs.items()}
    return replace(document, nodes=levels[""], subgraphs=subgraphs)


class _Builder:
    """The working state of one `build`."""

    def __init__(self, flat: Flat, registry: Registry, files: Files | None) -> None:
        self.flat = flat
        self.document = flat.document
        self.registry = registry
        self.files = files
        self.problems: list[NodegraphError] = list(flat.problems)
        self.hidden = 0
        self.specs: dict[str, NodeSpec] = {}
        self.entries: dict[str, NodeEntry] = {}
        self.links: dict[str, dict[str, Link]] = {}
        self.cut: dict[tuple[str, str], Link] = {}
        self.types: dict[tuple[str, str], Type] = {}
        self.unknown: dict[str, NodegraphError] = {}

    def build(self, targets: Iterable[str] | None) -> Graph:
        self.find_specs()
        self.resolve_links()
        order, stuck = self.order()
        nodes = {id: self.check_node(id) for id in order}
        if stuck:
            self.report_cycles(stuck)
            for id in stuck:
                self.check_node(id)
        chosen = self.choose_targets(targets)
        if not self.problems:
            return Graph(nodes, chosen, self.document)
        needed = self.needed_for(chosen)
        fatal = self.hidden or not chosen or any(problem.node is None or problem.node in needed for problem in self.problems)
        told = self.told()
        if fatal:
            raise Problems(told, self.hidden)
        return Graph({id: node for id, node in nodes.items() if id in needed}, chosen, self.document, tuple(told))

    def told(self) -> list[NodegraphError]:
        """The problems, each where it can be mended and once: an input of a subgraph may feed many nodes inside."""
        if not self.flat.set_at:
            return self.problems
        located = map(self.flat.located, self.problems)
        return list({(type(each), each.node, each.input, each.message): each for each in located}.values())

    def needed_for(self, chosen: Iterable[str]) -> set[str]:
        """The nodes of the document that these depend on, and they themselves."""
        needed: set[str] = set()
        stack = list(chosen)
        while stack:
            id = stack.pop()
            if id not in needed:
                needed.add(id)
                entry = self.document.nodes.get(id)
                stack += [value.node for value in (entry.inputs.values() if entry is not None else ()) if type(value) is Link]
        return needed.union(*map(self.flat.around, needed)) if self.flat.inside else needed

    # ------------------------------------------------------------------------- problems

    def is_full(self) -> bool:
        """Whether enough problems are told; a further one is counted. Asked first, so that hints are not worked out in vain."""
        full = len(self.problems) >= MAX_REPORTED
        self.hidden += full
        return full

    def problem(self, kind: type[NodegraphError], message: str, id: str, input: str | None = None, hint: str | None = None) -> None:
        self.problems.append(kind(message, node=id, node_type=self.document.nodes[id].type, input=input, hint=hint))

    def call_node(self, id: str) -> str:
        """A node as messages name it."""
        entry = self.document.nodes.get(id)
        return f"{shorten(id)} ({shorten(entry.type)})" if entry is not None else f"{shorten(id)} (outside)"

    # ------------------------------------------------------------------------- which nodes there are

    def find_specs(self) -> None:
        known, instances = self.registry.specs, self.flat.specs
        for id, entry in self.document.nodes.items():
            if entry.mode == "muted":
                continue
            spec = known.get(entry.type)
            if spec is None and entry.mode == "bypassed":
                spec = instances.get(entry.type)
            if spec is None:
                self.report_unknown(id, entry)
                continue
            self.specs[id] = spec
            self.entries[id] = entry if entry.version in (None, spec.version) else self.upgraded(id, entry, spec)

    def report_unknown(self, id: str, entry: NodeEntry) -> None:
        if self.is_full():
            return
        if entry.type not in self.unknown:
            told = self.flat.unknown(entry.type)
            if told is None:
                try:
                    self.registry.get(entry.type)
                except UnknownNode as error:
                    told = error
            assert told is not None
            self.unknown[entry.type] = told
        told = self.unknown[entry.type]
        self.problem(type(told), told.message, id, hint=told.hint)

    def upgraded(self, id: str, entry: NodeEntry, spec: NodeSpec) -> NodeEntry:
        version = entry.version or 1
        if version > spec.version and not self.is_full():
            message = f"it was saved with version {version}; this is version {spec.version}"
            self.problem(BadVersion, message, id, hint="update nodegraph or the pack")
        if version >= spec.version or spec.upgrade is None:
            return entry
        try:
            return replace(entry, inputs=_upgrade(spec, version, entry.inputs), version=spec.version)
        except BadVersion as error:
            if not self.is_full():
                self.problems.append(error.at(id, spec.id))
            return entry

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
        """Where a link really comes from: through bypassed nodes; None, kept in `cut`, if it ends at a muted one or goes nowhere."""
        target = self.specs[id].inputs.get(name)
        seen = set()
        while True:
            source = self.document.nodes.get(link.node)
            if source is None or source.mode == "active":
                return link
            passed = None
            if link.node in self.entries and link.node not in seen:
                seen.add(link.node)
                passed = handed_on(
                    self.specs[link.node], self.entries[link.node].inputs, link.output, target.type if target is not None else ANY
                )
            if passed is None:
                self.cut[id, name] = link
                return None
            link = passed

    # ------------------------------------------------------------------------- order

    def order(self) -> tuple[list[str], list[str]]:
        """Topological order of the active nodes (Kahn), and those that have none: in cycles or after one."""
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
        return order, [id for id in active if waiting[id]] if len(order) < len(active) else []

    def report_cycles(self, stuck: list[str]) -> None:
        import networkx

        inside = set(stuck)
        before = {id: [link.node for link in self.links[id].values() if link.node in inside] for id in stuck}
        graph = networkx.DiGraph((source, id) for id in stuck for source in before[id])
        component = {id: number for number, ids in enumerate(networkx.strongly_connected_components(graph)) for id in ids}
        seen: set[int] = set()
        for id in stuck:
            inner = [source for source in before[id] if component[source] == component[id]]
            if inner and component[id] not in seen and not self.is_full():
                seen.add(component[id])
                self.report_cycle(_walk_back(id, before, component))

    def report_cycle(self, path: list[str]) -> None:
        shown = [self.call_node(id) for id in path[:12]] + (["…"] if len(path) > 12 else []) + [self.call_node(path[0])]
        self.problem(Cycle, f"its result would depend on itself: {' -> '.join(shown)}", path[0], hint="remove one of these links")

    # ------------------------------------------------------------------------- one node

    def check_node(self, id: str) -> GraphNode:
        spec, links, given = self.specs[id], self.links[id], self.entries[id].inputs
        node = GraphNode(id, spec, {}, links, root=id)
        bound = self.bind(id, spec) if spec.generic else _NOTHING
        for name, input in spec.inputs.items():
            link = links.get(name)
            if link is not None:
                self.check_link(node, input, link, bound)
            elif name in given and type(given[name]) is not Link:
                node.inputs[name] = value = self.check_literal(id, input, given[name], bound)
                node.mapped |= input.mapped and type(value) is list
            elif input.required:
                self.report_missing(id, input)
            else:
                node.inputs[name] = input.default
        if not given.keys() <= spec.inputs.keys():
            self.report_extra(id, spec, given)
        for name, output in spec.outputs.items():
            type_ = substitute(output.type, bound) if spec.generic else output.type
            self.types[id, name] = ListOf(type_) if node.mapped else type_
        return node

    def bind(self, id: str, spec: NodeSpec) -> dict[str, Type]:
        """What the type variables of a generic node stand for: the widest type that is connected or typed in."""
        bound: dict[str, Type] = {}
        for name, input in spec.inputs.items():
            link = self.links[id].get(name)
            source = self.types.get(link) if link is not None else type_of(self.entries[id].inputs.get(name))
            if source is not None:
                unify(input.type, source.item if input.mapped and isinstance(source, ListOf) else source, bound)
        return bound

    def source_type(self, id: str, name: str, link: Link) -> Type | None:
        """The type that comes along a link, or None after reporting why nothing can."""
        type_ = self.types.get(link)
        if type_ is not None:
            return type_
        source = self.specs.get(link.node)
        if (fault := self.flat.faults.get(Place(id, name))) is not None:
            if not self.is_full():
                self.problems.append(fault)
        elif link.node not in self.document.nodes:
            self.report_no_node(id, name, link)
        elif source is not None and link.output not in source.outputs:
            self.report_no_output(id, name, link, source)
        return None

    def report_no_node(self, id: str, name: str, link: Link) -> None:
        if not self.is_full():
            hint = did_you_mean(link.node, self.document.nodes) or "remove the link or add the node"
            self.problem(BadLink, f"it is linked to node {shorten(link.node)}, which does not exist", id, name, hint)

    def report_no_output(self, id: str, name: str, link: Link, source: NodeSpec) -> None:
        if not self.is_full():
            names = ", ".join(f"`{output}`" for output in source.outputs) or "none"
            message = f"it is linked to output `{shorten(link.output)}` of node {self.call_node(link.node)}, which has no such output"
            self.problem(BadLink, message, id, name, f"its outputs: {names}")

    def check_link(self, node: GraphNode, input: InputSpec, link: Link, bound: Mapping[str, Type]) -> None:
        """Check one connection, and note what has to happen to its value on arrival."""
        source = self.source_type(node.id, input.name, link)
        if source is None:
            return
        target = substitute(input.type, bound) if node.spec.generic else input.type
        how = joint(target, source, input.mapped)
        if how is None:
            self.report_mismatch(node.id, input, target, link, source)
            return
        if how == "each" and isinstance(source, ListOf):
            node.mapped = True
            source = source.item
        changes = target is not source and target != source and not isinstance(target, Anything)
        if changes or how == "wrap" or input.limited:
            node.casts[input.name] = target
        if input.raw:
            node.sources[input.name] = source

    def report_mismatch(self, id: str, input: InputSpec, target: Type, link: Link, source: Type) -> None:
        if self.is_full():
            return
        if isinstance(source, ListOf) and accepts(target, source.item):
            hint = "this input takes one value; pick one with `ListItem`"
        else:
            hint = self.way_between(source, target) or "connect an output of the right type"
        message = f"wants {target}, but node {self.call_node(link.node)} `{link.output}` gives {source}"
        self.problem(TypeMismatch, message, id, input.name, hint)

    def way_between(self, source: Type, target: Type) -> str | None:
        """Nodes that turn one type into the other, for the hint."""

        def turns(spec: NodeSpec) -> bool:
            gives = any(out.type == target for out in spec.outputs.values())
            return gives and any(inp.type == source and inp.required for inp in spec.inputs.values())

        names = [spec.id for spec in self.registry if turns(spec)][:3]
        return "put " + " or ".join(f"`{name}`" for name in names) + " between them" if names else None

    def report_missing(self, id: str, input: InputSpec) -> None:
        if (id, input.name) in self.cut:
            self.report_cut(id, input, self.cut[id, input.name])
            return
        if self.is_full():
            return
        way = "set a value or connect it" if input.widget is not None else "connect it"
        givers = [s.id for s in self.registry if any(out.type == input.type for out in s.outputs.values())] if input.widget is None else []
        hint = way + (f"; {', '.join(f'`{g}`' for g in givers[:3])} can give {input.type}" if givers else "")
        self.problem(MissingInput, f"nothing is connected, and it wants {input.type}", id, input.name, hint)

    def report_cut(self, id: str, input: InputSpec, link: Link) -> None:
        """A required input whose link ends at a muted node, or at a bypassed one that has nothing to pass on."""
        muted = self.document.nodes[link.node].mode == "muted"
        if (not muted and link.node not in self.specs) or self.is_full():
            return
        why = "is muted" if muted else f"is bypassed and has nothing to pass on as `{shorten(link.output)}`"
        message = f"wants {input.type}, but node {self.call_node(link.node)} {why}"
        self.problem(MissingInput, message, id, input.name, "activate that node, or connect another one")

    def report_extra(self, id: str, spec: NodeSpec, given: Mapping[str, Any]) -> None:
        for name in given:
            if name not in spec.inputs and not self.is_full():
                names = ", ".join(f"`{known}`" for known in spec.inputs) or "none"
                hint = did_you_mean(name, spec.inputs, f"it has: {names}")
                self.problem(UnknownInput, f"{spec.id} has no input of that name", id, name, hint)

    def check_literal(self, id: str, input: InputSpec, value: Any, bound: Mapping[str, Type]) -> Any:
        try:
            return check_value(replace(input, type=substitute(input.type, bound)) if bound else input, value, self.files)
        except NodegraphError as error:
            if not self.is_full():
                self.problems.append(error.at(id, self.document.nodes[id].type, input.name))
            return None

    # ------------------------------------------------------------------------- what to run

    def choose_targets(self, targets: Iterable[str] | None) -> tuple[str, ...]:
        active = self.document.nodes
        if targets is None:
            chosen = tuple(id for id, spec in self.specs.items() if spec.output_node and active[id].mode == "active")
            if not chosen and not self.problems:
                message = "no node in the workflow saves or shows anything"
                self.problems.append(NothingToRun(message, hint="add `SaveImage` or `PreviewImage`"))
            return chosen
        asked = [targets] if isinstance(targets, str) else targets
        chosen = tuple(dict.fromkeys(inner for id in asked for inner in self.behind_target(id)))
        for id in chosen:
            if id not in active and not self.is_full():
                hint = did_you_mean(id, active, "give the id of an active node")
                self.problems.append(NothingToRun(f"there is no node {shorten(id)} to run", hint=hint))
            elif id in active and active[id].mode != "active" and not self.is_full():
                self.problem(NothingToRun, f"it is to be run, but it is {active[id].mode}", id, hint="activate it")
        return chosen

    def behind_target(self, id: str) -> Iterable[str]:
        """What running a node means: the node; of a subgraph what its outputs come from, and what it saves or shows."""
        if id not in self.flat.inside:
            return (id,)
        saving = [inner for inner, spec in self.specs.items() if spec.output_node and inner.startswith(f"{id}/")]
        active = [inner for inner in saving if self.document.nodes[inner].mode == "active"]
        return [*self.flat.inside[id], *active] or (id,)


_NOTHING: Final[Mapping[str, Type]] = {}


def _upgrade(spec: NodeSpec, version: int, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of an older version of a node as the present one has them. Raises BadVersion if its own code cannot do it."""
    assert spec.upgrade is not None
    hint = f"the fault is in `upgrade` of {spec.id}; set the inputs anew and save with version {spec.version}"
    try:
        found = spec.upgrade(version, dict(inputs))
    except Exception as error:
        message = f"it cannot be brought from version {version} to {spec.version}: {type(error).__name__}: {shorten(str(error))}"
        raise BadVersion(message, hint=hint) from error
    if not isinstance(found, dict):
        raise BadVersion(f"bringing it from version {version} to {spec.version} gave no inputs, but {shorten(found, 40)}", hint=hint)
    return found


def _walk_back(start: str, before: Mapping[str, list[str]], component: Mapping[str, int]) -> list[str]:
    """A cycle among the nodes that depend on each other, in the direction in which values would flow."""
    path: list[str] = []
    place: dict[str, int] = {}
    id = start
    while id not in place:
        place[id] = len(path)
        path.append(id)
        id = next(source for source in before[id] if component[source] == component[start])
    cycle = path[place[id] :][::-1]
    first = cycle.index(start) if start in cycle else 0
    return cycle[first:] + cycle[:first]


def handed_on(spec: NodeSpec, inputs: Mapping[str, Any], output: str, wanted: Type) -> Link | None:
    """The link that stands for an output of a bypassed node: of the input in the same place if its type fits, else the first that fits."""
    if output not in spec.outputs:
        return None
    offered = spec.outputs[output].type
    linked = [entry for entry in spec.inputs.values() if type(inputs.get(entry.name)) is Link]
    place = [*spec.inputs][list(spec.outputs).index(output) :][:1]
    ranked = sorted(linked, key=lambda entry: 0 if entry.name in place else 1 if entry.type == offered else 2)
    return next((inputs[e.name] for e in ranked if accepts(offered, e.type) and accepts(wanted, e.type)), None)


def unify(target: Type, source: Type, bound: dict[str, Type]) -> None:
    """Note what the variables in `target` stand for if `source` meets it: the wider type if they already stand for something."""
    if isinstance(target, Var):
        bound[target.name] = join(bound[target.name], source) if target.name in bound else source
    elif isinstance(target, ListOf):
        unify(target.item, source.item if isinstance(source, ListOf) else source, bound)


def substitute(type_: Type, bound: Mapping[str, Type]) -> Type:
    """A type with its variables replaced by what they stand for; unbound ones may be anything."""
    if isinstance(type_, Var):
        return bound.get(type_.name, ANY)
    if isinstance(type_, ListOf):
        return ListOf(substitute(type_.item, bound))
    if isinstance(type_, Union):
        return Union(tuple(substitute(member, bound) for member in type_.members))
    return type_
