"""The saved workflow: one JSON format for editor, command line and API, with a number and a way up from older numbers.

    {"nodegraph": 1,
     "nodes": {"3": {"type": "KSampler", "version": 1, "inputs": {"seed": 7, "model": {"link": ["4", "model"]}}}},
     "layout": {...}, "groups": [], "subgraphs": {}, "meta": {}}

Only `nodes` and `subgraphs` have a meaning here. Everything else is carried along unread, so that saving loses nothing.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from nodegraph.errors import (
    BadLink,
    BadValue,
    FileMissing,
    FormatTooNew,
    GraphTooLarge,
    NodegraphError,
    NotJson,
    Problems,
    ReadFailed,
    TooLarge,
    UnknownFormat,
    shorten,
)

FORMAT: Final = 1
MAX_BYTES: Final = 64 * 2**20
MAX_NODES: Final = 1_000_000
MAX_DEPTH: Final = 64
"""of brackets within brackets; more would pass the reader and break whoever walks the values later"""
MAX_REPORTED: Final = 100
MODES: Final = ("active", "muted", "bypassed")
MAX_SUBGRAPHS: Final = 10_000
MAX_PORTS: Final = 1000
INSTANCE: Final = "subgraph/"
"""what the type of a node begins with that stands for a subgraph of the file; its id follows"""
INLET: Final = "SubgraphInputs"
"""the node inside a subgraph whose outputs are its inputs"""
OUTLET: Final = "SubgraphOutputs"
"""the node inside a subgraph whose inputs are its outputs"""
_KNOWN: Final = frozenset(("nodegraph", "nodes", "layout", "subgraphs", "meta"))
_SUBGRAPH_KEYS: Final = frozenset(("name", "inputs", "outputs", "nodes"))
_NODE_KEYS: Final = frozenset(("type", "version", "inputs", "title", "mode"))


class Link(NamedTuple):
    """The value of an input that comes from output `output` of node `node`."""

    node: str
    output: str


@dataclass(slots=True)
class NodeEntry:
    """One node as saved. `inputs` holds literals and `Link`s, `rest` every key that is not known here."""

    type: str
    inputs: dict[str, Any] = field(default_factory=dict)
    version: int | None = None
    title: str = ""
    mode: str = "active"
    rest: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a subgraph. `raw`: the whole of what is saved of it, such as its type, range and choices for the editor."""

    name: str
    raw: Mapping[str, Any]

    @property
    def has_default(self) -> bool:
        return "default" in self.raw

    @property
    def default(self) -> Any:
        return self.raw.get("default")


@dataclass(slots=True)
class Subgraph:
    """The definition of a subgraph: what nodes of the type `subgraph/ID` stand for. Ports by name, in their order."""

    name: str = ""
    inputs: dict[str, Port] = field(default_factory=dict)
    outputs: dict[str, Port] = field(default_factory=dict)
    nodes: dict[str, NodeEntry] = field(default_factory=dict)
    rest: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "inputs": [port.raw for port in self.inputs.values()],
            "outputs": [port.raw for port in self.outputs.values()],
            "nodes": {id: _node_json(entry) for id, entry in self.nodes.items()},
            **self.rest,
        }


@dataclass(slots=True)
class Document:
    """A workflow. `rest` is every other top-level key, kept as it was."""

    nodes: dict[str, NodeEntry] = field(default_factory=dict)
    layout: dict[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    rest: dict[str, Any] = field(default_factory=lambda: {"groups": []})
    subgraphs: dict[str, Subgraph] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "nodegraph": FORMAT,
            "nodes": {id: _node_json(entry) for id, entry in self.nodes.items()},
            "layout": self.layout,
            **self.rest,
            "subgraphs": {id: subgraph.to_json() for id, subgraph in self.subgraphs.items()},
            "meta": self.meta,
        }


