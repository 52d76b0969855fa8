"""Requests that were read and checked lately. A workflow that is sent again byte for byte is neither parsed nor checked again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, Generic, TypeVar

from nodegraph.document import parse_document
from nodegraph.errors import NodegraphError
from nodegraph.files import Files
from nodegraph.literals import check_value
from nodegraph.registry import Registry
from nodegraph.schema import InputSpec
from nodegraph.subgraphs import flatten

T = TypeVar("T")

MOST: Final = 16
LARGEST: Final = 2**20
"""bytes of all requests together; what was made of them takes some twenty times as much"""


@dataclass(frozen=True, slots=True)
class _Kept(Generic[T]):
    """registry: by which it was checked; named: inputs that name files, which may come and go, with their values; size: bytes"""

    value: T
    registry: Registry
    named: Sequence[tuple[InputSpec, Any]]
    size: int


class Lately(Generic[T]):
    """What was made of the requests of late, by their bytes. The caller keeps only what is the same for the same bytes, and no secrets."""

    def __init__(self, most: int = MOST, largest: int = LARGEST) -> None:
        self._kept: OrderedDict[bytes, _Kept[T]] = OrderedDict()
        self._most = most
        self._largest = largest

    def find(self, data: bytes, registry: Registry, files: Files) -> T | None:
        """What was made of these bytes, if it would be the same now: by the same nodes, with all its files still there."""
        key = _key(data)
        kept = self._kept.pop(key, None)
        if kept is None or kept.registry is not registry or not _are_there(kept.named, files):
            return None
        self._kept[key] = kept
        return kept.value

    def keep(self, data: bytes, value: T, document: Mapping[str, Any], registry: Registry) -> None:
        """document: the workflow in it in our form, which has been checked and found without fault."""
        self._kept[_key(data)] = _Kept(value, registry, _named_files(document, registry), len(data))
        while self._kept and (len(self._kept) > self._most or sum(kept.size for kept in self._kept.values()) > self._largest):
            self._kept.popitem(last=False)


def _key(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()


def _named_files(document: Mapping[str, Any], registry: Registry) -> list[tuple[InputSpec, Any]]:
    flat = flatten(parse_document(document), registry).document if document.get("subgraphs") else None
    nodes = document["nodes"].values() if flat is None else flat.to_json()["nodes"].values()
    active = [node for node in nodes if node.get("mode", "active") == "active"]
    specs = [(registry.specs[node["type"]], node.get("inputs", {})) for node in active]
    found = [(spec.inputs[name], inputs[name]) for spec, inputs in specs for name in spec.named_files if name in inputs]
    return [(input, value) for input, value in found if type(value) is not dict]


def _are_there(named: Sequence[tuple[InputSpec, Any]], files: Files) -> bool:
    try:
        for input, value in named:
            check_value(input, value, files)
    except NodegraphError:
        return False
    return True
