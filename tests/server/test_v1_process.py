"""The API of a served process with the shipped nodes: the commands of its README as they stand there, explanations, traces, metrics."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nodegraph.cli.main import parser
from tests.server.conftest import Process

PAGE = Path(__file__).parent.parent.parent / "nodegraph" / "server" / "README.md"
SPANS = {"queue", "key", "cache", "load", "move", "run", "encode", "save"}
pytestmark = pytest.mark.slow
TOKEN = "0123456789abcdef0123"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@dataclass
class Followed:
    """The server after all commands of the page. told: what each block of them printed"""

    address: str
    folder: Path
    told: list[str]

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.address}{path}", timeout=60) as answer:
            return json.loads(answer.read())

    def post(self, path: str, body: Any) -> None:
        request = urllib.request.Request(self.address + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()

    def wait(self, id: str) -> None:
        """Until a run has ended."""
        with urllib.request.urlopen(f"{self.address}/api/v1/runs/{id}/events", timeout=200) as answer:
            answer.read()


def write_curl(path: Path) -> None:
    """A program called `curl`, for a machine that has none."""
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).parent / "clients" / "curl.py"}" "$@"\n')
    path.chmod(0o755)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Followed]:
    if shutil.which("bash") is None:
        pytest.skip("the page is for people who have bash")
    folder = tmp_path_factory.mktemp("page")
    programs = folder / "programs"
    programs.mkdir()
    if shutil.which("curl") is None:
        write_curl(programs / "curl")
    process = Process("--device", "cpu", cwd=folder, environ={"NODEGRAPH_CACHE": str(folder / "cache")})
    try:
        address = process.address()
        mark = "=== next ==="
        script = f"\necho; echo '{mark}'\n".join(blocks("sh")).replace("http://127.0.0.1:8188", address)
        environ = {"PATH": f"/usr/bin:/bin:/usr/local/bin:{programs}", "NODEGRAPH_TOKEN": TOKEN, "HOME": str(folder)}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environ, capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == 0, (done.stdout[-3000:], done.stderr[-3000:])
        yield Followed(address, folder, [part.strip() for part in done.stdout.split(mark)])
    finally:
        process.process.terminate()
        _, errors = process.process.communicate(timeout=60)
        assert "Traceback" not in errors, errors


def test_nothing_of_the_page_is_answered_with_a_fault_but_where_it_says_so(followed: Followed) -> None:
    assert len(followed.told) == len(blocks("sh"))
    wrong = [number for number, told in enumerate(followed.told) if '"error": {"code"' in told or '{"error":' in told]
    assert ["-1" in blocks("sh")[number] for number in wrong] == [True]
    assert json.loads(followed.told[wrong[0]])["error"]["errors"][0]["error"] == "OutOfRange"


def test_the_page_shows_what_is_really_answered(followed: Followed) -> None:
    assert json.loads(followed.told[0]) == json.loads(blocks("json")[0])
    example = json.loads(blocks("json")[1])
    (wrong,) = (json.loads(told) for told in followed.told if told.startswith('{"error"'))
    assert example["error"].keys() == wrong["error"].keys()
    assert {**example["error"]["errors"][0], "message": "", "hint": ""} == {**wrong["error"]["errors"][0], "message": "", "hint": ""}
    events = followed.told[2]
    assert re.search(r"^id: 1\nevent: job_started\ndata: \{", events)
    assert '"event": "job_ended", "status": "done"' in events.splitlines()[-1]
    assert re.search(r'event: node_finished\ndata: \{"seq": \d+, "time": [\d.]+, "event": "node_finished", "node": "prompt"', events)
    assert followed.told[3].startswith("id: 6\n")


def test_the_pictures_are_there(followed: Followed) -> None:
    from PIL import Image

    with Image.open(followed.folder / "fox.png") as picture:
        assert picture.size == (512, 512)
    assert (followed.folder / "fox.png").read_bytes() == (followed.folder / "output" / "text_to_image_00001.png").read_bytes()
    assert (followed.folder / "input" / "fox.png").is_file()
    assert (followed.folder / "state" / "workflows" / "owl.json").is_file()


def test_the_commands_that_start_it_are_ones_that_it_knows() -> None:
    commands = [line for block in blocks("console") for line in block.splitlines()]
    assert commands
    for command in commands:
        name, *arguments = command.split()
        assert name == "nodegraph"
        assert parser().parse_args(arguments) is not None


def test_a_traced_run_has_all_spans(followed: Followed) -> None:
    followed.post("/free", {"unload_models": True, "free_memory": True})
    changes = {"prompt.text": "dog, 3d style", "sample.steps": 2}
    followed.post("/api/v1/runs", {"workflow": "text_to_image", "overrides": changes, "id": "whole", "trace": True})
    followed.wait("whole")
    trace = followed.get("/api/v1/runs/whole/trace")
    bars = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert {bar["name"] for bar in bars} == SPANS
    assert all(bar["ts"] > 0 and bar["dur"] >= 0 and bar["pid"] == 1 and bar["tid"] >= 1 for bar in bars)
    names = {event["tid"]: event["args"]["name"] for event in trace["traceEvents"] if event["ph"] == "M"}
    assert {bar["tid"] for bar in bars} <= names.keys()
    assert trace["otherData"] == {"run": "whole", "title": "Text to image", "status": "done", "traced": True}
    assert {bar["args"].get("node") for bar in bars if bar["name"] == "run"} >= {"sample", "decode", "save"}
    assert {bar["args"].get("node") for bar in bars if bar["name"] == "save"} == {"save"}


def test_the_trace_of_the_page_is_one(followed: Followed) -> None:
    trace = json.loads((followed.folder / "trace.json").read_text())
    assert trace["otherData"]["traced"] is True


def test_a_run_that_was_not_traced_has_a_bar_for_each_node(followed: Followed) -> None:
    trace = followed.get("/api/v1/runs/fox-1/trace")
    assert trace["otherData"]["traced"] is False
    bars = {event["args"].get("node") for event in trace["traceEvents"] if event["ph"] == "X"}
    assert bars >= {"prompt", "sample", "decode", "save"}


def test_it_is_explained_what_differs_from_an_earlier_run(followed: Followed) -> None:
    told = followed.get("/api/v1/runs/fox-2/explain?since=fox-1")
    nodes = {each["node"]: each for each in told["nodes"]}
    assert (told["run"], told["since"]) == ("fox-2", "fox-1")
    assert nodes["sample"]["reasons"] == ["input `seed`: 7 -> 8"]
    assert nodes["sample"]["ran"] is True
    assert nodes["checkpoint"]["ran"] is False
    assert nodes["checkpoint"]["reasons"] == ["its result was at hand"]
    assert nodes["decode"]["reasons"] == ["input `latent`: node sample `latent` gives another result"]
    assert list(nodes)[-1] == "save"
    first = followed.get("/api/v1/runs/fox-1/explain")
    assert first["since"] is None
    assert {each["reasons"][0] for each in first["nodes"]} == {"first run"}
    assert followed.get("/api/v1/runs/fox-2/explain")["since"] is not None


def test_metrics_tell_of_queue_worker_and_memory(followed: Followed) -> None:
    with urllib.request.urlopen(f"{followed.address}/metrics", timeout=60) as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        found = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if not line.startswith("#"))
    assert float(found['nodegraph_jobs{status="done"}']) >= 3
    assert float(found["nodegraph_run_seconds_count"]) >= 3
    assert float(found['nodegraph_run_seconds_bucket{le="+Inf"}']) == float(found["nodegraph_run_seconds_count"])
    assert float(found["nodegraph_event_lag_seconds_count"]) > 10
    assert float(found['nodegraph_cache_hits_total{worker="0"}']) > 0
    assert (found['nodegraph_worker_up{worker="0"}'], found['nodegraph_worker_restarts_total{worker="0"}']) == ("1", "0")
    assert 20e6 < float(found["nodegraph_server_resident_bytes"]) < 200e6
    assert float(found['nodegraph_worker_resident_bytes{worker="0"}']) > 100e6
