"""Workflows that are kept under a name, with versions, and those that are shipped. `/workflows`, `/templates`."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Final, TypeVar

from aiohttp import web

from nodegraph.errors import FileMissing, shorten
from nodegraph.server import keys
from nodegraph.server.http_errors import BadRequest
from nodegraph.server.safety import guard
from nodegraph.server.safety.deliver import deliver
from nodegraph.server.safety.pictures import decoding
from nodegraph.server.safety.quota import Quota
from nodegraph.server.v1 import shapes
from nodegraph.server.v1.binding import Answered
from nodegraph.server.v1.faults import Stale
from nodegraph.server.v1.library import Condition, Library, Saved
from nodegraph.server.v1.operation import operation
from nodegraph.server.v1.reading import Reader
from nodegraph.server.v1.templates import Templates

if TYPE_CHECKING:
    from nodegraph.server.v1.requests import DeleteAsked, RenameRequest, WorkflowToSave

T = TypeVar("T")

IF_MATCH: Final = {"If-Match": "the ETag that was seen: 412 if the workflow is another one by now"}
CONDITIONS: Final = {**IF_MATCH, "If-None-Match": "`*`: only if there is none of this name, else 412"}
CHANGES: Final = (400, 404, 409, 412, 507)
THUMBNAIL: Final = 384
"""pixels on the longer side"""
_TAG: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"|\*')


class WorkflowsDesk:
    tag = "Workflows"

    def __init__(self, library: Library, reader: Reader) -> None:
        self._library = library
        self._reader = reader
        self._quota: Quota | None = None

    @operation("GET", "/workflows")
    async def workflows(self, request: web.Request) -> shapes.KeptList:
        """What is kept, by name."""
        return {"workflows": await asyncio.to_thread(self._library.all)}

    @operation("GET", "/workflows/{name}", headers={"If-None-Match": "304 if it has this ETag still"}, others=(304, 400, 404))
    async def workflow(self, request: web.Request, name: str) -> Answered[shapes.KeptWorkflow] | web.Response:
        """One workflow; the ETag is for `If-Match`."""
        saved = await asyncio.to_thread(self._library.get, name)
        if saved.kept["etag"] in _tags(request, "If-None-Match"):
            return web.Response(status=304, headers={"ETag": saved.kept["etag"]})
        return _told(saved)

    @operation("PUT", "/workflows/{name}", headers=CONDITIONS, others=(201, *CHANGES))
    async def save(self, request: web.Request, name: str, body: WorkflowToSave) -> Answered[shapes.KeptWorkflow] | web.Response:
        """Keep a workflow of any accepted format; it becomes our JSON. 201 if the name is new. What it was before stays as a version."""
        read = await self._reader.read(request, body)
        document, condition = read.document.to_json(), _condition(request)
        try:
            saved, new = await self._change(request, lambda room: self._library.save(name, document, condition, room))
        except Stale as error:
            return _stale(request, error)
        told = _told(saved, 201 if new else 200)
        if read.warnings:
            told.value["warnings"] = read.warnings
        return told

    @operation("PATCH", "/workflows/{name}", headers=IF_MATCH, others=CHANGES)
    async def rename(self, request: web.Request, name: str, body: RenameRequest) -> shapes.Kept | web.Response:
        """Give a workflow another name, which must be free; versions and picture go with it."""
        condition = _condition(request)
        try:
            return await asyncio.to_thread(self._library.rename, name, body.name, condition)
        except Stale as error:
            return _stale(request, error)

    @operation("DELETE", "/workflows/{name}", status=204, headers=IF_MATCH, others=CHANGES)
    async def remove(self, request: web.Request, name: str, query: DeleteAsked) -> web.Response | None:
        """Take a workflow out of the list. Its versions stay, so that it can be restored, unless `versions=true`."""
        condition = _condition(request)
        try:
            await asyncio.to_thread(self._library.delete, name, condition, versions=query.versions)
        except Stale as error:
            return _stale(request, error)
        return None

    @operation("GET", "/workflows/{name}/versions", others=(400, 404))
    async def versions(self, request: web.Request, name: str) -> shapes.Versions:
        """Each state that a workflow had, also one that was deleted. A bounded number, newest first."""
        return {"versions": await asyncio.to_thread(self._library.versions, name)}

    @operation("GET", r"/workflows/{name}/versions/{n:\d+}", others=(400, 404))
    async def version(self, request: web.Request, name: str, n: int) -> shapes.OneVersion:
        """A former state."""
        version, document = await asyncio.to_thread(self._library.version, name, n)
        return {**version, "workflow": document}

    @operation("POST", r"/workflows/{name}/restore/{n:\d+}", headers=IF_MATCH, others=CHANGES)
    async def restore(self, request: web.Request, name: str, n: int) -> Answered[shapes.KeptWorkflow] | web.Response:
        """Make a former state the present one, with a new version number."""
        condition = _condition(request)
        try:
            return _told(await self._change(request, lambda room: self._library.restore(name, n, condition, room)))
        except Stale as error:
            return _stale(request, error)

    @operation("GET", "/workflows/{name}/thumbnail", content="image/webp", others=(304, 400, 404))
    async def thumbnail(self, request: web.Request, name: str) -> web.StreamResponse:
        """A small picture of what the workflow makes, if one was given."""
        path = self._library.thumbnail(name)
        return await deliver(request, path.parent, path.name)

    @operation("PUT", "/workflows/{name}/thumbnail", takes=("image/png", "image/jpeg", "image/webp"), others=(404, 507))
    async def set_thumbnail(self, request: web.Request, name: str) -> shapes.Kept:
        """Give a workflow a picture; it is made small here."""
        data, pixels = await request.read(), request.app[keys.CONFIG].limits.pixels
        if not data:
            raise BadRequest("the request has no body", hint="send a PNG, JPEG or WebP picture")
        picture = await request.app[keys.WORKSHOP].work(lambda: small(io.BytesIO(data), pixels))
        return await self._change(request, lambda room: self._library.set_thumbnail(name, picture, room))

    async def _change(self, request: web.Request, work: Callable[[Callable[[int], None]], T]) -> T:
        """Write in a thread, within what may be kept in all. work: is given what to call with the bytes to be written"""
        quota = self._kept(request)
        await asyncio.to_thread(quota.count)
        with quota.coming() as room:
            result = await asyncio.to_thread(work, room.add)
            quota.changed(room.size)
            return result

    def _kept(self, request: web.Request) -> Quota:
        if self._quota is None:
            self._quota = Quota(self._library.folder, request.app[keys.CONFIG].limits.userdata, "the folder of workflows")
        return self._quota


class TemplatesDesk:
    tag = "Workflows"

    def __init__(self, templates: Templates) -> None:
        self._templates = templates

    @operation("GET", "/templates")
    async def templates(self, request: web.Request) -> shapes.Templates:
        """The workflows that are shipped."""
        return {"templates": await asyncio.to_thread(self._templates.all)}

    @operation("GET", "/templates/{name}", others=(404,))
    async def template(self, request: web.Request, name: str) -> shapes.OneTemplate:
        """One of them, to run or to keep under a name."""
        return await asyncio.to_thread(self._templates.get, name)

    @operation("GET", "/templates/{name}/picture", content="image/webp", others=(304, 403, 404))
    async def template_picture(self, request: web.Request, name: str) -> web.StreamResponse:
        """What it makes."""
        if "/" in name or "\\" in name:
            raise FileMissing(f"there is no picture of {shorten(name)!r}")
        return await deliver(request, self._templates.pictures, f"{name}.webp")


# ------------------------------------------------------------------------------------------------ conditions and answers


def _tags(request: web.Request, header: str) -> frozenset[str]:
    return frozenset(_TAG.findall(",".join(request.headers.getall(header, []))))


def _condition(request: web.Request) -> Condition:
    """Raises BadRequest for one that cannot be understood: it would be ignored otherwise, and something overwritten."""
    matches, none = request.headers.get("If-Match"), request.headers.get("If-None-Match")
    if matches is not None and not _tags(request, "If-Match"):
        raise BadRequest("If-Match must be an ETag, in its quotes", hint='for instance If-Match: "0123456789abcdef"')
    if none is not None and none.strip() != "*":
        raise BadRequest("If-None-Match must be * in a change", hint="with it a workflow is only saved if there is none of this name")
    return Condition(_tags(request, "If-Match") if matches is not None else None, none is not None)


def _told(saved: Saved, status: int | None = None) -> Answered[shapes.KeptWorkflow]:
    value: shapes.KeptWorkflow = {**saved.kept, "workflow": saved.document}  # type: ignore[typeddict-item]
    return Answered(value, {"ETag": saved.kept["etag"]}, status)


def _stale(request: web.Request, error: Stale) -> web.Response:
    """412 with what is there now."""
    body: shapes.Stale = {"error": request.app[keys.REDACTOR].value(error.to_json()), "present": error.present}
    headers = {"ETag": error.present["etag"]} if error.present is not None else {}
    return web.json_response(body, status=guard.status_of(error), headers=headers)


def small(stream: IO[bytes], pixels: int) -> bytes:
    """A picture as a small WebP without anything that was written into it. Raises NotAPicture or TooLarge."""
    with decoding(stream, "the picture", pixels) as picture:
        result = picture.convert("RGBA" if "A" in picture.getbands() else "RGB")
        result.thumbnail((THUMBNAIL, THUMBNAIL))
        out = io.BytesIO()
        result.save(out, "WEBP", quality=85)
        return out.getvalue()
