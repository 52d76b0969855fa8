"""A server process that browsers talk to: with folders of its own, and one that can be killed and started again in its place."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

ROOT = Path(__file__).parent.parent.parent
PACK = Path(__file__).parent / "packs" / "gate"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
PATIENCE = 120
CONFLICT = 409


class Served:
    """`nodegraph serve` in a folder; `models` is where its checkpoints are."""

    def __init__(self, folder: Path, models: Path, *arguments: str) -> None:
        self.folder = folder
        self.arguments = ("--models", str(models), "--packs", str(PACK), *arguments)
        self.port = 0
        self.process: subprocess.Popen[str] | None = None
        for name in ("input", "output"):
            (folder / name).mkdir(exist_ok=True)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """On the port it had before, if it had one. Returns when it answers."""
        command = [sys.executable, "-m", "nodegraph", "serve", "--port", str(self.port), "--device", "cpu"]
        command += ["--state", str(self.folder / "state"), *self.arguments]
        env = {name: value for name, value in os.environ.items() if not name.startswith("NODEGRAPH_")}
        env |= {"PYTHONPATH": str(ROOT), "NODEGRAPH_CACHE": str(self.folder / "cache")}
        with (self.folder / "errors.txt").open("ab") as errors:
            self.process = subprocess.Popen(command, cwd=self.folder, env=env, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://[^/\s]+:(\d+)", line)
        assert found is not None, f"{line}\n{self.errors()}"
        self.port = int(found[1])

    def errors(self) -> str:
        return (self.folder / "errors.txt").read_text("utf-8")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is None:
            return
        self.process.send_signal(how)
        self.process.communicate(timeout=PATIENCE)
        self.process = None

    def kill(self) -> None:
        """Without a word, as a crash or a power cut would."""
        self.stop(signal.SIGKILL)

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """The server can write no byte more into any file."""
        assert self.process is not None
        soft, hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (0, hard))
        try:
            yield
        finally:
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (soft, hard))

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address}/api/v1/{path}", data, {"Content-Type": "application/json"}, method=method)
        with OPENER.open(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read() or b"null")

    def rest(self) -> None:
        """Nothing runs and nothing waits: what a test left behind is cancelled."""
        if self.process is None:
            return
        queue = self.ask("queue")
        if queue["paused"]:
            self.ask("queue/resume", {})
        self.ask("queue/clear", {})
        for run in queue["running"]:
            self._cancel(run["id"])

    def _cancel(self, run: str) -> None:
        try:
            self.ask(f"runs/{run}/cancel", {})
        except HTTPError as error:
            with error:
                if error.code != CONFLICT:  # otherwise it is over already
                    raise
