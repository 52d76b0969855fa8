"""Write a node: `@node` turns a typed function into a contract (`NodeSpec`) and leaves the function as it is.

The type of a parameter is its socket, `Annotated` its widget and range, a default makes it optional; the docstring's first paragraph
is the help and its lines `name: text` are the tooltips; the return annotation names the outputs. `nodes/README.md` shows examples.
"""

from __future__ import annotations

import inspect
import re
import types as _types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeVar

from nodegraph.context import Context
from nodegraph.errors import BadNode
from nodegraph.schema import REQUIRED, InputSpec, Lane, NodeSpec, OutputSpec, Widget
from nodegraph.types import FLOAT, INT, STR, ListOf, Socket, Type, Union, Var, convert, fits, to_text, type_from_hint
from nodegraph.values import Blocked, Expand

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

MAX_SEED = 2**64 - 1
_UNSET = object()


# ------------------------------------------------------------------------------------- markers for Annotated


@dataclass(frozen=True, slots=True)
class Slider:
    """A number between `low` and `high` that is drawn as a slider."""

    low: float
    high: float
    step: float | None = None


@dataclass(frozen=True, slots=True)
class Number:
    """A number field: bounds are checked, `step` is what one turn of the wheel adds."""

    low: float | None = None
    high: float | None = None
    step: float | None = None


@dataclass(frozen=True, slots=True)
class SeedWidget:
    """A whole number with a dice: fixed, random or counted up after each run."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text field. `prompt`: show weights and a token count."""

    multiline: bool = True
    prompt: bool = False
    placeholder: str = ""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """The name of a file in a models folder, listed on demand. Its content, not its name, enters the cache key."""

    folder: str


@dataclass(frozen=True, slots=True)
class InputFile:
    """The name of a file in the input folder."""

    kind: Literal["image", "video", "audio", "any"] = "image"


@dataclass(frozen=True, slots=True)
class Color:
    """A colour as `#rrggbb`."""


@dataclass(frozen=True, slots=True)
class _Each:
    pass


Seed = Annotated[int, SeedWidget()]
Each = Annotated[T, _Each()]
"""`Each[T]`: one value, or a list of them for which the node is called once an item. Its outputs are then lists."""


class Lazy(Generic[T]):
    """An input that is worked out only if the node asks for it with `.get()`.

    Asking for a value that is not there yet stops the function; it is called again when the value has come. So ask first, work later.
    """

    __slots__ = ("_ask",)

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask

    def get(self) -> T:
        return self._ask()

    @classmethod
    def of(cls, value: T) -> Lazy[T]:
        """A lazy input that is ready: for calling a node in a test."""
        return cls(lambda: value)


class Ref(Generic[T]):
    """Where an input comes from, not its value: put it into the graph of an `Expand` to pass the value on unseen."""

    __slots__ = ("source",)

    def __init__(self, source: Any) -> None:
        self.source = source


# ------------------------------------------------------------------------------------- the decorator


def node(
    id: str,
    *,
    category: str,
    title: str | None = None,
    version: int = 1,
    upgrade: Callable[[int, dict[str, Any]], dict[str, Any]] | None = None,
    output: bool = False,
    cached: bool = True,
    fingerprint: Callable[..., Any] | None = None,
    lane: Lane | None = None,
    status: Literal["stable", "beta", "deprecated"] = "stable",
) -> Callable[[F], F]:
    """Declare a function as the node type `id`, the stable name in saved files.

    version, upgrade: raise `version` when the signature changes; `upgrade(old_version, inputs) -> inputs` carries saved workflows over
    output: run it even if nothing is connected to its outputs (it saves or shows something)
    cached: False runs it every time
    fingerprint: called with the node's inputs by name, None for links; what it returns enters the key (for clocks, folders and the like)
    lane: "device" for work on the accelerator, one at a time; "cpu" for the rest. Default: "device" if the node takes a Context and a
        handle to weights, "async" for `async def`, else "cpu"

    Raises BadNode if the signature cannot be turned into a contract.
    """

    def declare(function: F) -> F:
        spec = build_spec(
            function,
            id=id,
            title=title,
            category=category,
            version=version,
            upgrade=upgrade,
            output_node=output,
            cached=cached,
            fingerprint=fingerprint,
            lane=lane,
            status=status,
        )
        function.__nodegraph__ = spec  # type: ignore[attr-defined]
        return function

    return declare


