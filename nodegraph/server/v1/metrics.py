"""`/metrics`: what there is to watch, in Prometheus' text format 0.0.4."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from aiohttp import web

from nodegraph import __version__
from nodegraph.errors import NodegraphError
from nodegraph.server import keys
from nodegraph.server.memory import resident_bytes
from nodegraph.server.queue.counters import Counters
from nodegraph.server.queue.histogram import Histogram
from nodegraph.server.v1.operation import operation
from nodegraph.server.v1.runs_desk import STATUSES, service_of

CONTENT: Final = "text/plain; version=0.0.4; charset=utf-8"
PATIENCE: Final = 0.5
"""seconds that a worker has to answer; it may be at work"""

Labels = Mapping[str, str]


class Metric(NamedTuple):
    """samples: (ending of the name, labels, value)"""

    name: str
    kind: str
    help: str
    samples: Sequence[tuple[str, Labels, float]]


class MetricsDesk:
    tag = "Server"

    @operation("GET", "/metrics", prefix="", content="text/plain")
    async def metrics(self, request: web.Request) -> web.Response:
        """Counts, times and sizes for Prometheus."""
        service = service_of(request)
        jobs = {status: (await service.jobs(status, limit=1))[1] for status in STATUSES}
        own = [
            one("nodegraph_info", "gauge", "1; the version is in its label.", 1, version=__version__),
            Metric("nodegraph_jobs", "gauge", "Runs in the database.", [("", {"status": name}, count) for name, count in jobs.items()]),
            one("nodegraph_queue_length", "gauge", "Runs that wait.", len(service.pending())),
            one("nodegraph_queue_paused", "gauge", "1 if no more runs are started.", service.paused),
            one("nodegraph_readers", "gauge", "Open sockets and event streams.", len(service.hub)),
            one("nodegraph_server_resident_bytes", "gauge", "Memory of the server process.", resident_bytes()),
        ]
        processes = request.app[keys.WORKERS]
        told = text([*own, *_counted(service.counters), *await workers(processes)])
        return web.Response(body=told.encode(), headers={"Content-Type": CONTENT})


def one(name: str, kind: str, help: str, value: float, **labels: str) -> Metric:
    return Metric(name, kind, help, [("", labels, value)])


def _counted(counters: Counters) -> Iterator[Metric]:
    """Since the server started."""
    yield one("nodegraph_jobs_submitted_total", "counter", "Runs accepted.", counters.submitted)
    yield one("nodegraph_jobs_started_total", "counter", "Runs begun, repeated ones too.", counters.started)
    ended = {"done": counters.done, "failed": counters.failed, "cancelled": counters.cancelled}
    yield Metric("nodegraph_jobs_ended_total", "counter", "Runs ended.", [("", {"status": name}, count) for name, count in ended.items()])
    yield one("nodegraph_jobs_lost_total", "counter", "Runs whose worker or server died.", counters.lost)
    yield one("nodegraph_jobs_retried_total", "counter", "Lost runs that were begun again.", counters.retried)
    yield histogram("nodegraph_run_seconds", "How long runs took.", counters.seconds)
    yield histogram("nodegraph_event_lag_seconds", "From when an event came from the worker until it was told.", counters.lag)


def histogram(name: str, help: str, counts: Histogram) -> Metric:
    samples: list[tuple[str, Labels, float]] = [("_bucket", {"le": f"{bound:g}"}, count) for bound, count in counts.up_to()]
    samples += [("_bucket", {"le": "+Inf"}, counts.total), ("_sum", {}, counts.sum), ("_count", {}, counts.total)]
    return Metric(name, "histogram", help, samples)


# ------------------------------------------------------------------------------------------------ workers


async def workers(processes: Iterable[Any]) -> list[Metric]:
    """What is known of the workers, and what they answer in time."""
    found = {str(number): (getattr(worker, "status", None), await _stats(worker)) for number, worker in enumerate(processes)}
    status = {name: status for name, (status, _) in found.items() if status is not None}
    stats = {name: stats for name, (_, stats) in found.items() if stats}

    def asked(name: str, kind: str, help: str, *path: str) -> Metric:
        return Metric(name, kind, help, [("", {"worker": worker}, _at(told, path)) for worker, told in stats.items()])

    up = {name: each.state in ("idle", "busy") for name, each in status.items()}
    restarts = {name: max(0, each.lives - 1) for name, each in status.items()}
    return [
        Metric("nodegraph_worker_up", "gauge", "1 if the worker is ready or at work.", _each(up)),
        Metric(
            "nodegraph_worker_busy", "gauge", "1 while it runs something.", _each({n: each.state == "busy" for n, each in status.items()})
        ),
        Metric("nodegraph_worker_restarts_total", "counter", "Worker processes that had to be started again.", _each(restarts)),
        asked("nodegraph_worker_resident_bytes", "gauge", "Memory of the worker process.", "rss"),
        asked("nodegraph_cache_hits_total", "counter", "Results found in memory.", "results", "hits"),
        asked("nodegraph_cache_misses_total", "counter", "Results looked for and not found in memory.", "results", "misses"),
        asked("nodegraph_cache_bytes", "gauge", "Results kept in memory.", "results", "bytes"),
        asked("nodegraph_cache_entries", "gauge", "Results kept in memory.", "results", "entries"),
        asked("nodegraph_weights_bytes", "gauge", "Weights that are loaded.", "weights", "bytes"),
    ]


async def _stats(worker: Any) -> Mapping[str, Any]:
    """Nothing if it is not up, or too busy to answer."""
    from nodegraph.server.supervision.life import WorkerLost

    if getattr(getattr(worker, "status", None), "state", "") in ("idle", "busy"):
        with contextlib.suppress(TimeoutError, WorkerLost, NodegraphError):
            async with asyncio.timeout(PATIENCE):
                found: Mapping[str, Any] = await worker.stats()
                return found
    return {}


def _each(values: Mapping[str, float]) -> list[tuple[str, Labels, float]]:
    return [("", {"worker": name}, value) for name, value in values.items()]


def _at(value: Any, path: Sequence[str]) -> float:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) else math.nan


# ------------------------------------------------------------------------------------------------ the format


def text(metrics: Iterable[Metric]) -> str:
    return "".join(line + "\n" for metric in metrics if metric.samples for line in _lines(metric))


def _lines(metric: Metric) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.help}"
    yield f"# TYPE {metric.name} {metric.kind}"
    for ending, labels, value in metric.samples:
        pairs = ",".join(f'{name}="{_escaped(label)}"' for name, label in labels.items())
        yield f"{metric.name}{ending}{'{' + pairs + '}' if pairs else ''} {_number(value)}"


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    if isinstance(value, bool) or float(value).is_integer():
        return str(int(value))
    return repr(float(value)).replace("nan", "NaN")
