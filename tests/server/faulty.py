"""Documents as they come in from outside: mostly wrong in some way; and what a check makes of them, in a form that can be compared.

Run as a program, it checks documents with descriptions alone, in a process that has loaded nothing else.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from random import Random
from typing import Any

from nodegraph.document import Document, parse_document
from nodegraph.errors import NodegraphError, Problems
from nodegraph.files import Files
from nodegraph.graph import build
from nodegraph.registry import Registry
from nodegraph.schema import InputSpec
from nodegraph.types import ANY, ListOf, Type, Union, Var, joint, sockets, to_text

LITERALS: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    7,
    10**30,
    0.5,
    -2.5,
    1e300,
    "",
    "a",
    "euler",
    "image.png",
    [],
    [1],
    [1, 2.5],
    ["a"],
    [[1]],
    [{"a": 1}],
]


def faulty_document(random: Random, registry: Registry) -> dict[str, Any]:
    """A workflow of up to twelve nodes that are connected and set by chance, often in a way that fits."""
    types = random.choices([*registry.specs, "Nothing", "trouble/Gone", "broken/Node"], k=random.randint(1, 12))
    nodes: dict[str, Any] = {}
    for number, type_ in enumerate(types):
        entry: dict[str, Any] = {"type": type_, "inputs": _inputs(random, registry, types, number)}
        if random.random() < 0.1:
            entry["mode"] = random.choice(["muted", "bypassed"])
        if random.random() < 0.1:
            entry["version"] = random.choice([1, 2, 3])
        nodes[str(number)] = entry
    return {"nodegraph": 1, "nodes": nodes}


def _inputs(random: Random, registry: Registry, types: list[str], number: int) -> dict[str, Any]:
    spec = registry.specs.get(types[number])
    inputs = {}
    for input in spec.inputs.values() if spec is not None else ():
        if random.random() < (0.97 if input.required else 0.6):
            inputs[input.name] = _value(random, registry, types, number, input)
    if random.random() < 0.03:
        inputs["no_such_input"] = 1
    return inputs


def _value(random: Random, registry: Registry, types: list[str], number: int, input: InputSpec) -> Any:
    if input.widget is None or random.random() < 0.3:
        link = _link(random, registry, types, number, input)
        if link is not None:
            return {"link": link}
    if input.choices is not None and random.random() < 0.9:
        return random.choice(input.choices)
    if not input.required and random.random() < 0.8 and type(input.default) in (int, float, str, bool, list):
        return input.default
    return random.choice(LITERALS)


def _link(random: Random, registry: Registry, types: list[str], number: int, input: InputSpec) -> list[str] | None:
    """To an earlier output that fits, else mostly nowhere, else anywhere."""
    sources = [(str(index), registry.specs[type_]) for index, type_ in enumerate(types[:number]) if type_ in registry]
    outputs = [(id, output) for id, spec in sources for output in spec.outputs.values()]
    fitting = [[id, output.name] for id, output in outputs if joint(input.type, output.type, input.mapped)]
    if fitting and random.random() < 0.93:
        return random.choice(fitting)
    if random.random() < 0.3:
        return [str(random.randint(0, len(types))), random.choice(["int", "image", *(output.name for _, output in outputs)])]
    return None


def parse_type(text: str) -> Type:
    """The inverse of `to_text`."""
    if text.startswith("list[") and text.endswith("]"):
        return ListOf(parse_type(text[5:-1]))
    if "|" in text:
        return Union(tuple(map(parse_type, text.split("|"))))
    return ANY if text == "*" else sockets().get(text) or Var(text)


def outcome(data: dict[str, Any], registry: Registry, files: Files | None = None, targets: list[str] | None = None) -> Any:
    """The graph that a document is checked into, or all its faults, as plain data."""
    try:
        return _checked(parse_document(data), registry, files, targets)
    except Problems as problems:
        return {"problems": [error.to_json() for error in problems.errors], "hidden": problems.hidden}


def _checked(document: Document, registry: Registry, files: Files | None, targets: list[str] | None) -> Any:
    graph = build(document, registry, files, targets)
    nodes = [
        [
            *(node.id, node.spec.id, repr(node.inputs), node.mapped, node.root),
            {name: list(link) for name, link in node.links.items()},
            {name: to_text(type_) for name, type_ in node.casts.items()},
            {name: to_text(type_) for name, type_ in node.sources.items()},
        ]
        for node in graph.nodes.values()
    ]
    return {"nodes": nodes, "targets": list(graph.targets), "left_out": [error.to_json() for error in graph.left_out]}


def main() -> None:
    """descriptions, then documents, as JSON lines on standard input; what each is checked into on standard output, last what is loaded."""
    from nodegraph.server.catalog.descriptions import registry_of

    registry = registry_of(json.loads(sys.stdin.readline()))
    models = Path(sys.argv[1])
    files = Files(models / "input", models / "output", models / "temp", (models / "models",))
    for line in sys.stdin:
        try:
            print(json.dumps(outcome(json.loads(line), registry, files)))
        except NodegraphError as error:
            print(json.dumps(error.to_json()))
    print(json.dumps(sorted(sys.modules)))


if __name__ == "__main__":
    main()
