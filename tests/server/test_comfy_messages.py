"""Our events as ComfyUI's websocket messages, and runs as it lists them: expectations written by hand."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from nodegraph import events as ev
from nodegraph.errors import NodeFailed, OutOfMemory
from nodegraph.server.comfy.history import history_entry, queue_item, ui_output
from nodegraph.server.comfy.jobs import job_detail, job_summary
from nodegraph.server.comfy.messages import (
    Narrator,
    ending,
    preview_frame,
    preview_frame_with_metadata,
    progress_text,
    replay,
    status,
    text_frame,
)
from nodegraph.server.queue.model import Job, JobEvent, LivePreview

PROMPT = {
    "3": {"class_type": "KSampler", "inputs": {}},
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {}},
    "9": {"class_type": "SaveImage", "inputs": {}},
}
SAVED = {
    "kind": "image",
    "file": {"name": "cats/fox_00001.png", "root": "output", "path": "/secret/output/cats/fox_00001.png", "size": 9, "mtime_ns": 1},
    "width": 8,
    "height": 8,
}
IMAGES = {"images": [{"filename": "fox_00001.png", "subfolder": "cats", "type": "output"}]}


class Log:
    """The log of one run, and what a client is told of it."""

    def __init__(self, prompt: Mapping[str, Any] = PROMPT) -> None:
        self.narrator = Narrator("job", prompt)
        self.events: list[JobEvent] = []

    def tell(self, event: ev.Event | dict[str, Any], time: float = 100.0) -> list[dict[str, Any]]:
        data = event if isinstance(event, dict) else event.to_json()
        self.events.append(JobEvent("job", len(self.events) + 1, time, data))
        messages = self.narrator.tell(self.events[-1])
        return [dict(message) for message in json.loads(json.dumps(messages))]

    def kinds(self, event: ev.Event, time: float = 100.0) -> list[str]:
        return [message["type"] for message in self.tell(event, time)]


def job(**changes: Any) -> Job:
    origin = {"prompt": PROMPT, "extra_data": {"extra_pnginfo": {"workflow": {"id": "w-1"}}}, "outputs_to_execute": ["9"]}
    base = Job("job", 2.0, "done", 90.0, client="me", started=100.0, ended=101.5, targets=("9",), outputs={"9": [SAVED]}, origin=origin)
    return replace(base, **changes)


# ------------------------------------------------------------------------------------------------ a run


def test_the_messages_of_a_run_in_their_order() -> None:
    log = Log()
    told = log.tell(ev.RunStarted(2, ["4"]), 100.0)
    assert told == [
        {"type": "execution_start", "data": {"prompt_id": "job", "timestamp": 100_000}},
        {"type": "execution_cached", "data": {"nodes": ["4"], "prompt_id": "job", "timestamp": 100_000}},
    ]
    state = {"node_id": "3", "prompt_id": "job", "display_node_id": "3", "parent_node_id": None, "real_node_id": "3"}
    assert log.tell(ev.NodeStarted("3", "KSampler"), 100.1) == [
        {"type": "progress_state", "data": {"prompt_id": "job", "nodes": {"3": {"value": 0.0, "max": 1.0, "state": "running", **state}}}},
        {"type": "executing", "data": {"node": "3", "display_node": "3", "prompt_id": "job"}},
    ]
    assert log.tell(ev.Progress("3", 1, 2), 100.3) == [
        {"type": "progress_state", "data": {"prompt_id": "job", "nodes": {"3": {"value": 1, "max": 2, "state": "running", **state}}}},
        {"type": "progress", "data": {"value": 1, "max": 2, "prompt_id": "job", "node": "3"}},
    ]
    assert log.tell(ev.NodeFinished("3", "KSampler", 0.5), 100.35) == []
    assert log.kinds(ev.NodeStarted("9", "SaveImage"), 100.36) == ["executing"]
    assert log.tell(ev.NodeFinished("9", "SaveImage", 0.1, shown=[SAVED]), 100.37) == [
        {"type": "executed", "data": {"node": "9", "display_node": "9", "output": IMAGES, "prompt_id": "job"}}
    ]
    assert log.tell(ev.RunFinished("done", 0.5, 2, 1), 100.4) == []
    last, success = log.narrator.end(job())
    assert {id: node["state"] for id, node in last["data"]["nodes"].items()} == {"3": "finished", "9": "finished"}
    assert last["data"]["nodes"]["3"]["value"] == 2
    assert success == {"type": "execution_success", "data": {"prompt_id": "job", "timestamp": 101_500}}
    assert ending("job") == {"type": "executing", "data": {"node": None, "prompt_id": "job"}}


def test_a_cached_node_with_pictures_is_told_as_executed_but_not_as_executing() -> None:
    log = Log()
    log.tell(ev.RunStarted(0, ["3", "9"]))
    assert log.tell(ev.NodeFinished("9", "SaveImage", 0.0, cached=True, shown=[SAVED]))[0]["data"]["output"] == IMAGES
    assert [message["type"] for message in log.narrator.end(job())] == ["execution_success"]


def test_states_are_told_ten_times_a_second_at_most_and_rarer_for_large_runs() -> None:
    log = Log({})
    log.tell(ev.RunStarted(5000, []))
    told, characters, now = 0, 0, 100.0
    for i in range(5000):
        now += 0.001
        messages = [*log.tell(ev.NodeStarted(str(i), "Echo"), now), *log.tell(ev.NodeFinished(str(i), "Echo", 0.001), now)]
        states = [message for message in messages if message["type"] == "progress_state"]
        told += len(states)
        characters += sum(len(json.dumps(message)) for message in states)
        assert any(message["type"] == "executing" for message in messages)
    assert 3 <= told <= 50
    assert characters < 5000 * 3000, "the whole stays linear"
    (last, _) = log.narrator.end(job())
    assert len(last["data"]["nodes"]) == 5000


def test_nodes_of_an_expansion_belong_to_the_node_that_was_expanded() -> None:
    log = Log({"3": {"class_type": "Loop"}, "odd/1.name": {"class_type": "Echo"}})
    log.tell(ev.RunStarted(2, []))
    state, executing = log.tell(ev.NodeStarted("3/0.add", "Add"))
    assert executing["data"] == {"node": "3/0.add", "display_node": "3", "prompt_id": "job"}
    node = state["data"]["nodes"]["3/0.add"]
    assert (node["display_node_id"], node["parent_node_id"], node["real_node_id"]) == ("3", "3", "3/0.add")
    (executing,) = log.tell(ev.NodeStarted("odd/1.name", "Echo"))
    assert executing["data"]["display_node"] == "odd/1.name"


def test_progress_without_an_end_is_not_told_as_a_share() -> None:
    log = Log()
    log.tell(ev.RunStarted(1, []))
    log.tell(ev.NodeStarted("3", "KSampler"))
    assert log.tell(ev.Progress("3", 5, None, "reading"), 200) == []
    assert progress_text(log.events[-1]) == ("3", "reading")
    assert progress_text(log.events[0]) is None


def test_events_of_the_queue_and_messages_of_nodes_are_not_told() -> None:
    log = Log()
    assert log.tell({"event": "job_started", "attempt": 1}) == []
    assert log.tell(ev.Log("3", "info", "hello")) == []
    assert log.tell({"event": "something new"}) == []


def test_a_retried_run_begins_anew() -> None:
    log = Log()
    log.tell(ev.RunStarted(2, []))
    log.tell(ev.NodeStarted("3", "KSampler"))
    log.tell({"event": "job_lost", "attempt": 1, "reason": "signal 9"})
    log.tell({"event": "job_retried", "attempt": 2})
    assert log.kinds(ev.RunStarted(2, [])) == ["execution_start", "execution_cached"]
    assert log.narrator.doing is None


def test_who_joins_late_knows_what_runs() -> None:
    log = Log()
    for event in (ev.RunStarted(2, []), ev.NodeStarted("3", "KSampler"), ev.Progress("3", 4, 9)):
        log.tell(event)
    late = Narrator("job", PROMPT)
    replay(late, log.events)
    assert late.doing == "3"
    finished = JobEvent("job", 4, 300.0, ev.NodeFinished("3", "KSampler", 1.0).to_json())
    assert late.tell(finished)[0]["data"]["nodes"]["3"]["value"] == 9


# ------------------------------------------------------------------------------------------------ other ends


def test_a_failure() -> None:
    log = Log()
    log.tell(ev.RunStarted(2, []))
    log.tell(ev.NodeFinished("4", "LoadCheckpoint", 0.1))
    log.tell(ev.NodeStarted("3", "KSampler"))
    error = NodeFailed("ValueError: the size is odd", node="3", node_type="KSampler", hint="use an even one")
    log.tell(ev.NodeFailed("3", error))
    failed = job(status="failed", outputs={}, error=error.to_json())
    state, told = log.narrator.end(failed)
    assert state["data"]["nodes"]["3"]["state"] == "error"
    assert told == {
        "type": "execution_error",
        "data": {
            "prompt_id": "job",
            "node_id": "3",
            "node_type": "KSampler",
            "executed": ["4"],
            "exception_message": "the size is odd\nuse an even one",
            "exception_type": "ValueError",
            "traceback": ["E201 NodeFailed: ValueError: the size is odd\n", "-> use an even one\n"],
            "current_inputs": {},
            "current_outputs": ["4"],
            "timestamp": 101_500,
        },
    }


@pytest.mark.parametrize(
    ("error", "node", "type_", "kind"),
    [
        (OutOfMemory("it does not fit", node="3/0.x", node_type="VAEDecode").to_json(), "3", "VAEDecode", "OutOfMemory"),
        ({"code": "E604", "error": "WorkerLost", "message": "signal 9"}, "", "", "WorkerLost"),
        (None, "", "", "Exception"),
    ],
)
def test_failures_of_expanded_nodes_and_of_no_node(error: Any, node: str, type_: str, kind: str) -> None:
    (told,) = Narrator("job", PROMPT).end(job(status="failed", error=error))
    assert (told["data"]["node_id"], told["data"]["node_type"], told["data"]["exception_type"]) == (node, type_, kind)


def test_an_interruption() -> None:
    log = Log()
    log.tell(ev.RunStarted(2, []))
    log.tell(ev.NodeFinished("4", "LoadCheckpoint", 0.1))
    log.tell(ev.NodeStarted("3", "KSampler"))
    told = log.narrator.end(job(status="cancelled", outputs={}))[-1]
    expected = {"prompt_id": "job", "node_id": "3", "node_type": "KSampler", "executed": ["4"], "timestamp": 101_500}
    assert told == {"type": "execution_interrupted", "data": expected}


def test_a_run_that_never_began_has_no_end() -> None:
    assert Narrator("job", PROMPT).end(job(status="cancelled", started=None, outputs={})) == []


# ------------------------------------------------------------------------------------------------ other messages and frames


def test_status() -> None:
    assert status(3) == {"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 3}}}}
    assert status(0, "me")["data"] == {"status": {"exec_info": {"queue_remaining": 0}}, "sid": "me"}


PREVIEW = LivePreview("job", "3", 8, 8, b"\xff\xd8jpeg")


def test_a_preview_without_and_with_its_place() -> None:
    assert preview_frame(PREVIEW) == struct.pack(">II", 1, 1) + b"\xff\xd8jpeg"
    frame = preview_frame_with_metadata(PREVIEW, "3")
    kind, length = struct.unpack(">II", frame[:8])
    assert kind == 4
    assert json.loads(frame[8 : 8 + length]) == {
        "node_id": "3",
        "prompt_id": "job",
        "display_node_id": "3",
        "parent_node_id": None,
        "real_node_id": "3",
        "image_type": "image/jpeg",
    }
    assert frame[8 + length :] == b"\xff\xd8jpeg"


def test_words_beside_the_progress() -> None:
    assert text_frame("ñ1", "läuft") == struct.pack(">II", 3, 3) + "ñ1".encode() + "läuft".encode()
    assert text_frame("1", "half \ud800")[9:] == b"half ?"


# ------------------------------------------------------------------------------------------------ queue, history, jobs


def test_an_item_of_the_queue() -> None:
    number, id, prompt, extra, outputs = queue_item(job(number=2.0))
    assert (number, id, prompt, outputs) == (2, "job", PROMPT, ["9"])
    assert extra == {"extra_pnginfo": {"workflow": {"id": "w-1"}}, "create_time": 90_000}
    assert queue_item(job(number=-0.5))[0] == -0.5
    assert queue_item(job(origin={}))[2:] == [{}, {"create_time": 90_000}, ["9"]]


def test_an_entry_of_the_history() -> None:
    assert history_entry(job(), ["4"]) == {
        "prompt": queue_item(job()),
        "outputs": {"9": IMAGES},
        "status": {
            "status_str": "success",
            "completed": True,
            "messages": [
                ["execution_start", {"prompt_id": "job", "timestamp": 100_000}],
                ["execution_cached", {"nodes": ["4"], "prompt_id": "job", "timestamp": 100_000}],
                ["execution_success", {"prompt_id": "job", "timestamp": 101_500}],
            ],
        },
        "meta": {"9": {"node_id": "9", "display_node": "9", "parent_node": None, "real_node_id": "9"}},
    }
    stopped = history_entry(job(status="cancelled", outputs={}))
    assert (stopped["status"]["status_str"], stopped["status"]["completed"]) == ("error", False)
    assert stopped["status"]["messages"][-1][0] == "execution_interrupted"
    assert history_entry(job(status="failed"))["status"]["messages"][-1][0] == "execution_error"


def test_what_nodes_show() -> None:
    assert ui_output([SAVED, {**SAVED, "file": {"name": "b.png", "root": "temp", "path": "/x"}}])["images"][1] == {
        "filename": "b.png",
        "subfolder": "",
        "type": "temp",
    }
    assert ui_output([{"kind": "text", "text": "a"}, {"kind": "text", "text": "b"}]) == {"text": ["a", "b"]}
    assert ui_output([{"kind": "file", "file": {"name": "m/net.safetensors", "root": "output"}}])["files"][0]["subfolder"] == "m"
    assert ui_output([{"kind": "plot", "points": [1, 2]}]) == {}
    assert "secret" not in json.dumps(history_entry(job()))


def test_a_job_in_the_list() -> None:
    preview = {**IMAGES["images"][0], "nodeId": "9", "mediaType": "images"}
    assert job_summary(job()) == {
        "id": "job",
        "status": "completed",
        "priority": 2,
        "create_time": 90_000,
        "execution_start_time": 100_000,
        "execution_end_time": 101_500,
        "outputs_count": 1,
        "previewable_outputs_count": 1,
        "preview_output": preview,
        "workflow_id": "w-1",
    }
    waiting = job_summary(job(status="pending", started=None, ended=None, outputs={}))
    assert waiting == {
        "id": "job",
        "status": "pending",
        "priority": 2,
        "create_time": 90_000,
        "outputs_count": 0,
        "previewable_outputs_count": 0,
        "workflow_id": "w-1",
    }
    failed = job_summary(job(status="failed", outputs={}, error={"error": "NodeFailed", "message": "KeyError: x", "node": "3"}))
    assert failed["execution_error"]["exception_type"] == "KeyError"
    assert job_summary(job(status="cancelled"))["status"] == "cancelled"


def test_saved_pictures_stand_for_a_job_before_passing_ones_and_text() -> None:
    passing = {**SAVED, "file": {"name": "p.png", "root": "temp"}}
    words = {"kind": "text", "text": "x" * 2000}
    assert job_summary(job(outputs={"1": [words], "2": [passing], "9": [SAVED]}))["preview_output"]["nodeId"] == "9"
    assert job_summary(job(outputs={"1": [words], "2": [passing]}))["preview_output"]["nodeId"] == "2"
    text = job_summary(job(outputs={"1": [words]}))
    assert text["preview_output"] == {"content": "x" * 1024, "truncated": True, "nodeId": "1", "mediaType": "text"}
    assert text["outputs_count"] == 0


def test_a_job_in_detail() -> None:
    detail = job_detail(job())
    assert detail["outputs"] == {"9": IMAGES}
    assert detail["execution_status"]["completed"] is True
    assert detail["workflow"]["prompt"] == PROMPT
    assert "outputs" not in job_detail(job(status="running", ended=None, outputs={}))


def test_a_long_run_is_told_in_linear_time() -> None:
    def seconds(count: int) -> float:
        log = Log({})
        begin = time.process_time()
        for i in range(count):
            log.narrator.tell(JobEvent("job", 1, 100.0 + i * 1e-5, ev.NodeStarted(str(i), "Echo").to_json()))
        return time.process_time() - begin

    little = min(seconds(1_000) for _ in range(5))
    assert seconds(40_000) < 400 * little, "40 times as long if linear, 1,600 times if every event looks at all before it"