def spec_of(function: Any) -> NodeSpec | None:
    found = getattr(function, "__nodegraph__", None)
    return found if isinstance(found, NodeSpec) else None


def build_spec(
    function: Callable[..., Any],
    *,
    id: str,
    category: str,
    title: str | None,
    version: int,
    upgrade: Callable[[int, dict[str, Any]], dict[str, Any]] | None,
    output_node: bool,
    cached: bool,
    fingerprint: Callable[..., Any] | None,
    lane: Lane | None,
    status: Literal["stable", "beta", "deprecated"],
) -> NodeSpec:
    _check_declaration(function, id, version, lane)
    description, notes = read_docstring(function, id)
    hints = _hints(function, id)
    context, inputs = _inputs(function, id, hints, notes)
    outputs, named = _outputs(function, id, hints.get("return"), notes, output_node)
    unknown = set(notes) - set(inputs) - set(outputs)
    if unknown:
        raise BadNode(f"the docstring of node {id} explains {sorted(unknown)}, which it does not have", hint="rename or remove these lines")
    return NodeSpec(
        id=id,
        function=function,
        inputs=_types.MappingProxyType(inputs),
        outputs=_types.MappingProxyType(outputs),
        title=title or _title(id),
        category=category,
        description=description,
        version=version,
        upgrade=upgrade,
        output_node=output_node,
        cached=cached,
        fingerprint=fingerprint,
        lane=lane or _lane(function, context, inputs),
        context=context,
        named_outputs=named,
        generic=any(_has_var(type_) for type_ in [*(i.type for i in inputs.values()), *(o.type for o in outputs.values())]),
        special=tuple(name for name, input in inputs.items() if input.lazy or input.raw or isinstance(input.type, ListOf)),
        named_files=tuple(name for name, input in inputs.items() if input.folder is not None),
        status=status,
    )


def _check_declaration(function: Callable[..., Any], id: str, version: int, lane: Lane | None) -> None:
    if not re.fullmatch(r"(?:[A-Za-z0-9_.-]+/)?[A-Za-z][A-Za-z0-9_]*", id):
        raise BadNode(f"{id!r} cannot be a node id", hint="use letters, digits and _, with the pack's name in front: `mypack/Blend`")
    if type(version) is not int or version < 1:
        raise BadNode(f"node {id}: the version {version!r} is not a whole number from 1", hint="count it up when the signature changes")
    waits = inspect.iscoroutinefunction(function)
    if lane is not None and (lane == "async") != waits:
        kind = "async def" if waits else "def"
        raise BadNode(f"node {id} is a `{kind}` in the lane {lane!r}", hint='the lane "async" is for `async def`, the others for `def`')


def _title(id: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z]{2})(?=[A-Z][a-z])", " ", id.rsplit("/", 1)[-1])


def _lane(function: Callable[..., Any], context: str | None, inputs: Mapping[str, InputSpec]) -> Lane:
    if inspect.iscoroutinefunction(function):
        return "async"
    takes_weights = any(_names_weights(spec.type) for spec in inputs.values())
    return "device" if context is not None and takes_weights else "cpu"


def _names_weights(type_: Type) -> bool:
    if isinstance(type_, ListOf):
        return _names_weights(type_.item)
    if isinstance(type_, Union):
        return any(map(_names_weights, type_.members))
    return isinstance(type_, Socket) and type_.handle


def _has_var(type_: Type) -> bool:
    if isinstance(type_, ListOf):
        return _has_var(type_.item)
    if isinstance(type_, Union):
        return any(map(_has_var, type_.members))
    return isinstance(type_, Var)


def read_docstring(function: Callable[..., Any], id: str) -> tuple[str, dict[str, str]]:
    """(description, {name: tooltip}) of a node's docstring. Raises BadNode if there is none."""
    doc = inspect.getdoc(function)
    if not doc or not doc.strip():
        raise BadNode(f"node {id} has no docstring", hint="its first paragraph is the help, lines `input: text` are the tooltips")
    description: list[str] = []
    notes: dict[str, str] = {}
    current: str | None = None
    for line in doc.splitlines():
        entry = re.match(r"([a-z_][a-z0-9_]*): (.+)$", line)
        if entry:
            current = entry.group(1)
            notes[current] = entry.group(2).strip()
        elif current is not None and line.startswith("  "):
            notes[current] += " " + line.strip()
        else:
            current = None
            description.append(line)
    text = "\n".join(description).strip()
    if not text:
        raise BadNode(f"the docstring of node {id} says nothing of the node itself", hint="begin it with a sentence on what the node does")
    return text, notes


