"""Processes to be killed: each submits, cancels and runs jobs as fast as it can, and prints what it was promised, a line each.

accepted ID NUMBER | cancelled ID | ended ID STATUS | heard ID SEQ

This one only forks them, a line of its input each, so that starting costs no time: it prints `child PID`, and `dead` when it is gone.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from engine_worker import EngineWorker, add, document, engine

from nodegraph.server.queue.model import JobEvent, Submission
from nodegraph.server.queue.service import Service
from nodegraph.server.queue.store.database import Store
from nodegraph.server.queue.store.history import Limits

LIMITS = Limits(jobs=10**6, bytes=10**10, waiting=10**6)
SLOW = document({"s": ("Steps", {"count": 300, "a": 1}), "o": ("Show", {"value": ["s.int"]})})


def say(*words: object) -> None:
    """One write a line: it is there whole or not at all."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def submit(service: Service, name: str) -> None:
    for count in range(1_000_000):
        job = await service.submit(
            Submission(f"{name}-{count}", SLOW if count % 5 == 0 else add(count), client="ada", front=count % 11 == 0)
        )
        say("accepted", job.id, job.number)
        if count % 7 == 3 and await service.cancel(job.id):
            say("cancelled", job.id)


async def listen(service: Service) -> None:
    with service.hub.subscribe(client="ada", limit=100_000) as heard:
        async for item in heard:
            if isinstance(item, JobEvent):
                say("heard", item.job, item.seq)
                if item.data["event"] == "job_ended":
                    say("ended", item.job, item.data["status"])


async def work(folder: Path, name: str) -> None:
    # However slow the disk is here: what it tells has to be in the log.
    service = Service(Store.open(folder / "state"), [EngineWorker(engine(folder))], limits=LIMITS, patience=600)
    listening = asyncio.create_task(listen(service))
    await service.start()
    await asyncio.gather(listening, *(submit(service, f"{name}-{i}") for i in range(3)))


def main(folder: Path) -> None:
    engine(folder).check(add(1))  # imports what a run needs
    for name in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                asyncio.run(work(folder, name.strip()))
            finally:
                os._exit(1)
        say("child", child)
        os.waitpid(child, 0)
        say("dead")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
