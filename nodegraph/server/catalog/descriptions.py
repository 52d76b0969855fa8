"""Node types as plain data, and back: what a process needs that checks graphs but never runs them.

A registry made of descriptions finds the same faults and builds the same graphs as the one that was described. Its functions are absent:
calling one raises.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NoReturn

from nodegraph.document import Document
from nodegraph.registry import Pack, Registry
from nodegraph.schema import REQUIRED, InputSpec, NodeSpec, OutputSpec, Widget
from nodegraph.server.wire import link
from nodegraph.server.wire.faults import error_from_json
from nodegraph.types import (
    ANY,
    BOOL,
    FLOAT,
    INT,
    STR,
    Anything,
    ListOf,
    Socket,
    Type,
    Union,
    Var,
    casts,
    declare_absent_cast,
    socket_of,
    stand_in,
)

FORMAT: Final = 1
_OWN: Final[Mapping[str, Socket]] = {known.name: known for known in (INT, FLOAT, STR, BOOL)}
_FLAGS: Final = ("lazy", "mapped", "raw", "optional")
_BOUNDS: Final = ("minimum", "maximum")
_TEXTS: Final = ("title", "category", "description", "lane", "context", "status", "pack")
_SWITCHES: Final = ("output_node", "cached", "named_outputs", "generic")

Sockets = Mapping[str, Socket]


class NotLoaded(RuntimeError):
    """A function of a node was called in a process that only knows its description."""


class Absent:
    """A default value that is no plain data: known by how it is written only."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


# --------------------------------------------------------------------------------------------- to data


def describe(registry: Registry) -> dict[str, Any]:
    """Every node type, socket type, cast and pack, as plain data."""
    found = reachable(spec for spec in registry)
    names = {known.name for known in found}
    return {
        "format": FORMAT,
        "sockets": [_socket_json(known) for known in found if known.name not in _OWN],
        "casts": [[target, source] for target, source in casts() if target in names and source in names],
        "packs": [_pack_json(name, pack) for name, pack in registry.packs.items()],
        "nodes": [_node_json(spec) for spec in registry],
    }


def digest(descriptions: Mapping[str, Any]) -> str:
    """The same for the same descriptions."""
    return blake2b(link.dump(descriptions).encode("ascii"), digest_size=16).hexdigest()


def reachable(specs: Iterable[NodeSpec]) -> list[Socket]:
    """The socket types that nodes speak of, and those that these descend from, parents first."""
    found: dict[str, Socket] = {}
    for spec in specs:
        types = [*(input.type for input in spec.inputs.values()), *(output.type for output in spec.outputs.values())]
        for named in chain.from_iterable(map(_named, types)):
            ancestors = [known for cls in reversed(named.cls.__mro__[1:]) if (known := socket_of(cls)) is not None]
            found.update((known.name, found.get(known.name, known)) for known in (*ancestors, named))
    return list(found.values())


def _named(type_: Type) -> Iterator[Socket]:
    if isinstance(type_, Socket):
        yield type_
    elif isinstance(type_, ListOf):
        yield from _named(type_.item)
    elif isinstance(type_, Union):
        for member in type_.members:
            yield from _named(member)


def _socket_json(known: Socket) -> dict[str, Any]:
    out = {"name": known.name, "color": known.color, "doc": known.doc, "handle": known.handle, "parents": _parents(known.cls)}
    if known.cls.__module__ == "builtins":
        out["python"] = known.cls.__name__
    return out


def _parents(cls: type) -> list[str]:
    """The nearest socket types that a class descends from."""
    found: dict[str, type] = {}
    stack = list(reversed(cls.__bases__))
    while stack:
        base = stack.pop()
        known = socket_of(base)
        if known is not None:
            found.setdefault(known.name, base)
        else:
            stack += reversed(base.__bases__)
    return [name for name, base in found.items() if not any(base is not other and issubclass(other, base) for other in found.values())]


def _pack_json(name: str, pack: Pack) -> dict[str, Any]:
    return {
        "key": name,
        "name": pack.name,
        "path": str(pack.path) if pack.path is not None else None,
        "code": pack.code,
        "nodes": pack.nodes,
        "error": pack.error.to_json() if pack.error is not None else None,
    }


def _node_json(spec: NodeSpec) -> dict[str, Any]:
    return {
        "id": spec.id,
        "version": spec.version,
        **{name: getattr(spec, name) for name in (*_TEXTS, *_SWITCHES)},
        "special": list(spec.special),
        "named_files": list(spec.named_files),
        "upgrade": spec.upgrade is not None,
        "fingerprint": spec.fingerprint is not None,
        "inputs": [_input_json(input) for input in spec.inputs.values()],
        "outputs": [{"name": output.name, "type": _type_json(output.type), "tooltip": output.tooltip} for output in spec.outputs.values()],
    }


def _input_json(input: InputSpec) -> dict[str, Any]:
    out: dict[str, Any] = {"name": input.name, "type": _type_json(input.type), "tooltip": input.tooltip}
    if not input.required:
        default = _value_json(input.default)
        plain = link.plain(default)
        same = plain == default and type(plain) is type(default)
        out |= {"default": default} if same else {"absent": repr(input.default)}
    if input.widget is not None:
        out["widget"] = [input.widget.kind, dict(input.widget.options)]
    if input.choices is not None:
        out["choices"] = list(input.choices)
    out |= {name: _value_json(getattr(input, name)) for name in _BOUNDS if getattr(input, name) is not None}
    if input.folder is not None:
        out["folder"] = input.folder
    return out | {name: True for name in _FLAGS if getattr(input, name)}


