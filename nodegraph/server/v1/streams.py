"""A run followed live, as Server-Sent Events or over a websocket: the log from a number on, then what comes, until the run has ended.

Both tell the same: each numbered event once and in order, so that a reader that was cut off goes on behind the last number it saw.
A reader that is slow is told later, from the log; one that does not read at all is given up.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, Final

from aiohttp import WSMsgType, web

from nodegraph.errors import NodegraphError
from nodegraph.server import keys
from nodegraph.server.http_errors import BadRequest
from nodegraph.server.queue.model import JobEvent, LivePreview
from nodegraph.server.queue.service import Service
from nodegraph.server.v1.operation import operation
from nodegraph.server.v1.runs_desk import has_ended, job_of, service_of
from nodegraph.server.v1.telling import event_of

if TYPE_CHECKING:
    from nodegraph.server.v1.requests import EventsAsked

HEARTBEAT: Final = 15.0
"""seconds of silence after which a sign of life is sent"""
SEND_SECONDS: Final = 30.0
"""how long a reader may take to read before it is given up"""
AHEAD: Final = 32
"""items that wait between the hub and a socket; what comes on top waits in the hub, where it is bounded"""
LARGEST_MESSAGE: Final = 1024
"""bytes a client may send: it has nothing to say"""

Item = JobEvent | LivePreview


class StreamsDesk:
    tag = "Runs"

    @operation(
        "GET",
        "/runs/{id}/events",
        content="text/event-stream",
        headers={"Last-Event-ID": "go on behind this number; browsers send it by themselves"},
        others=(204, 400, 404),
    )
    async def run_events(self, request: web.Request, id: str, query: EventsAsked) -> web.StreamResponse:
        """Follow a run as Server-Sent Events. `id` is the number, `event` the kind, `data` the JSON of one line of the log.

        With `previews=true` also events `preview` with a JPEG in base64. The stream ends with `job_ended`; 204 if that was seen already.
        """
        after = _after(request, query)
        if await self._seen_all(request, id, after):
            return web.Response(status=204)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"})
        await response.prepare(request)
        redactor = request.app[keys.REDACTOR]

        def frame(item: Item) -> bytes:
            if isinstance(item, JobEvent):
                return sse(event_of(item, redactor), item.seq)
            return sse(preview_json(item)) if query.previews else b""

        async for items in batches(request, id, after):
            data = b"".join(map(frame, items)) if items is not None else b": still here\n\n"
            if not await _sent(request, response.write(data)):
                return response
        with suppress(ConnectionError):
            await response.write_eof()
        return response

    @operation("GET", "/runs/{id}/socket", status=101, content="", others=(400, 404))
    async def run_socket(self, request: web.Request, id: str, query: EventsAsked) -> web.StreamResponse:
        """Follow a run over a websocket: each text is one line of the log, each binary frame a picture of work in progress.

        A picture: 4 bytes, big endian: length of the JSON | JSON with `node`, `width`, `height` | JPEG. Closed by the server at the end.
        """
        await job_of(request, id)
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT, max_msg_size=LARGEST_MESSAGE, compress=False)
        await socket.prepare(request)
        listening = asyncio.create_task(_listen(socket))
        try:
            await self._tell_socket(request, socket, id, _after(request, query))
        finally:
            listening.cancel()
        with suppress(ConnectionError):
            await socket.close()
        return socket

    async def _tell_socket(self, request: web.Request, socket: web.WebSocketResponse, id: str, after: int) -> None:
        if await self._seen_all(request, id, after):
            return
        redactor = request.app[keys.REDACTOR]
        async for items in batches(request, id, after):
            for item in items or ():
                if isinstance(item, JobEvent):
                    sending = socket.send_str(json.dumps(event_of(item, redactor)))
                else:
                    sending = socket.send_bytes(preview_frame(item))
                if not await _sent(request, sending):
                    return
            if socket.closed:
                return

    async def _seen_all(self, request: web.Request, id: str, after: int) -> bool:
        """Whether the run has ended and nothing is left to tell. Raises UnknownJob."""
        ended = has_ended(await job_of(request, id))
        return ended and after > 0 and not await service_of(request).events(id, after)


# ------------------------------------------------------------------------------------------------ items


async def batches(request: web.Request, id: str, after: int) -> AsyncIterator[list[Item] | None]:
    """What is there at once, as a list; None after a while of silence. Ends with the run, when it was deleted, or with the server."""
    service, waiting = service_of(request), asyncio.Queue[Item | None](AHEAD)
    tasks = [asyncio.create_task(_take(service, id, after, waiting)), asyncio.create_task(_wait_for_stop(request, waiting))]
    try:
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT):
                    found = [await waiting.get()]
            except TimeoutError:
                if await service.job(id) is None:
                    return
                yield None
                continue
            while not waiting.empty():
                found.append(waiting.get_nowait())
            items = [item for item in found if item is not None]
            if items:
                yield items
            if len(items) < len(found):
                return
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _take(service: Service, id: str, after: int, waiting: asyncio.Queue[Item | None]) -> None:
    """Everything of a run, then None, unless nobody takes it any more; a run that is deleted meanwhile ends as well."""
    task = asyncio.current_task()
    assert task is not None
    try:
        async with aclosing(service.follow(id, after)) as items:
            async for item in items:
                await waiting.put(item)
    except NodegraphError:
        return
    finally:
        if not task.cancelling():
            await waiting.put(None)


async def _wait_for_stop(request: web.Request, waiting: asyncio.Queue[Item | None]) -> None:
    """Streams have no end of their own: they are cut off when the server stops."""
    await request.app[keys.STOPPING].wait()
    await waiting.put(None)


async def _sent(request: web.Request, sending: Awaitable[None]) -> bool:
    """Whether it could be sent. A client that does not read is cut off."""
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await sending
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        return False
    except ConnectionError:
        return False
    return True


async def _listen(socket: web.WebSocketResponse) -> None:
    """Hear pings and the end; what else a client says is passed over."""
    async for message in socket:
        if message.type is WSMsgType.ERROR:
            return


def _after(request: web.Request, query: EventsAsked) -> int:
    """A browser that reconnects says in a header what it saw last. Raises BadRequest."""
    text = request.headers.get("Last-Event-ID", "").strip()
    if not text:
        return query.after
    if not re.fullmatch(r"\d{1,15}", text, re.ASCII):
        raise BadRequest("Last-Event-ID must be the number of an event", hint="leave it out to begin at the beginning")
    return int(text)


# ------------------------------------------------------------------------------------------------ forms


def sse(data: dict[str, Any], seq: int = 0) -> bytes:
    """One Server-Sent Event. Only numbered ones have an id, so that a reader never goes on behind one that is not in the log."""
    head = f"id: {seq}\n" if seq else ""
    kind = re.sub(r"[^\w.-]", "_", str(data.get("event", "message")))
    return f"{head}event: {kind}\ndata: {json.dumps(data)}\n\n".encode("ascii", "replace")


def preview_json(preview: LivePreview) -> dict[str, Any]:
    told = {"event": "preview", "node": preview.node, "width": preview.width, "height": preview.height}
    return {**told, "jpeg": base64.b64encode(preview.jpeg).decode()}


def preview_frame(preview: LivePreview) -> bytes:
    """Length of the JSON, JSON, JPEG."""
    text = json.dumps({"node": preview.node, "width": preview.width, "height": preview.height}).encode()
    return len(text).to_bytes(4, "big") + text + preview.jpeg
