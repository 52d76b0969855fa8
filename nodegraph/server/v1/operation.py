"""An operation of the API: a typed method with its address. Routes and the OpenAPI document are both made of these.

    @operation("POST", "/runs", status=201, others=(409, 429))
    async def submit(self, request: web.Request, body: RunRequest) -> Run:
        \"\"\"Queue a run.\"\"\"

`body` and `query` are pydantic models, other parameters are parts of the path; the annotation of the result is a TypedDict. The class
that the method belongs to is called a desk.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, TypeVar

PREFIX: Final = "/api/v1"
JSON: Final = "application/json"
EVERYWHERE: Final = (401, 403)
"""faults that every operation may answer with"""
WITH_BODY: Final = (400, 408, 413, 415)
"""faults of bodies: what they say, how slow they come, how large they are, of which type"""
_MARK: Final = "__operation__"

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])


@dataclass(frozen=True, slots=True)
class Operation:
    """path: with aiohttp's patterns, such as `{n:\\d+}`; status, content: of the good answer (no content for an empty one)
    others: further statuses it answers with; takes: content types of its body; streams: it reads the body itself
    headers: of the request, by name what they mean; desk: the class whose method `handler` is
    """

    method: str
    path: str
    status: int = 200
    content: str = JSON
    others: tuple[int, ...] = ()
    takes: tuple[str, ...] = (JSON,)
    streams: bool = False
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    desk: type = object
    handler: Callable[..., Awaitable[Any]] = field(default=lambda: _no_handler(), repr=False)

    @property
    def tag(self) -> str:
        """The chapter of the document that it stands in."""
        return str(getattr(self.desk, "tag", ""))

    @property
    def id(self) -> str:
        return self.handler.__name__

    @property
    def statuses(self) -> tuple[int, ...]:
        """All that it may answer with, the good one first: its own, those of every operation, and those of every body."""
        found = (self.status, *self.others, *EVERYWHERE, *(WITH_BODY if self.method in ("POST", "PUT", "PATCH") else ()))
        return tuple(dict.fromkeys(found))

    @property
    def plain_path(self) -> str:
        """As OpenAPI writes it: `{n}`."""
        return re.sub(r"\{(\w+):[^{}]+\}", r"{\1}", self.path)

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """Of the handler, without the desk and the request."""
        found = inspect.signature(self.handler).parameters
        return {name: parameter for name, parameter in found.items() if name not in ("self", "request")}

    @property
    def path_names(self) -> list[str]:
        return re.findall(r"\{(\w+)", self.path)


async def _no_handler() -> None:
    raise NotImplementedError("this operation has no method of a desk behind it: take operations from `operations_of`")


def operation(method: str, path: str, *, prefix: str = PREFIX, **more: Any) -> Callable[[F], F]:
    """Mark a method as an operation. more: fields of Operation"""

    def mark(function: F) -> F:
        setattr(function, _MARK, Operation(method, prefix + path, **more))
        return function

    return mark


def operations_of(desk: type) -> Iterator[Operation]:
    """The operations that the methods of a class are, in the order in which they are written."""
    for function in vars(desk).values():
        mark = getattr(function, _MARK, None)
        if isinstance(mark, Operation):
            yield replace(mark, desk=desk, handler=function)
