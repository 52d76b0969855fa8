"""Call one node function: build its arguments, map it over lists, check what it returns, and put its faults into words."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from nodegraph.authoring import Lazy, Ref
from nodegraph.context import Context, Services
from nodegraph.document import Link
from nodegraph.errors import BadOutput, Cancelled, NodeFailed, NodegraphError, OutOfMemory, TypeMismatch, UnevenLists, shorten
from nodegraph.events import Sink
from nodegraph.files import Files
from nodegraph.graph import GraphNode
from nodegraph.literals import check_limits, converted
from nodegraph.registry import Registry
from nodegraph.schema import InputSpec, NodeSpec
from nodegraph.types import FLOAT, ListOf, Type, fits, type_name
from nodegraph.values import UNSAID, Blocked, Expand, joined

Ask = Callable[[Link], Any]
Shown = tuple[Mapping[str, Any], ...]


class Pending(BaseException):
    """A lazy input was asked for that is not there yet: the node waits for `link` and is called again."""

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        self.link = link


class Skip(BaseException):
    """A lazy input gave Blocked: the node is skipped like any other consumer."""

    def __init__(self, blocked: Blocked) -> None:
        super().__init__()
        self.blocked = blocked


class Caller:
    """What a run needs to call nodes: where files are, who listens, how weights are lent.

    secrets: keys for services elsewhere, by name, that whoever asked for the run gave along
    workflow: the saved workflow as plain data, or a function that gives it when the first node that looks at it is called
    foreign: gives the workflow in other programs' forms, see `Context.foreign`
    """

    def __init__(
        self,
        registry: Registry,
        files: Files,
        emit: Sink,
        cancelled: threading.Event,
        services: Callable[[], Services] | None = None,
        workflow: Mapping[str, Any] | Callable[[], Mapping[str, Any] | None] | None = None,
        previews: bool = False,
        secrets: Mapping[str, str] = MappingProxyType({}),
        foreign: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self.registry = registry
        self.files = files
        self._emit = emit
        self._cancelled = cancelled
        self._services = services
        self._workflow = workflow
        self._previews = previews
        self._secrets = secrets
        self._foreign = foreign

    # --------------------------------------------------------------------------------- calling

    def call(self, node: GraphNode, values: Mapping[str, Any], ask: Ask) -> tuple[Any, Shown]:
        """(outputs by name or an Expand, what was shown) of one node."""
        spec = node.spec
        context = self.context(node) if spec.context is not None else None
        arguments = arguments_of(node, values, ask, context)
        try:
            if node.mapped:
                outputs: Any = gathered(spec, [self.once(node, item) for item in items_of(node, arguments)])
            else:
                outputs = outputs_of(spec, spec.function(**arguments))
        except Skip as skip:
            outputs = skipped(spec, skip.blocked)
        return outputs, () if context is None else tuple(context.shown)

    def once(self, node: GraphNode, item: Mapping[str, Any]) -> Any:
        """One call of a node that is called once an item; a Blocked item gives Blocked in its place."""
        if self._cancelled.is_set():
            raise Cancelled
        blocked = blocked_in(item)
        return skipped(node.spec, blocked) if blocked is not None else outputs_of(node.spec, node.spec.function(**item))

    def context(self, node: GraphNode) -> Context:
        return Context(
            node.id,
            files=self.files,
            emit=self._emit,
            cancelled=self._cancelled,
            services=self._services,
            workflow=self._workflow() if callable(self._workflow) else self._workflow,
            previews=self._previews,
            secrets=self._secrets,
            foreign=self._foreign(),
        )

    # --------------------------------------------------------------------------------- faults

    def explain(self, node: GraphNode, error: BaseException, values: Mapping[str, Any] | None = None) -> NodegraphError:
        """A fault in the form users see, with the node filled in. `values`: what came in along links."""
        where = node.root or node.id
        if isinstance(error, NodegraphError):
            cut_traceback(error, node.spec)
            return error.at(where, node.spec.id)
        text = _text_of(error)
        if isinstance(error, MemoryError) or "out of memory" in text.lower():
            told: NodegraphError = OutOfMemory(
                f"memory ran out: {shorten(text or type(error).__name__, 200)}",
                hint="make the picture or the batch smaller, or close other programs",
            )
        else:
            hint = "\n".join([*_frames(error, node.spec), *_given(node, values or {})])
            told = NodeFailed(f"{type(error).__name__}: {shorten(text, 500)}", hint=hint)
        told.__cause__ = error
        cut_traceback(error, node.spec)
        return told.at(where, node.spec.id)


# ------------------------------------------------------------------------------------- arguments


def arguments_of(node: GraphNode, values: Mapping[str, Any], ask: Ask, context: Context | None = None) -> dict[str, Any]:
    """Keyword arguments: literals, values of links (converted and checked where needed), lazy inputs and references."""
    arguments = dict(node.inputs)
    arguments.update(values)
    for name, target in node.casts.items():
        if name in values:
            arguments[name] = arrived(node, name, target, values[name])
    for name in node.spec.special:
        spec = node.spec.inputs[name]
        link = node.links.get(name)
        if link is not None:
            if spec.lazy:
                arguments[name] = _lazy(node, name, link, ask)
            elif spec.raw:
                arguments[name] = Ref(link)
            else:
                arguments[name] = _without_blocked(arguments[name])
        elif arguments[name] is not None or not spec.optional:
            arguments[name] = _wrapped(spec, arguments[name])
    if node.spec.context is not None:
        arguments[node.spec.context] = context
    return arguments


def _wrapped(spec: InputSpec, value: Any) -> Any:
    """A literal as a special input takes it; lists are handed out as copies."""
    if spec.lazy:
        return Lazy.of(value)
    return Ref(value) if spec.raw else list(value)


def _lazy(node: GraphNode, name: str, link: Link, ask: Ask) -> Lazy[Any]:
    def get() -> Any:
        value = ask(link)
        if type(value) is Blocked:
            raise Skip(value)
        if name in node.casts:
            value = arrived(node, name, node.casts[name], value)
        return _without_blocked(value) if isinstance(node.spec.inputs[name].type, ListOf) else value

    return Lazy(get)


def _without_blocked(value: Any) -> Any:
    return [item for item in value if type(item) is not Blocked] if type(value) is list else value


def arrived(node: GraphNode, name: str, target: Type, value: Any) -> Any:
    """A value that came along a link, in the form the input wants.

    Raises TypeMismatch if it is of another type (its source promised anything), OutOfRange or NotAChoice.
    """
    spec = node.spec.inputs[name]
    try:
        if node.mapped and spec.mapped and type(value) is list:
            return [item if type(item) is Blocked else _checked(spec, target, item) for item in value]
        if isinstance(target, ListOf):
            value = _without_blocked(value) if type(value) is list else [value]
        return _checked(spec, target, value)
    except NodegraphError as error:
        raise error.at(node.root or node.id, node.spec.id, name) from None


def _checked(spec: InputSpec, target: Type, value: Any) -> Any:
    if value is None and spec.optional:
        return None
    value = converted(target, value)
    if not fits(target, value):
        raise TypeMismatch(f"wants {target}, but what came is {_what(value)}", hint="connect an output of the right type")
    if spec.limited:
        check_limits(spec, value)
    return value


def items_of(node: GraphNode, arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The arguments of each call: lists in `Each` inputs item by item, lists of one and single values repeated."""
    inputs = node.spec.inputs
    lists = {name: value for name, value in arguments.items() if name in inputs and inputs[name].mapped and type(value) is list}
    counts = {len(values) for values in lists.values()} - {1}
    if len(counts) > 1:
        sizes = ", ".join(f"`{name}` has {len(values)}" for name, values in lists.items())
        raise UnevenLists(
            f"its lists are of different lengths: {sizes}", hint="make them equally long; `Combinations` pairs each with each"
        )
    count = counts.pop() if counts else 1
    rest = {name: value for name, value in arguments.items() if name not in lists}
    return [rest | {name: values[i if len(values) > 1 else 0] for name, values in lists.items()} for i in range(count)]


