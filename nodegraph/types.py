"""What may flow along a link: socket types, type expressions, and which output fits which input.

A socket type is a Python class with a name: `int`, `float`, `str`, `bool` and every class declared with `@socket`.
A type expression is a socket, a list of one, a union, a type variable (generic nodes) or `ANY`.

    accepts(INT, FLOAT) is False          accepts(FLOAT, INT) is True: a cast that loses nothing
"""

from __future__ import annotations

import re
import types as _types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from nodegraph.errors import BadNode, NameClash

C = TypeVar("C", bound=type)


@dataclass(frozen=True, slots=True)
class Socket:
    """A named socket type. `handle`: it names a resource (weights), is cheap, re-creatable and never stored."""

    name: str
    cls: type
    color: str = "#9aa0a6"
    doc: str = ""
    handle: bool = False

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class ListOf:
    item: Type

    def __str__(self) -> str:
        return f"list of {self.item}"


@dataclass(frozen=True, slots=True)
class Union:
    members: tuple[Type, ...]

    def __str__(self) -> str:
        return " or ".join(map(str, self.members))


@dataclass(frozen=True, slots=True)
class Var:
    """A type variable of a generic node; it stands for what is connected."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Anything:
    def __str__(self) -> str:
        return "anything"


Type = Socket | ListOf | Union | Var | Anything

ANY = Anything()
INT = Socket("int", int, "#7cb7ff", "a whole number")
FLOAT = Socket("float", float, "#8fd694", "a number")
STR = Socket("str", str, "#e3c567", "text")
BOOL = Socket("bool", bool, "#d68fd6", "yes or no")

_BY_CLASS: dict[type, Socket] = {s.cls: s for s in (INT, FLOAT, STR, BOOL)}
_BY_NAME: dict[str, Socket] = {s.name: s for s in _BY_CLASS.values()}
_CASTS: dict[tuple[str, str], Callable[[Any], Any]] = {("float", "int"): float}


def socket(name: str, *, color: str = "#9aa0a6", handle: bool = False) -> Callable[[C], C]:
    """Declare a class as a socket type. Its docstring says meaning, shape, range and unit, and must not be empty.

    Raises NameClash if another class already has this name, BadNode if the docstring is missing or the name has other signs than
    letters, digits, _, - and the / after a pack's name.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*(/[A-Za-z][A-Za-z0-9_-]*)?", name):
        raise BadNode(f"{name!r} cannot be the name of a socket type", hint="use letters, digits, _ and -, such as `depth_map`")

    def declare(cls: C) -> C:
        known = _BY_NAME.get(name)
        if known is not None and (known.cls.__module__, known.cls.__qualname__) != (cls.__module__, cls.__qualname__):
            raise NameClash(
                f"two classes want to be the socket type `{name}`: {known.cls.__module__}.{known.cls.__qualname__}"
                f" and {cls.__module__}.{cls.__qualname__}",
                hint="give the newer one another name, for instance with the name of its pack in front",
            )
        if not (cls.__doc__ or "").strip():
            raise BadNode(f"socket type `{name}` has no docstring", hint="say what it means, its shape, range and unit")
        entry = Socket(name, cls, color, (cls.__doc__ or "").strip(), handle)
        _BY_CLASS[cls] = _BY_NAME[name] = entry
        return cls

    return declare


def declare_cast(target: type, source: type, convert: Callable[[Any], Any]) -> None:
    """Let a `source` output feed a `target` input through `convert`, which must lose nothing a user would miss."""
    _CASTS[(_BY_CLASS[target].name, _BY_CLASS[source].name)] = convert


def casts() -> list[tuple[str, str]]:
    """The names of (target, source) of every cast."""
    return list(_CASTS)


def stand_in(name: str, parents: tuple[type, ...], *, color: str, doc: str, handle: bool, cls: type | None = None) -> Socket:
    """A socket type of a pack that is not loaded here, good for checking what may be connected: its class is empty.

    parents: classes of the socket types that it descends from; cls: the class itself, if it is one of Python's own
    """
    made = cls if cls is not None else type(name.rpartition("/")[2], parents, {"__doc__": doc})
    entry = Socket(name, made, color, doc, handle)
    _BY_CLASS[made] = entry
    return entry


def declare_absent_cast(target: str, source: str) -> None:
    """Know of a cast between two socket types, by name, whose function is not loaded here."""

    def absent(value: Any) -> Any:
        raise RuntimeError(f"the cast from {source} to {target} belongs to a pack that is not loaded in this process")

    _CASTS.setdefault((target, source), absent)


def sockets() -> dict[str, Socket]:
    """All declared socket types by name."""
    return dict(_BY_NAME)


def socket_of(cls: type) -> Socket | None:
    return _BY_CLASS.get(cls)


def type_from_hint(hint: Any) -> Type:
    """Turn a Python type hint into a type expression. Raises BadNode for a class that is no socket type."""
    origin = typing.get_origin(hint)
    if origin is Annotated:
        return type_from_hint(typing.get_args(hint)[0])
    if hint is Any:
        return ANY
    if isinstance(hint, TypeVar):
        return Var(hint.__name__)
    if origin is typing.Literal:
        return _one_or_union(tuple(dict.fromkeys(type_from_hint(type(choice)) for choice in typing.get_args(hint))))
    if origin is list:
        return ListOf(type_from_hint(typing.get_args(hint)[0]))
    if origin in (typing.Union, _types.UnionType):
        return _one_or_union(tuple(type_from_hint(arg) for arg in typing.get_args(hint) if arg is not type(None)))
    known = _BY_CLASS.get(hint)
    if known is None:
        raise BadNode(
            f"{getattr(hint, '__name__', hint)!r} is not a socket type",
            hint="declare the class with @socket(name), or use int, float, str, bool, a Literal, list[...] or a union of these",
        )
    return known


