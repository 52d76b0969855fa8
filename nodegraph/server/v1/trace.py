"""The log of a run as a trace that `chrome://tracing` and https://ui.perfetto.dev open: one row a thread, one bar a span.

Format: Trace Event Format, "complete" events (`ph` X) with times in microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from nodegraph.server.queue.model import Job, JobEvent

QUEUE_ROW: Final = "queue"
NODES_ROW: Final = "nodes"
PROCESS: Final = 1


def trace_of(job: Job, events: Iterable[JobEvent]) -> dict[str, Any]:
    """`{"traceEvents": [...]}`. A run that was not traced has a bar for each node only, and `traced` is false."""
    told = list(events)
    spans = [event.data for event in told if event.data.get("event") == "span"]
    rows: dict[str, int] = {}
    bars = [_wait(job, rows)]
    bars += [_bar(span["name"], span["start"], span["seconds"], _row(rows, span["thread"]), {"node": span["node"]}) for span in spans]
    if not spans:
        row = _row(rows, NODES_ROW)
        bars += [_bar(data["type"], time - data["seconds"], data["seconds"], row, {"node": data["node"]}) for time, data in _nodes(told)]
    names = [_name("process_name", 0, f"run {job.id}"), *(_name("thread_name", row, name) for name, row in rows.items())]
    return {
        "traceEvents": [*names, *bars],
        "displayTimeUnit": "ms",
        "otherData": {"run": job.id, "title": job.title, "status": job.status, "traced": bool(spans)},
    }


def _wait(job: Job, rows: dict[str, int]) -> dict[str, Any]:
    """From the submission to the start."""
    end = job.started if job.started is not None else job.ended if job.ended is not None else job.created
    return _bar("queue", job.created, max(0.0, end - job.created), _row(rows, QUEUE_ROW), {"attempt": job.attempt})


def _nodes(events: Iterable[JobEvent]) -> Iterable[tuple[float, Mapping[str, Any]]]:
    for event in events:
        if event.data.get("event") == "node_finished" and not event.data.get("cached"):
            yield event.time, event.data


def _row(rows: dict[str, int], name: str) -> int:
    return rows.setdefault(str(name), len(rows) + 1)


def _bar(name: str, start: float, seconds: float, row: int, more: Mapping[str, Any]) -> dict[str, Any]:
    times = {"ts": round(start * 1e6), "dur": max(0, round(seconds * 1e6))}
    return {"name": name, "cat": "nodegraph", "ph": "X", **times, "pid": PROCESS, "tid": row, "args": dict(more)}


def _name(what: str, row: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": PROCESS, "tid": row, "args": {"name": name}}
