"""From a request to a call of a typed method, and from its result to an answer. Everything that does not fit is told at once."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, get_type_hints

from aiohttp import web

from nodegraph import media
from nodegraph.document import parse_json, without_nan
from nodegraph.errors import NodegraphError, NotAPicture, NotJson, Problems, UnknownFormat, shorten
from nodegraph.server.http_errors import BadRequest
from nodegraph.server.safety.body import json_body
from nodegraph.server.safety.guard import accepts
from nodegraph.server.v1.operation import Operation

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
MOST_FAULTS: Final = 100
LARGE: Final = frozenset(("workflow", "events", "traceEvents", "runs", "pending"))
"""what answers hold that can be large"""
LONGEST_NUMBER: Final = 15
REQUESTS: Final = "nodegraph.server.v1.requests"
"""imported late: pydantic takes its time and some megabytes"""


@dataclass(frozen=True, slots=True)
class Answered(Generic[T]):
    """A result that needs more than a value. status: instead of the operation's own"""

    value: T
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None


def bind(operation: Operation, desk_of: Callable[[web.Request, type], object]) -> Handler:
    """The operation as a handler of aiohttp's. desk_of: gives the object whose method it is"""
    names = list(operation.parameters)

    async def handle(request: web.Request) -> web.StreamResponse:
        arguments = {name: await _argument(request, operation, name) for name in names}
        result = await operation.handler(desk_of(request, operation.desk), request, **arguments)
        return result if isinstance(result, web.StreamResponse) else await answer(result, operation.status)

    return accepts(*operation.takes, streams=operation.streams)(handle)


async def answer(result: Any, status: int) -> web.Response:
    """JSON, or nothing at all. What may be large is written in a thread."""
    headers: Mapping[str, str] = {}
    if isinstance(result, Answered):
        result, headers, status = result.value, result.headers, result.status or status
    if result is None:
        return web.Response(status=status, headers=headers)
    large = isinstance(result, dict) and not LARGE.isdisjoint(result)
    text = await asyncio.to_thread(json.dumps, result) if large else json.dumps(result)
    return web.Response(status=status, headers=headers, text=text, content_type="application/json")


# ------------------------------------------------------------------------------------------------ arguments


async def _argument(request: web.Request, operation: Operation, name: str) -> Any:
    if name == "body":
        return await _body(request, await _model(operation, name))
    if name == "query":
        return _query(request, await _model(operation, name))
    text = request.match_info[name]
    return _number(text) if operation.parameters[name].annotation == "int" else text


def _number(text: str) -> int:
    """Digits of an address. Raises HTTPNotFound for more of them than any number here has."""
    if len(text) > LONGEST_NUMBER:
        raise web.HTTPNotFound
    return int(text)


async def _body(request: web.Request, model: type[BaseModel]) -> BaseModel:
    if request.content_type.startswith("image/"):
        data: Any = {"workflow": await asyncio.to_thread(json_in_picture, await request.read())}
    else:
        data = await json_body(request)
    if data is None:
        raise BadRequest("the request has no body", hint="send JSON; /api/v1/docs says which")
    return fitted(model, data, "the body")


def _query(request: web.Request, model: type[BaseModel]) -> BaseModel:
    query = request.query
    twice = sorted(name for name in query if len(query.getall(name)) > 1)
    if twice:
        raise BadRequest(f"{shorten(twice[0])} stands twice in the address", hint="leave one out")
    return fitted(model, dict(query), "the address")


def fitted(model: type[BaseModel], data: Any, where: str) -> BaseModel:
    """The data as the model. Raises Problems with everything that does not fit."""
    from pydantic import ValidationError

    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise problems_of(error, where) from None


def problems_of(error: ValidationError, where: str) -> Problems:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    faults: list[NodegraphError] = [_fault(each["loc"], each["msg"], where) for each in found[:MOST_FAULTS]]
    return Problems(faults, hidden=max(0, len(found) - MOST_FAULTS))


def _fault(place: tuple[int | str, ...], message: str, where: str) -> BadRequest:
    name = shorten(".".join(map(str, place)))
    said = f"`{name}` in {where}" if name else where
    return BadRequest(f"{said}: {message[:1].lower()}{message[1:]}", hint="/api/v1/docs describes every request", input=name or None)


def json_in_picture(data: bytes) -> Any:
    """The workflow that a PNG or WebP was saved with, as it stands in it. Raises NotAPicture or UnknownFormat."""
    texts = media.texts_in(io.BytesIO(data))
    if texts is None:
        raise NotAPicture(f"the body is {media.describe_bytes(data[:12])}, not a PNG or WebP picture", hint="send JSON as application/json")
    for key in media.KEYS:
        if key in texts:
            try:
                return parse_json(texts[key], f"the text `{key}` of the picture")
            except NotJson:
                return without_nan(texts[key], f"the text `{key}` of the picture")
    raise UnknownFormat("the picture has no workflow in it", hint="it was saved without one, or a program took it out")


# ------------------------------------------------------------------------------------------------ types


async def _model(operation: Operation, name: str) -> type[BaseModel]:
    """The model of a parameter. The first call takes a moment: it imports pydantic."""
    if REQUESTS not in sys.modules:
        await asyncio.to_thread(import_module, REQUESTS)
    found: type[BaseModel] = types_of(operation)[name]
    return found


def types_of(operation: Operation) -> Mapping[str, Any]:
    """The types of the parameters and of the result (`return`)."""
    return _types(operation.handler)


@cache
def _types(function: Callable[..., Any]) -> Mapping[str, Any]:
    """Annotations may also name what is imported for the type checker only: the models of requests."""
    return get_type_hints(function, None, dict(vars(import_module(REQUESTS))), include_extras=True)
