"""What ComfyUI's clients read at `/object_info`: every node class with its inputs, widgets and outputs in ComfyUI's shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from nodegraph.comfy.aliases import SAME_CHOICES
from nodegraph.files import Files
from nodegraph.registry import Registry
from nodegraph.schema import InputSpec, NodeSpec
from nodegraph.server.comfy.classes import ForeignClass, all_classes, find_class, spelling
from nodegraph.server.comfy.listings import Listings
from nodegraph.types import BOOL, FLOAT, INT, STR, ListOf

LARGEST: Final = 2**63 - 1
"""where a number has no bounds: clients take bounds of their own if none are given, and cut values to them"""
FLOAT_STEP: Final = 0.01
"""without one, ComfyUI's editor rounds to halves"""

Names = Callable[[str], tuple[str, ...]]


class ObjectInfo:
    """The descriptions of one set of nodes; lists of files are those of the moment."""

    def __init__(self, registry: Registry, files: Files) -> None:
        self.registry = registry
        self._listings = Listings(files)

    def all(self) -> dict[str, Any]:
        """Every class by its name."""
        return {known.name: describe(known, self._listings.names) for known in all_classes(self.registry)}

    def one(self, class_type: str) -> dict[str, Any]:
        """`{class_type: ...}`, or nothing if there is no such class."""
        known = find_class(class_type, self.registry)
        return {} if known is None else {known.name: describe(known, self._listings.names)}

    def input_config(self, known: ForeignClass, name: str) -> list[Any] | None:
        """How one input is described, as messages about it quote it."""
        return describe_input(known, name, self._listings.names) if name in known.inputs else None


def describe(known: ForeignClass, names: Names) -> dict[str, Any]:
    """One class. Keys, and the inputs in them, are in the order in which ComfyUI gives them: clients rely on it."""
    spec = known.spec
    groups: dict[str, dict[str, Any]] = {"required": {}}
    for name, entry in known.inputs.items():
        group = "optional" if _may_be_left_out(known, name, entry) else "required"
        groups.setdefault(group, {})[name] = describe_input(known, name, names)
    out: dict[str, Any] = {
        "input": groups,
        "input_order": {group: list(inputs) for group, inputs in groups.items()},
        "is_input_list": False,
        "output": [spelling(output.type) for output in known.outputs],
        "output_is_list": [isinstance(output.type, ListOf) for output in known.outputs],
        "output_name": [output.name for output in known.outputs],
        "name": known.name,
        "display_name": spec.title or known.name,
        "description": spec.description,
        "python_module": f"custom_nodes.{spec.id.split('/')[0]}" if "/" in spec.id else "nodes",
        "category": spec.category or "sd",
        "output_node": spec.output_node,
    }
    if any(output.tooltip for output in known.outputs):
        out["output_tooltips"] = [output.tooltip for output in known.outputs]
    return {**out, **_status(spec)}


def _status(spec: NodeSpec) -> dict[str, bool]:
    return {"deprecated": True} if spec.status == "deprecated" else {"experimental": True} if spec.status == "beta" else {}


def _may_be_left_out(known: ForeignClass, name: str, entry: InputSpec) -> bool:
    """ComfyUI counts what has a widget as required, for a widget always gives a value."""
    return not entry.required and (not _has_widget(entry) or name in known.link_only)


def _has_widget(entry: InputSpec) -> bool:
    return (entry.widget is not None or entry.choices is not None) and entry.default is not None


def describe_input(known: ForeignClass, name: str, names: Names) -> list[Any]:
    """`[type, options]`, or `[type]` where there are no options; a choice has its list in the place of the type."""
    entry = known.inputs[name]
    type_, options = _choices(known, name, entry, names) or _plain(known, name, entry)
    if not entry.required and entry.default is not None and (not isinstance(type_, list) or entry.default in type_):
        options = {"default": entry.default, **options}
    if entry.lazy:
        options["lazy"] = True
    if entry.tooltip:
        options["tooltip"] = entry.tooltip
    return [type_, options] if options else [type_]


def _choices(known: ForeignClass, name: str, entry: InputSpec, names: Names) -> tuple[list[Any], dict[str, Any]] | None:
    if name in known.link_only:
        return None
    if entry.choices is not None:
        return [*entry.choices, *SAME_CHOICES.get(name, ())], {}
    if entry.folder is None:
        return None
    options: dict[str, Any] = {"image_upload": True} if known.follows.get(name) == "upload" else {}
    return list(names(entry.folder)), options


def _plain(known: ForeignClass, name: str, entry: InputSpec) -> tuple[str, dict[str, Any]]:
    """A type with the options of its widget; `forceInput` where a client would make a widget that we do not have."""
    type_ = spelling(entry.type)
    kind = entry.type.item if isinstance(entry.type, ListOf) else entry.type
    options: dict[str, Any] = {}
    if kind in (INT, FLOAT):
        options = _number(entry, kind == FLOAT)
    elif kind == STR and entry.widget is not None:
        options = _text(entry)
    if known.follows.get(name) == "control":
        options["control_after_generate"] = True
    if kind in (INT, FLOAT, STR, BOOL) and (not _has_widget(entry) or name in known.link_only):
        options["forceInput"] = True
    return type_, options


def _number(entry: InputSpec, is_float: bool) -> dict[str, Any]:
    low = -LARGEST if entry.minimum is None else entry.minimum
    high = LARGEST if entry.maximum is None else entry.maximum
    options: dict[str, Any] = {"min": low, "max": high}
    step = entry.widget.options.get("step") if entry.widget is not None else None
    if step is not None or is_float:
        options["step"] = FLOAT_STEP if step is None else step
    return options


def _text(entry: InputSpec) -> dict[str, Any]:
    given = entry.widget.options if entry.widget is not None else {}
    options: dict[str, Any] = {"multiline": bool(given.get("multiline"))}
    if given.get("prompt"):
        options["dynamicPrompts"] = True
    if given.get("placeholder"):
        options["placeholder"] = given["placeholder"]
    return options
