"""ComfyUI's routes for what was asked: `/queue`, `/history`, `/interrupt`, `/free`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from aiohttp import web

from nodegraph.errors import shorten
from nodegraph.server import keys
from nodegraph.server.comfy.history import history_entry, queue_item
from nodegraph.server.http_errors import BadRequest
from nodegraph.server.queue.model import ENDED, Job
from nodegraph.server.queue.service import Service
from nodegraph.server.safety.body import json_object

MOST: Final = 10_000
"""items that one answer lists, and ids that one request names"""


def routes() -> list[web.RouteDef]:
    return [
        web.get("/queue", queue),
        web.post("/queue", change_queue),
        web.get("/history", history),
        web.get("/history/{id:.+}", history_of_one),
        web.post("/history", change_history),
        web.post("/interrupt", interrupt),
        web.post("/free", free),
    ]


# --------------------------------------------------------------------------------------------- the queue


async def queue(request: web.Request) -> web.Response:
    service = request.app[keys.SERVICE]
    jobs, _ = await service.jobs(("running", "pending"), sort="number", descending=False, limit=MOST, origin=True)
    items = {status: [queue_item(job) for job in jobs if job.status == status] for status in ("running", "pending")}
    return web.json_response({"queue_running": items["running"], "queue_pending": items["pending"]})


async def change_queue(request: web.Request) -> web.Response:
    """`{"clear": true}` or `{"delete": [ids]}`: jobs that wait are forgotten; those that run are left."""
    body = await json_object(request)
    service = request.app[keys.SERVICE]
    waiting = [job.id for job in service.pending()]
    if body.get("clear"):
        await service.delete(waiting)
    wanted = _ids(body.get("delete"))
    await service.delete(id for id in waiting if id in wanted)
    return web.Response()


# --------------------------------------------------------------------------------------------- the history


async def history(request: web.Request) -> web.Response:
    """`?max_items=&offset=`: oldest first; with `max_items` alone, the last ones."""
    most, offset = _number(request, "max_items"), _number(request, "offset")
    service = request.app[keys.SERVICE]
    limit = MOST if most is None else max(0, min(most, MOST))
    if most is not None and (offset is None or offset < 0):
        jobs, _ = await _ended(service, limit, 0, newest_first=True)
        jobs.reverse()
    else:
        jobs, _ = await _ended(service, limit, max(0, offset or 0), newest_first=False)
    return web.json_response({job.id: history_entry(redacted(request, job)) for job in jobs})


async def _ended(service: Service, limit: int, offset: int, newest_first: bool) -> tuple[list[Job], int]:
    if not limit:
        return [], 0
    return await service.jobs(ENDED, sort="ended", descending=newest_first, limit=limit, offset=offset, origin=True)  # type: ignore[arg-type]


async def history_of_one(request: web.Request) -> web.Response:
    """Nothing until the job has ended: clients ask again and again until there is something."""
    service, id = request.app[keys.SERVICE], request.match_info["id"]
    job = None if id in unfinished(service) else await service.job(id, origin=True)
    if job is None or job.status not in ENDED:
        return web.json_response({})
    return web.json_response({job.id: history_entry(redacted(request, job), await _cached(service, job))})


async def _cached(service: Service, job: Job) -> list[str]:
    """The nodes whose results were at hand when the run began."""
    begun = [event.data for event in await service.events(job.id) if event.data.get("event") == "run_started"]
    return list(begun[-1].get("cached", ())) if begun else []


async def change_history(request: web.Request) -> web.Response:
    """`{"clear": true}` or `{"delete": [ids]}`: ended jobs are forgotten; their pictures stay."""
    body = await json_object(request)
    service = request.app[keys.SERVICE]
    if body.get("clear"):
        await service.clear_history()
    await service.delete(_ids(body.get("delete")) - unfinished(service))
    return web.Response()


def unfinished(service: Service) -> set[str]:
    """Jobs that wait or run, from memory: clients ask about them many times a second."""
    return {job.id for job in (*service.pending(), *service.running())}


def redacted(request: web.Request, job: Job) -> Job:
    """With no folder of this machine in what is told of a failure."""
    return job if job.error is None else replace(job, error=request.app[keys.REDACTOR].value(job.error))


# --------------------------------------------------------------------------------------------- what runs


async def interrupt(request: web.Request) -> web.Response:
    """Stop what runs; with a `prompt_id`, only if it is that job."""
    wanted = (await json_object(request)).get("prompt_id")
    service = request.app[keys.SERVICE]
    for job in service.running():
        if wanted is None or job.id == wanted:
            await service.cancel(job.id)
    return web.Response()


async def free(request: web.Request) -> web.Response:
    """Let go of weights (`unload_models`), and of kept results too (`free_memory`), after the present run."""
    body = await json_object(request)
    everything = bool(body.get("free_memory"))
    if everything or body.get("unload_models"):
        for worker in request.app[keys.WORKERS]:
            await worker.free(models=True, results=everything)
    return web.Response()


# --------------------------------------------------------------------------------------------- reading requests


def _ids(value: Any) -> set[str]:
    if value is None:
        return set()
    if not isinstance(value, list) or len(value) > MOST:
        raise BadRequest(f"`delete` must be a list of at most {MOST} ids, not {shorten(value)}")
    return {str(id) for id in _plain(value)}


def _plain(values: Iterable[Any]) -> Iterable[str | int]:
    return (value for value in values if isinstance(value, str | int))


def _number(request: web.Request, name: str) -> int | None:
    text = request.query.get(name)
    if text is None or text == "":
        return None
    if not text.lstrip("-").isascii() or not text.lstrip("-").isdigit() or len(text) > 12:
        raise BadRequest(f"`{name}` must be a whole number, not {shorten(text)}")
    return int(text)
