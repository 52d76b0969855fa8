"""ComfyUI's API JSON: nodes by id with a `class_type`, links as `[id, slot]`. Read into a Document, and written from one.

{"3": {"class_type": "KSampler", "inputs": {"seed": 7, "model": ["4", 0]}, "_meta": {"title": "sample"}}}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from nodegraph.comfy.aliases import BY_OURS, NOTES, Alias, ForeignInput, alias_for, find_alias
from nodegraph.comfy.constants import as_text, coerce, describe, is_slot, other_place, unwrap, wrap
from nodegraph.comfy.converted import Converted, Warnings
from nodegraph.document import MAX_NODES, Document, Link, NodeEntry
from nodegraph.errors import BadLink, Cycle, GraphTooLarge, NodegraphError, NotConvertible, Problems, UnknownFormat, shorten
from nodegraph.graph import handed_on
from nodegraph.registry import Registry
from nodegraph.subgraphs import Flat, flatten
from nodegraph.types import ANY, Type

MAX_ID = 500
_MISSING = object()

_NO_NAMES: Final[Mapping[str, ForeignInput]] = {}


def is_api_json(data: Any) -> bool:
    """Whether this looks like API JSON: an object in which something has a `class_type`."""
    return isinstance(data, dict) and any(isinstance(node, dict) and "class_type" in node for node in data.values())


def from_api(data: Any, registry: Registry | None = None) -> Document:
    """A Document from API JSON. Raises UnknownFormat, GraphTooLarge, or Problems with every fault at once."""
    return convert_api(data, registry).document


def convert_api(data: Any, registry: Registry | None = None) -> Converted:
    """Like `from_api`, with warnings about what could not be carried over unchanged.

    registry: names the outputs of nodes that ComfyUI does not have; without it they are called `output_0`, `output_1`, ...
    """
    converted, problems = read_api(data, registry)
    if problems:
        raise Problems(problems)
    return converted


def read_api(data: Any, registry: Registry | None = None) -> tuple[Converted, list[NodegraphError]]:
    """Like `convert_api`, but what cannot be read is left out of the document and told beside it.

    So the rest can still be run. Raises UnknownFormat or GraphTooLarge if nothing of it can.
    """
    if not is_api_json(data):
        raise UnknownFormat(f"this is no API JSON of ComfyUI but {describe(data)}", hint="in ComfyUI, use Workflow > Export (API)")
    if len(data) > MAX_NODES:
        raise GraphTooLarge(f"the workflow has {len(data)} nodes; at most {MAX_NODES} are accepted")
    reader = _Reader(registry)
    document = reader.read(data)
    return Converted(document, reader.warnings.all()), reader.problems


_AS_IT_IS: Final = frozenset((("int", int), ("float", float), ("str", str), ("bool", bool)))
"""kinds of inputs and types of values that need no conversion"""
_PLAIN: Final = frozenset((int, float, str, bool))
"""types of values that a node of ours takes as they are"""


class _Node(NamedTuple):
    """A node as it stands in API JSON, of proven form."""

    type: str
    inputs: dict[str, Any]
    title: str
    alias: Alias | None
    outputs: tuple[str, ...] | None
    """names of its outputs, as far as they are known"""


class _Slot(NamedTuple):
    node: str
    number: int


class _Reader:
    def __init__(self, registry: Registry | None) -> None:
        self.registry = registry
        self.nodes: dict[str, _Node] = {}
        self.classes: dict[str, tuple[Alias | None, tuple[str, ...] | None]] = {}
        self.problems: list[NodegraphError] = []
        self.warnings = Warnings()

    def read(self, data: dict[str, Any]) -> Document:
        for id, raw in data.items():
            node = self._node(id, raw)
            if node is not None:
                self.nodes[id] = node
        return Document({id: self._entry(id, node, data) for id, node in self.nodes.items()})

    def _node(self, id: str, raw: Any) -> _Node | None:
        fault = _form_fault(id, raw)
        if fault is not None:
            self.problems.append(fault)
            return None
        meta = raw.get("_meta")
        title = meta.get("title") if isinstance(meta, dict) else None
        type_ = raw["class_type"]
        alias, outputs = self._class(type_)
        return _Node(type_, raw.get("inputs", {}), title if isinstance(title, str) else "", alias, outputs)

    def _class(self, type_: str) -> tuple[Alias | None, tuple[str, ...] | None]:
        """(ComfyUI's node of this name, the names of its outputs)."""
        known = self.classes.get(type_)
        if known is None:
            alias = find_alias(type_)
            spec = self.registry.specs.get(type_) if self.registry is not None else None
            own = tuple(spec.outputs) if spec is not None else None
            known = self.classes[type_] = (alias, alias.outputs if alias is not None else own)
        return known

    def _entry(self, id: str, node: _Node, data: Mapping[str, Any]) -> NodeEntry:
        inputs: dict[str, Any] = dict(node.alias.fixed) if node.alias is not None else {}
        known = node.alias.by_name if node.alias is not None else _NO_NAMES
        for name, value in node.inputs.items():
            entry = known.get(name)
            plain = self._plain(node, entry, value)
            if plain is not None:
                inputs[entry.ours if entry is not None else name] = plain
                continue
            if self._is_ignored(id, node, name, value, entry):
                continue
            converted = self._value(id, node, name, value, entry, data)
            if converted is not _MISSING:
                inputs[entry.ours if entry is not None else name] = converted
        return NodeEntry(node.alias.ours if node.alias is not None else node.type, inputs, title=node.title)

    def _is_ignored(self, id: str, node: _Node, name: str, value: Any, entry: ForeignInput | None) -> bool:
        """Whether this constant is one that ComfyUI would pass over in silence: for an input that the node does not have."""
        if node.alias is None or entry is not None or name in node.alias.only_ours or type(value) is list:
            return False
        if name not in ("upload", "control_after_generate") and not node.alias.shows and node.alias.only_theirs.get(name) != value:
            self.warnings.add(f"the value of `{shorten(name)}` is left out: there is no such input", id, node.type)
        return True

    def _value(self, id: str, node: _Node, name: str, value: Any, entry: ForeignInput | None, data: Mapping[str, Any]) -> Any:
        if type(value) is list:
            if node.alias is None and not (len(value) == 2 and isinstance(value[0], str) and value[0] in data):
                return value
            return self._link(id, node, name, value, data)
        value = unwrap(value)
        if isinstance(value, dict):
            return self._object(id, node, name, value)
        if entry is None:
            return value
        if entry.kind == "file" and (place := other_place(value)):
            self.warnings.add(f"{describe(value)} names a file of the {place} folder; copy it to the input folder", id, node.type)
        return coerce(entry, value)

    def _object(self, id: str, node: _Node, name: str, value: dict[str, Any]) -> Any:
        text = as_text(value)
        if text is None:
            fault = UnknownFormat("the value is nested too deeply", hint="values are plain numbers, text or short lists")
            self.problems.append(fault.at(id, node.type, name))
            return _MISSING
        self.warnings.add(f"the value of `{shorten(name)}` is an object and was kept as JSON text", id, node.type)
        return text

    # ------------------------------------------------------------------------------------------ links

    def _plain(self, node: _Node, entry: ForeignInput | None, value: Any) -> Any:
        """What most values become, without a closer look; None for all others."""
        kind = type(value)
        if kind is list:
            return self._plain_link(value) if entry is not None or node.alias is None else None
        if entry is not None:
            return value if (entry.kind, kind) in _AS_IT_IS else None
        return value if node.alias is None and kind in _PLAIN else None

    def _plain_link(self, value: list[Any]) -> Link | None:
        """The Link that most links are: to an output that its node really has. None for all others."""
        if len(value) != 2 or type(value[0]) is not str or type(value[1]) is not int:
            return None
        source = self.nodes.get(value[0])
        if source is None or source.outputs is None or not 0 <= value[1] < len(source.outputs):
            return None
        output = source.outputs[value[1]]
        return None if output[0] == "@" else Link(value[0], output)

    def _link(self, id: str, node: _Node, name: str, value: list[Any], data: Mapping[str, Any]) -> Any:
        found = self._follow(value, data)
        if not isinstance(found, NodegraphError):
            return found
        found.at(id, node.type, name)
        self.problems.append(found)
        return _MISSING

    def _follow(self, value: Any, data: Mapping[str, Any]) -> Any:
        """What a link leads to: a Link, or the constant behind a node that only hands on, or the fault."""
        seen: set[_Slot] = set()
        while True:
            slot = _parse_link(value)
            if slot is None:
                return BadLink(f"{_quote(value)} is not a link", hint='a link is ["id of the node", slot]; a list is {"__value__": [...]}')
            source = self.nodes.get(slot.node)
            if source is None:
                return _no_such_node(slot.node, data)
            name = self._output(source, slot)
            if not isinstance(name, str):
                return name
            if not name.startswith("@"):
                return Link(slot.node, name)
            if slot in seen:
                return Cycle(f"the link runs in a circle through node {shorten(slot.node)}", hint="take one of its links away")
            seen.add(slot)
            entry = source.alias.by_ours[name[1:]] if source.alias is not None else None
            value = source.inputs.get(entry.theirs, source.inputs.get(entry.ours, _MISSING)) if entry is not None else _MISSING
            if type(value) is not list:
                return unwrap(value)

    def _output(self, source: _Node, slot: _Slot) -> str | NodegraphError:
        names = source.outputs
        if names is None:
            return f"output_{slot.number}"
        if slot.number < len(names):
            return names[slot.number]
        has = ", ".join(f"{i} {name.lstrip('@')}" for i, name in enumerate(names)) if names else "no outputs"
        where = f'node {shorten(slot.node)} "{shorten(source.type)}"'
        hint = "use one of these slots" if names else "link another node"
        return BadLink(f"{where} has no output slot {slot.number}; it has {has}", hint=hint)


def _form_fault(id: str, raw: Any) -> NodegraphError | None:
    if not isinstance(id, str) or not 0 < len(id) <= MAX_ID:
        return UnknownFormat(f"a node id must have 1 to {MAX_ID} characters", node=shorten(id, 60), hint="rename the node")
    if not isinstance(raw, dict) or not isinstance(raw.get("class_type"), str) or not 0 < len(raw["class_type"]) <= MAX_ID:
        what = describe(raw.get("class_type")) if isinstance(raw, dict) and "class_type" in raw else describe(raw)
        fault = f"a node must be an object with a `class_type`, not {what}"
        return UnknownFormat(fault, node=shorten(id, 60), hint="export the workflow again")
    inputs = raw.get("inputs", {})
    if not isinstance(inputs, dict) or not all(isinstance(name, str) for name in inputs):
        fault = f"`inputs` must be an object of values by name, not {describe(inputs)}"
        return UnknownFormat(fault, node=shorten(id, 60), node_type=raw["class_type"], hint="export the workflow again")
    return None


def _parse_link(value: Any) -> _Slot | None:
    if type(value) is not list or len(value) != 2 or not isinstance(value[0], str) or not is_slot(value[1]) or not 0 <= value[1] < 10**6:
        return None
    return _Slot(value[0], int(value[1]))


def _quote(value: Any) -> str:
    if type(value) is list and len(value) == 2:
        return f"[{describe(value[0])}, {describe(value[1])}]"
    return describe(value)


def _no_such_node(id: str, data: Mapping[str, Any]) -> BadLink:
    if id in data:
        return BadLink(f"node {shorten(id)} cannot be read", hint="mend that node first")
    return BadLink(f"there is no node {shorten(id)}", hint="link another node, or take the input out")


# --------------------------------------------------------------------------------------------- writing


def to_api(document: Document, registry: Registry) -> dict[str, Any]:
    """API JSON of what would run: muted nodes and notes left out, bypassed ones replaced by what they hand on, subgraphs by what is
    inside, defaults written out.

    Nodes that ComfyUI has are called by its names; others keep their own id as `class_type`. Raises Problems with every link that
    cannot be expressed.
    """
    flat = flatten(document, registry)
    writer = _Writer(flat, registry)
    live = {id: entry for id, entry in flat.document.nodes.items() if entry.mode == "active" and entry.type not in NOTES}
    out = {id: writer.node(id, entry) for id, entry in live.items()}
    if writer.problems:
        raise Problems(writer.problems)
    return out


class _Writer:
    def __init__(self, flat: Flat, registry: Registry) -> None:
        self.nodes = flat.document.nodes
        self.specs = {**flat.specs, **registry.specs}
        self.problems: list[NodegraphError] = [*flat.problems, *map(flat.located, flat.faults.values())]

    def node(self, id: str, entry: NodeEntry) -> dict[str, Any]:
        alias = alias_for(entry.type, entry.inputs) if entry.type in BY_OURS else None
        inputs: dict[str, Any] = dict(alias.only_theirs) if alias is not None else {}
        defaults = self._defaults(entry.type, alias)
        for name, given in {**defaults, **entry.inputs}.items():
            foreign = alias.by_ours.get(name) if alias is not None else None
            value = self._input(id, entry, name, given)
            value = defaults.get(name, _MISSING) if value is _MISSING else value
            if value is not _MISSING:
                inputs[foreign.theirs if foreign is not None else name] = value
        out: dict[str, Any] = {"class_type": alias.theirs if alias is not None else entry.type, "inputs": inputs}
        if entry.title:
            out["_meta"] = {"title": entry.title}
        return out

    def _defaults(self, type_: str, alias: Alias | None) -> dict[str, Any]:
        """ComfyUI wants every value written out, also those left at their defaults."""
        spec = self.specs.get(type_)
        if spec is None or alias is None:
            return {}
        given = ((name, spec.inputs[name]) for name in (*alias.by_ours, *alias.fixed) if name in spec.inputs)
        return {name: entry.default for name, entry in given if not entry.required and entry.default is not None}

    def _input(self, id: str, entry: NodeEntry, name: str, value: Any) -> Any:
        try:
            found = self._resolve(value, self._wanted(entry.type, name))
            return [found.node, self._slot(found)] if type(found) is Link else found if found is _MISSING else wrap(found)
        except NodegraphError as error:
            self.problems.append(error.at(id, entry.type, name))
            return _MISSING

    def _wanted(self, type_: str, name: str) -> Type:
        spec = self.specs.get(type_)
        return spec.inputs[name].type if spec is not None and name in spec.inputs else ANY

    def _resolve(self, value: Any, wanted: Type) -> Any:
        """The Link to an active node, the constant, or _MISSING, that stands behind muted and bypassed nodes."""
        seen: set[Link] = set()
        while type(value) is Link:
            source = self.nodes.get(value.node)
            if source is None:
                raise BadLink(f"there is no node {shorten(value.node)}", hint="link another node, or take the input out")
            if source.mode == "muted":
                return _MISSING
            if source.type in NOTES:
                value = source.inputs.get("text", "")
                continue
            if source.mode != "bypassed":
                return value
            if value in seen:
                raise Cycle(f"the link runs in a circle through node {shorten(value.node)}", hint="take one of its links away")
            seen.add(value)
            value = self._handed_on(source, value.output, wanted)
        return value

    def _handed_on(self, source: NodeEntry, output: str, wanted: Type) -> Any:
        """What stands for an output of a bypassed node, or _MISSING."""
        spec = self.specs.get(source.type)
        if spec is None:
            fault = f"the bypassed node {shorten(source.type)!r} is of no known type, so what it hands on is unknown"
            raise NotConvertible(fault, hint="remove the node, or install the pack it comes from")
        if output not in spec.outputs:
            raise BadLink(f"{spec.id} has no output `{shorten(output)}`", hint=f"it has {', '.join(spec.outputs) or 'none'}")
        found = handed_on(spec, source.inputs, output, wanted)
        return _MISSING if found is None else found

    def _slot(self, link: Link) -> int:
        type_ = self.nodes[link.node].type
        alias, spec = BY_OURS.get(type_), self.specs.get(type_)
        names = alias.outputs if alias is not None else tuple(spec.outputs) if spec is not None else None
        if names is not None and link.output in names:
            return names.index(link.output)
        numbered = re.fullmatch(r"output_(\d{1,6})", link.output)
        if names is None and numbered:
            return int(numbered[1])
        has = "it has " + (", ".join(names) or "none") if names is not None else "nor is its type known here"
        raise NotConvertible(f'node {shorten(link.node)} "{shorten(type_)}" has no output `{shorten(link.output)}`; {has}')