def _node_json(entry: NodeEntry) -> dict[str, Any]:
    out: dict[str, Any] = {"type": entry.type}
    if entry.version is not None:
        out["version"] = entry.version
    out["inputs"] = {name: {"link": list(value)} if type(value) is Link else value for name, value in entry.inputs.items()}
    if entry.title:
        out["title"] = entry.title
    if entry.mode != "active":
        out["mode"] = entry.mode
    return {**entry.rest, **out} if entry.rest else out


# --------------------------------------------------------------------------------------------- reading


def read_json(path: str | Path) -> Any:
    """The JSON in a file. Raises FileMissing, TooLarge, NotJson or ReadFailed; never RecursionError, never NaN."""
    path = Path(path)
    try:
        with open(path, "rb") as stream:
            if os.fstat(stream.fileno()).st_size > MAX_BYTES:
                raise _too_large(str(path))
            return parse_json(stream.read(MAX_BYTES + 1), str(path))
    except FileNotFoundError as error:
        raise FileMissing(f"there is no file {path}", hint=_similar_files(path)) from error
    except OSError as error:
        raise ReadFailed(f"cannot read {path}: {error.strerror or error}", hint="give the path of a workflow file") from error


def _too_large(name: str) -> TooLarge:
    return TooLarge(f"{name} has more than {MAX_BYTES // 2**20} MiB, the most that a workflow may have", hint="is it the right file?")


def _similar_files(path: Path) -> str:
    from nodegraph.errors import did_you_mean

    try:
        known = [str(path.with_name(entry.name)) for entry in path.parent.iterdir() if entry.suffix in (".json", ".png", ".webp")]
    except OSError:
        return f"the folder {path.parent} does not exist either"
    return did_you_mean(str(path), known, "check the path") or "check the path"


def parse_json(data: bytes | str, name: str = "the text") -> Any:
    """Strict JSON: finite numbers only, no duplicate keys, bounded size and depth. Raises NotJson or TooLarge."""
    if len(data) > MAX_BYTES:
        raise _too_large(name)
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        value = json.loads(
            text, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_bounded_int, object_pairs_hook=_without_duplicates
        )
    except RecursionError as error:
        raise _too_deep(name) from error
    except UnicodeDecodeError as error:
        raise NotJson(
            f"{name} is not text: byte {error.start} is not UTF-8", hint="give a workflow JSON, or a PNG or WebP saved with one"
        ) from error
    except ValueError as error:
        raise NotJson(f"{name} is not JSON: {error}", hint="open it in an editor at that place, or save it again") from error
    if depth(value) > MAX_DEPTH:
        raise _too_deep(name)
    return value


def without_nan(data: bytes | str, name: str = "the text") -> Any:
    """JSON with the words NaN and Infinity, which Python writes and ComfyUI's files hold, read as nothing.

    All other limits are those of `parse_json`. Raises NotJson, also if no such word is in it, or TooLarge.
    """
    text = data.decode("utf-8-sig", "replace") if isinstance(data, bytes) else data
    if "NaN" not in text and "Infinity" not in text:
        raise NotJson(f"{name} is not JSON", hint="save it again")
    try:
        value = json.loads(text, parse_constant=lambda _: None, parse_int=_int_text, object_pairs_hook=_without_duplicates)
        plain = json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise NotJson(f"{name} is not JSON: {error}", hint="open it in an editor, or save it again") from error
    return parse_json(plain, name)


def _int_text(text: str) -> Any:
    return int(text) if len(text) <= 40 else text


def _too_deep(name: str) -> TooLarge:
    return TooLarge(f"{name} is nested too deeply to be a workflow", hint=f"at most {MAX_DEPTH} brackets stand within each other")


def depth(value: Any) -> int:
    """How many lists and objects of plain data stand within each other, found without recursion."""
    level, found = [value], 0
    while level:
        inner: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is dict:
                inner += item.values()
            elif kind is list:
                inner += item
        level = [item for item in inner if type(item) is dict or type(item) is list]
        found += bool(inner)
    return found


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {shorten(twice)!r} stands twice in one object")
    return found


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a number that JSON knows")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large a number")
    return value


