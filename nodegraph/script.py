"""A workflow as a Python program: one call a node, in the order in which they depend on each other, and `nodegraph.run` at the end."""

from __future__ import annotations

import builtins
import keyword
import pprint
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from nodegraph.document import FORMAT, Document, Link, NodeEntry

WIDTH: Final = 110
_RESERVED: Final = frozenset((*keyword.kwlist, *keyword.softkwlist, *dir(builtins), "nodegraph", "nodes", "workflow", "add", "result"))

_HEAD: Final = '''\
import nodegraph

nodes = {}


def add(id, type, version, inputs, /, **more):
    """Add a node to the workflow. Returns what names its outputs for the inputs of others: `loader("model")`."""
    nodes[id] = {"type": type, "version": version, "inputs": inputs, **more}
    return lambda output: {"link": [id, output]}


'''
_FOOT: Final = """\


if __name__ == "__main__":
    result = nodegraph.run(workflow)
    for items in result.shown.values():
        for item in items:
            print(item["file"]["path"] if "file" in item else item.get("text", ""))
"""


def to_script(document: Document) -> str:
    """A program that runs the workflow. Where nodes lie on the canvas is left out. Whatever texts a workflow has, they stay texts in it."""
    names = _names(document)
    rest = {key: value for key, value in document.rest.items() if value and key != "groups"}
    more = {**rest, "subgraphs": {id: subgraph.to_json() for id, subgraph in document.subgraphs.items()}, "meta": document.meta}
    parts = [f"    {key!r}: {_literal(value, 8 + len(key))},\n" for key, value in more.items() if value]
    lines = [_title(document), _HEAD]
    done: set[str] = set()
    for id in _ordered(document):
        lines.append(_call(id, document.nodes[id], names, done))
        done.add(id)
    return "".join((*lines, f"\nworkflow = {{\n    'nodegraph': {FORMAT},\n    'nodes': nodes,\n", *parts, "}\n", _FOOT))


def _title(document: Document) -> str:
    told = [value for key in ("title", "description") if isinstance(value := document.meta.get(key), str) and value]
    return f"{': '.join(told)!r}\n" if told else ""


def _call(id: str, entry: NodeEntry, names: Mapping[str, str], done: set[str]) -> str:
    inputs = [f"{name!r}: {_input(value, names, done)}" for name, value in entry.inputs.items()]
    head = f"{names[id]} = add({id!r}, {entry.type!r}, {entry.version!r}, {{"
    line = f"{head}{', '.join(inputs)}}}{_more(entry)})\n"
    if len(line) <= WIDTH and line.count("\n") == 1:
        return line
    rows = "".join(f"    {row},\n" for row in inputs)
    return f"{head}\n{rows}}}{_more(entry)})\n"


def _more(entry: NodeEntry) -> str:
    """What else the node has, as further arguments."""
    more = {"title": entry.title, "mode": entry.mode if entry.mode != "active" else "", **entry.rest}
    told = {name: value for name, value in more.items() if value != ""}
    if not told:
        return ""
    if all(name.isidentifier() and not keyword.iskeyword(name) for name in told):
        return "".join(f", {name}={_literal(value, 8)}" for name, value in told.items())
    return f", **{_literal(told, 8)}"


def _input(value: Any, names: Mapping[str, str], done: set[str]) -> str:
    if not isinstance(value, Link):
        return _literal(value, 8)
    if value.node in done:
        return f"{names[value.node]}({value.output!r})"
    return _literal({"link": list(value)})


def _literal(value: Any, indent: int = 0) -> str:
    """Plain data as Python writes it, of several lines if it is long."""
    text = repr(value)
    if len(text) + indent <= WIDTH or isinstance(value, str):
        return text
    return pprint.pformat(value, width=WIDTH - indent, sort_dicts=False).replace("\n", "\n" + " " * indent)


def _names(document: Document) -> dict[str, str]:
    """A variable for each node: of its title, else its id, else its type."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for id, entry in document.nodes.items():
        base = next((name for text in (entry.title, id, entry.type) if (name := _slug(text))), "node")
        name, number = base, 2
        while name in taken or name in _RESERVED:
            name, number = f"{base}_{number}", number + 1
        taken.add(name)
        found[id] = name
    return found


def _slug(text: str) -> str:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text[:40])
    return re.sub(r"^[\d_]+|_+$", "", re.sub(r"[^a-z0-9]+", "_", spaced.lower()))


def _ordered(document: Document) -> Iterator[str]:
    """Nodes behind what they depend on, else in their own order. Of a cycle, which no run takes, one has to be first."""
    state: dict[str, bool] = {}
    for start in document.nodes:
        stack = [start]
        while stack:
            id = stack[-1]
            if state.get(id) is not None:
                stack.pop()
                if state[id] is False:
                    state[id] = True
                    yield id
                continue
            state[id] = False
            sources = [value.node for value in document.nodes[id].inputs.values() if isinstance(value, Link)]
            stack.extend(source for source in reversed(sources) if source in document.nodes and source not in state)
