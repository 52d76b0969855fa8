"""The queue as one object: accepts runs, keeps them on disk, hands them to workers, tells what happens."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

from nodegraph.errors import BadValue, OutOfRange, shorten
from nodegraph.server.queue.counters import Counters
from nodegraph.server.queue.dispatch import Dispatcher
from nodegraph.server.queue.entry import Entry
from nodegraph.server.queue.errors import Conflict, QueueFull, UnknownJob
from nodegraph.server.queue.hub import Hub
from nodegraph.server.queue.model import ENDED, Job, JobEvent, LivePreview, Status, Submission, Worker
from nodegraph.server.queue.runlog import PATIENCE, LogPlace, RunLog
from nodegraph.server.queue.store import events, history, jobs
from nodegraph.server.queue.store.database import Store
from nodegraph.server.queue.store.history import Limits
from nodegraph.server.queue.store.jobs import Sort

log = logging.getLogger(__name__)

T = TypeVar("T")

LARGEST_NUMBER: Final = 1e15
"""below and above, adding 1 to a number might not change it"""

LONGEST_ID: Final = 200
LONGEST_TITLE: Final = 1000
STOP_SECONDS: Final = 15.0
"""for runs to stop when the server does: longer than a worker that does not obey is waited for"""

CANCELLED_AT_ONCE: Final = 200
"""jobs, so that the event loop has time for others in between"""


class Service:
    """One per server; lives in the event loop.

    Every call that changes something returns when the change is on disk, or raises WriteFailed with nothing changed.
    A call whose caller goes away is brought to its end all the same.
    """

    def __init__(
        self,
        store: Store,
        workers: Sequence[Worker],
        *,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
        patience: float = PATIENCE,
    ) -> None:
        """patience: seconds after which events are told although a slow disk has not taken them yet"""
        self.hub = Hub()
        self.counters = Counters()
        self.limits = limits or Limits()
        self._store = store
        self._place = LogPlace(store, self.hub, clock, self.limits.events, patience, self.counters)
        self._queue = Dispatcher(self._place, workers, self.counters, self._trim)
        self._arriving = 0
        self._open: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Take up what was left: jobs that wait wait on; those that ran when the server died are retried once, then failed."""
        self._queue.paused = await self._store.read(partial(jobs.is_on, name="paused"))
        for found in await self._store.read(jobs.unfinished):
            await self._recover(found)
        self._trim()
        self._queue.start()

    async def _recover(self, found: jobs.Unfinished) -> None:
        entry = self._entry(found.job, found.serial, found.last)
        if found.job.status == "pending":
            self._queue.waiting.add(entry)
        else:
            entry.cancel = found.cancel
            await self._queue.recover(entry)

    def _entry(self, job: Job, serial: int, last: int = 0) -> Entry:
        return Entry(job, serial, RunLog(self._place, job.id, job.client, serial, last))

    async def stop(self, grace: float = STOP_SECONDS) -> None:
        """Let go of the workers: runs are stopped and wait again. Whoever listens hears the end. The store stays open."""
        await self._queue.stop(grace)
        while self._open:
            await asyncio.wait(self._open)
        self.hub.close()

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it to the end, though the one who asked may go away."""
        task = asyncio.create_task(work)
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        return await asyncio.shield(task)

    # ------------------------------------------------------------------------------ submitting

    def prepare(self, document: str, targets: Sequence[str] | None) -> None:
        """A run of this document, as JSON, is likely to be submitted in a moment; an idle worker may look at it meanwhile."""
        self._queue.prepare(document, targets)

    async def submit(self, submission: Submission) -> Job:
        """Accept a run; it is on disk when this returns.

        The same id with the same document, targets and client gives the job that is there, in whatever state it is.
        Raises Conflict for another content under a known id, QueueFull, BadValue and OutOfRange for unfit ids and numbers, WriteFailed.
        """
        return await self._whole(self._submit(submission))

    async def _submit(self, submission: Submission, retry_of: str | None = None) -> Job:
        check(submission)
        if len(self._queue.waiting) + self._arriving >= self.limits.waiting:
            raise QueueFull(f"{self.limits.waiting} jobs wait already", hint="wait until some are done, or cancel some")
        self._arriving += 1
        try:
            insert = partial(jobs.insert, submission=submission, created=self._place.clock(), retry_of=retry_of)
            accepted = await self._store.write(insert)
        finally:
            self._arriving -= 1
        if accepted.new:
            entry = self._entry(accepted.job, accepted.serial)
            entry.submission, entry.secrets, entry.size = submission, submission.secrets, accepted.size
            self._queue.waiting.add(entry)
            self.counters.submitted += 1
            self._queue.changed()
        return accepted.job

    async def retry(self, id: str) -> Job:
        """Submit an ended job once more, as a new one at the end of the queue; `retry_of` names the old one.

        Secrets are gone with the old one. Raises UnknownJob, Conflict if it has not ended.
        """
        job = await self._known(id)
        if job.status not in ENDED:
            raise Conflict(f"job {id} is {job.status}", hint="only a job that has ended can be retried")
        stored = await self._store.read(partial(jobs.submission, id=id))
        return await self._whole(self._submit(replace(stored, id=str(uuid.uuid4())), retry_of=id))

    # ------------------------------------------------------------------------------ the queue

    @property
    def paused(self) -> bool:
        return self._queue.paused

    async def pause(self) -> None:
        """Start no more jobs, also after a restart; what runs goes on."""
        await self._whole(self._pause(True))

    async def resume(self) -> None:
        await self._whole(self._pause(False))

    async def _pause(self, paused: bool) -> None:
        await self._store.write(partial(jobs.switch, name="paused", value=paused))
        self._queue.paused = paused
        self._queue.changed()

    async def cancel(self, id: str) -> bool:
        """Stop a job that waits or runs. Returns whether there was one; a run ends a moment later, which its log tells."""
        return await self._whole(self._queue.cancel(id))

    async def reorder(self, id: str, *, number: float | None = None, front: bool = False) -> Job:
        """Give a waiting job another number, or put it before all others. Raises UnknownJob, Conflict if it does not wait."""
        return await self._whole(self._reorder(id, number, front))

    async def _reorder(self, id: str, number: float | None, front: bool) -> Job:
        if front == (number is not None):
            raise BadValue("a job is moved either to the front or to a number", hint="give one of the two")
        check_number(number)
        entry = self._queue.waiting.get(id)
        if entry is None:
            job = await self._known(id)
            raise Conflict(f"job {id} is {job.status}", hint="only a job that waits can be moved")
        chosen = await self._store.write(partial(jobs.renumber, serial=entry.serial, number=number))
        moved = self._queue.waiting.move(id, chosen)
        self._queue.changed()
        return (moved or entry).job

    async def clear_pending(self) -> int:
        """Cancel all jobs that wait; they are kept in the history as cancelled. Returns how many."""
        return await self._cancel_all([entry.job.id for entry in self._queue.waiting])

    async def _cancel_all(self, ids: Sequence[str]) -> int:
        parts = [ids[start : start + CANCELLED_AT_ONCE] for start in range(0, len(ids), CANCELLED_AT_ONCE)]
        return sum([sum(await asyncio.gather(*(self.cancel(id) for id in part))) for part in parts])

    def running(self) -> list[Job]:
        """What workers have now, without `origin`."""
        return [entry.job for entry in self._queue.running.values()]

    def pending(self) -> list[Job]:
        """What waits, in the order in which it will run, without `origin`."""
        return [entry.job for entry in self._queue.waiting]

    @property
    def remaining(self) -> int:
        """Jobs that wait or run."""
        return len(self._queue.waiting) + len(self._queue.running)

    # ------------------------------------------------------------------------------ the past

    async def job(self, id: str, *, origin: bool = False) -> Job | None:
        """One job, with outputs. origin: read that too, which is large."""
        return await self._store.read(partial(jobs.get, id=id, origin=origin))

    async def _known(self, id: str) -> Job:
        job = await self.job(id)
        if job is None:
            raise UnknownJob(
                f"there is no job {shorten(id)}", hint="it may have been deleted, or dropped as one of the oldest of the history"
            )
        return job

    async def jobs(
        self,
        status: Status | Iterable[Status] | None = None,
        *,
        limit: int = 100,
        offset: int = 0,
        sort: Sort = "created",
        descending: bool = True,
        client: str | None = None,
        origin: bool = False,
        search: str = "",
    ) -> tuple[list[Job], int]:
        """A page of the jobs of one or more statuses, and how many there are in all.

        origin: read that too, which is large; search: words that all must be in title, names of saved files, titles of nodes or inputs
        """
        statuses = (status,) if isinstance(status, str) else tuple(status or ())
        return await self._store.read(
            lambda connection: jobs.listing(
                connection,
                statuses,
                client=client,
                sort=sort,
                descending=descending,
                limit=limit,
                offset=offset,
                origin=origin,
                search=search,
            )
        )

    async def document(self, id: str) -> dict[str, Any]:
        """The document of a job. Raises UnknownJob."""
        return await self._store.read(partial(jobs.document, id=id))

    async def delete(self, ids: Iterable[str]) -> list[str]:
        """Erase jobs with their logs; those that wait are cancelled first, those that run are left. Returns the ids that are gone."""
        wanted = list(ids)
        await self._cancel_all([id for id in wanted if self._queue.waiting.get(id) is not None])
        return await self._whole(self._write(partial(jobs.delete, ids=wanted)))

    async def clear_history(self) -> None:
        """Erase all jobs that have ended by now. Files that they saved stay."""
        await self._whole(self._clear(self._place.clock()))

    async def _clear(self, before: float) -> None:
        while await self._store.write(partial(history.clear, before=before)):
            pass

    async def _write(self, operation: Callable[..., T]) -> T:
        return await self._store.write(operation)

    def _trim(self) -> None:
        """Drop the oldest of the history if it has grown too large; nobody waits for it."""
        self._store.write(partial(history.trim, limits=self.limits), durable=False).add_done_callback(self._trimmed)

    def _trimmed(self, future: asyncio.Future[bool]) -> None:
        error = future.exception()
        if error is not None:
            log.warning("the history cannot be trimmed: %s", error)
        elif future.result() and not self._store.closed:
            self._trim()

    # ------------------------------------------------------------------------------ events

    async def events(self, id: str, after: int = 0) -> list[JobEvent]:
        """The log of a job from number `after` + 1 on; a very long one in parts, until the answer is empty. Raises UnknownJob."""
        entry = self._queue.waiting.get(id) or self._queue.running.get(id)
        unsaved = entry.log.unsaved() if entry is not None else []
        found = await self._store.read(partial(events.read, id=id, after=after))
        for event in unsaved:
            if event.seq == (found[-1].seq if found else after) + 1:
                found.append(event)
        return found

    async def follow(self, id: str, after: int = 0) -> AsyncGenerator[JobEvent | LivePreview, None]:
        """The log of a job from number `after` + 1 on and then what comes, each number once and in order, until the job has ended.

        A reader that is too slow for the hub reads on from the log. It ends early when the server stops. Raises UnknownJob.
        """
        last = after
        while True:
            with self.hub.subscribe(job=id) as live:
                while stored := await self.events(id, last):
                    for event in stored:
                        last = event.seq
                        yield event
                        if is_last(event):
                            return
                async for item in live:
                    if isinstance(item, JobEvent):
                        if 0 < item.seq <= last:
                            continue
                        last = item.seq or last
                        yield item
                        if is_last(item):
                            return
                    elif isinstance(item, LivePreview):
                        yield item
                if not live.overflowed:
                    return


def is_last(event: JobEvent) -> bool:
    """Whether a log ends with this."""
    return event.data.get("event") == "job_ended"


def check(submission: Submission) -> None:
    """Raises BadValue or OutOfRange for what cannot be stored or listed."""
    check_text("id", submission.id, LONGEST_ID)
    check_text("client", submission.client, LONGEST_ID)
    check_text("title", submission.title, LONGEST_TITLE)
    if not submission.id:
        raise BadValue("the id of a run is empty", hint="leave it out to have one made")
    check_number(submission.number)


def check_text(what: str, text: str, longest: int) -> None:
    if len(text) > longest:
        raise OutOfRange(f"the {what} has {len(text)} characters, at most {longest} are allowed")
    if any("\ud800" <= character <= "\udfff" or character == "\0" for character in text):
        raise BadValue(f"the {what} {shorten(text)} has characters that are no text")


def check_number(number: float | None) -> None:
    if number is not None and (isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) <= LARGEST_NUMBER):
        raise OutOfRange(f"the number {shorten(number)} is not between -1e15 and 1e15", hint="smaller numbers run first")
