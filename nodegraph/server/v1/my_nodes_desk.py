"""Nodes of one's own: subgraphs that are kept under a name, to be put into any workflow. `/my-nodes`.

Each is a workflow of one node that stands for a subgraph, with the definitions that it needs: whoever puts it in copies these.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aiohttp import web

from nodegraph.document import Document
from nodegraph.errors import NodegraphError
from nodegraph.server import keys
from nodegraph.server.http_errors import BadRequest
from nodegraph.server.safety.quota import Quota
from nodegraph.server.v1 import shapes
from nodegraph.server.v1.binding import Answered
from nodegraph.server.v1.library import Condition, Library, Saved
from nodegraph.server.v1.operation import operation
from nodegraph.server.v1.reading import Reader
from nodegraph.subgraphs import inner_of

if TYPE_CHECKING:
    from nodegraph.server.v1.requests import WorkflowToSave

ANYHOW = Condition()


class MyNodesDesk:
    tag = "My nodes"

    def __init__(self, library: Library, reader: Reader) -> None:
        self._library = library
        self._reader = reader
        self._quota: Quota | None = None

    @operation("GET", "/my-nodes")
    async def my_nodes(self, request: web.Request) -> shapes.MyNodes:
        """All of them, whole, by name."""
        return {"nodes": [_told(saved) for saved in await asyncio.to_thread(self._all)]}

    @operation("PUT", "/my-nodes/{name}", others=(201, 400, 404, 507))
    async def keep_my_node(self, request: web.Request, name: str, body: WorkflowToSave) -> Answered[shapes.KeptWorkflow]:
        """Keep a subgraph: a workflow of one node that stands for it. 201 if the name is new. What it was before stays as a version."""
        read = await self._reader.read(request, body)
        _check(read.document)
        document = read.document.to_json()
        quota = self._kept(request)
        await asyncio.to_thread(quota.count)
        with quota.coming() as room:
            saved, new = await asyncio.to_thread(self._library.save, name, document, ANYHOW, room.add)
            quota.changed(room.size)
        return Answered(_told(saved), {"ETag": saved.kept["etag"]}, 201 if new else 200)

    @operation("DELETE", "/my-nodes/{name}", status=204, others=(400, 404, 507))
    async def forget_my_node(self, request: web.Request, name: str) -> None:
        """Take one out of the list. Workflows that it was put into have copies of their own."""
        await asyncio.to_thread(self._library.delete, name, ANYHOW, versions=False)

    def _all(self) -> list[Saved]:
        """What can be read; a file that somebody else put there may be anything."""
        found = []
        for kept in self._library.all():
            with suppress(NodegraphError):
                saved = self._library.get(kept["name"])
                if _is_one(saved.document):
                    found.append(saved)
        return found

    def _kept(self, request: web.Request) -> Quota:
        if self._quota is None:
            self._quota = Quota(self._library.folder, request.app[keys.CONFIG].limits.userdata, "the folder of nodes")
        return self._quota


def _check(document: Document) -> None:
    entries = [*document.nodes.values()]
    if len(entries) != 1 or inner_of(document, entries[0]) is None:
        raise BadRequest(
            "a node of one's own is a workflow of exactly one node, which stands for a subgraph in it",
            hint="make a subgraph of the nodes first, and send it alone",
        )


def _is_one(data: Any) -> bool:
    nodes, subgraphs = data.get("nodes"), data.get("subgraphs")
    return isinstance(nodes, dict) and len(nodes) == 1 and isinstance(subgraphs, dict) and bool(subgraphs)


def _told(saved: Saved) -> shapes.KeptWorkflow:
    return {**saved.kept, "workflow": saved.document}  # type: ignore[typeddict-item]
