"""What the person at the editor keeps here: settings and files (saved workflows are below `workflows/`). One person a server.

A header that names another user is no proof of being that user, so it has no effect.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from nodegraph.document import parse_json
from nodegraph.errors import FileMissing, TooLarge, UnsafePath, shorten
from nodegraph.files import inside, move_to_new, safe_parts, sync_folder, write_atomic
from nodegraph.server import keys
from nodegraph.server.http_errors import AlreadyThere, BadRequest
from nodegraph.server.safety import uploads
from nodegraph.server.safety.body import json_body, json_object
from nodegraph.server.safety.deliver import deliver
from nodegraph.server.safety.guard import accepts
from nodegraph.server.safety.quota import cost
from nodegraph.server.safety.uploads import Received

SETTINGS: Final = "comfy.settings.json"
LARGEST_SETTINGS: Final = 8 << 20
MOST_LISTED: Final = 20_000
LONGEST_NAME: Final = 200
MOST_NAMES: Final = 1000
NO_ID: Final = re.compile(r"[^a-zA-Z0-9_-]+")
STYLE: Final = "user.css"


def routes() -> list[web.RouteDef]:
    return [
        web.get("/users", users),
        web.post("/users", Names().add),
        web.get("/settings", settings),
        web.post("/settings", change_settings),
        web.get("/settings/{id:.+}", setting),
        web.post("/settings/{id:.+}", change_setting),
        web.get("/userdata", list_files),
        web.get("/v2/userdata", list_entries),
        web.get("/userdata/{file:.+}", read_file),
        web.post("/userdata/{file:.+}/move/{dest:.+}", move_file),
        web.post("/userdata/{file:.+}", write_file),
        web.delete("/userdata/{file:.+}", delete_file),
    ]


def user_folder(request: web.Request) -> Path:
    return request.app[keys.STATE] / "user" / "default"


# ------------------------------------------------------------------------------------------------ users and settings


async def users(request: web.Request) -> web.Response:
    return web.json_response({"storage": "server", "migrated": True})


class Names:
    """Names that were given to `POST /users`, as ComfyUI keeps them: it gives out ids also where it has one user, whom all requests are."""

    def __init__(self) -> None:
        self._taken = {"default"}

    async def add(self, request: web.Request) -> web.Response:
        name = (await json_object(request)).get("username")
        if not isinstance(name, str) or not 0 < len(name := name.strip()) <= LONGEST_NAME:
            raise BadRequest(f"`username` must be a name of 1 to {LONGEST_NAME} characters", hint='for instance {"username": "ada"}')
        if name in self._taken:
            return web.json_response({"error": "Duplicate username."}, status=400)
        if len(self._taken) < MOST_NAMES:
            self._taken.add(name)
        return web.json_response(f"{NO_ID.sub('-', name)}_{uuid.uuid4()}")


def read_settings(folder: Path) -> dict[str, Any]:
    """What is kept; a damaged file is an error, not empty settings that would then overwrite it."""
    path = folder / SETTINGS
    try:
        data = path.read_bytes()
    except OSError:
        return {}
    found = parse_json(data, SETTINGS)
    return found if isinstance(found, dict) else {}


async def settings(request: web.Request) -> web.Response:
    return web.json_response(await asyncio.to_thread(read_settings, user_folder(request)))


async def setting(request: web.Request) -> web.Response:
    found = await asyncio.to_thread(read_settings, user_folder(request))
    return web.json_response(found.get(request.match_info["id"]))


@accepts("application/json", own_page=("text/plain",))
async def change_settings(request: web.Request) -> web.Response:
    await _merge(request, await json_object(request))
    return web.Response(status=200)


@accepts("application/json", own_page=("text/plain",))
async def change_setting(request: web.Request) -> web.Response:
    """ComfyUI's editor sends the JSON of a setting as text."""
    await _merge(request, {request.match_info["id"]: await json_body(request)})
    return web.Response(status=200)


