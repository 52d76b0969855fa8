"""Call one node function: build its arguments, map it over lists, check what it returns, and put its faults into words."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from nodegraph.authoring import Lazy, Ref
from nodegraph.context import Context, Services
from nodegraph.document import Link
from nodegraph.errors import BadOutput, NodeFailed, NodegraphError, OutOfMemory, UnevenLists, shorten
from nodegraph.events import Sink
from nodegraph.files import Files
from nodegraph.graph import GraphNode, check_value
from nodegraph.registry import Registry
from nodegraph.schema import InputSpec, NodeSpec
from nodegraph.types import ListOf, convert, fits, type_name
from nodegraph.values import Blocked, Expand

Ask = Callable[[Link], Any]
Shown = tuple[Mapping[str, Any], ...]


class Pending(BaseException):
    """A lazy input was asked for that is not there yet: the node waits for `link` and is called again."""

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        self.link = link


class _Skip(BaseException):
    """A lazy input gave Blocked: the node is skipped like any other consumer."""

    def __init__(self, blocked: Blocked) -> None:
        super().__init__()
        self.blocked = blocked


class Caller:
    """What a run needs to call nodes: where files are, who listens, how weights are lent."""

    def __init__(
        self,
        registry: Registry,
        files: Files,
        emit: Sink,
        cancelled: threading.Event,
        services: Callable[[], Services] | None = None,
        workflow: Mapping[str, Any] | None = None,
        previews: bool = False,
    ) -> None:
        self.registry = registry
        self.files = files
        self._emit = emit
        self._cancelled = cancelled
        self._services = services
        self._workflow = workflow
        self._previews = previews

    # --------------------------------------------------------------------------------- calling

    def call(self, node: GraphNode, values: Mapping[str, Any], ask: Ask) -> tuple[Any, Shown]:
        """(outputs by name or an Expand, what was shown) of one node."""
        spec = node.spec
        arguments = self.arguments(node, values, ask)
        context = self.context(node) if spec.context is not None else None
        if context is not None and spec.context is not None:
            arguments[spec.context] = context
        try:
            if node.mapped:
                outputs: Any = self.mapped(node, arguments, context)
            else:
                outputs = self.named(node, spec.function(**arguments))
        except _Skip as skip:
            outputs = dict.fromkeys(spec.outputs, skip.blocked)
        return outputs, () if context is None else tuple(context.shown)

    async def call_async(self, node: GraphNode, values: Mapping[str, Any], ask: Ask) -> tuple[Any, Shown]:
        spec = node.spec
        arguments = self.arguments(node, values, ask)
        context = self.context(node)
        if spec.context is not None:
            arguments[spec.context] = context
        if not node.mapped:
            return self.named(node, await spec.function(**arguments)), tuple(context.shown)
        import asyncio

        results = await asyncio.gather(*(spec.function(**item) for item in _items(node, arguments)))
        return _transpose(spec, [self.named(node, result) for result in results]), tuple(context.shown)

    def mapped(self, node: GraphNode, arguments: dict[str, Any], context: Context | None) -> dict[str, list[Any]]:
        """Call once an item; a Blocked item gives Blocked in its place."""
        results: list[Mapping[str, Any]] = []
        for item in _items(node, arguments):
            if context is not None:
                context.check()
            blocked = next((value for value in item.values() if type(value) is Blocked), None)
            if blocked is not None:
                results.append(dict.fromkeys(node.spec.outputs, blocked))
                continue
            result = self.named(node, node.spec.function(**item))
            if type(result) is Expand:
                raise BadOutput("a node that is called once an item of a list cannot return an Expand", hint="give it one value at a time")
            results.append(result)
        return _transpose(node.spec, results)

    def arguments(self, node: GraphNode, values: Mapping[str, Any], ask: Ask) -> dict[str, Any]:
        """Keyword arguments: literals, values of links (converted where the types ask for it), lazy inputs and references."""
        arguments = dict(node.inputs)
        arguments.update(values)
        for name, target in node.casts.items():
            if name in values:
                arguments[name] = _cast(node, name, target, values[name])
        for name, spec in node.spec.inputs.items():
            if spec.lazy:
                link = node.links.get(name)
                arguments[name] = Lazy.of(arguments[name]) if link is None else _lazy(link, ask)
            elif spec.raw:
                arguments[name] = Ref(node.links.get(name, arguments.get(name)))
            elif isinstance(spec.type, ListOf) and isinstance(arguments[name], list):
                arguments[name] = [item for item in arguments[name] if type(item) is not Blocked]
            elif name in values and (spec.choices is not None or spec.minimum is not None or spec.maximum is not None):
                _check_linked(spec, arguments[name])
        return arguments

    def context(self, node: GraphNode) -> Context:
        return Context(
            node.id,
            files=self.files,
            emit=self._emit,
            cancelled=self._cancelled,
            services=self._services,
            workflow=self._workflow,
            previews=self._previews,
        )

    # --------------------------------------------------------------------------------- results

    def named(self, node: GraphNode, result: Any) -> Any:
        """What a function returned, by output name. Raises BadOutput if it is not what the annotation promises."""
        spec = node.spec
        if type(result) is Expand:
            return result
        if type(result) is Blocked:
            return dict.fromkeys(spec.outputs, result)
        if spec.named_outputs:
            if not isinstance(result, tuple) or len(result) != len(spec.outputs):
                raise BadOutput(f"it returned {_what(result)}; its outputs are {', '.join(spec.outputs)}", hint="return the NamedTuple")
            outputs = dict(zip(spec.outputs, result, strict=True))
        elif spec.outputs:
            outputs = {next(iter(spec.outputs)): result}
        else:
            outputs = {}
        for name, value in outputs.items():
            if not fits(spec.outputs[name].type, value) and type(value) is not Blocked:
                raise BadOutput(
                    f"output `{name}` promises {spec.outputs[name].type}, but it returned {_what(value)}",
                    hint="this is a fault of the node; mend its function or its return annotation",
                )
        return outputs

    def explain(self, node: GraphNode, error: BaseException) -> NodegraphError:
        """A fault in the form users see, with the node filled in."""
        where = node.root or node.id
        if isinstance(error, NodegraphError):
            return error.at(where, node.spec.id)
        if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
            return OutOfMemory(
                f"memory ran out: {shorten(str(error) or type(error).__name__, 200)}",
                hint="make the picture or the batch smaller, or close other programs",
                node=where,
                node_type=node.spec.id,
            )
        failed = NodeFailed(
            f"{type(error).__name__}: {shorten(str(error), 500)}", hint=_frames(error, node.spec), node=where, node_type=node.spec.id
        )
        failed.__cause__ = error
        return failed


def _check_linked(spec: InputSpec, value: Any) -> None:
    """A value that came along a link obeys the same choices and bounds as one that was typed in. Raises NotAChoice or OutOfRange."""
    for item in value if isinstance(value, list) else (value,):
        if type(item) is not Blocked:
            try:
                check_value(spec, item)
            except NodegraphError as error:
                error.input = error.input or spec.name
                raise


def _lazy(link: Link, ask: Ask) -> Lazy[Any]:
    def get() -> Any:
        value = ask(link)
        if type(value) is Blocked:
            raise _Skip(value)
        return value

    return Lazy(get)


def _cast(node: GraphNode, name: str, target: Any, value: Any) -> Any:
    if isinstance(target, ListOf):
        return value if isinstance(value, list) else [convert(target.item, value)]
    if node.mapped and isinstance(value, list):
        return [convert(target, item) for item in value]
    return convert(target, value)


def _items(node: GraphNode, arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The arguments of each call: lists in `Each` inputs item by item, lists of one and single values repeated."""
    lists = {n: v for n, v in arguments.items() if n in node.spec.inputs and node.spec.inputs[n].mapped and type(v) is list}
    count = max((len(values) for values in lists.values() if len(values) != 1), default=1)
    if any(not values for values in lists.values()):
        return []
    uneven = {name: len(values) for name, values in lists.items() if len(values) not in (1, count)}
    if uneven:
        sizes = ", ".join(f"`{name}` has {len(values)}" for name, values in lists.items())
        raise UnevenLists(
            f"its lists are of different lengths: {sizes}", hint="make them equally long; `Combinations` pairs each with each"
        )
    rest = {name: value for name, value in arguments.items() if name not in lists}
    return [rest | {n: values[i if len(values) > 1 else 0] for n, values in lists.items()} for i in range(count)]


def _transpose(spec: NodeSpec, results: list[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {name: [result[name] for result in results] for name in spec.outputs}


def _what(value: Any) -> str:
    kind = type_name(value)
    return kind if value is None or kind == "nothing" else f"{'an' if kind[:1] in 'aeiou' else 'a'} {kind}"


def _frames(error: BaseException, spec: NodeSpec) -> str:
    """Where in the pack's own code it happened, last call first; frames of the engine and of libraries are left out."""
    code = getattr(spec.function, "__code__", None)
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if code is not None and f.filename == code.co_filename] or frames[-1:]
    return "\n".join(f"at {frame.filename}:{frame.lineno} in {frame.name}" for frame in reversed(own[-3:]))
