"""Servers for tests: the real application on a real socket, and the real process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from nodegraph.server.setup.config import ServeSettings

T = TypeVar("T")


@pytest.fixture
def settings(tmp_path: Path) -> ServeSettings:
    """A server of its own, with empty folders, on a free port."""
    folders = {name: tmp_path / name for name in ("input", "output", "state")}
    for folder in folders.values():
        folder.mkdir()
    return ServeSettings(port=0, **folders)


class Process:
    """`nodegraph serve` as a process."""

    def __init__(self, *arguments: str, cwd: Path, environ: dict[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "nodegraph", "serve", "--port", "0", "--state", str(cwd / "state"), *arguments]
        env = {name: value for name, value in os.environ.items() if not name.startswith("NODEGRAPH_")} | (environ or {})
        env["PYTHONPATH"] = str(Path(__file__).parent.parent.parent)
        self.process = subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def address(self) -> str:
        """Waits for the line it prints when it answers."""
        assert self.process.stdout is not None
        found = re.search(r"http://\S+", self.process.stdout.readline())
        assert found is not None, self.process.communicate()
        return found[0].partition("?")[0].rstrip("/")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Exit code and what it wrote to stderr."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts server processes; whatever still runs at the end is killed."""
    running: list[Process] = []

    def start(*arguments: str, **options: Any) -> Process:
        running.append(Process(*arguments, cwd=tmp_path, **options))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()