async def _merge(request: web.Request, changes: dict[str, Any]) -> None:
    """One change at a time, written whole."""
    folder = user_folder(request)
    async with request.app[keys.USER_LOCK]:
        await asyncio.to_thread(_merge_now, folder, changes)


def _merge_now(folder: Path, changes: dict[str, Any]) -> None:
    data = json.dumps({**read_settings(folder), **changes}, indent=1, allow_nan=False).encode()
    if len(data) > LARGEST_SETTINGS:
        raise TooLarge(f"settings may have at most {LARGEST_SETTINGS} bytes", hint="keep large things as files in userdata")
    write_atomic(folder / SETTINGS, lambda stream: stream.write(data))


# ------------------------------------------------------------------------------------------------ listing files


def _yes(request: web.Request, name: str) -> bool:
    return request.query.get(name, "").lower() == "true"


def _entry(path: Path, name: str) -> dict[str, Any]:
    info = path.stat()
    return {"path": name, "size": info.st_size, "modified": int(info.st_mtime * 1000), "created": int(info.st_ctime * 1000)}


def walk(root: Path, recurse: bool) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """(name below `root`, entry), folders before what is in them, each folder sorted; hidden ones and links are left out."""
    waiting = [("", root)]
    count = 0
    while waiting:
        prefix, folder = waiting.pop()
        for entry in sorted(_scan(folder), key=lambda entry: entry.name):
            if entry.name.startswith(".") or entry.is_symlink():
                continue
            yield prefix + entry.name, entry
            count += 1
            if count >= MOST_LISTED:
                return
            if recurse and entry.is_dir(follow_symlinks=False):
                waiting.append((f"{prefix}{entry.name}/", Path(entry.path)))


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


async def list_files(request: web.Request) -> web.Response:
    """Names of the files in a folder; with `full_info` sizes and times, with `split` the parts of each name."""
    given = request.query.get("dir", "")
    if not given:
        raise BadRequest("`dir` is missing", hint="for instance dir=workflows")
    folder = _below(user_folder(request), given)
    full, split, recurse = _yes(request, "full_info"), _yes(request, "split"), _yes(request, "recurse")

    def found() -> list[Any]:
        if not folder.is_dir() and folder != user_folder(request):
            raise FileMissing(f"there is no folder {shorten(given)!r}")
        names = [name for name, entry in walk(folder, recurse) if entry.is_file(follow_symlinks=False)]
        if full:
            return [_entry(folder / name, name) for name in names if (folder / name).is_file()]
        return [[name, *name.split("/")] for name in names] if split else names

    return web.json_response(await asyncio.to_thread(found))


def _below(root: Path, name: str) -> Path:
    """A folder below the user's; `.` and `/` are the user's own."""
    return root if name.strip("/") in ("", ".") else inside(root, name)


async def list_entries(request: web.Request) -> web.Response:
    """Folders first, then files, of everything below a folder."""
    root = user_folder(request)
    given = request.query.get("path", "")
    try:
        folder = _below(root, given)
    except UnsafePath as error:
        raise BadRequest(error.message, hint=error.hint) from error
    prefix = "" if folder == root else folder.relative_to(root).as_posix() + "/"

    def found() -> list[dict[str, Any]]:
        if not folder.is_dir():
            if folder == root:
                return []
            raise BadRequest(f"{shorten(given)!r} is not a folder") if folder.exists() else FileMissing(f"there is no {shorten(given)!r}")
        entries = [_described(prefix + name, entry) for name, entry in walk(folder, True)]
        return sorted(entries, key=lambda entry: (entry["type"] != "directory", entry["name"].lower()))

    return web.json_response(await asyncio.to_thread(found))


