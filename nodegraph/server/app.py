"""The application: routes of all parts behind the guard, and the life of the server from its first answer to its stop."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from typing import Any, Final

from aiohttp import web

from nodegraph import __version__
from nodegraph.server import keys, logs
from nodegraph.server.comfy.routes.packs_routes import packs_by_name
from nodegraph.server.memory import collect_seldom
from nodegraph.server.parts import Parts, keep_tidy, open_parts
from nodegraph.server.safety import guard
from nodegraph.server.safety.connection import Connection
from nodegraph.server.safety.pictures import Workshop
from nodegraph.server.safety.quota import Quota
from nodegraph.server.safety.redaction import redactor_for
from nodegraph.server.safety.uploads import Spool
from nodegraph.server.setup.config import ServeSettings
from nodegraph.server.setup.listen import address_of
from nodegraph.server.supervision.devices import Devices
from nodegraph.settings import Settings

LOG: Final = logging.getLogger("nodegraph.server")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

AT_ONCE: Final = tuple(f"comfy.routes.{name}_routes" for name in ("system", "packs", "models", "files", "user"))
"""modules whose routes are answered from the first moment"""
AFTER_START: Final = ("comfy.routes.prompt_routes", "comfy.routes.socket", "v1.routes")
"""modules whose routes wait until queue and workers are there"""
LAST: Final = ("home.pages",)
"""takes every address that is left"""
START_SECONDS: Final = 60
STOP_SECONDS: Final = 10.0


def make_app(
    settings: ServeSettings, parts: Parts | None = None, engine: Settings | None = None, routes: Iterable[web.RouteDef] = ()
) -> web.Application:
    """The application. Without parts it has files, settings and statistics, but no queue. routes: further ones"""
    engine = engine or settings.engine()
    keeper = guard.Guard(settings)
    app = web.Application(middlewares=[guard.middleware(keeper)], client_max_size=settings.limits.body)
    redactor = redactor_for(settings, engine)
    app[keys.CONFIG] = settings
    app[keys.GUARD] = keeper
    app[keys.FILES] = engine.files()
    app[keys.STATE] = settings.state
    app[keys.PACKS] = packs_by_name(engine.packs)
    app[keys.REDACTOR] = redactor
    app[keys.DEVICES] = Devices(settings.device, parts.workers if parts is not None else ())
    app[keys.LOGS] = logs.LogBook(redactor)
    app[keys.STARTED] = asyncio.Event()
    app[keys.STOPPING] = asyncio.Event()
    app.on_shutdown.append(_tell_stopping)
    app[keys.USER_LOCK] = asyncio.Lock()
    app[keys.WORKSHOP] = Workshop()
    app[keys.SPOOL] = Spool(settings.state / "uploads", settings.limits.upload, settings.limits.body_seconds)
    app[keys.UPLOADS] = quotas(settings)
    app.on_response_prepare.append(guard.add_headers)
    if parts is not None:
        app[keys.SERVICE] = parts.service
        app[keys.WORKERS] = parts.workers
        app[keys.REGISTRY] = parts.catalog.registry
        app.add_routes(twice(map(after_start, gather(AFTER_START))))
    app.add_routes(twice(gather(AT_ONCE)))
    app.add_routes(routes)
    app.add_routes(gather(LAST))
    return app


async def _tell_stopping(app: web.Application) -> None:
    app[keys.STOPPING].set()


def quotas(settings: ServeSettings) -> dict[str, Quota]:
    limits = settings.limits
    return {
        "input": Quota(settings.input, limits.uploads, "the input folder"),
        "output": Quota(None, limits.uploads, "uploads to the output folder"),
        "temp": Quota(None, limits.uploads, "uploads to the temp folder"),
        "user": Quota(settings.state / "user", limits.userdata, "the user's folder"),
    }


def gather(modules: Iterable[str]) -> list[web.RouteDef]:
    """The routes of our modules, in order."""
    names = [f"nodegraph.server.{name}" for name in modules]
    return [route for name in names for route in import_module(name).routes()]


def twice(routes: Iterable[web.RouteDef]) -> list[web.RouteDef]:
    """Each route as it is and below `/api`; those that are written with `/api` once."""
    found = []
    for route in routes:
        found.append(route)
        if not route.path.startswith("/api/"):
            found.append(web.RouteDef(route.method, f"/api{route.path}", route.handler, route.kwargs))
    return found


def after_start(route: web.RouteDef) -> web.RouteDef:
    """The same route, answered when the queue has been recovered and the workers know their nodes."""
    handler: Any = route.handler

    @functools.wraps(handler)
    async def waiting(request: web.Request) -> web.StreamResponse:
        started = request.app[keys.STARTED]
        if not started.is_set():
            await _wait(started)
        answer: web.StreamResponse = await handler(request)
        return answer

    return web.RouteDef(route.method, route.path, waiting, route.kwargs)


async def _wait(started: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(START_SECONDS):
            await started.wait()
    except TimeoutError as error:
        raise web.HTTPServiceUnavailable(headers={"Retry-After": "5"}) from error


# ------------------------------------------------------------------------------------------------ life


def serve(settings: ServeSettings, sockets: list[socket.socket]) -> None:
    """Answer on the sockets until SIGINT or SIGTERM. Raises NodegraphError if it cannot start."""
    asyncio.run(_serve(settings, sockets))


async def _serve(settings: ServeSettings, sockets: list[socket.socket]) -> None:
    engine = settings.engine()
    parts = open_parts(engine, settings.state, settings.dev)
    try:
        app = make_app(settings, parts, engine)
        logs.set_up(app[keys.LOGS])
        async with answering(app, sockets):
            stop = _stop_event()
            _announce(settings, sockets)
            for folder in settings.models:
                if not folder.is_dir():
                    LOG.warning("the models folder %s is not there, so nothing is found in it", folder)
            collect_seldom()
            gc.enable()
            await _until(stop, _live(app, parts, settings))
    finally:
        await parts.stop()


@asynccontextmanager
async def answering(app: web.Application, sockets: Iterable[socket.socket]) -> AsyncIterator[None]:
    """Requests are answered inside; at the end those that go on get some seconds."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_SECONDS)
    await runner.setup()
    servers = [await _answer(runner, opened) for opened in sockets]
    try:
        yield
    finally:
        for server in servers:
            server.close()
        await runner.cleanup()


