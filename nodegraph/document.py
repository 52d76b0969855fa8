"""The saved workflow: one JSON format for editor, command line and API, with a number and a way up from older numbers.

    {"nodegraph": 1,
     "nodes": {"3": {"type": "KSampler", "version": 1, "inputs": {"seed": 7, "model": {"link": ["4", "model"]}}}},
     "layout": {...}, "groups": [], "subgraphs": {}, "meta": {}}

Only `nodes` has a meaning here. Everything else is carried along unread, so that saving loses nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
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
MODES: Final = ("active", "muted", "bypassed")


class Link(NamedTuple):
    """The value of an input that comes from output `output` of node `node`."""

    node: str
    output: str


@dataclass(slots=True)
class NodeEntry:
    """One node as saved. `inputs` holds literals and `Link`s."""

    type: str
    inputs: dict[str, Any] = field(default_factory=dict)
    version: int | None = None
    title: str = ""
    mode: str = "active"


@dataclass(slots=True)
class Document:
    """A workflow. `rest` is every other top-level key, kept as it was."""

    nodes: dict[str, NodeEntry] = field(default_factory=dict)
    layout: dict[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    rest: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "nodegraph": FORMAT,
            "nodes": {id: _node_json(entry) for id, entry in self.nodes.items()},
            "layout": self.layout,
            "groups": [],
            "subgraphs": {},
            "meta": self.meta,
            **self.rest,
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
    return out


# --------------------------------------------------------------------------------------------- reading


def read_json(path: str | Path) -> Any:
    """The JSON in a file. Raises FileMissing, TooLarge, NotJson or ReadFailed; never RecursionError, never NaN."""
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise TooLarge(f"{path} has {size / 2**20:.0f} MiB; a workflow has at most {MAX_BYTES // 2**20}", hint="is it the right file?")
        return parse_json(path.read_bytes(), str(path))
    except FileNotFoundError as error:
        raise FileMissing(f"there is no file {path}", hint=_similar_files(path)) from error
    except OSError as error:
        raise ReadFailed(f"cannot read {path}: {error.strerror or error}", hint="give the path of a workflow file") from error


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
        raise TooLarge(f"{name} has {len(data) / 2**20:.0f} MiB; at most {MAX_BYTES // 2**20} are read", hint="is it the right file?")
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_bounded_int)
    except RecursionError as error:
        raise TooLarge(f"{name} is nested too deeply to be a workflow", hint="workflows are at most a few levels deep") from error
    except UnicodeDecodeError as error:
        raise NotJson(
            f"{name} is not text: byte {error.start} is not UTF-8", hint="give a workflow JSON, or a PNG or WebP saved with one"
        ) from error
    except ValueError as error:
        raise NotJson(f"{name} is not JSON: {error}", hint="open it in an editor at that place, or save it again") from error


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
        raise GraphTooLarge(f"the workflow has {len(nodes)} nodes; at most {MAX_NODES} are accepted")
    problems: list[NodegraphError] = []
    entries = {id: entry for id, raw in nodes.items() if (entry := _parse_node(id, raw, problems)) is not None}
    if problems:
        raise Problems(problems)
    layout, meta = data.get("layout"), data.get("meta")
    rest = {key: value for key, value in data.items() if key not in ("nodegraph", "nodes", "layout", "meta")}
    return Document(entries, layout if isinstance(layout, dict) else {}, meta if isinstance(meta, dict) else {}, rest)


def _parse_node(id: str, raw: Any, problems: list[NodegraphError]) -> NodeEntry | None:
    if not isinstance(raw, dict) or not isinstance(raw.get("type"), str):
        problems.append(UnknownFormat("a node must be an object with a `type`", node=id, hint="save the workflow again"))
        return None
    if not id or len(id) > 500:
        problems.append(UnknownFormat("a node id must have 1 to 500 characters", node=id[:40], hint="rename the node"))
        return None
    type_, inputs, mode, version = raw["type"], raw.get("inputs", {}), raw.get("mode", "active"), raw.get("version")
    if not isinstance(inputs, dict):
        problems.append(
            UnknownFormat("`inputs` must be an object of values by name", node=id, node_type=type_, hint="save the workflow again")
        )
        return None
    if mode not in MODES:
        problems.append(
            BadValue(f"the mode {shorten(mode)} is not one of {', '.join(MODES)}", node=id, node_type=type_, hint="use `active`")
        )
    if version is not None and (type(version) is not int or version < 1):
        problems.append(
            BadValue(f"the version {shorten(version)} is not a whole number from 1", node=id, node_type=type_, hint="leave it out")
        )
    parsed = {}
    for name, value in inputs.items():
        if type(value) is dict:
            value = _parse_link(value, id, type_, name, problems)
        parsed[name] = value
    return NodeEntry(type_, parsed, version if type(version) is int else None, str(raw.get("title") or ""), mode)


def _parse_link(value: dict[str, Any], id: str, type_: str, name: str, problems: list[NodegraphError]) -> Any:
    link = value.get("link")
    if len(value) == 1 and type(link) is list and len(link) == 2 and type(link[0]) is str and type(link[1]) is str:
        return Link(link[0], link[1])
    problems.append(
        BadLink(
            f"{shorten(value)} is not a link",
            node=id,
            node_type=type_,
            input=name,
            hint='write {"link": ["id of the node", "name of its output"]}',
        )
    )
    return None