def _hints(function: Callable[..., Any], id: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise BadNode(
            f"node {id}: a type hint names {error.name!r}, which cannot be found when the module is loaded",
            hint="import it at the top of the file, not under TYPE_CHECKING",
        ) from error
    except (SyntaxError, TypeError) as error:
        raise BadNode(f"node {id}: a type hint cannot be read: {error}", hint="write hints as Python would accept them") from error


def _inputs(function: Callable[..., Any], id: str, hints: dict[str, Any], notes: dict[str, str]) -> tuple[str | None, dict[str, InputSpec]]:
    context: str | None = None
    inputs: dict[str, InputSpec] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise BadNode(f"node {id}: parameter `{parameter.name}` cannot be an input", hint="name every input; take a list[...] for many")
        if parameter.name not in hints:
            raise BadNode(f"node {id}: parameter `{parameter.name}` has no type hint", hint="its type is its socket; add one")
        if hints[parameter.name] is Context:
            if context is not None:
                raise BadNode(
                    f"node {id} asks for two Contexts, `{context}` and `{parameter.name}`", hint="one is enough; remove the other"
                )
            context = parameter.name
            continue
        default = REQUIRED if parameter.default is parameter.empty else parameter.default
        try:
            inputs[parameter.name] = build_input(parameter.name, hints[parameter.name], default, notes.get(parameter.name, ""))
        except BadNode as error:
            raise BadNode(f"node {id}, input `{parameter.name}`: {error.message}", hint=error.hint) from error
    return context, inputs


def build_input(name: str, hint: Any, default: Any = REQUIRED, tooltip: str = "") -> InputSpec:
    """One input from its type hint."""
    hint, marks, lazy, raw, optional = _unwrap(hint)
    type_ = type_from_hint(hint)
    choices = typing.get_args(hint) if typing.get_origin(hint) is Literal else None
    mapped = any(isinstance(mark, _Each) for mark in marks)
    _check_marks(type_, marks)
    _check_manner(type_, lazy, raw, mapped)
    widget, low, high, folder = _widget(type_, marks, choices)
    spec = InputSpec(
        name=name,
        type=type_,
        default=convert(type_, default),
        widget=widget,
        choices=choices,
        minimum=low,
        maximum=high,
        folder=folder,
        lazy=lazy,
        mapped=mapped,
        raw=raw,
        optional=optional,
        tooltip=tooltip,
    )
    _check_default(spec)
    return spec


def _unwrap(hint: Any) -> tuple[Any, list[Any], bool, bool, bool]:
    """Peel Annotated, Lazy, Ref and `| None` off a hint: (core, marks, lazy, raw, optional)."""
    marks: list[Any] = []
    lazy = raw = optional = False
    while True:
        origin = typing.get_origin(hint)
        if origin is Annotated:
            hint, *found = typing.get_args(hint)
            marks += found
        elif origin is Lazy or origin is Ref:
            lazy, raw = lazy or origin is Lazy, raw or origin is Ref
            (hint,) = typing.get_args(hint)
        elif origin in (typing.Union, _types.UnionType) and type(None) in typing.get_args(hint):
            if lazy or raw:
                raise BadNode("None stands inside Lazy[...] or Ref[...]", hint="write `Lazy[T] | None`: without a link, None comes itself")
            optional = True
            rest = tuple(arg for arg in typing.get_args(hint) if arg is not type(None))
            hint = typing.Union[rest]  # noqa: UP007 - built from a tuple
        else:
            return hint, marks, lazy, raw, optional


def _check_marks(type_: Type, marks: list[Any]) -> None:
    """Refuse markers on types that they say nothing about."""
    for mark in marks:
        if isinstance(mark, Slider | Number):
            if not _is_number(type_):
                raise BadNode(f"{type(mark).__name__} stands on {type_}", hint="it is for int and float")
            if mark.low is not None and mark.high is not None and mark.low > mark.high:
                raise BadNode(f"the range {mark.low} to {mark.high} is empty", hint="write the lower bound first")
        elif isinstance(mark, SeedWidget) and type_ != INT:
            raise BadNode(f"Seed stands on {type_}", hint="it is for int")
        elif isinstance(mark, Text | ModelFile | InputFile | Color) and type_ != STR:
            raise BadNode(f"{type(mark).__name__} stands on {type_}", hint="it is for str")


def _is_number(type_: Type) -> bool:
    return type_ in (INT, FLOAT) or (isinstance(type_, Union) and all(map(_is_number, type_.members)))


def _check_manner(type_: Type, lazy: bool, raw: bool, mapped: bool) -> None:
    """Refuse combinations of Lazy, Ref and Each that have no meaning."""
    if lazy + raw + mapped > 1:
        raise BadNode("only one of Lazy, Ref and Each can stand on an input", hint="split it into two inputs or two nodes")
    if mapped and isinstance(type_, ListOf):
        raise BadNode(f"Each stands on a {type_}", hint="Each[T] takes a list of T item by item; list[T] takes it whole")


def _widget(type_: Type, marks: list[Any], choices: tuple[Any, ...] | None) -> tuple[Widget | None, float | None, float | None, str | None]:
    for mark in marks:
        if isinstance(mark, Slider):
            return Widget("slider", _step(mark.step)), mark.low, mark.high, None
        if isinstance(mark, Number):
            return Widget("number", _step(mark.step)), mark.low, mark.high, None
        if isinstance(mark, SeedWidget):
            return Widget("seed"), 0, MAX_SEED, None
        if isinstance(mark, Text):
            return Widget("text", {"multiline": mark.multiline, "prompt": mark.prompt, "placeholder": mark.placeholder}), None, None, None
        if isinstance(mark, ModelFile):
            return Widget("model"), None, None, mark.folder
        if isinstance(mark, InputFile):
            return Widget("file", {"accept": mark.kind}), None, None, "input"
        if isinstance(mark, Color):
            return Widget("color"), None, None, None
    if choices is not None:
        return Widget("choice"), None, None, None
    plain: dict[str, Widget] = {
        "int": Widget("number"),
        "float": Widget("number"),
        "str": Widget("text", {"multiline": False}),
        "bool": Widget("switch"),
    }
    return plain.get(to_text(type_)), None, None, None


def _step(step: float | None) -> dict[str, Any]:
    return {} if step is None else {"step": step}


def _check_default(spec: InputSpec) -> None:
    default = spec.default
    if default is REQUIRED or (default is None and spec.optional):
        return
    if not fits(spec.type, default):
        raise BadNode(f"the default {default!r} is not of type {spec.type}", hint="mend the default, or add `| None` to the hint")
    if spec.choices is not None and default not in spec.choices:
        raise BadNode(f"the default {default!r} is not one of {spec.choices}", hint="take one of the choices as default")
    low, high = spec.minimum, spec.maximum
    if (low is not None and default < low) or (high is not None and default > high):
        raise BadNode(f"the default {default!r} is outside {low} to {high}", hint="mend the default or the range")


def _outputs(
    function: Callable[..., Any], id: str, hint: Any, notes: dict[str, str], output_node: bool
) -> tuple[dict[str, OutputSpec], bool]:
    if "return" not in function.__annotations__:
        raise BadNode(f"node {id} has no return annotation", hint="name the type it returns, a NamedTuple for several, or None")
    hint = _without_control_values(type(None) if hint in (Expand, Blocked) else hint)
    if hint is None or hint is type(None):
        if not output_node:
            raise BadNode(f"node {id} returns nothing and is no output node", hint="return something, or declare it with output=True")
        return {}, False
    try:
        if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
            fields = typing.get_type_hints(hint, include_extras=True)
            return {name: OutputSpec(name, type_from_hint(kind), notes.get(name, "")) for name, kind in fields.items()}, True
        type_ = type_from_hint(hint)
    except BadNode as error:
        raise BadNode(f"node {id}, return type: {error.message}", hint=error.hint) from error
    name = _output_name(type_)
    return {name: OutputSpec(name, type_, notes.get(name, ""))}, False


def _without_control_values(hint: Any) -> Any:
    """`Image | Expand` promises an Image: what a node may return in its place is not part of the contract."""
    if typing.get_origin(hint) not in (typing.Union, _types.UnionType):
        return hint
    rest = tuple(arg for arg in typing.get_args(hint) if arg not in (Expand, Blocked)) or (type(None),)
    return rest[0] if len(rest) == 1 else typing.Union[rest]  # noqa: UP007 - built from a tuple


def _output_name(type_: Type) -> str:
    if isinstance(type_, ListOf):
        return _output_name(type_.item) + "s"
    return type_.name if isinstance(type_, Socket) else "value"