def _described(name: str, entry: os.DirEntry[str]) -> dict[str, Any]:
    described: dict[str, Any] = {"name": entry.name, "path": name, "type": "directory" if entry.is_dir(follow_symlinks=False) else "file"}
    if described["type"] == "file":
        with contextlib.suppress(OSError):
            info = entry.stat(follow_symlinks=False)
            described.update(size=info.st_size, modified=info.st_mtime)
    return described


# ------------------------------------------------------------------------------------------------ single files


async def read_file(request: web.Request) -> web.StreamResponse:
    """A download, whatever it is; only the person's own style sheet is one for the page."""
    name = request.match_info["file"]
    headers = {"Content-Type": "text/css; charset=utf-8"} if name == STYLE else None
    return await deliver(request, user_folder(request), name, headers=headers)


def _split(name: str) -> tuple[str, str]:
    *folders, last = safe_parts(name)
    return "/".join(folders), last


def _overwrites(request: web.Request) -> bool:
    return request.query.get("overwrite", "true").lower() != "false"


@accepts("*", streams=True)
async def write_file(request: web.Request) -> web.Response:
    """Keep the body as it is. Raises AlreadyThere with `overwrite=false`."""
    folder, name = _split(request.match_info["file"])
    root = user_folder(request)
    quota = request.app[keys.UPLOADS]["user"]
    await asyncio.to_thread(quota.count)
    with quota.coming() as room:
        async with request.app[keys.SPOOL].receive(request.content.readany, room) as received, request.app[keys.USER_LOCK]:
            change = await asyncio.to_thread(_write, received, root, folder, name, _overwrites(request))
            quota.changed(change)
    return await _written(request, "/".join(part for part in (folder, name) if part))


def _write(received: Received, root: Path, folder: str, name: str, overwrite: bool) -> int:
    root.mkdir(parents=True, exist_ok=True)
    if overwrite:
        return uploads.replace(received, root, folder, name)
    uploads.put_new(received, root, folder, name)
    return cost(received.size)


async def _written(request: web.Request, name: str) -> web.Response:
    if _yes(request, "full_info"):
        return web.json_response(await asyncio.to_thread(_entry, user_folder(request) / name, name))
    return web.json_response(name)


async def delete_file(request: web.Request) -> web.Response:
    path = inside(user_folder(request), request.match_info["file"])
    async with request.app[keys.USER_LOCK]:
        size = await asyncio.to_thread(_delete, path, request.match_info["file"])
    request.app[keys.UPLOADS]["user"].changed(-cost(size))
    return web.Response(status=204)


def _delete(path: Path, name: str) -> int:
    if not path.is_file() and not path.is_symlink():
        raise FileMissing(f"there is no file {shorten(name)!r}")
    try:
        size = path.lstat().st_size
        path.unlink()
    except OSError as error:
        raise uploads.told(path, error) from error
    return size


@accepts("*")
async def move_file(request: web.Request) -> web.Response:
    root = user_folder(request)
    source, name = request.match_info["file"], request.match_info["dest"]
    target = "/".join(safe_parts(name))
    async with request.app[keys.USER_LOCK]:
        await asyncio.to_thread(_move, root, source, target, _overwrites(request))
    return await _written(request, target)


def _move(root: Path, source: str, target: str, overwrite: bool) -> None:
    old = inside(root, source)
    if not old.is_file():
        raise FileMissing(f"there is no file {shorten(source)!r}")
    new = uploads.place_for(root, *_split(target))
    if os.path.realpath(new) == os.path.realpath(old):
        return
    if new.is_dir():
        raise AlreadyThere("a folder has this name", hint="give it another name")
    try:
        if overwrite:
            os.replace(old, new)
        else:
            _rename(old, new)
        sync_folder(new.parent)
    except FileExistsError as error:
        raise AlreadyThere("there is a file of this name", hint="give it another name, or overwrite it with overwrite=true") from error
    except OSError as error:
        raise uploads.told(new, error) from error


def _rename(old: Path, new: Path) -> None:
    move_to_new(old, new)
    old.unlink(missing_ok=True)
