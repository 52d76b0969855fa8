"""What the server says of itself: `/system_stats`, `/features`, and for the editor `/internal/...`: its log and folders."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from nodegraph import __version__
from nodegraph.files import listing
from nodegraph.server import keys
from nodegraph.server.comfy.log_messages import SCREEN
from nodegraph.server.comfy.routes.models_routes import known_kinds
from nodegraph.server.http_errors import BadRequest
from nodegraph.server.memory import machine_bytes
from nodegraph.server.safety.body import json_object
from nodegraph.server.safety.redaction import HIDDEN, Redactor
from nodegraph.server.setup.config import ServeSettings

COMFY_VERSION: Final = "0.3.64"
"""of the protocol spoken here: some clients compare it"""
LONGEST_CLIENT: Final = 200
MOST_LISTED: Final = 10_000


def routes() -> list[web.RouteDef]:
    return [
        web.get("/system_stats", system_stats),
        web.get("/features", features),
        web.get("/internal/logs", log_text),
        web.get("/internal/logs/raw", log_entries),
        web.patch("/internal/logs/subscribe", follow_log),
        web.get("/internal/folder_paths", folder_paths),
        web.get("/internal/files/{type}", recent_files),
    ]


async def system_stats(request: web.Request) -> web.Response:
    total, free = machine_bytes()
    system = {
        "os": sys.platform,
        "ram_total": total,
        "ram_free": free,
        "comfyui_version": COMFY_VERSION,
        "required_frontend_version": None,
        "installed_templates_version": None,
        "required_templates_version": None,
        "nodegraph_version": __version__,
        "python_version": platform.python_version(),
        "pytorch_version": torch_version(),
        "embedded_python": False,
        "argv": arguments(sys.argv, request.app[keys.REDACTOR]),
    }
    return web.json_response({"system": system, "devices": await request.app[keys.DEVICES].states()})


@cache
def torch_version() -> str:
    """Of the torch that workers will use, read from its package without importing it."""
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return ""


def arguments(given: list[str], redactor: Redactor) -> list[str]:
    """The command line without what it should not tell: values that are secrets, and where things are on the disk."""
    shown, hide = ["nodegraph"], False
    for word in given[1:]:
        name, equals, value = word.partition("=")
        if hide or (name == "--token" and equals):
            shown.append(f"{name}={HIDDEN}" if equals and not hide else HIDDEN)
            hide = False
            continue
        hide = name == "--token"
        shown.append(f"{name}={_value(value, redactor)}" if equals and name.startswith("--") else _value(word, redactor))
    return shown


def _value(text: str, redactor: Redactor) -> str:
    redacted = redactor.text(text)
    is_path = not redacted.startswith("<") and ("/" in redacted or "\\" in redacted) and "://" not in redacted
    return "<path>" if is_path else redacted


async def features(request: web.Request) -> web.Response:
    return web.json_response(known_features(request.app[keys.CONFIG]))


def known_features(settings: ServeSettings) -> dict[str, Any]:
    """What clients may count on; also the server's answer to `feature_flags` on the websocket."""
    return {"supports_preview_metadata": True, "max_upload_size": settings.limits.upload}


# ------------------------------------------------------------------------------------------------ internal


async def log_text(request: web.Request) -> web.Response:
    return web.json_response("".join(entry["m"] for entry in list(request.app[keys.LOGS].entries)))


async def log_entries(request: web.Request) -> web.Response:
    return web.json_response({"entries": list(request.app[keys.LOGS].entries), "size": SCREEN})


async def follow_log(request: web.Request) -> web.Response:
    body = await json_object(request)
    client, enabled = body.get("clientId"), body.get("enabled")
    if not isinstance(client, str) or not 0 < len(client) <= LONGEST_CLIENT or not isinstance(enabled, bool):
        raise BadRequest("the body must be {clientId: text, enabled: true or false}")
    request.app[keys.LOGS].follow(client, enabled)
    return web.Response(status=200)


async def folder_paths(request: web.Request) -> web.Response:
    """Which folders each kind of weights is looked up in: by name, not where they are on the disk."""
    files, redactor = request.app[keys.FILES], request.app[keys.REDACTOR]
    kinds = await asyncio.to_thread(known_kinds, files)
    return web.json_response({kind: [redactor.text(str(path)) for path in files.model_folders(kind)] for kind in kinds})


async def recent_files(request: web.Request) -> web.Response:
    """Names below a folder, the newest first; behind those of the input folder the shipped pictures, which LoadImage takes too."""
    name = request.match_info["type"]
    if name not in ("input", "output", "temp"):
        raise BadRequest("the folder must be input, output or temp")
    files = request.app[keys.FILES]
    found = await asyncio.to_thread(newest_first, files.root(name))
    shipped = await asyncio.to_thread(listing, files.examples) if name == "input" and files.examples is not None else ()
    return web.json_response(list(dict.fromkeys((*found, *shipped))))


def newest_first(root: Path) -> list[str]:
    def time_of(name: str) -> float:
        try:
            return os.stat(root / name).st_mtime
        except OSError:
            return 0.0

    return sorted(listing(root, MOST_LISTED), key=time_of, reverse=True)
