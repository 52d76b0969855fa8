"""Worker processes for tests: real ones, with a pack of nodes that make trouble, and a listener that can be waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from harness import Nodes, document

from nodegraph.server.queue.model import LivePreview, Submission
from nodegraph.server.supervision.life import Limits
from nodegraph.server.supervision.supervisor import WorkerProcess
from nodegraph.settings import Settings

PACKS = Path(__file__).parent / "packs"
TROUBLE = PACKS / "trouble"
PATIENCE = 60.0
"""seconds after which a test gives up; machines are shared"""


class Recorder:
    """Keeps what a run tells, and lets tests wait for it."""

    def __init__(self) -> None:
        self.events: list[Mapping[str, Any]] = []
        self.previews: list[LivePreview] = []
        self.batches: list[int] = []
        self._news = asyncio.Event()

    def on_events(self, job: str, events: Sequence[Mapping[str, Any]], text: str = "") -> None:
        self.events += events
        self.batches.append(len(events))
        self._news.set()

    def on_preview(self, preview: LivePreview) -> None:
        self.previews.append(preview)
        self._news.set()

    def told(self, kind: str) -> list[Mapping[str, Any]]:
        return [event for event in self.events if event["event"] == kind]

    async def until(self, holds: Callable[[Recorder], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not holds(self):
                self._news.clear()
                await self._news.wait()


def submission(nodes: Nodes, targets: Sequence[str] | None = None, **more: Any) -> Submission:
    return Submission("job", document(nodes).to_json(), tuple(targets) if targets is not None else None, **more)


def trouble_settings(folder: Path, packs: Sequence[Path] = (TROUBLE,)) -> Settings:
    for name in ("input", "output"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return Settings(folder / "input", folder / "output", folder / "temp", (), tuple(packs), folder / "cache", device="cpu")


@asynccontextmanager
async def working(
    folder: Path, limits: Limits | None = None, packs: Sequence[Path] = (TROUBLE,), **more: Any
) -> AsyncIterator[WorkerProcess]:
    """A worker that is started, and stopped at the end."""
    worker = WorkerProcess(trouble_settings(folder, packs), limits=limits or Limits(), preload=False, **more)
    await worker.start()
    try:
        async with asyncio.timeout(PATIENCE):
            yield worker
    finally:
        await worker.stop()
