"""Whatever is done to the queue, in whatever order: it is in the state that a simple model says, on disk and in memory.

NODEGRAPH_SEQUENCES: how many random sequences are tried, 8 unless told.
"""

from __future__ import annotations

import asyncio
import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from engine_worker import document
from held_worker import HeldWorker

from nodegraph.server.queue.errors import Conflict, UnknownJob
from nodegraph.server.queue.model import Submission
from nodegraph.server.queue.service import Service
from nodegraph.server.queue.store.database import Store

SEQUENCES = int(os.environ.get("NODEGRAPH_SEQUENCES", "8"))
HELD = document({"h": ("Hold", {}), "s": ("Show", {"value": ["h.int"]})})
OTHER = document({"h": ("Hold", {"a": 1}), "s": ("Show", {"value": ["h.int"]})})


@dataclass
class ModelJob:
    number: float
    serial: int
    other: bool
    status: str = "pending"
    attempt: int = 0
    log: list[str] = field(default_factory=list)


@dataclass
class Model:
    """The queue as one would say it in words."""

    jobs: dict[str, ModelJob] = field(default_factory=dict)
    serial: int = 0
    paused: bool = False

    def pending(self) -> list[str]:
        waiting = [(job.number, job.serial, id) for id, job in self.jobs.items() if job.status == "pending"]
        return [id for _, _, id in sorted(waiting)]

    def running(self) -> str | None:
        return next((id for id, job in self.jobs.items() if job.status == "running"), None)

    def front(self) -> float:
        return min([0.0, *(self.jobs[id].number for id in self.pending())]) - 1

    def add(self, id: str, other: bool, number: float | None, front: bool) -> None:
        self.serial += 1
        chosen = self.front() if front else float(self.serial) if number is None else number
        self.jobs[id] = ModelJob(chosen, self.serial, other)

    def end(self, id: str, status: str) -> None:
        self.jobs[id].status = status
        self.jobs[id].log.append("job_ended")

    def lose(self, id: str) -> None:
        job = self.jobs[id]
        job.log.append("job_lost")
        if job.attempt < 2:
            job.status = "pending"
            job.log.append("job_retried")
        else:
            self.end(id, "failed")

    def take_turns(self) -> None:
        """The worker takes the next one if it has none."""
        if not self.paused and self.running() is None and self.pending():
            job = self.jobs[self.pending()[0]]
            job.status = "running"
            job.attempt += 1
            job.log.append("job_started")


