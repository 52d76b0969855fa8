"""The server dies at any moment, again and again, and keeps every promise that it made.

NODEGRAPH_KILLS: how often it is killed, 20 unless told.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from crash_submitter import LIMITS
from engine_worker import EngineWorker, engine

from nodegraph.server.queue.model import ENDED
from nodegraph.server.queue.service import Service
from nodegraph.server.queue.store.database import FILE_NAME, Store
from nodegraph.server.queue.store.opening import open_database

TESTS = Path(__file__).parent
KILLS = int(os.environ.get("NODEGRAPH_KILLS", "20"))

pytestmark = pytest.mark.skipif(os.name == "nt", reason="SIGKILL")


@dataclass
class Promises:
    """What was acknowledged by all the processes that died."""

    accepted: dict[str, float] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    ended: dict[str, str] = field(default_factory=dict)
    heard: dict[str, int] = field(default_factory=dict)

    def note(self, line: str) -> None:
        match line.split():
            case ["accepted", id, number]:
                self.accepted[id] = float(number)
            case ["cancelled", id]:
                self.cancelled.add(id)
            case ["ended", id, status]:
                assert self.ended.setdefault(id, status) == status, f"{id} ended twice"
            case ["heard", id, seq]:
                assert self.heard.get(id, 0) < int(seq), f"event {seq} of {id} was told twice"
                self.heard[id] = int(seq)


@contextmanager
def forker(folder: Path) -> Iterator[subprocess.Popen[str]]:
    path = os.pathsep.join([str(TESTS), str(TESTS.parent), str(TESTS.parent.parent)])
    command = [sys.executable, str(TESTS / "crash_submitter.py"), str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
    assert process.returncode == 0


def kill_at_some_moment(process: subprocess.Popen[str], name: str, seconds: float, promises: Promises) -> None:
    """Have a server started, let it work for a while, kill it, and note what it had said by then."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{name}\n")
    process.stdin.flush()
    for line in process.stdout:
        match line.split():
            case ["child", child]:
                killer = threading.Timer(seconds, os.kill, (int(child), signal.SIGKILL))
                killer.start()
            case ["dead"]:
                killer.join()
                return
            case _:
                promises.note(line)
    raise AssertionError(f"it did not start: {process.wait()}")


def check(folder: Path, promises: Promises) -> None:
    """The database as it lies there, before the next server takes it up."""
    connection = open_database(folder / "state" / FILE_NAME)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    status = dict(connection.execute("SELECT id, status FROM jobs"))
    numbers = dict(connection.execute("SELECT id, number FROM jobs"))
    cancels = {id for (id,) in connection.execute("SELECT id FROM jobs WHERE cancel OR status = 'cancelled'")}
    logs = connection.execute("SELECT id, first, last, events.time FROM events JOIN jobs USING (serial) ORDER BY serial, first").fetchall()
    documents = connection.execute("SELECT count(*) FROM documents").fetchone()[0]
    connection.close()
    assert promises.accepted.items() <= numbers.items()
    assert documents == len(status)
    for id, how in promises.ended.items():
        assert status[id] == how
    assert {id for id in promises.cancelled if promises.ended.get(id) not in ("done", "failed")} <= cancels | {
        id for id in status if status[id] in ("done", "failed")
    }
    check_logs(logs, status, promises)


def check_logs(logs: list[tuple[str, int, int, float]], status: dict[str, str], promises: Promises) -> None:
    ends: dict[str, int] = {}
    for id, first, last, _ in logs:
        assert first == ends.get(id, 0) + 1, f"a gap in the log of {id}"
        assert last >= first
        ends[id] = last
    for id, seq in promises.heard.items():
        assert ends.get(id, 0) >= seq, f"event {seq} of {id} was told and is not in the log"
    for id, how in status.items():
        assert how == "pending" or id in ends, f"{id} is {how} and its log says nothing"


def test_killed_at_any_moment_it_keeps_its_promises(tmp_path: Path) -> None:
    chance = random.Random(KILLS)
    promises = Promises()
    with forker(tmp_path) as process:
        for kill in range(KILLS):
            kill_at_some_moment(process, f"r{kill}", chance.random() ** 2 * 0.5, promises)
            check(tmp_path, promises)
    assert promises.accepted
    assert promises.ended
    asyncio.run(finish(tmp_path, promises))


async def finish(folder: Path, promises: Promises) -> None:
    """Everything that was accepted comes to an end, at most once more than it was lost."""
    store = Store.open(folder / "state")
    worker = EngineWorker(engine(folder))
    service = Service(store, [worker], limits=LIMITS)
    with service.hub.subscribe(queue=True) as queue:
        await service.start()
        async with asyncio.timeout(300):
            while service.remaining:
                await anext(queue)
    for id in promises.accepted:
        job = await service.job(id)
        assert job is not None
        assert job.status in ENDED
        assert promises.ended.get(id, job.status) == job.status
        events = await service.events(id)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        told = [event.data["event"] for event in events]
        assert told.count("job_ended") == 1
        assert told[-1] == "job_ended"
        assert told.count("job_started") <= 1 + told.count("job_lost") <= 3
    assert len(worker.started) == len(set(worker.started))
    await service.stop()
    await store.close()
