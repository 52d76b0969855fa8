"""Runs as ComfyUI lists them: items of the queue, and entries of the history."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from nodegraph.server.comfy.classes import class_name
from nodegraph.server.queue.model import Job

_LISTS: Final[Mapping[str, str]] = {"image": "images", "video": "video", "audio": "audio", "text": "text"}
"""by what a node shows, the list that ComfyUI's clients look into"""
_EXCEPTION: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_.]*): ")


# --------------------------------------------------------------------------------------------- what nodes show


def ui_output(shown: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """`{"images": [{"filename", "subfolder", "type"}]}`, `{"text": [...]}` of what one node shows. Never a path of this machine."""
    out: dict[str, list[Any]] = {}
    for item in shown:
        told = _told(item)
        if told is not None:
            kind = str(item.get("kind", ""))
            out.setdefault(_LISTS.get(kind) or f"{kind}s", []).append(told)
    return out


def _told(item: Mapping[str, Any]) -> Any:
    file = item.get("file")
    if isinstance(file, Mapping):
        folder, name = posixpath.split(str(file.get("name", "")))
        return {"filename": name, "subfolder": folder, "type": str(file.get("root", "output"))}
    text = item.get("text")
    return text if isinstance(text, str) else None


def outputs_of(job: Job) -> dict[str, dict[str, list[Any]]]:
    """By node, what it shows."""
    told = {id: ui_output(shown) for id, shown in job.outputs.items()}
    return {id: out for id, out in told.items() if out}


# --------------------------------------------------------------------------------------------- items


def milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def plain_number(number: float) -> int | float:
    """Whole numbers as such: clients print them."""
    return int(number) if number.is_integer() else number


def queue_item(job: Job) -> list[Any]:
    """`[number, prompt_id, prompt, extra_data, outputs_to_execute]`."""
    origin = job.origin
    extra = {**origin.get("extra_data", {}), "create_time": milliseconds(job.created)}
    return [plain_number(job.number), job.id, origin.get("prompt", {}), extra, list(origin.get("outputs_to_execute", job.targets or ()))]


def history_entry(job: Job, cached: Sequence[str] = ()) -> dict[str, Any]:
    """`{"prompt", "outputs", "status", "meta"}` of a run that has ended. cached: nodes that did not have to run."""
    outputs = outputs_of(job)
    return {
        "prompt": queue_item(job),
        "outputs": outputs,
        "status": {
            "status_str": "success" if job.status == "done" else "error",
            "completed": job.status == "done",
            "messages": _messages(job, cached),
        },
        "meta": {id: {"node_id": id, "display_node": id, "parent_node": None, "real_node_id": id} for id in outputs},
    }


def _messages(job: Job, cached: Sequence[str]) -> list[list[Any]]:
    start, end = milliseconds(job.started), milliseconds(job.ended)
    messages: list[list[Any]] = []
    if start is not None:
        messages.append(["execution_start", {"prompt_id": job.id, "timestamp": start}])
        messages.append(["execution_cached", {"nodes": list(cached), "prompt_id": job.id, "timestamp": start}])
    if job.ended is not None:
        messages.append([*end_message(job, (), end)])
    return messages


# --------------------------------------------------------------------------------------------- how a run ended


def end_message(job: Job, executed: Sequence[str], timestamp: int | None, last: tuple[str, str] = ("", "")) -> tuple[str, dict[str, Any]]:
    """(type, data) of the message that tells how a run ended. last: id and type of the node that ran when it was cancelled."""
    if job.status == "done":
        return "execution_success", {"prompt_id": job.id, "timestamp": timestamp}
    if job.status == "cancelled":
        node, type_ = last
        told = {"node_id": node, "node_type": _class_of(job, node, type_), "executed": list(executed)}
        return "execution_interrupted", {"prompt_id": job.id, **told, "timestamp": timestamp}
    return "execution_error", {"prompt_id": job.id, **_error(job, executed), "timestamp": timestamp}


def _error(job: Job, executed: Sequence[str]) -> dict[str, Any]:
    error = job.error or {}
    node = str(error.get("node", ""))
    message, name = str(error.get("message", "the run failed")), str(error.get("error", "Exception"))
    match = _EXCEPTION.match(message) if name == "NodeFailed" else None
    hint = error.get("hint")
    lines = [f"{error.get('code', '')} {name}: {message}".strip(), *([f"-> {hint}"] if hint else [])]
    return {
        "node_id": display_node(node, job.origin.get("prompt", {})),
        "node_type": _class_of(job, node, str(error.get("node_type", ""))),
        "executed": list(executed),
        "exception_message": f"{message[match.end() :] if match else message}\n{hint or ''}".rstrip(),
        "exception_type": match[1] if match else name,
        "traceback": [line + "\n" for line in lines],
        "current_inputs": {},
        "current_outputs": list(executed),
    }


def _class_of(job: Job, node: str, type_: str) -> str:
    known = job.origin.get("prompt", {}).get(node)
    return str(known["class_type"]) if isinstance(known, Mapping) and "class_type" in known else class_name(type_)


def display_node(id: str, known: Mapping[str, Any]) -> str:
    """The node of the workflow that a node belongs to: itself, or the one that was expanded into it (`3` of `3/0.add`)."""
    if "/" not in id or id in known:
        return id
    match = re.match(r"(.+?)/\d+\.", id)
    return match[1] if match else id