class Bench:
    """The service, its worker and the model, done the same things to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = Model()
        self.done: list[Any] = []

    async def start(self) -> None:
        self.worker = HeldWorker(self.folder)
        self.store = Store.open(self.folder / "state")
        self.service = Service(self.store, [self.worker])
        await self.service.start()

    async def stop(self, grace: float) -> None:
        await self.service.stop(grace)
        await self.store.close()

    # ------------------------------------------------------------------------------ what may happen

    async def submit(self, id: str, other: bool, number: float | None, front: bool) -> None:
        submission = Submission(id, OTHER if other else HELD, number=number, front=front)
        known = self.model.jobs.get(id)
        if known is not None and known.other != other:
            await refused(Conflict, self.service.submit(submission))
            return
        job = await self.service.submit(submission)
        if known is None:
            self.model.add(id, other, number, front)
        assert (job.id, job.number) == (id, self.model.jobs[id].number)

    async def cancel(self, id: str) -> None:
        job = self.model.jobs.get(id)
        alive = job is not None and job.status in ("pending", "running")
        assert await self.service.cancel(id) == alive
        if alive:
            self.model.end(id, "cancelled")

    async def reorder(self, id: str, number: float | None) -> None:
        job = self.model.jobs.get(id)
        moving = self.service.reorder(id, number=number, front=number is None)
        if job is None or job.status != "pending":
            await refused(UnknownJob if job is None else Conflict, moving)
            return
        job.number = self.model.front() if number is None else number
        assert (await moving).number == job.number

    async def retry(self, id: str) -> None:
        job = self.model.jobs.get(id)
        if job is None or job.status in ("pending", "running"):
            await refused(UnknownJob if job is None else Conflict, self.service.retry(id))
            return
        new = await self.service.retry(id)
        assert new.retry_of == id
        self.model.add(new.id, job.other, None, False)

    async def delete(self, ids: list[str]) -> None:
        gone = {id for id in ids if id in self.model.jobs and self.model.jobs[id].status != "running"}
        assert set(await self.service.delete(ids)) == gone
        for id in gone:
            del self.model.jobs[id]

    async def clear(self, what: str) -> None:
        if what == "pending":
            assert await self.service.clear_pending() == len(self.model.pending())
            for id in self.model.pending():
                self.model.end(id, "cancelled")
        else:
            await self.service.clear_history()
            self.model.jobs = {id: job for id, job in self.model.jobs.items() if job.status in ("pending", "running")}

    async def pause(self, paused: bool) -> None:
        await (self.service.pause() if paused else self.service.resume())
        self.model.paused = paused

    async def finish(self) -> None:
        id = self.model.running()
        if id is not None:
            self.worker.release()
            self.model.end(id, "done")

    async def lose(self) -> None:
        id = self.model.running()
        if id is not None:
            self.worker.lose()
            self.model.lose(id)

    async def restart(self) -> None:
        """In good order."""
        await self.stop(grace=20)
        id = self.model.running()
        if id is not None:
            job = self.model.jobs[id]
            job.status, job.attempt = "pending", job.attempt - 1
            job.log.append("job_returned")
        await self.start()

    async def crash(self) -> None:
        self.worker.deaf = True
        await self.stop(grace=0)
        self.worker.release()
        id = self.model.running()
        if id is not None:
            self.model.lose(id)
        await self.start()

    # ------------------------------------------------------------------------------ whether it is so

    async def agree(self) -> None:
        self.model.take_turns()
        running = self.model.running()
        async with asyncio.timeout(10):
            while not self.settled(running):
                await asyncio.sleep(0)
        found, total = await self.service.jobs(limit=1000)
        assert total == len(found) == len(self.model.jobs)
        for job in found:
            wanted = self.model.jobs[job.id]
            assert (job.status, job.attempt, job.number) == (wanted.status, wanted.attempt, wanted.number)
            events = await self.service.events(job.id)
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            assert [kind for event in events if (kind := event.data["event"]).startswith("job_")] == wanted.log
        waiting, _ = await self.service.jobs("pending", sort="number", descending=False, limit=1000)
        assert [job.id for job in waiting] == self.model.pending()
        assert self.service.paused == self.model.paused

    def settled(self, running: str | None) -> bool:
        service = self.service
        if [job.id for job in service.pending()] != self.model.pending():
            return False
        if running is None:
            return service.running() == []
        attempt = self.model.jobs[running].attempt
        return [(job.id, job.attempt) for job in service.running()] == [(running, attempt)] and self.worker.begun.is_set()


async def refused(error: type[Exception], asked: Any) -> None:
    try:
        await asked
    except error:
        return
    raise AssertionError(f"it was not refused as {error.__name__}")


WEIGHTS = {
    "submit": 30, "cancel": 6, "reorder": 8, "retry": 6, "delete": 3, "clear": 1, "pause": 6, "finish": 14, "lose": 12,
    "restart": 4, "crash": 8,
}  # fmt: skip


def operation(chance: random.Random) -> tuple[Any, ...]:
    id = chance.choice("abcdefgh")
    number = chance.choice([None, None, None, -1.0, 0.0, 1.0, 2.5, 1e15])
    (name,) = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
    match name:
        case "submit":
            return name, id, chance.random() < 0.1, number, chance.random() < 0.2
        case "reorder":
            return name, id, number
        case "cancel" | "retry":
            return name, id
        case "delete":
            return name, chance.sample("abcdefgh", 3)
        case "clear":
            return name, chance.choice(["pending", "history"])
        case "pause":
            return name, chance.random() < 0.3
        case _:
            return (name,)


@pytest.mark.parametrize("seed", range(SEQUENCES))
def test_it_agrees_with_the_model(seed: int, tmp_path: Path) -> None:
    async def main() -> None:
        chance = random.Random(seed)
        bench = Bench(tmp_path)
        await bench.start()
        try:
            for _ in range(50):
                name, *arguments = operation(chance)
                bench.done.append((name, *arguments))
                await getattr(bench, name)(*arguments)
                await bench.agree()
        finally:
            bench.worker.deaf = False
            await bench.stop(grace=20)

    asyncio.run(main())
