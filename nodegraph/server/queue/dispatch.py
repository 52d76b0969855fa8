"""Handing jobs to workers, one task a worker, and storing what became of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from nodegraph.errors import ReadFailed, WriteFailed
from nodegraph.server.queue.counters import Counters
from nodegraph.server.queue.entry import Entry
from nodegraph.server.queue.model import Outcome, Submission, Worker
from nodegraph.server.queue.runlog import LogPlace
from nodegraph.server.queue.store import jobs
from nodegraph.server.queue.verdict import Verdict, ended, verdict
from nodegraph.server.queue.waiting import Waiting

log = logging.getLogger(__name__)

DISK_PAUSE: Final = 1.0
"""seconds before a write that failed is tried again: the disk is full, nothing can be run until there is room"""
DIED: Final = Outcome("lost", reason="the server died")


class Dispatcher:
    """The jobs that have not ended, and the tasks that feed the workers. ended: called after the end of each job is stored"""

    def __init__(self, place: LogPlace, workers: Sequence[Worker], counters: Counters, ended: Callable[[], None]) -> None:
        self.waiting = Waiting()
        self.running: dict[str, Entry] = {}
        self.paused = False
        self._place = place
        self._workers = workers
        self._counters = counters
        self._tell_ended = ended
        self._stopping = False
        self._news = asyncio.Event()
        self._runners: list[asyncio.Task[None]] = []
        self._asking: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._runners = [asyncio.create_task(self._work(worker)) for worker in self._workers]

    async def stop(self, grace: float) -> None:
        """Take no more jobs; runs are cancelled and wait again.

        Those that do not stop in `grace` seconds are found lost at the next start.
        """
        self._stopping = True
        self._news.set()
        for entry in self.running.values():
            self._ask_to_stop(entry)
        if self._runners:
            _, late = await asyncio.wait(self._runners, timeout=grace)
            for task in late:
                task.cancel()
        await asyncio.gather(*self._runners, *self._asking, return_exceptions=True)

    def changed(self) -> None:
        """The queue is another than before."""
        self._news.set()
        self._place.hub.queue_changed(len(self.waiting) + len(self.running))

    def prepare(self, document: str, targets: Sequence[str] | None) -> None:
        """Tell the worker that would get it of a run that is about to be submitted, if it could begin at once."""
        if self.paused or len(self.waiting) or self._stopping:
            return
        busy = [entry.worker for entry in self.running.values()]
        idle = next((worker for worker in self._workers if worker not in busy), None)
        if idle is not None:
            idle.prepare(document, targets)

    # ------------------------------------------------------------------------------ one worker

    async def _work(self, worker: Worker) -> None:
        while (entry := await self._next()) is not None:
            entry.worker = worker
            self.running[entry.job.id] = entry
            self.changed()
            try:
                await self._run(entry, worker)
            finally:
                self.running.pop(entry.job.id, None)
                entry.worker = None
                self.changed()

    async def _next(self) -> Entry | None:
        """The job whose turn it is; None when the server stops."""
        while not self._stopping:
            entry = None if self.paused else self.waiting.first()
            if entry is not None:
                return entry
            self._news.clear()
            await self._news.wait()
        return None

    async def _run(self, entry: Entry, worker: Worker) -> None:
        try:
            submission = await self._submission(entry)
            await self._begin(entry)
        except WriteFailed as error:
            log.error("job %s cannot be started: %s", entry.job.id, error)
            self.waiting.add(entry)
            await self._pause()
            return
        except ReadFailed as error:
            outcome = Outcome("failed", error=error.to_json())
        else:
            outcome = await self._outcome(entry, worker, submission)
        await self._finish(entry, outcome)

    async def _submission(self, entry: Entry) -> Submission:
        if entry.submission is not None:
            return entry.submission
        stored = await self._place.store.read(partial(jobs.submission, id=entry.job.id))
        return replace(stored, secrets=entry.secrets)

    async def _begin(self, entry: Entry) -> None:
        """On disk before the worker hears of it: a run that was begun is never taken for one that was not."""
        before = entry.job
        now = self._place.clock()
        entry.job = replace(before, status="running", started=now, attempt=before.attempt + 1)
        change = partial(jobs.start, serial=entry.serial, attempt=entry.job.attempt, now=now)
        try:
            await entry.log.save(change, [{"event": "job_started", "attempt": entry.job.attempt}], durable=False)
        except WriteFailed:
            entry.job = before
            raise
        self._counters.started += 1

    async def _outcome(self, entry: Entry, worker: Worker, submission: Submission) -> Outcome:
        if entry.cancel or self._stopping:
            return Outcome("cancelled")
        entry.log.open()
        try:
            return await worker.run(entry.job.id, submission, entry.log)
        except Exception as error:  # whatever a worker's connection did, the queue goes on; the job says why
            log.exception("the worker of job %s", entry.job.id)
            return Outcome("lost", reason=f"{type(error).__name__}: {error}")
        finally:
            entry.log.shut()

    async def _finish(self, entry: Entry, outcome: Outcome) -> None:
        while True:
            try:
                await self.settle(entry, verdict(entry.job, outcome, self._place.clock(), cancel=entry.cancel, stopping=self._stopping))
            except WriteFailed as error:
                log.error("the end of job %s cannot be stored: %s", entry.job.id, error)
                if self._stopping:
                    return
                await self._pause()
            else:
                return

    async def _pause(self) -> None:
        await asyncio.sleep(DISK_PAUSE)

    # ------------------------------------------------------------------------------ for one job

    async def recover(self, entry: Entry) -> None:
        """Take up a job that was running when the server died; on a full disk, as soon as there is room."""
        try:
            await self.settle(entry, verdict(entry.job, DIED, self._place.clock(), cancel=entry.cancel))
        except WriteFailed as error:
            log.error("job %s cannot be taken up: %s", entry.job.id, error)
            self.running[entry.job.id] = entry
            self._keep(self._recover_later(entry))

    async def _recover_later(self, entry: Entry) -> None:
        await self._pause()
        await self._finish(entry, DIED)
        del self.running[entry.job.id]
        self.changed()

    async def settle(self, entry: Entry, verdict: Verdict) -> None:
        """Store what became of a job, then tell it. Raises WriteFailed, with the job as it was before."""
        job = verdict.job
        if verdict.ended:
            await entry.log.save(partial(jobs.end, serial=entry.serial, job=job), verdict.events)
            self._tell_ended()
        else:
            await entry.log.save(partial(jobs.give_back, serial=entry.serial, attempt=job.attempt), verdict.events)
            entry.job = job
            self.waiting.add(entry)
        self._counters.count(verdict)

    async def cancel(self, id: str) -> bool:
        """Stop a job that waits or runs. Returns False if there is none. Raises WriteFailed if it could not be made to last."""
        waits = self.waiting.remove(id)
        if waits is not None:
            await self._cancel_waiting(waits)
            return True
        runs = self.running.get(id)
        if runs is None:
            return False
        if not runs.cancel:
            runs.cancel = True
            self._ask_to_stop(runs)
            await self._place.store.write(partial(jobs.want_cancel, serial=runs.serial))
        return True

    async def _cancel_waiting(self, entry: Entry) -> None:
        try:
            await self.settle(entry, ended(entry.job, Outcome("cancelled"), self._place.clock()))
        except WriteFailed:
            self.waiting.add(entry)
            raise
        finally:
            self.changed()

    def _ask_to_stop(self, entry: Entry) -> None:
        if entry.worker is not None:
            self._keep(entry.worker.cancel(entry.job.id))

    def _keep(self, asking: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(asking)
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