def _bounded_int(text: str) -> int:
    if len(text) > 40:
        raise ValueError(f"{text[:20]}… is a whole number of {len(text)} digits, too large")
    return int(text)


UPGRADES: Final[Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {}
"""from each older format number to the next; applied in turn"""


def upgrade(
    data: dict[str, Any], steps: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = UPGRADES, to: int = FORMAT
) -> dict[str, Any]:
    """Bring saved data of any known format number to the present one. Raises FormatTooNew, UnknownFormat."""
    number = data.get("nodegraph")
    if type(number) is not int or number < 1:
        raise UnknownFormat(f"`nodegraph` must be a format number from 1 to {to}, not {shorten(number)}", hint="is it a workflow file?")
    if number > to:
        raise FormatTooNew(f"the workflow has format {number}; this version knows formats up to {to}", hint="update nodegraph")
    while number < to:
        if number not in steps:
            raise UnknownFormat(f"there is no way from format {number} to {to}", hint="save it again with a version in between")
        data = {**steps[number](data), "nodegraph": number + 1}
        number += 1
    return data


def parse_document(data: Any) -> Document:
    """A Document from plain data in our format. Raises Problems with every fault of form at once."""
    if not isinstance(data, dict) or "nodegraph" not in data:
        raise UnknownFormat("this is JSON, but no nodegraph workflow: the key `nodegraph` is missing", hint="is it the right file?")
    data = upgrade(data)
    nodes = data.get("nodes")
    if not isinstance(nodes, dict):
        raise UnknownFormat(f"`nodes` must be an object of nodes by id, not {shorten(nodes, 40)}", hint="save the workflow again")
    if len(nodes) > MAX_NODES:
        raise GraphTooLarge(f"the workflow has {len(nodes)} nodes; at most {MAX_NODES} are accepted", hint="split it into several")
    problems: list[NodegraphError] = []
    entries = {id: _parse_node(id, raw, problems) for id, raw in nodes.items()}
    layout, meta, definitions = (_parse_object(data, key, problems) for key in ("layout", "meta", "subgraphs"))
    if len(definitions) > MAX_SUBGRAPHS:
        raise GraphTooLarge(f"the workflow has {len(definitions)} subgraphs; at most {MAX_SUBGRAPHS} are accepted", hint="split it")
    subgraphs = {id: _parse_subgraph(id, raw, problems) for id, raw in definitions.items()}
    if problems:
        raise Problems(problems[:MAX_REPORTED], hidden=max(0, len(problems) - MAX_REPORTED))
    rest = {key: value for key, value in data.items() if key not in _KNOWN}
    return Document(entries, layout, meta, rest, subgraphs)


def _parse_subgraph(id: str, raw: Any, problems: list[NodegraphError]) -> Subgraph:
    """One definition; what is wrong with it goes to `problems`, which say in which subgraph it is."""
    found: list[NodegraphError] = []
    if not id or len(id) > 200 or "/" in id:
        found.append(UnknownFormat("the id of a subgraph must be a text of 1 to 200 characters without `/`", hint="rename it"))
    nodes = raw.get("nodes", {}) if isinstance(raw, dict) else None
    if not isinstance(raw, dict) or not isinstance(nodes, dict):
        found.append(UnknownFormat("a subgraph must be an object with `nodes`", hint="save the workflow again"))
        raw, nodes = {}, {}
    name = raw.get("name", "")
    if not isinstance(name, str):
        found.append(BadValue(f"its name {shorten(name)} is not a text", hint="leave it out"))
        name = ""
    ports = {side: _parse_ports(raw.get(side, []), side, found) for side in ("inputs", "outputs")}
    entries = {inner: _parse_node(inner, entry, found) for inner, entry in nodes.items()}
    for fault in found:
        inner = f", node {shorten(fault.node, 40)}" if fault.node is not None else ""
        fault.message = f"subgraph {shorten(id, 40)!r}{inner}: {fault.message}"
        fault.node = fault.node_type = None
    problems += found
    return Subgraph(name, ports["inputs"], ports["outputs"], entries, {k: v for k, v in raw.items() if k not in _SUBGRAPH_KEYS})


def _parse_ports(raw: Any, side: str, found: list[NodegraphError]) -> dict[str, Port]:
    hint = 'write [{"name": "seed", "type": "int"}]'
    if not isinstance(raw, list) or len(raw) > MAX_PORTS:
        found.append(UnknownFormat(f"its `{side}` must be a list of at most {MAX_PORTS} ports", hint=hint))
        return {}
    ports: dict[str, Port] = {}
    for port in raw:
        name = port.get("name") if isinstance(port, dict) else None
        if type(name) is not str or not 0 < len(name) <= 200:
            found.append(UnknownFormat(f"{shorten(port, 60)} in its `{side}` is no port: it needs a `name`", hint=hint))
        elif name in ports:
            found.append(UnknownFormat(f"two of its {side} are called {shorten(name)!r}", hint="rename one"))
        else:
            ports[name] = Port(name, port)
    return ports


def _parse_object(data: Mapping[str, Any], key: str, problems: list[NodegraphError]) -> dict[str, Any]:
    value = data.get(key, {})
    if isinstance(value, dict):
        return value
    problems.append(
        UnknownFormat(f"`{key}` must be an object, not {shorten(value, 40)}", hint=f"remove `{key}` or save the workflow again")
    )
    return {}


def _parse_node(id: str, raw: Any, problems: list[NodegraphError]) -> NodeEntry:
    """One node; what is wrong with it goes to `problems`, all of it."""
    if type(id) is not str or not id or len(id) > 500:
        problems.append(UnknownFormat("a node id must be a text of 1 to 500 characters", node=shorten(id, 40), hint="rename the node"))
        id = shorten(id, 40)
    if not isinstance(raw, dict) or not isinstance(raw.get("type"), str):
        problems.append(UnknownFormat("a node must be an object with a `type`", node=id, hint="save the workflow again"))
        return NodeEntry("")
    entry = NodeEntry(raw["type"], version=raw.get("version"), title=raw.get("title") or "", mode=raw.get("mode", "active"))
    if not raw.keys() <= _NODE_KEYS:
        entry.rest = {key: value for key, value in raw.items() if key not in _NODE_KEYS}
    if entry.mode != "active" or entry.version is not None or entry.title:
        problems += (fault.at(id, entry.type) for fault in _faults_of(entry))
    inputs = raw.get("inputs", {})
    if isinstance(inputs, dict):
        entry.inputs = {
            name: _parse_link(value, id, entry.type, name, problems) if type(value) is dict else value for name, value in inputs.items()
        }
    else:
        problems.append(
            UnknownFormat("`inputs` must be an object of values by name", node=id, node_type=entry.type, hint="save the workflow again")
        )
    return entry


def _faults_of(entry: NodeEntry) -> Iterator[NodegraphError]:
    if entry.mode not in MODES:
        yield BadValue(f"the mode {shorten(entry.mode)} is not one of {', '.join(MODES)}", hint="use `active`")
    if entry.version is not None and (type(entry.version) is not int or entry.version < 1):
        yield BadValue(f"the version {shorten(entry.version)} is not a whole number from 1", hint="leave it out")
    if type(entry.title) is not str:
        yield BadValue(f"the title {shorten(entry.title)} is not a text", hint="leave it out")


def _parse_link(value: dict[str, Any], id: str, type_: str, name: str, problems: list[NodegraphError]) -> Any:
    link = as_link(value)
    if link is None:
        hint = 'write {"link": ["id of the node", "name of its output"]}'
        problems.append(BadLink(f"{shorten(value)} is not a link", node=id, node_type=type_, input=name, hint=hint))
    return link


def as_link(value: Mapping[str, Any]) -> Link | None:
    """The Link that `{"link": [node, output]}` means; None if it is something else."""
    link = value.get("link")
    if len(value) == 1 and type(link) is list and len(link) == 2 and type(link[0]) is str and type(link[1]) is str:
        return Link(link[0], link[1])
    return None