async def _live(app: web.Application, parts: Parts, settings: ServeSettings) -> None:
    """Everything that goes on behind the first answer. Ends only by an error."""
    await asyncio.to_thread(app[keys.SPOOL].clear)
    await parts.start()
    app[keys.STARTED].set()
    await keep_tidy(settings)


async def _until(stop: asyncio.Event, life: Coroutine[Any, Any, None]) -> None:
    """Until it is told to stop, or something without which there is no server fails: then that is raised."""
    living, stopping = asyncio.create_task(life), asyncio.create_task(stop.wait())
    await asyncio.wait((living, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if living.done():
        living.result()
    living.cancel()
    await asyncio.wait((living,))


async def _answer(runner: web.AppRunner, opened: socket.socket) -> asyncio.Server:
    loop, server = asyncio.get_running_loop(), runner.server
    assert server is not None
    limits = runner.app[keys.CONFIG].limits
    return await loop.create_server(lambda: Connection(server, loop, limits), sock=opened)


def _stop_event() -> asyncio.Event:
    """Set by the first SIGINT or SIGTERM; the second one ends the process as usual."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        stop.set()
        for other in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError, ValueError):
                loop.remove_signal_handler(other)

    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, on_signal, number)
        except NotImplementedError:
            signal.signal(number, lambda number, frame: loop.call_soon_threadsafe(stop.set))
    return stop


def _announce(settings: ServeSettings, sockets: list[socket.socket]) -> None:
    addresses = [address_of(opened) for opened in sockets]
    first = f"{addresses[0]}/" + (f"?token={settings.token}" if settings.token else "")
    print(f"nodegraph {__version__} at {first}" + "".join(f" and {other}/" for other in addresses[1:]), flush=True)
    if settings.open:
        import threading
        import webbrowser

        threading.Thread(target=webbrowser.open, args=(first,), daemon=True).start()
