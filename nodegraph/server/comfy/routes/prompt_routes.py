"""ComfyUI's routes for asking, `/prompt` and `/object_info`, and with them those for what was asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiohttp import web

from nodegraph.document import parse_json, without_nan
from nodegraph.errors import NodegraphError, NotJson
from nodegraph.server import keys
from nodegraph.server.catalog.lately import Lately
from nodegraph.server.comfy.history import plain_number
from nodegraph.server.comfy.node_errors import error
from nodegraph.server.comfy.object_info import ObjectInfo
from nodegraph.server.comfy.routes import jobs_routes, queue_routes
from nodegraph.server.comfy.submission import Accepted, Ahead, Refused, read_request
from nodegraph.server.queue.errors import Conflict
from nodegraph.server.safety import guard
from nodegraph.server.safety.body import IN_A_THREAD

LOOP_SECONDS: Final = 0.05
"""for the event loop to tell a worker of a workflow, at most"""
KINDS: Final[Mapping[type[NodegraphError], str]] = {Conflict: "invalid_prompt_id"}
"""how ComfyUI calls faults of ours that do not concern a node"""


def routes() -> list[web.RouteDef]:
    desk = Desk()
    own = [
        web.get("/prompt", desk.state),
        web.post("/prompt", desk.submit),
        web.get("/object_info", desk.all_classes),
        web.get("/object_info/{name:.+}", desk.one_class),
    ]
    return [*own, *queue_routes.routes(), *jobs_routes.routes()]


class Desk:
    """Takes prompts, and describes the nodes that they may have. One per application."""

    def __init__(self) -> None:
        self._info: ObjectInfo | None = None
        self._lately: Lately[Accepted] = Lately()

    async def info(self, request: web.Request) -> ObjectInfo:
        """Descriptions of the nodes there are now."""
        registry = await request.app[keys.REGISTRY]()
        if self._info is None or self._info.registry is not registry:
            self._info = ObjectInfo(registry, request.app[keys.FILES])
        return self._info

    # ------------------------------------------------------------------------------ prompts

    async def state(self, request: web.Request) -> web.Response:
        return web.json_response({"exec_info": {"queue_remaining": request.app[keys.SERVICE].remaining}})

    async def submit(self, request: web.Request) -> web.Response:
        info, data = await self.info(request), await request.read()
        try:
            known = self._lately.find(data, info.registry, request.app[keys.FILES])
            accepted = known.again() if known is not None else await self._read(data, info, request)
            job = await request.app[keys.SERVICE].submit(accepted.submission)
        except Refused as refusal:
            return _refusal(request, refusal)
        except NodegraphError as fault:
            told = error(KINDS.get(type(fault), "invalid_prompt"), fault.message, fault.hint or "")
            return _refusal(request, Refused(told, status=guard.status_of(fault)))
        if known is None and accepted.may_be_kept:
            self._lately.keep(data, accepted, accepted.submission.document, info.registry)
        body = {"prompt_id": job.id, "number": plain_number(job.number), "node_errors": accepted.node_errors}
        return web.json_response(_redacted(request, body) if accepted.node_errors else body)

    async def _read(self, data: bytes, info: ObjectInfo, request: web.Request) -> Accepted:
        """The request, checked. Raises Refused or a NodegraphError."""
        files = request.app[keys.FILES]
        if len(data) > IN_A_THREAD:
            ahead = _in_loop(request.app[keys.SERVICE].prepare)
            return await asyncio.to_thread(lambda: read_request(read_json(data), info.registry, files, info, ahead))
        return read_request(read_json(data), info.registry, files, info)

    # ------------------------------------------------------------------------------ nodes

    async def all_classes(self, request: web.Request) -> web.Response:
        return web.json_response((await self.info(request)).all())

    async def one_class(self, request: web.Request) -> web.Response:
        return web.json_response((await self.info(request)).one(request.match_info["name"]))


def _in_loop(prepare: Ahead) -> Ahead:
    """The same to be called from a thread; waits for the loop, which would hardly get the interpreter while the thread goes on working."""
    loop = asyncio.get_running_loop()

    def ahead(document: str, targets: Sequence[str]) -> None:
        told = threading.Event()
        loop.call_soon_threadsafe(prepare, document, targets)
        loop.call_soon_threadsafe(told.set)
        told.wait(LOOP_SECONDS)

    return ahead


def read_json(data: bytes) -> Any:
    """A body as data. Python's NaN, which some clients take over from pictures, is read as nothing. Raises NotJson or TooLarge."""
    if not data.strip():
        return None
    try:
        return parse_json(data, "the body")
    except NotJson:
        if b"NaN" not in data and b"Infinity" not in data:
            raise
        return without_nan(data, "the body")


def _refusal(request: web.Request, refusal: Refused) -> web.Response:
    return web.json_response(_redacted(request, refusal.body), status=refusal.status)


def _redacted(request: web.Request, body: Any) -> Any:
    """Without folders of this machine."""
    return request.app[keys.REDACTOR].value(body)
