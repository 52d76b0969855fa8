"""Values typed into a node: checked against type, range, choices and files of their input. Wrong values are refused, never repaired."""

from __future__ import annotations

import math
from typing import Any, Final

from nodegraph.errors import BadValue, NotAChoice, OutOfRange, did_you_mean, shorten
from nodegraph.files import Files
from nodegraph.schema import InputSpec
from nodegraph.types import Anything, ListOf, Type, Var, convert, fits, type_name

_SIMPLE: Final = frozenset((int, str, bool))


def check_value(input: InputSpec, value: Any, files: Files | None = None) -> Any:
    """A literal checked against type, range, choices and files of its input, and returned in the form the node gets.

    Raises BadValue, OutOfRange, NotAChoice, ModelNotFound, FileMissing or UnsafePath. Wrong values are refused, never repaired.
    """
    kind = type(value)
    if kind in _SIMPLE and not input.limited and input.folder is None and getattr(input.type, "cls", None) is kind:
        return value
    if input.mapped and kind is list:
        return [check_value_one(input, item, files) for item in value]
    return check_value_one(input, value, files)


def check_value_one(input: InputSpec, value: Any, files: Files | None) -> Any:
    if value is None and input.optional:
        return None
    if input.choices is not None:
        return _check_choice(input, value)
    if not fits(input.type, value) or not _is_plain(value) or (input.widget is None and not _may_be_typed(input.type, value)):
        raise BadValue(f"{shorten(value)} is {_article(type_name(value))}; it wants {input.type}", hint=_value_hint(input))
    value = converted(input.type, value)
    if type(value) in (float, list) and not _is_finite(value):
        raise BadValue(f"{shorten(value)} is not a finite number", hint=_value_hint(input))
    if input.limited:
        check_limits(input, value)
    if input.folder is not None and files is not None:
        files.find(input.folder, value)
    return value


def check_limits(input: InputSpec, value: Any) -> None:
    """Raises NotAChoice or OutOfRange if a value of the right type is not one that the input takes."""
    if input.choices is not None:
        _check_choice(input, value)
    low, high = input.minimum, input.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        raise OutOfRange(f"{shorten(value)} is outside {_bounds(low, high)}", hint=_value_hint(input))


def _is_plain(value: Any) -> bool:
    """Whether a value is what JSON could hold."""
    if type(value) is list:
        return all(map(_is_plain, value))
    if type(value) is dict:
        return all(type(key) is str and _is_plain(item) for key, item in value.items())
    return value is None or type(value) in (str, int, float, bool)


def _is_finite(value: Any) -> bool:
    if type(value) is list:
        return all(map(_is_finite, value))
    return type(value) is not float or math.isfinite(value)


def _may_be_typed(type_: Type, value: Any) -> bool:
    """Inputs without a widget take plain data only if their type says so (`list[str]`, anything, a variable)."""
    return isinstance(type_, ListOf | Var | Anything) or isinstance(value, bool | int | float | str)


def converted(type_: Type, value: Any) -> Any:
    """As `types.convert`; a whole number that no float can hold is OutOfRange."""
    try:
        return convert(type_, value)
    except OverflowError as error:
        raise OutOfRange("a whole number is too large to be a float", hint="use a smaller number") from error


def _check_choice(input: InputSpec, value: Any) -> Any:
    for choice in input.choices or ():
        if choice == value and type(choice) is type(value):
            return choice
    names = ", ".join(str(choice) for choice in (input.choices or ())[:20])
    guess = did_you_mean(value, [c for c in input.choices or () if isinstance(c, str)]) if isinstance(value, str) else None
    raise NotAChoice(
        f"{shorten(value)} is not one of its choices", hint=f"{guess} The choices: {names}" if guess else f"the choices: {names}"
    )


def _bounds(low: float | None, high: float | None) -> str:
    if low is None:
        return f"the range up to {high}"
    return f"the range from {low}" if high is None else f"the range {low} to {high}"


def _value_hint(input: InputSpec) -> str:
    if input.widget is None:
        return "connect an output to it"
    if input.minimum is not None or input.maximum is not None:
        return f"give a number in {_bounds(input.minimum, input.maximum)}" + ("" if input.required else f"; the default is {input.default}")
    return f"give {_article(str(input.type))}" + ("" if input.required else f"; the default is {shorten(input.default)}")


def _article(word: str) -> str:
    if word in ("nothing", "text"):
        return word
    return f"an {word}" if word[:1] in "aeiou" else f"a {word}"
