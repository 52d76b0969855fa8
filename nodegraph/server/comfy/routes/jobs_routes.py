"""ComfyUI's newer routes for runs: `/api/jobs`, which exist with this prefix only."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from nodegraph.errors import shorten
from nodegraph.server import keys
from nodegraph.server.comfy.jobs import OURS, job_detail, job_summary
from nodegraph.server.comfy.routes.queue_routes import MOST, redacted
from nodegraph.server.queue.model import ENDED, Job, Status
from nodegraph.server.queue.service import Service
from nodegraph.server.queue.store.jobs import Sort
from nodegraph.server.safety.body import json_object

SORTS: Final[dict[str, Sort]] = {"created_at": "created", "execution_duration": "duration"}


def routes() -> list[web.RouteDef]:
    return [
        web.get("/api/jobs", listing),
        web.post("/api/jobs/cancel", cancel_several),
        web.get("/api/jobs/{id}", one),
        web.post("/api/jobs/{id}/cancel", cancel),
    ]


async def listing(request: web.Request) -> web.Response:
    """`?status=&workflow_id=&sort_by=&sort_order=&limit=&offset=`."""
    query = request.query
    statuses = [_choice("status", name.strip(), OURS) for name in query.get("status", "").split(",") if name.strip()]
    sort = _choice("sort_by", query.get("sort_by") or "created_at", SORTS)
    descending = _choice("sort_order", query.get("sort_order") or "desc", {"desc": True, "asc": False})
    limit, offset = _natural(request, "limit", least=1), _natural(request, "offset") or 0
    jobs, total = await _page(request.app[keys.SERVICE], statuses, query.get("workflow_id"), sort, descending, limit or MOST, offset)
    pagination = {"offset": offset, "limit": limit, "total": total, "has_more": offset + len(jobs) < total}
    return web.json_response({"jobs": [job_summary(redacted(request, job)) for job in jobs], "pagination": pagination})


async def _page(
    service: Service, statuses: list[Status], workflow: str | None, sort: Sort, descending: bool, limit: int, offset: int
) -> tuple[list[Job], int]:
    """Which workflow a job comes from is known by reading it, so all are read where that is asked for."""
    if not workflow:
        return await service.jobs(statuses, limit=min(limit, MOST), offset=offset, sort=sort, descending=descending, origin=True)
    jobs, _ = await service.jobs(statuses, limit=MOST, sort=sort, descending=descending, origin=True)
    found = [job for job in jobs if job_summary(job).get("workflow_id") == workflow]
    return found[offset : offset + limit], len(found)


async def one(request: web.Request) -> web.Response:
    job = await request.app[keys.SERVICE].job(request.match_info["id"], origin=True)
    return _not_found() if job is None else web.json_response(job_detail(redacted(request, job)))


async def cancel(request: web.Request) -> web.Response:
    """Stop a job that waits or runs; one that has ended stays as it is."""
    service, id = request.app[keys.SERVICE], request.match_info["id"]
    if await service.cancel(id):
        return web.json_response({"cancelled": True})
    job = await service.job(id)
    return _not_found() if job is None else web.json_response({"cancelled": job.status not in ENDED})


async def cancel_several(request: web.Request) -> web.Response:
    ids = (await json_object(request)).get("job_ids")
    if not isinstance(ids, list) or not all(isinstance(id, str) for id in ids) or not 0 < len(ids) <= MOST:
        return _bad("job_ids must be a list of ids")
    stopped = [await request.app[keys.SERVICE].cancel(id) for id in ids]
    return web.json_response({"cancelled": any(stopped)})


# --------------------------------------------------------------------------------------------- requests and answers


def _not_found() -> web.Response:
    return web.json_response({"error": "Job not found"}, status=404)


def _bad(message: str) -> web.Response:
    return web.json_response({"error": message}, status=400)


class _BadQuery(web.HTTPBadRequest):
    def __init__(self, message: str) -> None:
        super().__init__(text=_bad(message).text, content_type="application/json")


def _choice(name: str, value: str, choices: dict[str, Any] | Any) -> Any:
    if value not in choices:
        raise _BadQuery(f"{name} must be one of {', '.join(choices)}, not {shorten(value)}")
    return choices[value]


def _natural(request: web.Request, name: str, least: int = 0) -> int | None:
    text = request.query.get(name)
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9) or int(text) < least:
        raise _BadQuery(f"{name} must be a whole number from {least}")
    return int(text)
