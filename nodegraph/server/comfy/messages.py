"""Our events as ComfyUI's websocket messages, in the order in which its clients expect them."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from nodegraph.server.comfy.history import display_node, end_message, ui_output
from nodegraph.server.queue.model import Job, JobEvent, LivePreview

PREVIEW_IMAGE: Final = 1
TEXT: Final = 3
PREVIEW_IMAGE_WITH_METADATA: Final = 4
_JPEG: Final = 1

STATE_SECONDS: Final = 0.1
STATE_SECONDS_PER_NODE: Final = 0.0005
"""`progress_state` tells of all nodes every time: the more there are, the rarer it is told, so that the whole stays linear"""

Message = dict[str, Any]


def message(type_: str, **data: Any) -> Message:
    return {"type": type_, "data": data}


def status(remaining: int, sid: str | None = None) -> Message:
    told = message("status", status={"exec_info": {"queue_remaining": remaining}})
    if sid is not None:
        told["data"]["sid"] = sid
    return told


@dataclass(slots=True)
class _Progress:
    value: float = 0.0
    max: float = 1.0
    state: str = "running"


@dataclass(slots=True)
class Narrator:
    """Tells one run to a client: events in, messages out. Fed with a run's events from the first one on."""

    job: str
    prompt: Mapping[str, Any] = field(default_factory=dict)
    """the nodes as the client posted them"""
    started: float | None = None
    """when the job was begun, in seconds since 1970"""
    doing: str | None = None
    """the node that was started last"""
    _nodes: dict[str, _Progress] = field(default_factory=dict)
    _types: dict[str, str] = field(default_factory=dict)
    _executed: list[str] = field(default_factory=list)
    _told_at: float = float("-inf")
    _untold: bool = False

    def tell(self, event: JobEvent) -> list[Message]:
        """The messages for one event; many events have none."""
        teller = _TELLERS.get(str(event.data.get("event")))
        return [] if teller is None else teller(self, event)

    def end(self, job: Job) -> list[Message]:
        """The last messages of a run but for `status` and the empty `executing`; none if it never began."""
        if job.started is None:
            return []
        last = self.doing or ""
        told = end_message(job, self._executed, _ms(job.ended or 0.0), (self.display(last), self._types.get(last, "")))
        return [*([self._state()] if self._untold else []), message(told[0], **told[1])]

    def display(self, id: str) -> str:
        return display_node(id, self.prompt)

    # ------------------------------------------------------------------------------ one event each

    def _job_started(self, event: JobEvent) -> list[Message]:
        self.started = event.time
        return []

    def _run_started(self, event: JobEvent) -> list[Message]:
        self._nodes.clear()
        self._executed.clear()
        self.doing = None
        at = _ms(event.time)
        start = message("execution_start", prompt_id=self.job, timestamp=at)
        return [start, message("execution_cached", nodes=list(event.data.get("cached", ())), prompt_id=self.job, timestamp=at)]

    def _node_started(self, event: JobEvent) -> list[Message]:
        id = str(event.data["node"])
        self.doing = id
        self._types[id] = str(event.data.get("type", ""))
        self._nodes[id] = _Progress()
        return [*self._changed(event.time), self.executing(id)]

    def _progress(self, event: JobEvent) -> list[Message]:
        id, value, total = str(event.data["node"]), event.data.get("value"), event.data.get("total")
        if not isinstance(value, int | float) or not isinstance(total, int | float):
            return []
        node = self._nodes.setdefault(id, _Progress())
        node.value, node.max = value, total
        told = message("progress", value=value, max=total, prompt_id=self.job, node=id)
        return [*self._changed(event.time), told]

    def _node_finished(self, event: JobEvent) -> list[Message]:
        id = str(event.data["node"])
        messages: list[Message] = []
        if not event.data.get("cached"):
            self._executed.append(id)
            node = self._nodes.setdefault(id, _Progress())
            node.value, node.state = node.max, "finished"
            messages = self._changed(event.time)
        output = ui_output(event.data.get("shown", ()))
        if output:
            messages.append(message("executed", node=id, display_node=self.display(id), output=output, prompt_id=self.job))
        return messages

    def _node_failed(self, event: JobEvent) -> list[Message]:
        node = self._nodes.get(str(event.data["node"]))
        if node is None:
            return []
        node.state = "error"
        return self._changed(event.time)

    # ------------------------------------------------------------------------------ messages of more than one event

    def executing(self, id: str) -> Message:
        return message("executing", node=id, display_node=self.display(id), prompt_id=self.job)

    def _changed(self, time: float) -> list[Message]:
        """`progress_state` if it is due; else it is owed, and told with the next one or at the end."""
        self._untold = True
        if time - self._told_at < max(STATE_SECONDS, STATE_SECONDS_PER_NODE * len(self._nodes)):
            return []
        self._told_at = time
        return [self._state()]

    def _state(self) -> Message:
        self._untold = False
        nodes = {
            id: {"value": node.value, "max": node.max, "state": node.state, **node_names(self.job, id, self.display(id))}
            for id, node in self._nodes.items()
        }
        return message("progress_state", prompt_id=self.job, nodes=nodes)


_TELLERS: Final = {
    "job_started": Narrator._job_started,
    "run_started": Narrator._run_started,
    "node_started": Narrator._node_started,
    "progress": Narrator._progress,
    "node_finished": Narrator._node_finished,
    "node_failed": Narrator._node_failed,
}


def ending(job: str) -> Message:
    """The last message of a run, which many clients wait for."""
    return message("executing", node=None, prompt_id=job)


def node_names(job: str, id: str, display: str) -> dict[str, Any]:
    """A node as messages name it: by itself, and by the one of the workflow that it belongs to."""
    parent = None if display == id else display
    return {"node_id": id, "prompt_id": job, "display_node_id": display, "parent_node_id": parent, "real_node_id": id}


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


# --------------------------------------------------------------------------------------------- binary frames


def preview_frame(preview: LivePreview) -> bytes:
    """Type 1: a picture, and nothing about what it belongs to."""
    return struct.pack(">II", PREVIEW_IMAGE, _JPEG) + preview.jpeg


def preview_frame_with_metadata(preview: LivePreview, display: str) -> bytes:
    """Type 4: a picture with the run and the node it belongs to."""
    told = {**node_names(preview.job, preview.node, display), "image_type": "image/jpeg"}
    data = json.dumps(told).encode()
    return struct.pack(">II", PREVIEW_IMAGE_WITH_METADATA, len(data)) + data + preview.jpeg


def text_frame(node: str, text: str) -> bytes:
    """Type 3: a few words beside the progress of a node."""
    id = node.encode()
    return struct.pack(">II", TEXT, len(id)) + id + text.encode("utf-8", "replace")


def progress_text(event: JobEvent) -> tuple[str, str] | None:
    """(node, words) of an event that has words beside its progress."""
    text = event.data.get("text")
    told = event.data.get("event") == "progress" and isinstance(text, str) and text
    return (str(event.data["node"]), str(text)) if told else None


def replay(narrator: Narrator, events: Sequence[JobEvent]) -> None:
    """Bring a narrator to where a run is, for a client that joins it late; nothing is told."""
    for event in events:
        narrator.tell(event)