def _value_json(value: Any) -> Any:
    """JSON knows no infinity."""
    return {"float": repr(value)} if type(value) is float and not math.isfinite(value) else value


def _type_json(type_: Type) -> Any:
    if isinstance(type_, ListOf):
        return {"list": _type_json(type_.item)}
    if isinstance(type_, Union):
        return {"any": [_type_json(member) for member in type_.members]}
    if isinstance(type_, Var):
        return {"var": type_.name}
    return "*" if isinstance(type_, Anything) else type_.name


# --------------------------------------------------------------------------------------------- from data


def registry_of(descriptions: Mapping[str, Any]) -> Registry:
    """A registry that knows the described nodes. Raises ValueError, TypeError or LookupError for what `describe` did not write."""
    if descriptions["format"] != FORMAT:
        raise ValueError(f"descriptions of format {descriptions['format']}; this version knows {FORMAT}")
    known = dict(_OWN)
    for data in descriptions["sockets"]:
        known[data["name"]] = _socket(data, known)
    for target, source in descriptions["casts"]:
        declare_absent_cast(target, source)
    registry = Registry()
    registry.packs = {data["key"]: _pack(data) for data in descriptions["packs"]}
    registry.specs = {data["id"]: _node(data, known) for data in descriptions["nodes"]}
    return registry


def _socket(data: Mapping[str, Any], known: Sockets) -> Socket:
    parents = tuple(known[name].cls for name in data["parents"])
    cls = getattr(builtins, data["python"]) if "python" in data else None
    return stand_in(data["name"], parents, color=data["color"], doc=data["doc"], handle=data["handle"], cls=cls)


def _pack(data: Mapping[str, Any]) -> Pack:
    path = Path(data["path"]) if data["path"] is not None else None
    error = error_from_json(data["error"]) if data["error"] is not None else None
    return Pack(data["name"], path, data["code"], list(data["nodes"]), error)


def _node(data: Mapping[str, Any], known: Sockets) -> NodeSpec:
    absent = _absent(data["id"])
    inputs = {entry["name"]: _input(entry, known) for entry in data["inputs"]}
    outputs = {entry["name"]: OutputSpec(entry["name"], _type(entry["type"], known), entry["tooltip"]) for entry in data["outputs"]}
    return NodeSpec(
        id=data["id"],
        function=absent,
        inputs=MappingProxyType(inputs),
        outputs=MappingProxyType(outputs),
        version=data["version"],
        upgrade=absent if data["upgrade"] else None,
        fingerprint=absent if data["fingerprint"] else None,
        special=tuple(data["special"]),
        named_files=tuple(data["named_files"]),
        **{name: data[name] for name in (*_TEXTS, *_SWITCHES)},
    )


def _absent(id: str) -> Callable[..., NoReturn]:
    def absent(*args: Any, **inputs: Any) -> NoReturn:
        raise NotLoaded(f"the code of node {id} is not loaded in this process; it runs in a worker")

    return absent


def _input(data: Mapping[str, Any], known: Sockets) -> InputSpec:
    default = Absent(data["absent"]) if "absent" in data else _value(data.get("default", REQUIRED))
    return InputSpec(
        name=data["name"],
        type=_type(data["type"], known),
        default=default,
        widget=Widget(data["widget"][0], data["widget"][1]) if "widget" in data else None,
        choices=tuple(data["choices"]) if "choices" in data else None,
        tooltip=data["tooltip"],
        folder=data.get("folder"),
        **{name: _value(data.get(name)) for name in _BOUNDS},
        **{name: name in data for name in _FLAGS},
    )


def _value(data: Any) -> Any:
    return float(data["float"]) if isinstance(data, dict) and data.keys() == {"float"} else data


def _type(data: Any, known: Sockets) -> Type:
    if data == "*":
        return ANY
    if isinstance(data, str):
        return known[data]
    if "list" in data:
        return ListOf(_type(data["list"], known))
    if "var" in data:
        return Var(data["var"])
    return Union(tuple(_type(member, known) for member in data["any"]))


# --------------------------------------------------------------------------------------------- upgrades


@dataclass(frozen=True, slots=True)
class Outdated:
    """A node that was saved when its type had an older version. carried: its own code has to bring its inputs up to date"""

    id: str
    type: str
    saved: int
    present: int
    carried: bool


def outdated(document: Document, registry: Registry) -> list[Outdated]:
    """The nodes, also those of subgraphs, that were saved by an older version of their pack."""
    found = []
    places = [("", document.nodes), *((f"{name}/", subgraph.nodes) for name, subgraph in document.subgraphs.items())]
    for place, nodes in places:
        for id, entry in nodes.items():
            spec = registry.specs.get(entry.type)
            if spec is not None and entry.mode != "muted" and (entry.version or spec.version) < spec.version:
                found.append(Outdated(f"{place}{id}", entry.type, entry.version or 1, spec.version, spec.upgrade is not None))
    return found


def needs_upgrade(document: Document, registry: Registry) -> bool:
    """Whether the code of some node has to carry its inputs over from an older version: a worker must do that first."""
    return any(node.carried for node in outdated(document, registry))
