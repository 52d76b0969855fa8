"""A worker in this process: an engine with toy nodes that runs in a thread. Small, but it keeps the whole contract of `Worker`."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toys import TOYS

from nodegraph import Engine, Registry
from nodegraph.errors import NodegraphError
from nodegraph.events import Event, Preview
from nodegraph.server.queue.model import LivePreview, Outcome, RunListener, Submission
from nodegraph.settings import Settings


def engine(folder: Path, *more: Any) -> Engine:
    settings = Settings(folder / "input", folder / "output", folder / "temp", (), device="cpu")
    return Engine(settings, Registry().add(*TOYS, *more))


class EngineWorker:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.started: list[str] = []
        self.prepared: list[str] = []
        self._stops: dict[str, threading.Event] = {}

    async def run(self, job: str, submission: Submission, listener: RunListener) -> Outcome:
        loop = asyncio.get_running_loop()
        self.started.append(job)
        stop = self._stops[job] = threading.Event()

        def tell(event: Event) -> None:
            if isinstance(event, Preview):
                preview = LivePreview(job, event.node, event.width, event.height, event.jpeg)
                loop.call_soon_threadsafe(listener.on_preview, preview)
            else:
                loop.call_soon_threadsafe(listener.on_events, job, [_json(event.to_json())])

        try:
            return await asyncio.to_thread(self._execute, submission, stop, tell)
        finally:
            del self._stops[job]

    def _execute(self, submission: Submission, stop: threading.Event, tell: Any) -> Outcome:
        try:
            asked = {"previews": submission.previews, "trace": submission.trace, "secrets": submission.secrets}
            result = self.engine.run(submission.document, targets=submission.targets, emit=tell, cancelled=stop, **asked)
        except NodegraphError as error:
            return Outcome("failed", error=error.to_json())
        error = result.error.to_json() if result.error is not None else None
        return Outcome(result.status, outputs=_json(result.shown), error=error)

    def prepare(self, document: str, targets: Sequence[str] | None) -> None:
        self.prepared.append(document)

    async def cancel(self, job: str) -> None:
        if job in self._stops:
            self._stops[job].set()

    async def free(self, *, models: bool, results: bool) -> None:
        return None


def _json(value: Any) -> Any:
    """What arrives when it was sent."""
    return json.loads(json.dumps(value))


def document(nodes: dict[str, tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Our JSON from `{id: (type, inputs)}`; a text like `"a.int"` in a list is a link."""
    return {
        "nodegraph": 1,
        "nodes": {id: {"type": type, "inputs": {k: _value(v) for k, v in inputs.items()}} for id, (type, inputs) in nodes.items()},
    }


def _value(value: Any) -> Any:
    return {"link": value[0].split(".")} if isinstance(value, list) else value


def add(a: int, b: int = 0) -> dict[str, Any]:
    """A document that shows a + b."""
    return document({"a": ("Constant", {"value": a}), "sum": ("Add", {"a": ["a.int"], "b": b}), "s": ("Show", {"value": ["sum.int"]})})


def kinds(events: Sequence[Any]) -> list[str]:
    return [event.data["event"] for event in events]
