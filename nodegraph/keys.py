"""Keys: what a result depends on, as a hash. Equal keys mean equal results; ids, titles and positions never enter.

The key of a node is a Merkle hash over type id, node version, code of its pack, numeric policy, every input in order (literals with
type tags, files by content) and, for links, the key of the parent and the name of the output. One pass, linear, no recursion.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, Final

from nodegraph.document import Link
from nodegraph.errors import NodeFailed, NodegraphError, shorten
from nodegraph.files import Files
from nodegraph.graph import Graph, GraphNode
from nodegraph.registry import Registry
from nodegraph.schema import NodeSpec

Key = bytes
SIZE: Final = 16


def digest(data: bytes) -> Key:
    found: bytes = blake2b(data, digest_size=SIZE).digest()
    return found


def canonical(value: Any) -> bytes:
    """Bytes that differ whenever plain values differ, types included: `1`, `True`, `1.0` and `"1"` are four things.

    No value's bytes begin those of another, so values written one after the other stay apart. Raises TypeError for what is not plain.
    """
    kind = type(value)
    if kind is str:
        data: bytes = value.encode("utf-8", "surrogatepass")
        return b"s%d:" % len(data) + data
    if kind is int:
        return b"i%d;" % value
    if kind is float:
        return b"f" + struct.pack("<d", value)
    if kind is bool:
        return b"T" if value else b"F"
    if value is None:
        return b"N"
    if kind is bytes:
        return b"b%d:%b" % (len(value), value)
    if kind is list or kind is tuple:
        return (b"[%d:" if kind is list else b"(%d:") % len(value) + b"".join(map(canonical, value))
    if kind is dict:
        return b"{%d:" % len(value) + b"".join(canonical(k) + canonical(value[k]) for k in sorted(value))
    raise TypeError(f"{kind.__name__} is no plain value")


class KeyMaker:
    """Makes the keys of a session: it knows the code of the packs, the numeric policy and how to hash a file."""

    def __init__(self, registry: Registry, files: Files, policy: str, hash_file: Callable[[Any], str], nonce: Callable[[], bytes]) -> None:
        self._registry = registry
        self._files = files
        self._policy = policy
        self._hash_file = hash_file
        self._nonce = nonce
        self._prefixes: dict[str, bytes] = {}

    def keys(self, graph: Graph) -> dict[str, Key]:
        """The key of every node of a graph, in its order."""
        keys: dict[str, Key] = {}
        for id, node in graph.nodes.items():
            keys[id] = self.key(node, keys)
        return keys

    def places(self, graph: Graph) -> dict[str, Key]:
        """Of each node that files come into, directly or through others: where they lie and since when. No part of any key."""
        places: dict[str, Key] = {}
        for id, node in graph.nodes.items():
            place = self.place(node, places)
            if place is not None:
                places[id] = place
        return places

    def place(self, node: GraphNode, places: Mapping[str, Key]) -> Key | None:
        """The place of one node, given those of its parents."""
        parts = [places[link.node] for link in node.links.values() if link.node in places] if places else []
        for name in node.spec.named_files:
            value = node.inputs.get(name)
            folder = node.spec.inputs[name].folder
            if name in node.links:
                parts.append(self._nonce())
            else:
                parts += [self.file_place(folder, item) for item in (value if type(value) is list else [value])]
        return digest(b"\0".join(parts)) if parts else None

    def file_place(self, folder: str | None, value: Any) -> bytes:
        if value is None or folder is None:
            return b"N"
        path = self._files.find(folder, value)
        return canonical([os.path.realpath(path), os.stat(path).st_mtime_ns])

    def key(self, node: GraphNode, keys: Mapping[str, Key]) -> Key:
        """The key of one node, given those of its parents.

        Which file a linked name means is only known when it has come: such a node has a new key each time, and is found by `actual_key`.
        """
        spec = node.spec
        parts = [self.prefix(spec)]
        links, inputs = node.links, node.inputs
        for name, input in spec.inputs.items():
            link = links.get(name)
            if link is not None:
                parts.append(b"L" if input.folder is None else b"L" + self._nonce())
                parts.append(keys[link.node])
                parts.append(link.output.encode())
            else:
                value = inputs[name]
                kind = type(value)
                if input.folder is not None:
                    parts.append(self.file_part(node, name, value))
                elif kind is int:
                    parts.append(b"i%d;" % value)
                else:
                    parts.append(canonical(value))
        if spec.fingerprint is not None or not spec.cached:
            parts.append(self.outside(node))
        return digest(b"\0".join(parts))

    def actual_key(self, node: GraphNode, value_ids: Mapping[Link, Key], values: Mapping[str, Any]) -> Key:
        """The key by what really came in: identities of values in place of keys of parents, contents of files in place of their names.

        Two runs whose parents differ but gave equal values agree here; that is what early cut-off looks up.
        """
        parts = [b"M" if node.mapped else b"A", self.prefix(node.spec)]
        for name, input in node.spec.inputs.items():
            link = node.links.get(name)
            if input.folder is not None:
                parts.append(self.file_part(node, name, node.inputs[name] if link is None else values[name]))
            elif link is not None:
                parts.append(b"L")
                parts.append(value_ids[link])
            else:
                value = node.inputs[name]
                parts.append(b"i%d;" % value if type(value) is int else canonical(value))
        for name, target in node.casts.items():
            parts.append(f"C{name} {target}".encode())
        return digest(b"\0".join(parts))

    def prefix(self, spec: NodeSpec) -> bytes:
        known = self._prefixes.get(spec.id)
        if known is None:
            name = spec.id.split("/", 1)[0] if "/" in spec.id else "core"
            pack = self._registry.packs.get(name)
            known = digest(canonical([spec.id, spec.version, pack.code if pack is not None else "", self._policy]))
            self._prefixes[spec.id] = known
        return known

    def file_part(self, node: GraphNode, name: str, value: Any) -> bytes:
        """The contents of the file, or of the list of files, that a value of an input names."""
        folder = node.spec.inputs[name].folder
        try:
            if type(value) is list:
                return b"[%d:" % len(value) + b"".join(self.file_hash(folder, item) for item in value)
            return self.file_hash(folder, value)
        except NodegraphError as error:
            raise error.at(node.root or node.id, node.spec.id, name) from None

    def file_hash(self, folder: str | None, value: Any) -> bytes:
        if type(value) is not str or folder is None:
            return b"N"
        return canonical(self._hash_file(self._files.find(folder, value)))

    def outside(self, node: GraphNode) -> bytes:
        if not node.spec.cached:
            return self._nonce()
        assert node.spec.fingerprint is not None
        literals = {name: node.inputs.get(name) for name in node.spec.inputs}
        try:
            return canonical(node.spec.fingerprint(**literals))
        except NodegraphError as error:
            raise error.at(node.root or node.id, node.spec.id) from None
        except Exception as error:
            raise NodeFailed(
                f"its fingerprint failed: {type(error).__name__}: {shorten(str(error), 200)}",
                hint="this is a fault of the node; `fingerprint` must return plain values",
                node=node.root or node.id,
                node_type=node.spec.id,
            ) from error

    def explain(self, node: GraphNode, keys: Mapping[str, Key]) -> dict[str, str]:
        """The parts of a node's key by name, in short form, so that two records show which part changed."""
        parts = {"code": self.prefix(node.spec).hex()[:12], "version": str(node.spec.version)}
        for name, input in node.spec.inputs.items():
            link = node.links.get(name)
            if link is not None:
                parts[f"input `{name}`"] = f"node {link.node} `{link.output}` {keys[link.node].hex()[:12]}"
            elif input.folder is not None:
                told = digest(self.file_part(node, name, node.inputs[name])).hex()[:12]
                parts[f"input `{name}`"] = f"file {shorten(node.inputs[name])} {told}"
            else:
                parts[f"input `{name}`"] = _in_short(node.inputs[name])
        if node.spec.fingerprint is not None or not node.spec.cached:
            parts["outside"] = digest(self.outside(node)).hex()[:12]
        return parts


def _in_short(value: Any) -> str:
    """A literal, cut where it is long; two that differ never look alike."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:160]}… {digest(canonical(value)).hex()[:12]}"


def what_changed(before: Mapping[str, str] | None, after: Mapping[str, str]) -> list[str]:
    """One line for each part of a key that differs; ["first run"] if nothing is known of before."""
    if before is None:
        return ["first run"]
    lines = []
    for name in [*after, *[n for n in before if n not in after]]:
        old, new = before.get(name), after.get(name)
        if old != new:
            lines.append(_change(name, old, new))
    return lines


def _change(name: str, old: str | None, new: str | None) -> str:
    if new is not None and new.startswith(("node ", "file ")):
        source = new.rpartition(" ")[0]
        same = old is not None and old.rpartition(" ")[0] == source
        kept = "gives another result" if new.startswith("node ") else "has other contents"
        return f"{name}: {source} {kept}" if same else f"{name}: now from {source}"
    if name == "outside":
        return "what it reads outside the workflow changed"
    return f"{name}: {old} -> {new}"