# ------------------------------------------------------------------------------------- results


def outputs_of(spec: NodeSpec, result: Any) -> Any:
    """What a function returned, by output name. Raises BadOutput if it is not what the annotation promises."""
    if type(result) is Expand:
        return result
    if type(result) is Blocked:
        return skipped(spec, result)
    if spec.named_outputs:
        if not isinstance(result, tuple) or len(result) != len(spec.outputs):
            raise BadOutput(f"it returned {_what(result)}; its outputs are {', '.join(spec.outputs)}", hint="return the NamedTuple")
        outputs = dict(zip(spec.outputs, result, strict=True))
    elif spec.outputs:
        outputs = {next(iter(spec.outputs)): result}
    else:
        outputs = {}
    for name, value in outputs.items():
        type_ = spec.outputs[name].type
        if type_ is FLOAT and type(value) is int:
            outputs[name] = float(value)
        elif not fits(type_, value) and type(value) is not Blocked:
            raise BadOutput(
                f"output `{name}` promises {type_}, but it returned {_what(value)}",
                hint="this is a fault of the node; mend its function or its return annotation",
            )
    return outputs


def gathered(spec: NodeSpec, results: Sequence[Any]) -> Any:
    """A list an output from what the calls for each item gave; one Expand if some of them were Expands."""
    expansions = {place: result for place, result in enumerate(results) if type(result) is Expand}
    if not expansions:
        return {name: [result[name] for result in results] for name in spec.outputs}
    return joined(
        expansions,
        {name: [UNSAID if place in expansions else result[name] for place, result in enumerate(results)] for name in spec.outputs},
    )


