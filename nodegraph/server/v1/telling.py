"""Runs and their events as the API tells them: without paths of this machine, with addresses where there are files."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from nodegraph.server.queue.model import Job, JobEvent
from nodegraph.server.safety.redaction import Redactor
from nodegraph.server.v1.operation import PREFIX
from nodegraph.server.v1.shapes import Run


def run_of(job: Job, redactor: Redactor) -> Run:
    base = f"{PREFIX}/runs/{quote(job.id, safe='')}"
    return {
        "id": job.id,
        "status": job.status,
        "title": job.title,
        "number": job.number,
        "created": job.created,
        "started": job.started,
        "ended": job.ended,
        "attempt": job.attempt,
        "targets": list(job.targets) if job.targets is not None else None,
        "retry_of": job.retry_of,
        "outputs": {node: shown(items) for node, items in job.outputs.items()},
        "error": redactor.value(job.error),
        "links": {name: f"{base}/{name}" for name in ("events", "socket", "log", "assets", "explain", "trace", "workflow")},
    }


def shown(items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a node shows. Files are told by name and address."""
    return [{name: _file(value) if is_file(value) else value for name, value in item.items()} for item in items]


def is_file(value: Any) -> bool:
    """Whether this is a file that a node saved (`SavedFile.to_json`)."""
    return isinstance(value, Mapping) and value.keys() >= {"name", "root", "path", "size"}


def _file(value: Mapping[str, Any]) -> dict[str, Any]:
    folder, name = posixpath.split(str(value["name"]))
    address = urlencode({"filename": name, "subfolder": folder, "type": value["root"]})
    return {"name": value["name"], "folder": value["root"], "size": value["size"], "url": f"/api/view?{address}"}


def event_of(event: JobEvent, redactor: Redactor) -> dict[str, Any]:
    """One line of a log: `seq`, `time`, `event`, and what goes with that."""
    data = dict(event.data)
    if data.get("shown"):
        data["shown"] = shown(data["shown"])
    for name in ("error", "reason", "text"):
        if data.get(name):
            data[name] = redactor.value(data[name])
    return {"seq": event.seq, "time": event.time, **data}
