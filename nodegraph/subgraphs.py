"""Subgraphs taken apart: every node that stands for one is replaced by the nodes inside, and every link goes to what really feeds it.

    {"nodes": {"5": {"type": "subgraph/draw", "inputs": {"seed": 7}},
               "6": {"type": "SaveImage", "inputs": {"image": {"link": ["5", "image"]}}}},
     "subgraphs": {"draw": {"name": "Draw",
         "inputs": [{"name": "seed", "type": "int", "default": 0}], "outputs": [{"name": "image", "type": "image"}],
         "nodes": {"in": {"type": "SubgraphInputs"},
                   "1": {"type": "KSampler", "inputs": {"seed": {"link": ["in", "seed"]}}}, ...
                   "out": {"type": "SubgraphOutputs", "inputs": {"image": {"link": ["1", "image"]}}}}}}}

Node `1` inside node `5` becomes `5/1`. What is left are plain nodes, so keys, caching and running know nothing of subgraphs: a picture
made with one has the key of the same picture made without. Instances that are muted or bypassed stay as they are. Nothing here recurses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, NamedTuple, NoReturn

from nodegraph.document import INLET, INSTANCE, OUTLET, Document, Link, NodeEntry, Subgraph
from nodegraph.errors import (
    BadLink,
    Cycle,
    GraphTooLarge,
    NodegraphError,
    Problems,
    UnknownFormat,
    UnknownInput,
    UnknownNode,
    did_you_mean,
    shorten,
)
from nodegraph.registry import Registry
from nodegraph.schema import InputSpec, NodeSpec, OutputSpec
from nodegraph.types import ANY, Type, Var

MAX_DEPTH: Final = 64
MAX_UNFOLDED: Final = 500_000
"""nodes and inputs in all copies of subgraphs together"""
MAX_ID_CHARACTERS: Final = 100_000_000
"""in the ids of all copies together: those of nested subgraphs are long"""


class Place(NamedTuple):
    """An input of a node, or of a subgraph."""

    node: str
    input: str


@dataclass(slots=True)
class Flat:
    """A workflow without subgraphs.

    faults: of single inputs that are linked to what no subgraph gives; problems: of instances
    set_at: of inputs whose value comes from outside their subgraph, where a user sets it
    specs: what stands for the types of bypassed instances; endless: definitions that contain themselves, and how
    inside: of each instance, by its id, what its outputs come from
    """

    document: Document
    problems: list[NodegraphError] = field(default_factory=list)
    faults: dict[Place, NodegraphError] = field(default_factory=dict)
    set_at: dict[Place, tuple[Place, str]] = field(default_factory=dict)
    specs: dict[str, NodeSpec] = field(default_factory=dict)
    endless: Mapping[str, str] = field(default_factory=dict)
    inside: dict[str, list[str]] = field(default_factory=dict)

    def around(self, id: str) -> Iterator[str]:
        """The instances that a node is in, innermost first."""
        while (cut := id.rfind("/")) > 0:
            id = id[:cut]
            if id in self.inside:
                yield id

    def located(self, error: NodegraphError) -> NodegraphError:
        """The same fault, told where the value is set, if that is outside the subgraph it is found in."""
        found = self.set_at.get(Place(error.node, error.input)) if error.node is not None and error.input is not None else None
        if found is not None:
            (error.node, error.input), error.node_type = found
        return error

    def unknown(self, type_: str) -> NodegraphError | None:
        """Why there is no such node, if that has to do with subgraphs."""
        if type_ in (INLET, OUTLET):
            return UnknownNode(f"{type_} has a meaning inside a subgraph only", hint="delete this node")
        if not type_.startswith(INSTANCE):
            return None
        id, there = type_.removeprefix(INSTANCE), self.document.subgraphs
        if id in self.endless:
            return Cycle(f"the subgraph contains itself: {self.endless[id]}", hint="enter it and take the inner copy out")
        hint = did_you_mean(id, there, f"the workflow has: {', '.join(list(there)[:8]) or 'none'}; or delete the node")
        return UnknownNode(f"there is no subgraph {shorten(id)!r} in this workflow", hint=hint)


class _Border(NamedTuple):
    """Around one copy of a subgraph: what it is a copy of, and the node that stands for it, in `parent`."""

    definition: Subgraph
    entry: NodeEntry
    parent: _Frame


@dataclass(eq=False, slots=True)
class _Frame:
    """The canvas, or one copy of a subgraph, which has a border."""

    path: str
    nodes: Mapping[str, NodeEntry]
    border: _Border | None = None
    children: dict[str, _Frame] = field(default_factory=dict)
    inlets: frozenset[str] = frozenset()
    results: dict[str, Any] = field(default_factory=dict)

    def id_of(self, name: str) -> str:
        return f"{self.path}/{name}" if self.path else name


class _Nothing:
    """What comes from an input of a subgraph that nothing is set for."""


_NOTHING: Final = _Nothing()


def flatten(document: Document, registry: Registry) -> Flat:
    """Replace every active instance by what is inside. Raises GraphTooLarge, and Problems if two nodes would have one id."""
    if not document.subgraphs:
        return Flat(document)
    return _Flattener(document, registry).flat()


class _Flattener:
    def __init__(self, document: Document, registry: Registry) -> None:
        self.document = document
        self.registry = registry
        self.order, endless, self.weights = _measure(document)
        self.result = Flat(document, endless=endless)
        self.known: dict[tuple[_Frame, Link], Any] = {}

    def flat(self) -> Flat:
        frames = self.unfold()
        nodes: dict[str, NodeEntry] = {}
        for frame in frames:
            for name, entry in frame.nodes.items():
                if name in frame.children or (frame.border is not None and entry.type in (INLET, OUTLET)):
                    continue
                id = frame.id_of(name)
                if id in nodes:
                    told = f"a node inside the subgraph and another one would both be called {shorten(id)}"
                    raise Problems([UnknownFormat(told, node=id, hint="give one of them an id without `/`")])
                nodes[id] = replace(entry, inputs=self.inputs_of(frame, id, entry)) if entry.inputs else entry
        for frame in frames[1:]:
            found = [self.follow(frame, value) for value in frame.results.values() if type(value) is Link]
            self.result.inside[frame.path] = [link.node for link in found if type(link) is Link]
        if any(entry.mode == "bypassed" and entry.type.startswith(INSTANCE) for entry in nodes.values()):
            self.result.specs = self.specs()
        self.result.document = replace(self.document, nodes=nodes)
        return self.result

    # ------------------------------------------------------------------------- copies

    def unfold(self) -> list[_Frame]:
        """The canvas and every copy, outer ones first."""
        if sum(self.weights.get(entry.type, 0) for entry in self.document.nodes.values() if entry.mode == "active") > MAX_UNFOLDED:
            told = f"with its subgraphs written out the workflow has more than {MAX_UNFOLDED} nodes and inputs"
            raise GraphTooLarge(told, hint="use fewer copies of subgraphs within subgraphs")
        frames = [_Frame("", self.document.nodes)]
        characters = 0
        for frame in frames:
            characters += sum(map(len, frame.nodes)) + len(frame.path) * len(frame.nodes)
            if characters > MAX_ID_CHARACTERS:
                raise GraphTooLarge("the ids of nodes in nested subgraphs are too long", hint="give the nodes shorter ids")
            frames += self.children(frame)
        return frames

    def children(self, frame: _Frame) -> Iterator[_Frame]:
        for name, entry in frame.nodes.items():
            if entry.mode != "active" or entry.type not in self.weights:
                continue
            definition = self.document.subgraphs[entry.type.removeprefix(INSTANCE)]
            inner = definition.nodes
            child = _Frame(frame.id_of(name), inner, _Border(definition, entry, frame))
            child.inlets = frozenset(id for id, one in inner.items() if one.type == INLET)
            for one in inner.values():
                if one.type == OUTLET:
                    child.results.update(one.inputs)
            frame.children[name] = child
            self.report_extra(child)
            yield child

    def report_extra(self, frame: _Frame) -> None:
        assert frame.border is not None
        for name in frame.border.entry.inputs:
            if name not in frame.border.definition.inputs:
                names = ", ".join(f"`{known}`" for known in frame.border.definition.inputs) or "none"
                fault = UnknownInput(
                    f"the subgraph {_name(frame.border.definition)} has no input of that name",
                    hint=did_you_mean(name, frame.border.definition.inputs, f"it has: {names}"),
                )
                self.result.problems.append(fault.at(frame.path, frame.border.entry.type, name))

    # ------------------------------------------------------------------------- links

    def inputs_of(self, frame: _Frame, id: str, entry: NodeEntry) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in entry.inputs.items():
            if type(value) is Link:
                if value.node in frame.inlets and (place := self.place_of(frame, value)) is not None:
                    self.result.set_at[Place(id, name)] = place
                value = self.follow(frame, value)
                if isinstance(value, NodegraphError):
                    fault = type(value)(value.message, hint=value.hint)
                    self.result.faults[Place(id, name)] = fault.at(id, entry.type, name)
                    value = Link("", "")
            if value is not _NOTHING:
                found[name] = value
        return found

    def place_of(self, frame: _Frame, value: Any) -> tuple[Place, str] | None:
        """Where a value that comes from outside a subgraph is set, or would be; None if it is the default of a port."""
        place: tuple[Place, str] | None = None
        while (border := frame.border) is not None and type(value) is Link and value.node in frame.inlets:
            port = border.definition.inputs.get(value.output)
            if port is None or (port.name not in border.entry.inputs and port.has_default):
                return None
            place = Place(frame.path, port.name), border.entry.type
            frame, value = border.parent, border.entry.inputs.get(port.name)
        return place

    def follow(self, frame: _Frame, link: Link) -> Any:
        """What a link means when borders of subgraphs are gone: a Link, a plain value, nothing, or the fault that is in its way."""
        seen: dict[tuple[_Frame, Link], None] = {}
        value: Any = link
        while type(value) is Link:
            here = (frame, value)
            if here in self.known:
                value = self.known[here]
                break
            if here in seen:
                value = Cycle("it comes from itself, through subgraphs that hand it on", hint="remove one of these links")
                break
            seen[here] = None
            if value.node in frame.inlets:
                frame, value = self.outwards(frame, value.output)
            elif value.node in frame.children:
                frame, value = self.inwards(frame.children[value.node], value.output)
            else:
                value = Link(frame.id_of(value.node), value.output)
                break
        for place in seen:
            self.known[place] = value
        return value

    def outwards(self, frame: _Frame, name: str) -> tuple[_Frame, Any]:
        assert frame.border is not None
        port = frame.border.definition.inputs.get(name)
        if port is None:
            names = ", ".join(f"`{known}`" for known in frame.border.definition.inputs) or "none"
            fault = BadLink(f"the subgraph {_name(frame.border.definition)} has no input `{shorten(name)}`", hint=f"its inputs: {names}")
            return frame, fault
        return frame.border.parent, frame.border.entry.inputs.get(name, port.default if port.has_default else _NOTHING)

    def inwards(self, frame: _Frame, name: str) -> tuple[_Frame, Any]:
        assert frame.border is not None
        if name not in frame.border.definition.outputs:
            names = ", ".join(f"`{known}`" for known in frame.border.definition.outputs) or "none"
            told = f"it is linked to output `{shorten(name)}` of node {shorten(frame.path)}, but {_name(frame.border.definition)} has none"
            return frame, BadLink(told, hint=f"its outputs: {names}")
        if name not in frame.results:
            told = f"it is linked to output `{shorten(name)}` of node {shorten(frame.path)}, to which nothing is connected inside"
            return frame, BadLink(told, hint=f"enter {_name(frame.border.definition)} and connect it")
        return frame, frame.results[name]

    # ------------------------------------------------------------------------- how instances look from outside

    def specs(self) -> dict[str, NodeSpec]:
        """Each definition as a node type, by what its ports are connected to inside: for bypassing."""
        found: dict[str, NodeSpec] = {}
        for id in self.order:
            definition = self.document.subgraphs[id]
            inlets = {name for name, entry in definition.nodes.items() if entry.type == INLET}
            takes: dict[str, Type] = {}
            gives: dict[str, Type] = {}
            for entry in definition.nodes.values():
                spec = self.registry.specs.get(entry.type) or found.get(entry.type)
                for name, value in entry.inputs.items():
                    if type(value) is Link and value.node in inlets and spec is not None and name in spec.inputs:
                        takes.setdefault(value.output, spec.inputs[name].type)
            for outlet in (entry for entry in definition.nodes.values() if entry.type == OUTLET):
                for name, value in outlet.inputs.items():
                    source = definition.nodes.get(value.node) if type(value) is Link else None
                    if source is not None and value.node in inlets:
                        gives[name] = takes.get(value.output, ANY)
                    elif source is not None:
                        spec = self.registry.specs.get(source.type) or found.get(source.type)
                        gives[name] = spec.outputs[value.output].type if spec is not None and value.output in spec.outputs else ANY
            found[INSTANCE + id] = _spec(id, definition, takes, gives)
        return found


def _spec(id: str, definition: Subgraph, takes: Mapping[str, Type], gives: Mapping[str, Type]) -> NodeSpec:
    inputs = {name: InputSpec(name, _plain(takes.get(name, ANY))) for name in definition.inputs}
    outputs = {name: OutputSpec(name, _plain(gives.get(name, ANY))) for name in definition.outputs}
    return NodeSpec(INSTANCE + id, _never_called, MappingProxyType(inputs), MappingProxyType(outputs), title=definition.name)


def _plain(type_: Type) -> Type:
    return ANY if isinstance(type_, Var) else type_


def _never_called(**inputs: Any) -> NoReturn:
    raise RuntimeError("a subgraph is taken apart before a run, never called: a fault of the engine")


def _name(definition: Subgraph) -> str:
    return repr(shorten(definition.name or "without a name"))


# --------------------------------------------------------------------------------------------- how large it all is


def _measure(document: Document) -> tuple[list[str], dict[str, str], dict[str, int]]:
    """(definitions that are used, inner ones first; those that contain themselves, and how; by instance type, nodes and inputs in a copy).

    Nothing is copied yet, so copies of copies of copies cost nothing. Raises GraphTooLarge for deep nesting.
    """
    subgraphs = document.subgraphs
    order: list[str] = []
    endless: dict[str, str] = {}
    weights: dict[str, int] = {}
    uses = {id: _used_in(subgraph.nodes.values(), subgraphs) for id, subgraph in subgraphs.items()}
    for root in _used_in(document.nodes.values(), subgraphs):
        if INSTANCE + root in weights or root in endless:
            continue
        open_: dict[str, Iterator[str]] = {root: iter(uses[root])}
        while open_:
            if len(open_) > MAX_DEPTH:
                raise GraphTooLarge(f"subgraphs stand more than {MAX_DEPTH} deep within each other", hint="unpack some of them")
            id, rest = next(reversed(open_.items()))
            inner = next(rest, None)
            if inner is not None:
                if inner in open_:
                    endless.setdefault(id, _circle(inner, [*open_], subgraphs))
                elif inner not in endless and INSTANCE + inner not in weights:
                    open_[inner] = iter(uses[inner])
                continue
            del open_[id]
            said = next((endless[one] for one in uses[id] if one in endless), None)
            if said is not None:
                endless.setdefault(id, said)
            if id not in endless:
                order.append(id)
                weights[INSTANCE + id] = _weight(subgraphs[id], weights)
    return order, endless, weights


def _circle(inner: str, path: list[str], subgraphs: Mapping[str, Subgraph]) -> str:
    names = [_name(subgraphs[one]) for one in [*path[path.index(inner) :], inner]]
    return " -> ".join([*names[:8], "…"] if len(names) > 9 else names)


def _used_in(entries: Any, subgraphs: Mapping[str, Subgraph]) -> list[str]:
    """The definitions whose instances are among the nodes."""
    found = dict.fromkeys(
        entry.type.removeprefix(INSTANCE) for entry in entries if entry.type.startswith(INSTANCE) and entry.mode != "muted"
    )
    return [id for id in found if id in subgraphs]


def _weight(subgraph: Subgraph, weights: Mapping[str, int]) -> int:
    total = sum(1 + len(entry.inputs) + weights.get(entry.type, 0) for entry in subgraph.nodes.values())
    return min(total, MAX_UNFOLDED + 1)


# --------------------------------------------------------------------------------------------- by path


def entry_at(document: Document, id: str) -> NodeEntry | None:
    """The node that an id such as `5/1` means, through the subgraphs on its way."""
    nodes: Mapping[str, NodeEntry] = document.nodes
    while id not in nodes:
        found = ((inner_of(document, nodes.get(id[:cut])), cut) for cut in _slashes(id))
        inner, cut = next((pair for pair in found if pair[0] is not None), (None, 0))
        if inner is None:
            return None
        nodes, id = inner.nodes, id[cut + 1 :]
    return nodes[id]


def _slashes(id: str) -> Iterator[int]:
    return (place for place, sign in enumerate(id) if sign == "/")


def inner_of(document: Document, entry: NodeEntry | None) -> Subgraph | None:
    """The definition that a node stands for, if it stands for one."""
    if entry is None or not entry.type.startswith(INSTANCE):
        return None
    return document.subgraphs.get(entry.type.removeprefix(INSTANCE))
