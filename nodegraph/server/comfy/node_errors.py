"""Faults of a graph as ComfyUI tells them: `{"type", "message", "details", "extra_info"}`, gathered by node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from nodegraph import errors as e
from nodegraph.comfy.constants import unwrap
from nodegraph.server.comfy.classes import find_class, spelling
from nodegraph.server.comfy.object_info import ObjectInfo

Error = dict[str, Any]
LONGEST_QUOTE: Final = 1000
LONGEST_LIST: Final = 20
"""choices that are told one by one"""


def error(type_: str, message: str, details: str = "", **extra_info: Any) -> Error:
    return {"type": type_, "message": message, "details": details, "extra_info": extra_info}


def node_errors(
    faults: Iterable[e.NodegraphError], prompt: Mapping[str, Any], info: ObjectInfo, dependents: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """`{node: {"errors": [...], "dependent_outputs": [...], "class_type": ...}}`. Nodes that only come after a faulty one have no entry.

    dependents: by faulty node, the outputs that cannot be had because of it
    """
    found: dict[str, Any] = {}
    for fault in faults:
        id = fault.node or ""
        if id not in prompt:
            continue
        entry = {"errors": [], "dependent_outputs": list(dependents.get(id, ())), "class_type": prompt[id]["class_type"]}
        found.setdefault(id, entry)["errors"].append(told(fault, prompt, info))
    return found


def told(fault: e.NodegraphError, prompt: Mapping[str, Any], info: ObjectInfo) -> Error:
    """One fault of a node that is in `prompt`."""
    place = _Place.of(fault, prompt, info)
    return _FORMS.get(type(fault), _custom)(fault, place)


@dataclass(frozen=True, slots=True)
class _Place:
    """The input a fault is about: its name there, what it was given, and how `/object_info` describes it."""

    name: str
    value: Any
    config: list[Any] | None
    prompt: Mapping[str, Any]
    info: ObjectInfo

    @staticmethod
    def of(fault: e.NodegraphError, prompt: Mapping[str, Any], info: ObjectInfo) -> _Place:
        raw = prompt[fault.node or ""]
        known = find_class(raw["class_type"], info.registry)
        ours = fault.input or ""
        name = ours if known is None else known.named(ours)
        given = raw.get("inputs", {})
        value = unwrap(given.get(name, given.get(ours)))
        return _Place(name, _quoted(value), None if known is None else info.input_config(known, name), prompt, info)

    def extra(self, **more: Any) -> dict[str, Any]:
        return {"input_name": self.name, "input_config": self.config, **more}

    @property
    def type(self) -> str:
        type_ = self.config[0] if self.config else "*"
        return type_ if isinstance(type_, str) else "COMBO"


def _quoted(value: Any) -> Any:
    """A value as it is told back: never much of it."""
    if isinstance(value, str):
        return e.shorten(value, LONGEST_QUOTE)
    return (
        value
        if isinstance(value, int | float | None) or (isinstance(value, list) and len(repr(value)) < LONGEST_QUOTE)
        else e.shorten(value)
    )


# --------------------------------------------------------------------------------------------- one form each


def _missing(fault: e.NodegraphError, place: _Place) -> Error:
    return error("required_input_missing", "Required input is missing", place.name, input_name=place.name)


def _bad_link(fault: e.NodegraphError, place: _Place) -> Error:
    message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
    details = place.name if isinstance(place.value, list) and len(place.value) != 2 else f"{place.name}, {fault.message}"
    return error("bad_linked_input", message, details, **place.extra(received_value=place.value))


def _mismatch(fault: e.NodegraphError, place: _Place) -> Error:
    received = _type_of_link(place)
    details = f"{place.name}, received_type({received}) mismatch input_type({place.type})"
    extra = place.extra(received_type=received, linked_node=place.value)
    return error("return_type_mismatch", "Return type mismatch between linked nodes", details, **extra)


def _type_of_link(place: _Place) -> str:
    """The type that the linked slot gives, as ComfyUI writes it."""
    if not (isinstance(place.value, list) and len(place.value) == 2):
        return "*"
    source = place.prompt.get(str(place.value[0]))
    known = find_class(source["class_type"], place.info.registry) if isinstance(source, dict) else None
    slot = place.value[1]
    outputs = known.outputs if known is not None else ()
    return spelling(outputs[int(slot)].type) if isinstance(slot, int | float) and 0 <= slot < len(outputs) else "*"


def _bad_value(fault: e.NodegraphError, place: _Place) -> Error:
    message = f"Failed to convert an input value to a {place.type} value"
    details = f"{place.name}, {place.value}, {fault.message}"
    extra = place.extra(received_value=place.value, exception_message=fault.message)
    return error("invalid_input_type", message, details, **extra)


def _out_of_range(fault: e.NodegraphError, place: _Place) -> Error:
    options = place.config[1] if place.config and len(place.config) > 1 else {}
    low, high = options.get("min"), options.get("max")
    extra = place.extra(received_value=place.value)
    if low is not None and _number(place.value) < low:
        return error("value_smaller_than_min", f"Value {place.value} smaller than min of {low}", place.name, **extra)
    return error("value_bigger_than_max", f"Value {place.value} bigger than max of {high}", place.name, **extra)


def _number(value: Any) -> float:
    """The number a value was taken for; texts that are none count as large."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return float("inf")


def _not_in_list(fault: e.NodegraphError, place: _Place) -> Error:
    choices = place.config[0] if place.config and isinstance(place.config[0], list) else []
    many = len(choices) > LONGEST_LIST
    listed = f"(list of length {len(choices)})" if many else str(choices)
    extra = {**place.extra(received_value=place.value), **({"input_config": None} if many else {})}
    return error("value_not_in_list", "Value not in list", f"{place.name}: '{place.value}' not in {listed}", **extra)


def _no_file(fault: e.NodegraphError, place: _Place) -> Error:
    details = f"{place.name} - Invalid image file: {place.value}"
    extra = place.extra(received_value=place.value)
    return error("custom_validation_failed", "Custom validation failed for node", details, **extra)


def _cycle(fault: e.NodegraphError, place: _Place) -> Error:
    return error("dependency_cycle", "Dependency cycle detected", fault.message, node_id=fault.node)


def _custom(fault: e.NodegraphError, place: _Place) -> Error:
    details = f"{place.name} - {fault.message}" if place.name else fault.message
    return error("custom_validation_failed", "Custom validation failed for node", details, **place.extra(received_value=place.value))


_FORMS: Final[Mapping[type[e.NodegraphError], Callable[[e.NodegraphError, _Place], Error]]] = {
    e.MissingInput: _missing,
    e.BadLink: _bad_link,
    e.TypeMismatch: _mismatch,
    e.BadValue: _bad_value,
    e.OutOfRange: _out_of_range,
    e.NotAChoice: _not_in_list,
    e.ModelNotFound: _not_in_list,
    e.FileMissing: _no_file,
    e.Cycle: _cycle,
}
