"""Runs as ComfyUI's `/api/jobs` lists them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from nodegraph.server.comfy.history import end_message, history_entry, milliseconds, outputs_of, plain_number, queue_item
from nodegraph.server.queue.model import Job, Status

THEIRS: Final[Mapping[Status, str]] = {
    "pending": "pending",
    "running": "in_progress",
    "done": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}
OURS: Final[Mapping[str, Status]] = {theirs: ours for ours, theirs in THEIRS.items()}
LONGEST_PREVIEW: Final = 1024
"""characters of text in a preview"""


def job_summary(job: Job) -> dict[str, Any]:
    """One line of the list. Keys without a value are left out."""
    outputs = outputs_of(job)
    files = [(id, kind, item) for id, kind, item in _items(outputs) if isinstance(item, dict)]
    ended = job.status in ("done", "failed", "cancelled")
    out = {
        "id": job.id,
        "status": THEIRS[job.status],
        "priority": plain_number(job.number),
        "create_time": milliseconds(job.created),
        "execution_start_time": milliseconds(job.started) if ended else None,
        "execution_end_time": milliseconds(job.ended),
        "execution_error": end_message(job, (), milliseconds(job.ended))[1] if job.status == "failed" else None,
        "outputs_count": len(files),
        "previewable_outputs_count": sum(kind in ("images", "video", "audio") for _, kind, _ in files),
        "preview_output": _preview(outputs),
        "workflow_id": _workflow_id(job),
    }
    return {key: value for key, value in out.items() if value is not None}


def job_detail(job: Job) -> dict[str, Any]:
    """One job with its outputs, once it has ended, and its workflow."""
    item = queue_item(job)
    out = {**job_summary(job), "workflow": {"prompt": item[2], "extra_data": item[3]}}
    if job.ended is not None:
        entry = history_entry(job)
        out |= {"outputs": entry["outputs"], "execution_status": entry["status"]}
    return out


def _items(outputs: Mapping[str, Mapping[str, list[Any]]]) -> Iterator[tuple[str, str, Any]]:
    for id, lists in outputs.items():
        for kind, items in lists.items():
            for item in items:
                yield id, kind, item


def _preview(outputs: Mapping[str, Mapping[str, list[Any]]]) -> dict[str, Any] | None:
    """What stands for the job in a list: a saved picture before a temporary one before text."""
    found = [(id, kind, item) for id, kind, item in _items(outputs) if kind in ("images", "video", "audio", "text")]
    ranked = sorted(found, key=lambda entry: _rank(entry[2]))
    if not ranked:
        return None
    id, kind, item = ranked[0]
    told = item if isinstance(item, dict) else _text_preview(item)
    return {**told, "nodeId": id, "mediaType": kind}


def _rank(item: Any) -> int:
    return 2 if not isinstance(item, dict) else 0 if item.get("type") == "output" else 1


def _text_preview(text: str) -> dict[str, Any]:
    return {"content": text} if len(text) <= LONGEST_PREVIEW else {"content": text[:LONGEST_PREVIEW], "truncated": True}


def _workflow_id(job: Job) -> str | None:
    place: Any = job.origin
    for key in ("extra_data", "extra_pnginfo", "workflow", "id"):
        place = place.get(key) if isinstance(place, Mapping) else None
    return place if isinstance(place, str) else None
