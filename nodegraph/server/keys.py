"""What handlers find in the application: `request.app[keys.SERVICE]` and so on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from nodegraph.files import Files
from nodegraph.server.logs import LogBook
from nodegraph.server.safety import redaction
from nodegraph.server.safety.pictures import Workshop
from nodegraph.server.safety.quota import Quota
from nodegraph.server.safety.uploads import Spool
from nodegraph.server.setup.config import ServeSettings
from nodegraph.server.supervision.devices import Devices

if TYPE_CHECKING:
    from nodegraph.registry import Registry
    from nodegraph.server.queue.model import Worker
    from nodegraph.server.queue.service import Service
    from nodegraph.server.safety.guard import Guard

CONFIG = web.AppKey("CONFIG", ServeSettings)
GUARD: web.AppKey[Guard] = web.AppKey("GUARD")
FILES = web.AppKey("FILES", Files)
STATE = web.AppKey("STATE", Path)
LOGS = web.AppKey("LOGS", LogBook)
DEVICES = web.AppKey("DEVICES", Devices)
REDACTOR = redaction.REDACTOR
PACKS: web.AppKey[Mapping[str, Path]] = web.AppKey("PACKS")
"""the folders of the packs by their names"""
SPOOL = web.AppKey("SPOOL", Spool)
UPLOADS: web.AppKey[Mapping[str, Quota]] = web.AppKey("UPLOADS")
"""what may still be put into `input`, `output`, `temp` and `user`"""
USER_LOCK = web.AppKey("USER_LOCK", asyncio.Lock)
"""held while files of the user are changed"""
WORKSHOP = web.AppKey("WORKSHOP", Workshop)
STARTED = web.AppKey("STARTED", asyncio.Event)
"""set when service and workers are up; routes that need them wait for it"""
STOPPING = web.AppKey("STOPPING", asyncio.Event)
"""set when the server stops: answers that have no end of their own, such as websockets, end themselves then"""

SERVICE: web.AppKey[Service] = web.AppKey("SERVICE")
WORKERS: web.AppKey[Sequence[Worker]] = web.AppKey("WORKERS")
REGISTRY: web.AppKey[Callable[[], Awaitable[Registry]]] = web.AppKey("REGISTRY")
"""gives the present nodes; at the very first start it waits for the worker to describe them"""