def _one_or_union(members: tuple[Type, ...]) -> Type:
    return members[0] if len(members) == 1 else Union(members)


def accepts(target: Type, source: Type) -> bool:
    """Whether an output of type `source` may be connected to an input of type `target`."""
    if target is source or isinstance(target, Anything | Var) or isinstance(source, Anything | Var):
        return True
    if isinstance(source, Union):
        return all(accepts(target, member) for member in source.members)
    if isinstance(target, Union):
        return any(accepts(member, source) for member in target.members)
    if isinstance(target, ListOf) or isinstance(source, ListOf):
        return isinstance(target, ListOf) and isinstance(source, ListOf) and accepts(target.item, source.item)
    if target.cls is source.cls or issubclass_not_bool(source.cls, target.cls):
        return True
    return any((target.name, parent.name) in _CASTS for parent in _lineage(source.cls))


Joint = Literal["plain", "wrap", "each"]


def joint(target: Type, source: Type, each: bool = False) -> Joint | None:
    """How an output of type `source` meets an input: as it is, as a list of one, once an item (of `Each` inputs), or not at all."""
    if target is source:
        return "plain"
    if each and isinstance(source, ListOf) and not isinstance(target, ListOf):
        return "each" if accepts(target, source.item) else None
    if isinstance(target, ListOf) and not isinstance(source, ListOf | Anything | Var) and accepts(target.item, source):
        return "wrap"
    return "plain" if accepts(target, source) else None


def join(first: Type, second: Type) -> Type:
    """The wider of two types that meet in one type variable; `first` if neither takes the other. What may be anything gives way."""
    if isinstance(first, Anything | Var):
        return second
    return second if not accepts(first, second) and accepts(second, first) else first


def issubclass_not_bool(source: type, target: type) -> bool:
    return issubclass(source, target) and not (source is bool and target is int)


def _lineage(cls: type) -> Iterator[Socket]:
    """The socket types of a class and its bases, nearest first."""
    for base in (cls,) if cls is bool else cls.__mro__:
        known = _BY_CLASS.get(base)
        if known is not None:
            yield known


def convert(target: Type, value: Any) -> Any:
    """Bring a value that passed `accepts` into the form the input wants: apply the one cast that fits, else return it as it is."""
    if isinstance(target, ListOf):
        if isinstance(value, list) and _may_cast(target.item):
            return [convert(target.item, item) for item in value]
        return value
    if isinstance(target, Union):
        return _convert_to_one(target.members, value)
    if not isinstance(target, Socket) or isinstance(value, target.cls):
        return value
    for source in _lineage(type(value)):
        cast = _CASTS.get((target.name, source.name))
        if cast is not None:
            return cast(value)
    return value


def _convert_to_one(members: tuple[Type, ...], value: Any) -> Any:
    """For a union: a member the value already is, before one that it can be made into."""
    if any(isinstance(member, Socket) and type(value) is member.cls for member in members):
        return value
    for member in members:
        converted = convert(member, value)
        if converted is not value and fits(member, converted):
            return converted
    return value


def _may_cast(item: Type) -> bool:
    if isinstance(item, ListOf):
        return _may_cast(item.item)
    if isinstance(item, Union):
        return any(map(_may_cast, item.members))
    return isinstance(item, Socket) and any(to == item.name for to, _ in _CASTS)


def fits(target: Type, value: Any) -> bool:
    """Whether a Python value is of the declared type: what a node may return, what a literal may be."""
    if isinstance(target, Anything | Var):
        return True
    if isinstance(target, Union):
        return any(fits(member, value) for member in target.members)
    if isinstance(target, ListOf):
        return isinstance(value, list) and all(fits(target.item, item) for item in value)
    if target.cls is float:
        return type(value) is float or type(value) is int
    if target.cls in (int, bool, str):
        return type(value) is target.cls
    return isinstance(value, target.cls)


def type_of(value: Any) -> Type | None:
    """The type expression of plain data, as a literal of a generic node has it; None if it says nothing (None, mixed or empty lists)."""
    if type(value) is list:
        kinds = {type_of(item) for item in value}
        item = kinds.pop() if len(kinds) == 1 else None
        return None if item is None else ListOf(item)
    return _BY_CLASS.get(type(value))


def type_name(value: Any) -> str:
    """How a value's type is called in messages."""
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return "list" if not value else f"list of {type_name(value[0])}"
    known = _BY_CLASS.get(type(value))
    return known.name if known is not None else type(value).__name__


def to_text(type_: Type) -> str:
    """The compact form used in schemas sent to the editor: `image`, `list[image]`, `image|mask`, `T`, `*`."""
    if isinstance(type_, ListOf):
        return f"list[{to_text(type_.item)}]"
    if isinstance(type_, Union):
        return "|".join(map(to_text, type_.members))
    return "*" if isinstance(type_, Anything) else type_.name