def skipped(spec: NodeSpec, blocked: Blocked) -> dict[str, Any]:
    return dict.fromkeys(spec.outputs, blocked)


def blocked_in(item: Mapping[str, Any]) -> Blocked | None:
    return next((value for value in item.values() if type(value) is Blocked), None)


# ------------------------------------------------------------------------------------- words


def _what(value: Any) -> str:
    kind = type_name(value)
    return kind if kind == "nothing" else f"{'an' if kind[:1] in 'aeiou' else 'a'} {kind}"


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - code of a foreign exception class; its fault must not hide the one it tells of
        return "(its message could not be made)"


def _frames(error: BaseException, spec: NodeSpec) -> list[str]:
    """Where in the pack's own code it happened, last call first; frames of the engine and of libraries are left out."""
    code = getattr(spec.function, "__code__", None)
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if code is not None and f.filename == code.co_filename] or frames[-1:]
    return [f"at {frame.filename}:{frame.lineno} in {frame.name}" for frame in reversed(own[-3:])]


def _given(node: GraphNode, values: Mapping[str, Any]) -> list[str]:
    """One line an input: what the node was called with, in short."""
    return [f"{name} = {summary(value)}" for name, value in {**node.inputs, **values}.items()][:16]


def summary(value: Any) -> str:
    """A value in a few words: `image 1x512x512x3 float32`, `list of 3 int`, `'a fox'`; never its contents in full."""
    if isinstance(value, str):
        return repr(shorten(value, 60))
    if value is None or isinstance(value, bool | int | float):
        return shorten(value, 40)
    if isinstance(value, list):
        return f"list of {len(value)}" + (f" {type_name(value[0])}" if value else "")
    parts = [value, *(getattr(value, name) for name in getattr(value, "__dataclass_fields__", ()))]
    array = next((part for part in parts if hasattr(part, "shape") and hasattr(part, "dtype")), None)
    shape = "" if array is None else f" {'x'.join(map(str, array.shape))} {array.dtype}"
    return f"{type_name(value)}{shape}"


def cut_traceback(error: BaseException, spec: NodeSpec) -> None:
    """Turn tracebacks into text: their frames hold pictures, weights and, by the frames that called them, the whole run."""
    code = getattr(spec.function, "__code__", None)
    own = error.__traceback__
    while own is not None and own.tb_frame.f_code is not code:
        own = own.tb_next
    if own is not None:
        error.add_note("".join(["Traceback of the node (most recent call last):\n", *traceback.format_tb(own)]).rstrip())
    each: BaseException | None = error
    while each is not None and each.__traceback__ is not None:
        each.__traceback__ = None
        each = each.__cause__ or each.__context__
