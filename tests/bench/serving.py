"""A server process to measure: started in a folder of its own, with the bench's nodes, watched from outside."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PACK = Path(__file__).parent / "packs" / "bench"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Server:
    """begin: when the process was started; first: seconds until it said that it answers"""

    process: subprocess.Popen[str]
    begin: float
    address: str = ""
    first: float = 0.0
    opener: urllib.request.OpenerDirector = field(default_factory=lambda: urllib.request.build_opener(urllib.request.ProxyHandler({})))

    def ask(self, path: str, body: Any = None) -> Any:
        return json.loads(self.fetch(path, None if body is None else json.dumps(body).encode()))

    def fetch(self, path: str, data: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"})
        with self.opener.open(request, timeout=120) as answer:
            found: bytes = answer.read()
        return found

    def submit(self, prompt: dict[str, Any], **more: Any) -> str:
        return str(self.ask("/prompt", {"prompt": prompt, **more})["prompt_id"])

    def ended(self, id: str, pause: float = 0.02) -> dict[str, Any]:
        """The run when it is over; looked for rarely, so that looking costs little."""
        while True:
            run: dict[str, Any] = self.ask(f"/api/v1/runs/{id}")
            if run["status"] not in ("pending", "running"):
                assert run["status"] == "done", run
                return run
            time.sleep(pause)

    @property
    def worker(self) -> int:
        """The process id of the worker."""
        return int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])


@contextmanager
def serving(folder: Path, *arguments: str, packs: tuple[Path, ...] = (PACK,)) -> Iterator[Server]:
    """`nodegraph serve`, stopped at the end."""
    for name in ("input", "output"):
        (folder / name).mkdir(exist_ok=True)
    command = [sys.executable, "-m", "nodegraph", "serve", "--port", "0", "--device", "cpu", "--state", str(folder / "state")]
    command += [word for pack in packs for word in ("--packs", str(pack))]
    env = {name: value for name, value in os.environ.items() if not name.startswith("NODEGRAPH_")}
    env |= {"PYTHONPATH": str(ROOT), "NODEGRAPH_CACHE": str(folder / "cache")}
    begin = time.perf_counter()
    with subprocess.Popen([*command, *arguments], cwd=folder, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            server = Server(process, begin)
            found = re.search(r"http://\S+?(?=/( |$))", process.stdout.readline())
            server.first = time.perf_counter() - begin
            assert found is not None
            server.address = found[0]
            yield server
        finally:
            process.terminate()


@contextmanager
def fresh(*arguments: str, **options: Any) -> Iterator[Server]:
    """A server that has described its nodes and has nothing else to do."""
    with TemporaryDirectory() as folder, serving(Path(folder), *arguments, **options) as server:
        server.ask("/object_info/bench%2FPass")
        yield server


# ------------------------------------------------------------------------------------------------ processes


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss(pid: int) -> float:
    """MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


# ------------------------------------------------------------------------------------------------ graphs


def chain(count: int, first: int) -> dict[str, Any]:
    """ComfyUI's form of nodes one behind the other; the last one is an output. first: makes it another graph"""
    nodes: dict[str, Any] = {"0": {"class_type": "bench/Pass", "inputs": {"a": first}}}
    for i in range(1, count):
        type_ = "bench/Pass" if i < count - 1 else "bench/Sink"
        nodes[str(i)] = {"class_type": type_, "inputs": {"a": [str(i - 1), 0], "b": i}}
    return nodes


def fan(count: int, first: int) -> dict[str, Any]:
    """One node, and outputs that take from it."""
    nodes: dict[str, Any] = {"0": {"class_type": "bench/Pass", "inputs": {"a": first}}}
    return nodes | {str(i): {"class_type": "bench/Sink", "inputs": {"a": ["0", 0], "b": i}} for i in range(1, count)}


def ours(prompt: dict[str, Any]) -> dict[str, Any]:
    """The same in our form."""

    def inputs(given: dict[str, Any]) -> dict[str, Any]:
        return {name: {"link": [value[0], "int"]} if isinstance(value, list) else value for name, value in given.items()}

    return {"nodegraph": 1, "nodes": {id: {"type": node["class_type"], "inputs": inputs(node["inputs"])} for id, node in prompt.items()}}
