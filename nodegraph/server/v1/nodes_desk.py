"""What can be in a workflow, and whether a workflow is right: `/nodes`, `/check`, `/convert`."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from aiohttp import web

from nodegraph.comfy.api_json import to_api
from nodegraph.errors import NodegraphError, Problems, UnknownNode
from nodegraph.registry import Pack, Registry
from nodegraph.script import to_script
from nodegraph.server import keys
from nodegraph.server.catalog.descriptions import reachable
from nodegraph.server.safety import guard
from nodegraph.server.safety.redaction import Redactor
from nodegraph.server.v1 import shapes
from nodegraph.server.v1.operation import JSON, operation
from nodegraph.server.v1.reading import Reader
from nodegraph.server.wire import link
from nodegraph.types import casts, socket_of

if TYPE_CHECKING:
    from nodegraph.server.v1.requests import CheckRequest, ConvertRequest, WorkflowToSave

PICTURES = ("image/png", "image/webp")


@dataclass(frozen=True, slots=True)
class _Listing:
    """The nodes of one registry as they are sent."""

    registry: Registry
    body: bytes
    etag: str


class NodesDesk:
    tag = "Nodes"

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._listing: _Listing | None = None

    @operation("GET", "/nodes", headers={"If-None-Match": "the ETag of an earlier answer: 304 if nothing changed"})
    async def nodes(self, request: web.Request) -> shapes.Nodes | web.Response:
        """Every node type with inputs, outputs and help, and the socket types. The ETag changes with the code of the nodes."""
        listing = await self._current(request)
        headers = {"ETag": listing.etag, "Cache-Control": "private, no-cache"}
        if listing.etag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        return web.Response(body=listing.body, headers=headers, content_type=JSON)

    @operation("GET", "/nodes/{id:.+}", others=(404,))
    async def node(self, request: web.Request, id: str) -> dict[str, Any] | web.Response:
        """One node type. Packs' nodes have a slash in their id, which may be sent as it is."""
        try:
            return plain(await request.app[keys.REGISTRY](), id)
        except UnknownNode as error:
            return guard.fault(request, error, status=404)

    async def _current(self, request: web.Request) -> _Listing:
        registry = await request.app[keys.REGISTRY]()
        if self._listing is None or self._listing.registry is not registry:
            self._listing = await asyncio.to_thread(_listing, registry, request.app[keys.REDACTOR])
        return self._listing

    # ------------------------------------------------------------------------------ workflows

    @operation("POST", "/check", takes=(JSON, *PICTURES))
    async def check(self, request: web.Request, body: CheckRequest) -> shapes.Verdict:
        """Everything that is wrong with a workflow, at once; nothing is run. Also of a PNG or WebP that was saved with one."""
        verdict: shapes.Verdict = {"ok": False, "problems": [], "left_out": [], "warnings": [], "format": None, "nodes": 0}
        tell = request.app[keys.REDACTOR].value
        try:
            read = await self._reader.read(request, body)
            verdict.update({"warnings": read.warnings, "format": read.format, "nodes": len(read.document.nodes)})
            graph = await self._reader.check(request, read.document, body.targets)
            verdict.update({"ok": True, "left_out": [tell(fault.to_json()) for fault in graph.left_out]})
        except NodegraphError as error:
            verdict["problems"] = [tell(each.to_json()) for each in (error.errors if isinstance(error, Problems) else (error,))]
        return verdict

    @operation("POST", "/convert", takes=(JSON, *PICTURES), others=(404,))
    async def convert(self, request: web.Request, body: ConvertRequest) -> shapes.Converted:
        """A workflow in our format, or in ComfyUI's API format. A PNG or WebP gives the workflow that it was saved with."""
        read = await self._reader.read(request, body)
        if body.to == "nodegraph":
            workflow = read.document.to_json()
        else:
            workflow = await asyncio.to_thread(to_api, read.document, await request.app[keys.REGISTRY]())
        return {"workflow": workflow, "format": read.format, "warnings": read.warnings}

    @operation("POST", "/script", takes=(JSON, *PICTURES), others=(404,))
    async def script(self, request: web.Request, body: WorkflowToSave) -> shapes.Script:
        """A workflow as a Python program that runs it."""
        read = await self._reader.read(request, body)
        return {"script": await asyncio.to_thread(to_script, read.document), "warnings": read.warnings}


def plain(registry: Registry, id: str) -> dict[str, Any]:
    """A node type as plain JSON. Raises UnknownNode."""
    found: dict[str, Any] = link.plain(registry.get(id).to_json())
    return found


def _listing(registry: Registry, redactor: Redactor) -> _Listing:
    nodes: shapes.Nodes = {
        "nodes": {spec.id: plain(registry, spec.id) for spec in registry},
        "types": {known.name: _socket(known.cls, known.color, known.doc) for known in reachable(list(registry))},
        "casts": [list(pair) for pair in casts()],
        "packs": {name: _pack(pack, redactor) for name, pack in registry.packs.items()},
    }
    body = json.dumps(nodes).encode()
    return _Listing(registry, body, f'"{blake2b(body, digest_size=16).hexdigest()}"')


def _socket(cls: type, color: str, doc: str) -> shapes.SocketType:
    above = (socket_of(base) for base in cls.__mro__[1:])
    return {"color": color, "description": doc, "parents": [known.name for known in above if known is not None]}


def _pack(pack: Pack, redactor: Redactor) -> shapes.Pack:
    told: shapes.Pack = {"nodes": list(pack.nodes), "code": pack.code}
    if pack.error is not None:
        told["error"] = redactor.value(pack.error.to_json())
    return told
