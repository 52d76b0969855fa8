"""Pictures and other files of runs: looked at, put in. `/view`, `/view_metadata`, `/upload/image`, `/upload/mask`."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from nodegraph.document import parse_json
from nodegraph.errors import FileMissing, NotJson, TooLarge, UnsafePath, shorten
from nodegraph.files import Files, safe_parts
from nodegraph.server import keys
from nodegraph.server.comfy.safetensors_header import read_metadata
from nodegraph.server.http_errors import BadRequest
from nodegraph.server.safety import uploads
from nodegraph.server.safety.body import in_time
from nodegraph.server.safety.deliver import Opened, deliver_bytes, headers_for, is_known, open_inside, send, unchanged
from nodegraph.server.safety.guard import accepts
from nodegraph.server.safety.pictures import SUFFIX, Channel, Preview, parse_channel, parse_fit, parse_preview, reencode, with_alpha_of
from nodegraph.server.safety.quota import Reservation, cost
from nodegraph.server.safety.uploads import Received

ROOTS: Final = ("input", "output", "temp")
LONGEST_FIELD: Final = 64 * 1024
MOST_FIELDS: Final = 32


def routes() -> list[web.RouteDef]:
    return [
        web.get("/view", view),
        web.get("/view_metadata/{folder}", view_metadata),
        web.post("/upload/image", upload_image),
        web.post("/upload/mask", upload_mask),
    ]


# ------------------------------------------------------------------------------------------------ looking


@dataclass(frozen=True, slots=True)
class Place:
    """A file as ComfyUI names it: one of three folders, a folder below it, a name."""

    root: str
    folder: str
    name: str

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.name}" if self.folder else self.name


def place_of(filename: object, root: object, folder: object, annotated: bool = True) -> Place:
    """From a request's fields. Raises BadRequest, also for bad names.

    annotated: a name may end in its folder, as in `cat.png [output]`
    """
    if not isinstance(filename, str) or not isinstance(root, str) or not isinstance(folder, str) or not filename:
        raise BadRequest("a file is given by `filename`, `type` and `subfolder`, which are texts")
    match = re.fullmatch(r"(.*?)\s*\[(input|output|temp)\]", filename, re.DOTALL) if annotated else None
    name, root = (match[1], match[2]) if match else (filename, root)
    if root not in ROOTS:
        raise BadRequest(f"`type` must be input, output or temp, not {shorten(root)}")
    try:
        return Place(root, "/".join(safe_parts(folder)) if folder else "", "/".join(safe_parts(name)))
    except UnsafePath as error:
        raise BadRequest(error.message, hint=error.hint) from error


def open_place(files: Files, place: Place) -> Opened:
    """Raises UnsafePath or FileMissing. The shipped pictures are part of the input folder, as they are for LoadImage."""
    try:
        return open_inside(files.root(place.root), place.path)
    except FileMissing:
        if place.root == "input" and files.examples is not None:
            return open_inside(files.examples, place.path)
        raise


async def view(request: web.Request) -> web.StreamResponse:
    query = request.query
    place = place_of(query.get("filename", ""), query.get("type", "output"), query.get("subfolder", ""))
    channel = parse_channel(query.get("channel", "rgba"))
    preview = parse_preview(query["preview"], channel if "channel" in query else "rgb") if "preview" in query else None
    if preview is not None and "fit" in query:
        preview = preview._replace(fit=parse_fit(query["fit"]))
    opened = await asyncio.to_thread(open_place, request.app[keys.FILES], place)
    if preview is None and channel == "rgba":
        return await send(request, opened, headers_for(opened.name, opened.head))
    return await _encoded(request, opened, channel, preview or Preview("png"))


async def _encoded(request: web.Request, opened: Opened, channel: Channel, preview: Preview) -> web.StreamResponse:
    pixels = request.app[keys.CONFIG].limits.pixels
    tag = f'{opened.etag[:-1]}-{channel}-{preview.format}-{preview.quality}-{preview.fit}"'
    with opened.stream:
        if is_known(request, tag):
            return unchanged({**headers_for(opened.name, opened.head), "ETag": tag})
        data = await request.app[keys.WORKSHOP].work(lambda: reencode(opened.stream, opened.name, pixels, channel, preview))
    return deliver_bytes(data, Path(opened.name).stem + SUFFIX[preview.format], {"ETag": tag})


async def view_metadata(request: web.Request) -> web.Response:
    """What the maker of a weights file wrote into it."""
    name = request.query.get("filename", "")
    folder = request.match_info["folder"]
    if not name.lower().endswith((".safetensors", ".sft")) or len(safe_parts(folder)) != 1:
        raise FileMissing(f"there is no metadata of {shorten(name)!r}")
    path = request.app[keys.FILES].find_model(folder, name)
    metadata = await asyncio.to_thread(read_metadata, path)
    if metadata is None:
        raise FileMissing(f"{shorten(name)!r} has no metadata")
    return web.json_response(metadata)


# ------------------------------------------------------------------------------------------------ putting in


@dataclass
class Form:
    """A form with one file. fields: its texts; file: received, not yet in place"""

    fields: dict[str, str] = field(default_factory=dict)
    file: Received | None = None
    filename: str = ""


@asynccontextmanager
async def receiving(request: web.Request, room: Reservation) -> AsyncIterator[Form]:
    """Read a form piece by piece, its file `image` into the spool. Raises BadRequest, TooLarge, TooSlow, StorageFull."""
    form = Form()
    async with AsyncExitStack() as stack:
        try:
            reader = await request.multipart()
            count = 0
            while (part := await _next(request, reader)) is not None:
                count += 1
                if count > MOST_FIELDS or not isinstance(part, BodyPartReader):
                    raise BadRequest("the form has too many parts, or parts within parts")
                if part.name == "image" and part.filename is not None and form.file is None:
                    form.filename = part.filename
                    spool = request.app[keys.SPOOL]
                    form.file = await stack.enter_async_context(spool.receive(lambda part=part: part.read_chunk(65536), room))  # type: ignore[misc]
                elif part.name is not None:
                    form.fields[part.name] = await _text(request, part)
        except (HttpProcessingError, ValueError, AssertionError, RuntimeError, web.RequestPayloadError) as error:
            raise BadRequest("the form is malformed", hint="send multipart/form-data with a file `image`") from error
        yield form


async def _next(request: web.Request, reader: Any) -> Any:
    return await in_time(reader.next(), request.app[keys.CONFIG].limits.body_seconds)


async def _text(request: web.Request, part: BodyPartReader) -> str:
    data = bytearray()
    while piece := await in_time(part.read_chunk(8192), request.app[keys.CONFIG].limits.body_seconds):
        data += piece
        if len(data) > LONGEST_FIELD:
            raise TooLarge(f"a field of a form may have at most {LONGEST_FIELD} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"field {shorten(part.name)} is not UTF-8 text") from error


@accepts("multipart/form-data", streams=True)
async def upload_image(request: web.Request) -> web.Response:
    """A file into the input folder (or `type`), under its name or the next free one; with `overwrite` in place of what is there."""
    async with _room(request) as room, receiving(request, room) as form:
        return await _keep(request, form, _required(form))


@accepts("multipart/form-data", streams=True)
async def upload_mask(request: web.Request) -> web.Response:
    """A painted mask: the picture `original_ref` with the mask's alpha is kept under the mask's name."""
    async with _room(request) as room, receiving(request, room) as form:
        mask = _required(form)
        original = await asyncio.to_thread(open_place, request.app[keys.FILES], _original(form.fields.get("original_ref", "")))
        pixels = request.app[keys.CONFIG].limits.pixels

        def merge() -> bytes:
            with original.stream, open(mask.path, "rb") as painted:
                return with_alpha_of(original.stream, painted, original.name, pixels)

        data = await request.app[keys.WORKSHOP].work(merge)
        pieces = iter((data, b""))

        async def read() -> bytes:
            return next(pieces)

        async with request.app[keys.SPOOL].receive(read, room) as merged:
            return await _keep(request, form, merged)


def _original(text: str) -> Place:
    try:
        data = parse_json(text, "original_ref")
    except NotJson as error:
        raise BadRequest("`original_ref` must be JSON", hint='for instance {"filename": "cat.png", "type": "input"}') from error
    if not isinstance(data, dict):
        raise BadRequest("`original_ref` must be an object", hint='for instance {"filename": "cat.png", "type": "input"}')
    return place_of(data.get("filename"), data.get("type", "output"), data.get("subfolder", ""))


def _required(form: Form) -> Received:
    if form.file is None or not form.filename:
        raise BadRequest("the form has no file", hint="send multipart/form-data with a file `image`")
    return form.file


@asynccontextmanager
async def _room(request: web.Request) -> AsyncIterator[Reservation]:
    """The target is known only when the form has been read, so uploads are held against the room of the input folder meanwhile."""
    quota = request.app[keys.UPLOADS]["input"]
    await asyncio.to_thread(quota.count)
    with quota.coming() as room:
        yield room


async def _keep(request: web.Request, form: Form, received: Received) -> web.Response:
    place = place_of(form.filename, form.fields.get("type", "input"), form.fields.get("subfolder", ""), annotated=False)
    root = request.app[keys.FILES].root(place.root)
    quota = request.app[keys.UPLOADS][place.root]
    if form.fields.get("overwrite", "").strip().lower() in ("true", "1"):
        quota.changed(await asyncio.to_thread(uploads.replace, received, root, place.folder, place.name))
        name = place.name
    else:
        name, is_new = await asyncio.to_thread(uploads.keep_new, received, root, place.folder, place.name)
        quota.changed(cost(received.size) if is_new else 0)
    answer = {"name": name, "subfolder": place.folder, "type": place.root}
    return web.json_response(answer, dumps=lambda value: json.dumps(value, ensure_ascii=False))
