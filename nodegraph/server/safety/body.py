"""Bodies of requests: JSON that is strict, bounded, and read in a thread when it could hold up the event loop; and pieces, in time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

from aiohttp import web

from nodegraph.document import parse_json
from nodegraph.server.http_errors import BadRequest, TooSlow

T = TypeVar("T")

IN_A_THREAD: Final = 256 * 1024


async def json_body(request: web.Request, empty: Any = None) -> Any:
    """The body as data; `empty` if there is none. Raises NotJson or TooLarge."""
    data = await request.read()
    if not data.strip():
        return empty
    if len(data) > IN_A_THREAD:
        return await asyncio.to_thread(parse_json, data, "the body")
    return parse_json(data, "the body")


async def json_object(request: web.Request) -> dict[str, Any]:
    """The body, which must be an object; nothing counts as an empty one. Raises NotJson, TooLarge, BadRequest."""
    value = await json_body(request, {})
    if not isinstance(value, dict):
        raise BadRequest("the body must be a JSON object", hint='for instance {"clear": true}')
    return value


async def in_time(piece: Awaitable[T], seconds: float) -> T:
    """A piece of a body that is read as it comes. Raises TooSlow."""
    try:
        async with asyncio.timeout(seconds):
            return await piece
    except TimeoutError as error:
        raise TooSlow(f"nothing more of the body came for {seconds:g} s") from error
