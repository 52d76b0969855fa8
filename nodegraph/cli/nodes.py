"""`nodegraph nodes` and `nodegraph workflows`: what there is, in words."""

from __future__ import annotations

import argparse
import json
import shutil
import textwrap
from collections import defaultdict

from nodegraph.cli.main import DONE
from nodegraph.registry import Registry, builtin_folder, builtin_registry
from nodegraph.schema import InputSpec, NodeSpec
from nodegraph.types import to_text


def nodes(arguments: argparse.Namespace) -> int:
    registry = builtin_registry(arguments.packs)
    if arguments.name:
        spec = registry.get(arguments.name)
        print(json.dumps(spec.to_json(), indent=2) if arguments.json else describe(spec))
    elif arguments.json:
        print(json.dumps({spec.id: spec.to_json() for spec in registry}, indent=2))
    else:
        print_list(registry)
    return DONE


def print_list(registry: Registry) -> None:
    by_category: dict[str, list[NodeSpec]] = defaultdict(list)
    for spec in registry:
        by_category[spec.category].append(spec)
    width = max((len(spec.id) for spec in registry), default=0) + 2
    for category in sorted(by_category):
        print(category)
        for spec in sorted(by_category[category], key=lambda s: s.id):
            print(f"  {spec.id:<{width}}{first_line(spec.description)}")
    print("\n`nodegraph nodes NAME` explains one")


def first_line(text: str) -> str:
    line = text.splitlines()[0] if text else ""
    room = shutil.get_terminal_size((120, 24)).columns - 32
    return line if len(line) <= room else line[: max(room - 1, 20)] + "…"


def describe(spec: NodeSpec) -> str:
    lines = [f"{spec.id}   ({spec.category}, version {spec.version}{', saves or shows' if spec.output_node else ''})", ""]
    lines += textwrap.wrap(spec.description, 100)
    for title, entries in (
        ("inputs", {name: (kind(input), input.tooltip) for name, input in spec.inputs.items()}),
        ("outputs", {name: (to_text(output.type), output.tooltip) for name, output in spec.outputs.items()}),
    ):
        if entries:
            lines += ["", title]
        width = max((len(name) for name in entries), default=0) + 2
        for name, (type_, tooltip) in entries.items():
            lines.append(f"  {name:<{width}}{type_}")
            lines += textwrap.wrap(tooltip, 96, initial_indent=" " * (width + 4), subsequent_indent=" " * (width + 4))
    return "\n".join(lines)


def kind(input: InputSpec) -> str:
    """Type, choices or range, and default of an input, in one line."""
    text = to_text(input.type)
    if input.choices is not None:
        text = " | ".join(map(str, input.choices))
    elif input.folder is not None:
        text = f"file in {'models/' if input.folder != 'input' else ''}{input.folder}"
    if input.minimum is not None and input.maximum is not None:
        text += f" {input.minimum} to {input.maximum}"
    if input.mapped:
        text += ", or a list"
    if input.required:
        return text + (", required" if input.widget is None else ", needs a value")
    return f"{text} = {input.default!r}"


def workflows(arguments: argparse.Namespace) -> int:
    found = {}
    for path in sorted(builtin_folder("workflows").glob("*.json")):
        meta = json.loads(path.read_text(encoding="utf-8")).get("meta", {})
        found[path.stem] = {"title": meta.get("title", path.stem), "description": meta.get("description", ""), "path": str(path)}
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        width = max(map(len, found), default=0) + 2
        for name, entry in found.items():
            print(f"{name:<{width}}{entry['description'] or entry['title']}")
    return DONE
