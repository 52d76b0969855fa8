"""What a run did and why: `/runs/{id}/explain`, `/runs/{id}/trace`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from nodegraph.document import parse_document
from nodegraph.errors import shorten
from nodegraph.server import keys
from nodegraph.server.queue.errors import UnknownJob
from nodegraph.server.queue.model import Job, JobEvent
from nodegraph.server.v1 import shapes
from nodegraph.server.v1.faults import WorkerAway
from nodegraph.server.v1.operation import operation
from nodegraph.server.v1.runs_desk import job_of, service_of
from nodegraph.server.v1.trace import trace_of
from nodegraph.subgraphs import entry_at

if TYPE_CHECKING:
    from nodegraph.server.queue.service import Service
    from nodegraph.server.v1.requests import ExplainAsked

LOOKED_AT: Final = 20
"""earlier runs among which one of the same workflow is looked for"""
ALIKE: Final = 0.5
"""part of the nodes that two runs must have in common to be of the same workflow"""
PATIENCE: Final = 30.0
"""seconds that a worker has to answer; it may be starting"""
NOT_KEPT: Final = "its result was not kept"
AT_HAND: Final = "its result was at hand"


class WhyDesk:
    tag = "Runs"

    @operation("GET", "/runs/{id}/explain", others=(400, 404, 503))
    async def explain(self, request: web.Request, id: str, query: ExplainAsked) -> shapes.Explanation:
        """Why each node was run: which inputs, files or code differ from an earlier run. Files are compared as they are now."""
        service, job = service_of(request), await job_of(request, id)
        document = await service.document(id)
        since = await _given(service, query.since) if query.since is not None else await _earlier(service, job, document)
        before = await service.document(since) if since is not None else None
        reasons = await _reasons(request, document, job, before)
        return {"run": id, "since": since, "nodes": explained(document, reasons, await log_of(service, id))}

    @operation("GET", "/runs/{id}/trace", others=(404,))
    async def trace(self, request: web.Request, id: str) -> dict[str, Any]:
        """Where the time went, for chrome://tracing and ui.perfetto.dev. Ask for the run with `trace: true` to have all spans."""
        job = await job_of(request, id)
        return await asyncio.to_thread(trace_of, job, await log_of(service_of(request), id))


async def log_of(service: Service, id: str) -> list[JobEvent]:
    events: list[JobEvent] = []
    while more := await service.events(id, events[-1].seq if events else 0):
        events += more
    return events


# ------------------------------------------------------------------------------------------------ which run to compare with


async def _given(service: Service, since: str) -> str:
    if await service.job(since) is None:
        raise UnknownJob(f"there is no run {shorten(since)}", hint="`since` must be the id of a run")
    return since


async def _earlier(service: Service, job: Job, document: Mapping[str, Any]) -> str | None:
    """The last run before this one that was of much the same workflow."""
    jobs, _ = await service.jobs(("done", "failed", "cancelled", "running"), limit=LOOKED_AT + 1)
    mine = _nodes_of(document)
    for other in jobs:
        if other.id != job.id and other.created <= job.created:
            try:
                theirs = _nodes_of(await service.document(other.id))
            except UnknownJob:
                continue
            if len(mine & theirs) >= ALIKE * len(mine | theirs):
                return other.id
    return None


def _nodes_of(document: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {(id, str(node.get("type"))) for id, node in document["nodes"].items()}


# ------------------------------------------------------------------------------------------------ asking


async def _reasons(
    request: web.Request, document: Mapping[str, Any], job: Job, before: Mapping[str, Any] | None
) -> Mapping[str, list[str]]:
    """By node, what differs. Raises WorkerAway, or Problems if today's nodes would refuse the workflow."""
    from nodegraph.server.supervision.life import WorkerLost

    for worker in request.app[keys.WORKERS]:
        if hasattr(worker, "explain"):
            try:
                async with asyncio.timeout(PATIENCE):
                    found = await worker.explain(document, job.targets, before)
            except (TimeoutError, WorkerLost) as error:
                raise WorkerAway("the worker does not answer", hint="try again in a moment") from error
            reasons: Mapping[str, list[str]] = found["reasons"]
            return reasons
    raise WorkerAway("there is no worker that could tell")


def explained(document: Mapping[str, Any], reasons: Mapping[str, list[str]], events: Iterable[JobEvent]) -> list[shapes.Explained]:
    """One entry for each node that the run needs, in the order of the reasons."""
    done = {event.data["node"]: event.data for event in events if event.data.get("event") in ("node_finished", "node_failed")}
    cached = {id for event in events if event.data.get("event") == "run_started" for id in event.data.get("cached", ())}
    found: list[shapes.Explained] = []
    parsed = parse_document(document)
    for id, lines in reasons.items():
        node = entry_at(parsed, id)
        if node is not None:
            told = done.get(id, {"cached": True} if id in cached else None)
            ran = None if told is None else not told.get("cached", False)
            said = [AT_HAND] if ran is False else list(lines) or [NOT_KEPT]
            found.append({"node": id, "type": node.type, "ran": ran, "seconds": told.get("seconds") if told else None, "reasons": said})
    return found
