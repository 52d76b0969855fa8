"""Files by their contents: what runs made, and what they are given. `/assets`."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from nodegraph.errors import FileMissing, NodegraphError, ReadFailed, UnsafePath, shorten
from nodegraph.files import Files, inside, safe_parts
from nodegraph.server import keys
from nodegraph.server.http_errors import BadRequest
from nodegraph.server.queue.model import Job
from nodegraph.server.safety import uploads
from nodegraph.server.safety.deliver import headers_for, kind_of, open_inside, send
from nodegraph.server.safety.uploads import Received
from nodegraph.server.v1 import shapes
from nodegraph.server.v1.asset_index import AssetIndex, Entry
from nodegraph.server.v1.binding import Answered
from nodegraph.server.v1.faults import UnknownAsset
from nodegraph.server.v1.operation import PREFIX, operation
from nodegraph.server.v1.runs_desk import job_of
from nodegraph.server.v1.telling import is_file

if TYPE_CHECKING:
    from nodegraph.server.v1.requests import AssetAsked

FOREVER: Final = "private, max-age=31536000, immutable"
"""for an address that names the contents"""


class AssetsDesk:
    tag = "Assets"

    def __init__(self, index: AssetIndex, files: Files) -> None:
        self._index = index
        self._files = files

    @operation("GET", "/assets/{hash}", content="application/octet-stream", others=(206, 304, 404, 416))
    async def asset(self, request: web.Request, hash: str) -> web.StreamResponse:
        """The file whose bytes have this SHA-256. Known are the outputs of runs, once they were listed, and what was uploaded."""
        entry = await asyncio.to_thread(self._index.find, hash)
        if entry is None:
            raise UnknownAsset(f"no file is known by the hash {shorten(hash)}", hint="GET /runs/{id}/assets lists what a run made")
        opened = await asyncio.to_thread(open_inside, self._files.root(entry.folder), entry.name)
        if (opened.size, opened.mtime_ns) != (entry.size, entry.mtime_ns):
            opened.stream.close()
            raise UnknownAsset("the file is being changed at this moment", hint="try again")
        return await send(request, opened, {**headers_for(opened.name, opened.head), "Cache-Control": FOREVER})

    @operation("GET", "/runs/{id}/assets", others=(404,))
    async def run_assets(self, request: web.Request, id: str) -> shapes.Assets:
        """The files that a run saved, with their hashes."""
        job = await job_of(request, id)
        return await asyncio.to_thread(_listed, job, self._index, self._files)

    @operation("POST", "/assets", status=201, takes=("*",), streams=True, others=(200, 409, 507))
    async def upload(self, request: web.Request, query: AssetAsked) -> Answered[shapes.Uploaded]:
        """Put a file into the input folder: the body is its bytes. 200 if a file there has the same contents; that one is told then."""
        folder, name = _place(query.folder, query.name)
        quota = request.app[keys.UPLOADS]["input"]
        await asyncio.to_thread(quota.count)
        with quota.coming() as room:
            async with request.app[keys.SPOOL].receive(request.content.readany, room) as received:
                if received.size == 0:
                    raise BadRequest("the body is empty", hint="send the file's bytes: curl --data-binary @cat.png")
                entry, new = await asyncio.to_thread(_keep, received, folder, name, self._index, self._files)
                quota.changed(received.size if new else 0)
        asset = await asyncio.to_thread(asset_of, entry, self._files)
        told: shapes.Uploaded = {**asset, "new": new}
        return Answered(told, status=201 if new else 200)


def _place(folder: str, name: str) -> tuple[str, str]:
    """Raises BadRequest."""
    try:
        plain = "/".join(safe_parts(folder)) if folder else ""
        parts = safe_parts(name)
    except UnsafePath as error:
        raise BadRequest(error.message, hint=error.hint) from error
    if len(parts) != 1:
        raise BadRequest("`name` may not have folders", hint="put them into `folder`")
    return plain, parts[0]


def _keep(received: Received, folder: str, name: str, index: AssetIndex, files: Files) -> tuple[Entry, bool]:
    """The file of these contents in the input folder, and whether it had to be put there."""
    there = index.find(received.digest.hex(), "input")
    if there is not None:
        return there, False
    files.input.mkdir(parents=True, exist_ok=True)
    kept, new = uploads.keep_new(received, files.input, folder, name)
    return index.entry("input", posixpath.join(folder, kept)), new


def _listed(job: Job, index: AssetIndex, files: Files) -> shapes.Assets:
    found: shapes.Assets = {"assets": [], "missing": []}
    for node, kind, file in saved_files(job):
        try:
            entry = index.entry(str(file["root"]), str(file["name"]))
            if entry.size != file["size"] or entry.mtime_ns != file.get("mtime_ns", entry.mtime_ns):
                raise FileMissing("it was changed since")
        except (FileMissing, ReadFailed, UnsafePath):
            found["missing"].append(str(file["name"]))
            continue
        found["assets"].append({**asset_of(entry, files), "node": node, "kind": kind})
    return found


def saved_files(job: Job) -> Iterator[tuple[str, str, Any]]:
    """(node, kind, file) of everything that the nodes of a run saved."""
    for node, items in job.outputs.items():
        for item in items:
            for value in item.values():
                if is_file(value):
                    yield node, str(item.get("kind", "file")), value


def asset_of(entry: Entry, files: Files) -> shapes.Asset:
    """mime: what it will be sent as."""
    head = b""
    with suppress(OSError, NodegraphError), open(inside(files.root(entry.folder), entry.name), "rb") as stream:
        head = stream.read(32)
    return {
        "hash": entry.hash,
        "name": entry.name,
        "folder": entry.folder,
        "size": entry.size,
        "mime": kind_of(entry.name, head, "user")[0],
        "url": f"{PREFIX}/assets/{entry.hash}",
    }
