"""A worker whose runs last until the test lets them go, and which can be lost: still an engine that runs real nodes in a thread."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from engine_worker import EngineWorker, engine

from nodegraph import Context, node
from nodegraph.server.queue.model import Outcome, RunListener, Submission

MOST_ROUNDS: Final = 30_000
"""about a minute: a run that a test forgot ends, instead of holding up all that comes after"""


class HeldWorker(EngineWorker):
    """Its node `Hold` runs until `release`; `lose` is what a dead process looks like from outside.

    deaf: it does not hear that it should stop, so that what runs is lost when the server goes
    """

    def __init__(self, folder: Path, deaf: bool = False) -> None:
        self.deaf = deaf
        self._open = threading.Event()
        self._lost = ""
        self.begun = asyncio.Event()
        super().__init__(engine(folder, hold_until(self._open)))

    async def run(self, job: str, submission: Submission, listener: RunListener) -> Outcome:
        self._open.clear()
        self.begun.set()
        self._lost = ""
        try:
            outcome = await super().run(job, submission, listener)
        finally:
            self.begun.clear()
        return Outcome("lost", reason=self._lost) if self._lost else outcome

    async def cancel(self, job: str) -> None:
        if not self.deaf:
            await super().cancel(job)

    def release(self) -> None:
        self._open.set()

    def lose(self, reason: str = "signal 9") -> None:
        self._lost = reason
        for stop in self._stops.values():
            stop.set()


def hold_until(opened: threading.Event) -> Callable[..., int]:
    @node("Hold", category="toys", cached=False)
    def hold(ctx: Context, a: int = 0) -> int:
        """Wait, and tell each round."""
        for rounds in ctx.track(itertools.count()):
            if opened.wait(0.002):
                break
            if rounds == MOST_ROUNDS:
                raise TimeoutError("nobody let this run go")
        return a

    return hold
