"""Writes `src/wire.ts`: the shapes of what the server sends, made from the very Python types that it checks them with.

python web/wire_types.py          write it
python web/wire_types.py --check  exit 1 if it is out of date
"""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import typing_extensions

ROOT: Final = Path(__file__).resolve().parent.parent
TARGET: Final = ROOT / "web" / "src" / "wire.ts"
HEAD: Final = """// Made by web/wire_types.py from the server's own types; change those, then run it again.
import type { Json } from './document/json';
"""
PLAIN: Final[Mapping[Any, str]] = {str: "string", int: "number", float: "number", bool: "boolean", Any: "Json", bytes: "never"}
NAMES: Final = {"Error": "ErrorJson", "NodegraphError": "ErrorJson"}
"""what would hide a name that every browser knows"""


def main(arguments: Sequence[str]) -> int:
    text = text_of_all()
    if "--check" in arguments:
        return 0 if TARGET.is_file() and TARGET.read_text("utf-8") == text else 1
    TARGET.write_text(text, "utf-8")
    return 0


def text_of_all() -> str:
    sys.path.insert(0, str(ROOT))
    from nodegraph.server.v1 import requests, shapes

    blocks = [*specs(), *events()]
    blocks += [typed_dict(value) for value in vars(shapes).values() if hasattr(value, "__required_keys__")]
    blocks.append(request(requests.RunRequest))
    return HEAD + "\n" + "\n".join(blocks)


# ------------------------------------------------------------------------------------------------ parts


def specs() -> Iterator[str]:
    """The JSON of node descriptions: `schema.*.to_json`. What has a default there is left out where it has that value."""
    from nodegraph import schema

    hints = {**typing.get_type_hints(schema.InputSpec), "default": Any, "choices": list[Any]}
    left_out = ("name", "type", "widget", "limited")
    optional = {name: hint for name, hint in hints.items() if name not in left_out}
    options = "\n".join(f"  readonly {name}?: {kind};" for name, kind in WIDGET_OPTIONS.items())
    yield f"export interface WidgetSpec {{\n  readonly kind: {typescript(typing.get_type_hints(schema.Widget)['kind'])};\n{options}\n}}\n"
    lines = ["readonly type: string;", "readonly required: boolean;", "readonly widget?: WidgetSpec;"]
    lines += [f"readonly {name}?: {typescript(without_none(hint))};" for name, hint in optional.items()]
    yield interface("InputSpec", lines)
    yield interface("OutputSpec", ["readonly type: string;", "readonly tooltip?: string;"])
    node = schema.NodeSpec("", main, {}, {}).to_json()
    fields = typing.get_type_hints(schema.NodeSpec)
    own = {"inputs": "Readonly<Record<string, InputSpec>>", "outputs": "Readonly<Record<string, OutputSpec>>"}
    yield interface("NodeSpec", [f"readonly {name}: {own.get(name) or typescript(fields[name])};" for name in node])


WIDGET_OPTIONS: Final = {"step": "number", "multiline": "boolean", "prompt": "boolean", "placeholder": "string", "accept": "string"}
"""`schema.Widget.options` is open; these are what the widgets here understand"""


def events() -> Iterator[str]:
    """What runs tell, with its number and time, told apart by `event`."""
    from nodegraph import events as module

    kinds = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, module.Event)]
    names = []
    for kind in kinds:
        if kind is module.Event:
            continue
        names.append(f"{kind.__name__}Event")
        hints = typing.get_type_hints(kind)
        lines = [f"readonly event: '{kind.kind}';", "readonly seq: number;", "readonly time: number;"]
        fields = [field.name for field in dataclasses.fields(kind) if hints[field.name] is not bytes]
        yield interface(names[-1], lines + [f"readonly {name}: {typescript(hints[name])};" for name in fields])
    yield f"export type EngineEvent =\n  | {chr(10).join(names).replace(chr(10), chr(10) + '  | ')};\n"


def typed_dict(kind: Any) -> str:
    hints = typing_extensions.get_type_hints(kind, include_extras=True)
    lines = [f"readonly {name}{'?' if is_optional(hint) else ''}: {typescript(hint)};" for name, hint in hints.items()]
    return interface(NAMES.get(kind.__name__, kind.__name__), lines)


def is_optional(hint: Any) -> bool:
    return get_origin(hint) in (typing.NotRequired, typing_extensions.NotRequired)


def request(model: Any) -> str:
    lines = []
    for name, field in model.model_fields.items():
        lines.append(f"readonly {name}{'' if field.is_required() else '?'}: {typescript(field.annotation)};")
    return interface(model.__name__, lines)


def interface(name: str, lines: Sequence[str]) -> str:
    inner = "\n".join(f"  {line}" for line in lines)
    return f"export interface {name} {{\n{inner}\n}}\n"


# ------------------------------------------------------------------------------------------------ types


def without_marks(hint: Any) -> Any:
    return hint.__origin__ if hasattr(hint, "__metadata__") else get_args(hint)[0]


def without_none(hint: Any) -> Any:
    members = [member for member in get_args(hint) if member is not type(None)]
    return members[0] if get_origin(hint) in (typing.Union, types.UnionType) and len(members) == 1 else hint


def typescript(hint: Any) -> str:
    origin, inner = get_origin(hint), get_args(hint)
    if hint in PLAIN:
        return PLAIN[hint]
    if hint is type(None):
        return "null"
    if origin is Literal:
        return " | ".join(f"'{choice}'" for choice in inner)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(typescript, inner))
    if origin in (list, tuple, Sequence):
        return f"readonly {bracketed(typescript(inner[0]))}[]"
    if origin in (dict, Mapping):
        return f"Readonly<Record<string, {typescript(inner[1])}>>"
    if is_optional(hint) or hasattr(hint, "__metadata__"):
        return typescript(without_marks(hint))
    return NAMES.get(hint.__name__, hint.__name__)


def bracketed(text: str) -> str:
    return f"({text})" if " " in text and not text.startswith("Readonly<") else text


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
