"""Runs: asked for, looked at, stopped, repeated, forgotten. `/runs`, `/queue`."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, get_args

from aiohttp import web

from nodegraph.document import Document
from nodegraph.errors import NodegraphError, NotAChoice, did_you_mean, shorten
from nodegraph.server import keys
from nodegraph.server.catalog.lately import Lately
from nodegraph.server.queue.errors import Conflict, UnknownJob
from nodegraph.server.queue.model import ENDED, Job, Status, Submission
from nodegraph.server.queue.store.packing import encode
from nodegraph.server.safety.body import IN_A_THREAD
from nodegraph.server.v1 import shapes
from nodegraph.server.v1.binding import Answered
from nodegraph.server.v1.library import title_of
from nodegraph.server.v1.operation import JSON, operation
from nodegraph.server.v1.reading import Reader
from nodegraph.server.v1.telling import event_of, run_of

if TYPE_CHECKING:
    from nodegraph.server.queue.service import Service
    from nodegraph.server.v1.requests import EventsAsked, MoveRequest, RunRequest, RunsAsked

PICTURES: Final = ("image/png", "image/webp")
MOST_LISTED: Final = 1000
MOST_EVENTS: Final = 5000
STATUSES: Final[tuple[Status, ...]] = get_args(Status)


class RunsDesk:
    tag = "Runs"

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._lately: Lately[_Asked] = Lately()

    @operation("POST", "/runs", status=201, takes=(JSON, *PICTURES), others=(200, 404, 409, 429))
    async def submit(self, request: web.Request, body: RunRequest) -> Answered[shapes.Accepted]:
        """Queue a run. When the answer comes the run is on disk. 200 if a run of this id and content was accepted before."""
        service = service_of(request)
        asked = await self._asked(request, body)
        submission = replace(asked.submission, id=body.id or str(uuid.uuid4()))
        known = body.id is not None and await service.job(submission.id) is not None
        run = told(request, await service.submit(submission))
        return Answered(_accepted(run, asked, request), {"Location": f"/api/v1/runs/{run['id']}"}, 200 if known else 201)

    async def _asked(self, request: web.Request, body: RunRequest) -> _Asked:
        """What is to be run, checked; only looked up if the same request came before."""
        data, registry, files = await request.read(), await request.app[keys.REGISTRY](), request.app[keys.FILES]
        known = self._lately.find(data, registry, files)
        if known is not None:
            return known
        read = await self._reader.read(request, body)
        submission = await asyncio.to_thread(_submission, body, read.document)
        if len(data) > IN_A_THREAD:
            service_of(request).prepare(submission.document_text, submission.targets)
        graph = await self._reader.check(request, read.document, body.targets)
        asked = _Asked(submission, read.warnings, graph.left_out)
        if not isinstance(body.workflow, str) and not body.secrets and not graph.left_out:
            self._lately.keep(data, asked, asked.submission.document, registry)
        return asked

    @operation("GET", "/runs", others=(400,))
    async def runs(self, request: web.Request, query: RunsAsked) -> shapes.RunPage:
        """A page of runs, newest first unless asked otherwise."""
        statuses = [_status(name.strip()) for name in query.status.split(",") if name.strip()]
        jobs, total = await service_of(request).jobs(
            statuses, limit=query.limit, offset=query.offset, sort=query.sort, descending=query.order == "desc", search=query.search
        )
        return {"runs": [told(request, job) for job in jobs], "total": total, "limit": query.limit, "offset": query.offset}

    @operation("GET", "/runs/{id}", others=(404,))
    async def run(self, request: web.Request, id: str) -> shapes.Run:
        """One run with what its nodes show."""
        return told(request, await job_of(request, id))

    @operation("GET", "/runs/{id}/workflow", others=(404,))
    async def run_workflow(self, request: web.Request, id: str) -> shapes.RunDocument:
        """What was run, with its overrides."""
        await job_of(request, id)
        return {"workflow": await service_of(request).document(id)}

    @operation("GET", "/runs/{id}/log", others=(400, 404))
    async def run_log(self, request: web.Request, id: str, query: EventsAsked) -> shapes.RunEvents:
        """What has been told so far, without waiting for more. A long log comes in parts: go on behind `last` until nothing comes."""
        redactor = request.app[keys.REDACTOR]
        events = (await service_of(request).events(id, query.after))[:MOST_EVENTS]
        return {"events": [event_of(event, redactor) for event in events], "last": events[-1].seq if events else query.after}

    @operation("POST", "/runs/{id}/cancel", others=(404, 409))
    async def cancel(self, request: web.Request, id: str) -> shapes.Run:
        """Stop a run that waits or goes on; it ends a moment later, which its log tells."""
        if not await service_of(request).cancel(id):
            job = await job_of(request, id)
            raise Conflict(f"run {shorten(id)} is {job.status}", hint="only a run that waits or goes on can be cancelled")
        return told(request, await job_of(request, id))

    @operation("POST", "/runs/{id}/retry", status=201, others=(404, 409, 429))
    async def retry(self, request: web.Request, id: str) -> Answered[shapes.Run]:
        """Queue an ended run once more, as a new one."""
        run = told(request, await service_of(request).retry(id))
        return Answered(run, {"Location": f"/api/v1/runs/{run['id']}"})

    @operation("PATCH", "/runs/{id}", others=(404, 409))
    async def move(self, request: web.Request, id: str, body: MoveRequest) -> shapes.Run:
        """Give a waiting run another place in the queue."""
        return told(request, await service_of(request).reorder(id, number=body.number, front=body.front))

    @operation("DELETE", "/runs/{id}", status=204, others=(404, 409))
    async def forget(self, request: web.Request, id: str) -> None:
        """Erase a run with its log; one that waits is cancelled first. Files that it saved stay."""
        if not await service_of(request).delete([id]):
            job = await job_of(request, id)
            raise Conflict(f"run {shorten(id)} is {job.status}", hint="cancel it first")


class QueueDesk:
    tag = "Queue"

    @operation("GET", "/queue")
    async def queue(self, request: web.Request) -> shapes.Queue:
        """What runs and what waits; of a very long queue its beginning."""
        service = service_of(request)
        return {
            "paused": service.paused,
            "running": [told(request, job) for job in service.running()],
            "pending": [told(request, job) for job in service.pending()[:MOST_LISTED]],
            "remaining": service.remaining,
        }

    @operation("POST", "/queue/pause")
    async def pause(self, request: web.Request) -> shapes.Queue:
        """Start no more runs, also after a restart of the server; what runs goes on."""
        await service_of(request).pause()
        return await self.queue(request)

    @operation("POST", "/queue/resume")
    async def resume(self, request: web.Request) -> shapes.Queue:
        """Go on starting runs."""
        await service_of(request).resume()
        return await self.queue(request)

    @operation("POST", "/queue/clear")
    async def clear(self, request: web.Request) -> shapes.Cleared:
        """Cancel everything that waits; what runs goes on."""
        return {"cancelled": await service_of(request).clear_pending()}


# ------------------------------------------------------------------------------------------------ single steps


def service_of(request: web.Request) -> Service:
    return request.app[keys.SERVICE]


async def job_of(request: web.Request, id: str) -> Job:
    """Raises UnknownJob."""
    job = await service_of(request).job(id)
    if job is None:
        raise UnknownJob(f"there is no run {shorten(id)}", hint="it may have been deleted, or dropped as one of the oldest")
    return job


def told(request: web.Request, job: Job) -> shapes.Run:
    return run_of(job, request.app[keys.REDACTOR])


def has_ended(job: Job) -> bool:
    return job.status in ENDED


@dataclass(frozen=True, slots=True)
class _Asked:
    """A run as it is asked for, still without an id. left_out: faults of nodes that no target depends on"""

    submission: Submission
    warnings: list[str]
    left_out: tuple[NodegraphError, ...]


def _submission(body: RunRequest, document: Document) -> Submission:
    """Nobody in particular is its client: whoever may use this API may follow every run."""
    data = document.to_json()
    return Submission(
        id="",
        document=data,
        document_text=encode(data),
        targets=tuple(body.targets) if body.targets is not None else None,
        number=body.number,
        front=body.front,
        title=body.title or title_of(data)[:1000],
        previews=body.previews,
        trace=body.trace,
        secrets=body.secrets,
    )


def _accepted(run: shapes.Run, asked: _Asked, request: web.Request) -> shapes.Accepted:
    tell = request.app[keys.REDACTOR].value
    out: Any = dict(run)
    if asked.warnings:
        out["warnings"] = asked.warnings
    if asked.left_out:
        out["left_out"] = [tell(fault.to_json()) for fault in asked.left_out]
    accepted: shapes.Accepted = out
    return accepted


def _status(name: str) -> Status:
    for status in STATUSES:
        if name == status:
            return status
    hint = did_you_mean(name, STATUSES, f"there is: {', '.join(STATUSES)}")
    raise NotAChoice(f"{shorten(name)} is no status of a run", hint=hint, input="status")
