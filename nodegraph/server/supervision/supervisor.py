"""The worker that the rest of the server sees: a process that is started again whenever it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from nodegraph.server.catalog.catalog import Catalog
from nodegraph.server.queue.model import Outcome, RunListener, Submission
from nodegraph.server.supervision.life import Life, Limits, NotBegun, WorkerLost
from nodegraph.server.wire import link
from nodegraph.server.wire.board import Note
from nodegraph.settings import Settings

log = logging.getLogger(__name__)

SHORTEST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
"""seconds between two attempts to start a process that dies before it is ready"""
ATTEMPTS: Final = 3
"""how often a run is given to a process that dies before it begins it"""
LARGE: Final = 2000
"""nodes from which on a workflow is written in a thread"""
LOOK_SECONDS: Final = 1.0
"""between two looks at whether the code of nodes has changed"""

__all__ = ["Limits", "WorkerLost", "WorkerProcess", "WorkerStatus"]


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """What a worker is doing. node: that began last of those that run; since: of it, in seconds since 1970; lives: processes so far."""

    state: Literal["stopped", "starting", "idle", "busy"]
    pid: int | None = None
    job: str | None = None
    node: str | None = None
    since: float | None = None
    lives: int = 0


class WorkerProcess:
    """A worker in a process of its own, as `model.Worker` describes it. Belongs to one event loop; `start` it, and `stop` it at the end.

    catalog: is told what nodes there are
    preload: import torch while there is nothing to do, so that the first picture does not wait for it
    on_line: gets each line that the process, or a pack in it, prints
    follow_code: start the process anew, between runs, when the code of nodes changes (for developing)
    """

    def __init__(
        self,
        settings: Settings,
        *,
        catalog: Catalog | None = None,
        limits: Limits | None = None,
        preload: bool = True,
        on_line: Callable[[str], None] = lambda line: None,
        follow_code: bool = False,
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._limits = limits if limits is not None else Limits()
        self._preload = preload
        self._on_line = on_line
        self._follow_code = follow_code
        self._life: Life | None = None
        self._lives = 0
        self._begun = asyncio.Event()
        """there is a life, and it need not be waited for"""
        self._turn = asyncio.Lock()
        self._waiting: set[str] = set()
        self._unwanted: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    # ------------------------------------------------------------------------------- lives

    async def start(self) -> None:
        """Begin; does not wait until the process is ready."""
        if not self._tasks:
            self._begun.clear()
            self._tasks.append(asyncio.create_task(self._keep_alive()))
            if self._follow_code and self._catalog is not None:
                self._tasks.append(asyncio.create_task(self._follow(self._catalog)))

    async def stop(self) -> None:
        """End the process; a run that goes on is cancelled."""
        tasks, self._tasks = self._tasks, []
        life, self._life = self._life, None
        self._begun.set()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if life is not None:
            await life.stop("the server is stopping")

    async def restart(self) -> None:
        """Start the process anew, after the present run."""
        async with self._turn:
            if self._life is not None:
                await self._life.stop("it was restarted")

    async def _keep_alive(self) -> None:
        pause = 0.0
        while True:
            stamp = await asyncio.to_thread(self._catalog.stamp) if self._catalog is not None else ""
            self._life = life = Life(self._settings, self._limits, self._preload, self._on_line)
            self._lives += 1
            self._begun.set()
            learning = asyncio.create_task(self._learn(life, stamp))
            try:
                reason = await asyncio.shield(life.ended)
            finally:
                learning.cancel()
            self._begun.clear()
            log.warning("%s", reason)
            pause = 0.0 if life.was_ready else min(LONGEST_PAUSE, max(SHORTEST_PAUSE, 2 * pause))
            await asyncio.sleep(pause)

    async def _learn(self, life: Life, stamp: str) -> None:
        """Tell the catalog what nodes there are, unless it knows already. stamp: of the code, before the process read it."""
        try:
            ready = await asyncio.shield(life.ready)
            if self._catalog is not None and self._catalog.digest != ready["nodes"]:
                await self._catalog.update(await life.ask("describe"), stamp)
        except WorkerLost:
            return

    async def _follow(self, catalog: Catalog) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if await asyncio.to_thread(catalog.is_stale):
                log.info("the code of nodes has changed")
                await self.restart()

    async def _living(self) -> Life:
        """The process, once it is ready. Raises WorkerLost if it dies before, or is stopped."""
        while True:
            await self._begun.wait()
            life = self._life
            if life is None:
                raise WorkerLost("the worker is stopped")
            await asyncio.shield(life.ready)
            if life.is_ready:
                return life
            await asyncio.sleep(0)  # it has just ended; the next one is about to begin

    # ------------------------------------------------------------------------------- model.Worker

    async def run(self, job: str, submission: Submission, listener: RunListener) -> Outcome:
        self._waiting.add(job)
        try:
            async with self._turn:
                return await self._run(job, submission, listener)
        except WorkerLost as error:
            return Outcome("cancelled" if job in self._unwanted else "lost", reason=str(error))
        finally:
            self._waiting.discard(job)
            self._unwanted.discard(job)

    async def _run(self, job: str, submission: Submission, listener: RunListener) -> Outcome:
        """Give a run to the process; to the next one if it turns out to have died before it began. Raises WorkerLost."""
        document = submission.document_text.encode("ascii") or await written(submission.document)
        for _ in range(ATTEMPTS - 1):
            with contextlib.suppress(NotBegun):
                return await self._give(job, document, submission, listener)
        return await self._give(job, document, submission, listener)

    async def _give(self, job: str, document: bytes, submission: Submission, listener: RunListener) -> Outcome:
        self._waiting.add(job)
        life = await self._living()
        self._waiting.discard(job)
        return Outcome("cancelled") if job in self._unwanted else await life.run(job, document, submission, listener)

    def prepare(self, document: str, targets: Sequence[str] | None) -> None:
        if self._life is not None and not self._turn.locked():
            self._life.prepare(document.encode("ascii"), targets)

    async def cancel(self, job: str) -> None:
        if job in self._waiting:
            self._unwanted.add(job)
        elif self._life is not None:
            self._life.cancel(job)

    async def free(self, *, models: bool, results: bool) -> None:
        if self._life is not None:
            self._life.send({"kind": "free", "models": models, "results": results})

    # ------------------------------------------------------------------------------- questions

    @property
    def status(self) -> WorkerStatus:
        life = self._life
        if life is None:
            return WorkerStatus("stopped" if not self._tasks else "starting", lives=self._lives)
        job = life.job
        if job is None:
            return WorkerStatus("idle" if life.is_ready else "starting", life.pid, lives=self._lives)
        return WorkerStatus("busy", life.pid, job.id, job.node, job.since, self._lives)

    @property
    def note(self) -> Note | None:
        """The run and the node that were begun last, true even if the process can say nothing any more; None if not known."""
        return self._life.note if self._life is not None else None

    async def ready(self) -> Mapping[str, Any]:
        """What the process said of itself when it was ready; waits for that. Raises WorkerLost."""
        return (await self._living()).ready.result()

    async def stats(self) -> Mapping[str, Any]:
        """Memory, cache, weights and device, as the process sees them now, also during a run. Raises WorkerLost."""
        found: Mapping[str, Any] = await (await self._living()).ask("stats")
        return found

    async def explain(
        self, document: Mapping[str, Any], targets: tuple[str, ...] | None = None, before: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """`{"run": {node: [reasons]}, "cached": [nodes]}` of a run that would start now.

        before: the workflow of an earlier run; the reasons are what differs from it, nothing if a result is merely no longer kept

        Raises Problems, or WorkerLost.
        """
        life = await self._living()
        asked = {"targets": list(targets) if targets is not None else None, "before": before}
        found: Mapping[str, Any] = await life.ask("explain", await written(document), **asked)
        return found

    async def upgrade(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """A workflow whose nodes all have the present version of their types; see `descriptions.needs_upgrade`.

        Raises Problems with those that cannot be brought to it, or WorkerLost.
        """
        found: Mapping[str, Any] = await (await self._living()).ask("upgrade", await written(document))
        return found


async def written(document: Mapping[str, Any]) -> bytes:
    """A workflow as it travels. Writing a large one takes long, and is done in a thread."""

    def write() -> bytes:
        return link.dump(document).encode("ascii")

    return write() if len(document.get("nodes", ())) < LARGE else await asyncio.to_thread(write)
