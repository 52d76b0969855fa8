"""Memory of this machine and of its devices, as far as it can be known without importing torch here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from nodegraph.errors import NodegraphError
from nodegraph.server.memory import machine_bytes

if TYPE_CHECKING:
    from nodegraph.server.supervision.supervisor import WorkerProcess

PATIENCE: Final = 0.25
"""seconds that a worker has to answer; it may be at work"""
SIZES: Final = {"vram_total": "total", "vram_free": "free", "torch_vram_total": "torch_total", "torch_vram_free": "torch_free"}


class Devices:
    """What the workers said of their devices. An accelerator is asked each time, a processor once: its memory is this machine's."""

    def __init__(self, name: str, workers: Sequence[WorkerProcess] = ()) -> None:
        self._name = "cpu" if name == "auto" else name
        self._workers = workers
        self._states: list[Mapping[str, Any]] = [{} for _ in workers]

    async def states(self) -> list[dict[str, Any]]:
        """One entry a worker, in ComfyUI's shape. A worker that is not up, or does not answer, is as it was last, or as it was set up."""
        await asyncio.gather(*(self._ask(i) for i, state in enumerate(self._states) if state.get("kind") != "cpu"))
        total, free = machine_bytes()
        return [self._entry(state, total, free) for state in self._states or [{}]]

    async def _ask(self, i: int) -> None:
        from nodegraph.server.supervision.supervisor import WorkerLost

        worker = self._workers[i]
        if worker.status.state in ("idle", "busy"):
            with contextlib.suppress(TimeoutError, WorkerLost, NodegraphError):
                async with asyncio.timeout(PATIENCE):
                    self._states[i] = (await worker.stats())["device"]

    def _entry(self, state: Mapping[str, Any], total: int, free: int) -> dict[str, Any]:
        name = str(state.get("name", self._name))
        kind, _, number = name.partition(":")
        own = {"total": total, "free": free, "torch_total": total, "torch_free": free} if kind == "cpu" else {}
        sizes = {size: int({**own, **state}.get(key, 0)) for size, key in SIZES.items()}
        return {"name": str(state.get("title", name)), "type": kind, "index": int(number) if number.isdigit() else None, **sizes}
