"""The queue: what is accepted is kept, run in order, told, and never run twice without saying so."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from engine_worker import EngineWorker, add, document, engine, kinds
from held_worker import HeldWorker
from test_hub import waiting
from test_job_store import files_of_at_most

from nodegraph.errors import BadValue, NodegraphError, OutOfRange, WriteFailed
from nodegraph.server.queue.errors import Conflict, QueueFull, UnknownJob
from nodegraph.server.queue.hub import QueueChanged, Subscription
from nodegraph.server.queue.model import ENDED, Job, JobEvent, LivePreview, Outcome, RunListener, Submission
from nodegraph.server.queue.service import Service, is_last
from nodegraph.server.queue.store.database import Store
from nodegraph.server.queue.store.history import Limits
from nodegraph.server.queue.store.jobs import Sort

HELD = document({"h": ("Hold", {}), "s": ("Show", {"value": ["h.int"]})})


@asynccontextmanager
async def serving(folder: Path, *workers: Any, limits: Limits | None = None) -> AsyncIterator[Service]:
    store = Store.open(folder / "state")
    service = Service(store, workers, limits=limits)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()
        await store.close()


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await work()

    asyncio.run(bounded())


async def log_of(service: Service, id: str) -> list[JobEvent]:
    """All events of a job to its end."""
    return [event async for event in service.follow(id) if isinstance(event, JobEvent)]


async def ended(service: Service, id: str) -> Job:
    await log_of(service, id)
    job = await service.job(id, origin=True)
    assert job is not None
    assert job.status in ENDED
    return job


def names(jobs: list[Job]) -> list[str]:
    return [job.id for job in jobs]


# ------------------------------------------------------------------------------------------------ a run


def test_a_run_is_accepted_executed_and_told_to_its_end(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, EngineWorker(engine(tmp_path))) as service:
            accepted = await service.submit(Submission("x", add(1, 2), client="ada", title="Sum", origin={"prompt": {"1": {}}}))
            assert (accepted.status, accepted.number, accepted.attempt) == ("pending", 1.0, 0)
            events = await log_of(service, "x")
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            assert kinds(events) == [
                "job_started", "run_started",
                "node_started", "node_finished", "node_started", "node_finished", "node_started", "node_finished",
                "run_finished", "job_ended",
            ]  # fmt: skip
            job = await service.job("x", origin=True)
            assert job is not None
            assert (job.status, job.title, job.client, job.attempt, job.error) == ("done", "Sum", "ada", 1, None)
            assert job.outputs == {"s": [{"kind": "text", "text": "3"}]}
            assert job.origin == {"prompt": {"1": {}}}
            assert job.created <= (job.started or 0) <= (job.ended or 0)
            assert await service.events("x") == events
            assert await service.events("x", 4) == events[4:]
            assert await service.document("x") == add(1, 2)
            assert (service.counters.submitted, service.counters.done, service.remaining) == (1, 1, 0)

    run(main)


def test_it_is_all_there_after_a_restart(tmp_path: Path) -> None:
    seen: list[Any] = []

    async def first() -> None:
        async with serving(tmp_path, EngineWorker(engine(tmp_path))) as service:
            await service.submit(Submission("x", add(1, 2)))
            seen.append(await log_of(service, "x"))
            seen.append(await service.job("x"))

    async def second() -> None:
        async with serving(tmp_path) as service:
            assert [await service.events("x"), await service.job("x")] == seen
            assert await log_of(service, "x") == seen[0]

    run(first)
    run(second)


def test_a_failed_run_says_why(tmp_path: Path) -> None:
    graph = document({"b": ("Boom", {"a": 3}), "s": ("Show", {"value": ["b.int"]})})

    async def main() -> None:
        async with serving(tmp_path, EngineWorker(engine(tmp_path))) as service:
            await service.submit(Submission("x", graph))
            job = await ended(service, "x")
            assert job.status == "failed"
            assert job.error is not None
            assert job.error["node"] == "b"
            assert (await service.events("x"))[-1].data["error"] == job.error
            assert service.counters.failed == 1

    run(main)


def test_targets_choose_what_is_run(tmp_path: Path) -> None:
    graph = document({"c": ("Constant", {"value": 1}), "s": ("Show", {"value": ["c.int"]}), "t": ("Show", {"value": 2})})

    async def main() -> None:
        async with serving(tmp_path, EngineWorker(engine(tmp_path))) as service:
            await service.submit(Submission("x", graph, ("t",)))
            assert (await ended(service, "x")).outputs == {"t": [{"kind": "text", "text": "2"}]}

    run(main)


def test_two_workers_run_two_jobs_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        ada, bob = HeldWorker(tmp_path / "a"), HeldWorker(tmp_path / "b")
        async with serving(tmp_path, ada, bob) as service:
            for id in "xyz":
                await service.submit(Submission(id, HELD))
            await ada.begun.wait()
            await bob.begun.wait()
            assert sorted(names(service.running())) == ["x", "y"]
            assert names(service.pending()) == ["z"]
            bob.release()
            ada.release()
            await ended(service, "x")
            await ended(service, "y")
            ada.release()
            bob.release()

    run(main)


def test_only_a_worker_that_could_begin_at_once_is_told_what_may_come(tmp_path: Path) -> None:
    async def main() -> None:
        ada, bob = HeldWorker(tmp_path / "a"), EngineWorker(engine(tmp_path / "b"))
        async with serving(tmp_path, ada, bob) as service:
            await service.submit(Submission("x", HELD))
            await ada.begun.wait()
            service.prepare("first", None)
            await service.pause()
            service.prepare("second", None)
            ada.release()
            await ended(service, "x")
            assert (ada.prepared, bob.prepared) == ([], ["first"])

    run(main)


# ------------------------------------------------------------------------------------------------ submitting


def test_the_same_submission_many_times_at_once_is_run_once(tmp_path: Path) -> None:
    async def main() -> None:
        worker = EngineWorker(engine(tmp_path))
        async with serving(tmp_path, worker) as service:
            jobs = await asyncio.gather(*(service.submit(Submission("x", add(1, 2))) for _ in range(20)))
            assert {job.id for job in jobs} == {"x"}
            await ended(service, "x")
            again = await service.submit(Submission("x", add(1, 2)))
            assert again.status == "done"
            with pytest.raises(Conflict):
                await service.submit(Submission("x", add(1, 3)))
            assert worker.started == ["x"]
            assert service.counters.submitted == 1

    run(main)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"number": float("nan")}, OutOfRange),
        ({"number": float("inf")}, OutOfRange),
        ({"number": -1e300}, OutOfRange),
        ({"number": True}, OutOfRange),
        ({"number": "1"}, OutOfRange),
        ({"id": ""}, BadValue),
        ({"id": "x" * 1_000_000}, OutOfRange),
        ({"id": "\ud800"}, BadValue),
        ({"id": "a\0b"}, BadValue),
        ({"client": "\udfff"}, BadValue),
        ({"title": "t" * 2000}, OutOfRange),
        ({"document": {"x": float("inf")}}, BadValue),
        ({"origin": {"x": float("nan")}}, BadValue),
    ],
)
def test_what_is_unfit_is_refused_and_leaves_nothing(tmp_path: Path, fault: dict[str, Any], error: type[NodegraphError]) -> None:
    async def main() -> None:
        async with serving(tmp_path) as service:
            with pytest.raises(error):
                await service.submit(Submission(**{"id": "x", "document": add(1, 2), **fault}))
            assert service.pending() == []
            assert await service.jobs() == ([], 0)

    run(main)


def test_the_queue_is_bounded(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, limits=Limits(waiting=5)) as service:
            answers = await asyncio.gather(*(service.submit(Submission(str(i), add(i))) for i in range(9)), return_exceptions=True)
            assert [type(answer) for answer in answers] == [Job] * 5 + [QueueFull] * 4
            await service.cancel("2")
            await service.submit(Submission("later", add(1)))
            assert names(service.pending()) == ["0", "1", "3", "4", "later"]

    run(main)


def test_who_goes_away_while_submitting_has_submitted(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as service:
            asking = asyncio.create_task(service.submit(Submission("x", add(1))))
            await asyncio.sleep(0)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await service.submit(Submission("y", add(1)))
            assert names(service.pending()) == ["x", "y"]

    run(main)


def test_on_a_full_disk_nothing_is_accepted_or_run_and_then_it_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        worker = EngineWorker(engine(tmp_path))
        async with serving(tmp_path, worker) as service:
            await service.submit(Submission("before", add(1)))
            await ended(service, "before")
            full = max(path.stat().st_size for path in (tmp_path / "state").iterdir())
            with files_of_at_most(full):
                noise = {"text": "x" * 2000}
                answers = await asyncio.gather(
                    *(service.submit(Submission(f"{i}", add(i), origin=noise)) for i in range(30)), return_exceptions=True
                )
                accepted = [str(i) for i, answer in enumerate(answers) if isinstance(answer, Job)]
                assert {type(answer) for answer in answers} <= {Job, WriteFailed}
                assert WriteFailed in {type(answer) for answer in answers}
            for id in accepted:
                assert (await ended(service, id)).status == "done"
            assert sorted(worker.started) == sorted(["before", *accepted])
            assert (await service.jobs())[1] == 1 + len(accepted)

    run(main)


def test_secrets_reach_the_worker_and_never_the_disk(tmp_path: Path) -> None:
    class Curious(EngineWorker):
        async def run(self, job: str, submission: Submission, listener: RunListener) -> Outcome:
            told.append(submission.secrets.get("key"))
            return Outcome("lost", reason="once") if len(told) == 1 else await super().run(job, submission, listener)

    told: list[str | None] = []

    async def main() -> None:
        async with serving(tmp_path, Curious(engine(tmp_path))) as service:
            submission = Submission("x", add(1), secrets={"key": "hush-hush"})
            assert "hush" not in repr(submission)
            await service.submit(submission)
            await ended(service, "x")
            assert told == ["hush-hush", "hush-hush"]
            await service.retry("x")

    run(main)
    for path in (tmp_path / "state").iterdir():
        assert b"hush" not in path.read_bytes()


def test_documents_of_a_long_queue_are_not_kept_in_memory(tmp_path: Path) -> None:
    large = {**add(1, 2), "meta": {"note": "x" * 500_000}}

    async def main() -> None:
        worker = EngineWorker(engine(tmp_path))
        async with serving(tmp_path, worker) as service:
            await service.pause()
            await asyncio.gather(*(service.submit(Submission(str(i), large, secrets={"a": "b"})) for i in range(20)))
            held = [entry.submission for entry in service._queue.waiting if entry.submission is not None]
            assert 5 <= len(held) <= 8
            await service.resume()
            for i in range(20):
                assert (await ended(service, str(i))).status == "done"

    run(main)


# ------------------------------------------------------------------------------------------------ order


def test_smaller_numbers_run_first_then_the_order_of_submission(tmp_path: Path) -> None:
    async def main() -> None:
        worker = EngineWorker(engine(tmp_path))
        async with serving(tmp_path, worker) as service:
            await service.pause()
            for id, more in (
                ("a", {}),
                ("b", {}),
                ("c", {"number": 1}),
                ("d", {"front": True}),
                ("e", {"front": True}),
                ("f", {"number": -0.5}),
            ):
                await service.submit(Submission(id, add(1), **more))  # type: ignore[arg-type]
            assert names(service.pending()) == ["e", "d", "f", "a", "c", "b"]
            await service.reorder("b", front=True)
            assert (await service.reorder("d", number=1)).number == 1.0
            assert names(service.pending()) == ["b", "e", "f", "a", "c", "d"] or names(service.pending()) == ["b", "e", "f", "a", "d", "c"]
            order = names(service.pending())
            found, _ = await service.jobs("pending", sort="number", descending=False)
            assert names(found) == order
            await service.resume()
            for id in order:
                await ended(service, id)
            assert worker.started == order

    run(main)


def test_what_does_not_wait_cannot_be_moved(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, EngineWorker(engine(tmp_path))) as service:
            await service.submit(Submission("x", add(1)))
            await ended(service, "x")
            with pytest.raises(Conflict, match="done"):
                await service.reorder("x", front=True)
            with pytest.raises(UnknownJob):
                await service.reorder("nothing", number=1)
            with pytest.raises(BadValue):
                await service.reorder("x")
            with pytest.raises(OutOfRange):
                await service.reorder("x", number=float("nan"))

    run(main)


def test_a_pause_lasts_beyond_a_restart(tmp_path: Path) -> None:
    async def first() -> None:
        async with serving(tmp_path, EngineWorker(engine(tmp_path))) as service:
            await service.pause()
            await service.submit(Submission("x", add(1)))

    async def second() -> None:
        worker = EngineWorker(engine(tmp_path))
        async with serving(tmp_path, worker) as service:
            assert service.paused
            assert names(service.pending()) == ["x"]
            assert worker.started == []
            await service.resume()
            assert not service.paused
            assert (await ended(service, "x")).status == "done"

    run(first)
    run(second)


def test_a_pause_lets_go_on_what_runs(tmp_path: Path) -> None:
    async def main() -> None:
        worker = HeldWorker(tmp_path)
        async with serving(tmp_path, worker) as service:
            await service.submit(Submission("x", HELD))
            await service.submit(Submission("y", add(1)))
            await worker.begun.wait()
            await service.pause()
            worker.release()
            assert (await ended(service, "x")).status == "done"
            assert worker.started == ["x"]
            await service.resume()
            await ended(service, "y")

    run(main)


# ------------------------------------------------------------------------------------------------ cancelling, retrying, deleting


def test_a_waiting_job_is_cancelled_and_never_runs(tmp_path: Path) -> None:
    async def main() -> None:
        worker = EngineWorker(engine(tmp_path))
        async with serving(tmp_path, worker) as service:
            await service.pause()
            await service.submit(Submission("x", add(1)))
            await service.submit(Submission("y", add(1)))
            assert await service.cancel("x")
            assert not await service.cancel("x")
            assert not await service.cancel("unknown")
            await service.resume()
            await ended(service, "y")
            job = await ended(service, "x")
            assert (job.status, job.attempt, job.started) == ("cancelled", 0, None)
            assert kinds(await service.events("x")) == ["job_ended"]
            assert worker.started == ["y"]

    run(main)


def test_a_running_job_is_cancelled(tmp_path: Path) -> None:
    async def main() -> None:
        worker = HeldWorker(tmp_path)
        async with serving(tmp_path, worker) as service:
            await service.submit(Submission("x", HELD))
            await worker.begun.wait()
            assert await service.cancel("x")
            job = await ended(service, "x")
            assert (job.status, job.error) == ("cancelled", None)
            assert service.counters.cancelled == 1
            assert not await service.cancel("x")

    run(main)


@asynccontextmanager
async def start_held_back(folder: Path) -> AsyncIterator[tuple[Service, EngineWorker, threading.Event]]:
    """A job that a worker is about to get, as soon as its start is on disk: not before the event is set."""

    def clock() -> float:
        calls.append(time.time())
        if len(calls) == 2:  # the start of the job
            store.write(lambda _: go.wait(30))
        return calls[-1]

    calls: list[float] = []
    go, worker = threading.Event(), EngineWorker(engine(folder))
    store = Store.open(folder / "state")
    service = Service(store, [worker], clock=clock)
    await service.start()
    await service.submit(Submission("x", add(1)))
    while not service.running():
        await asyncio.sleep(0)
    try:
        yield service, worker, go
    finally:
        await service.stop()
        await store.close()


def test_a_job_cancelled_in_the_moment_it_is_taken_does_not_run(tmp_path: Path) -> None:
    async def main() -> None:
        async with start_held_back(tmp_path) as (service, worker, go):
            asking = asyncio.create_task(service.cancel("x"))
            for _ in range(3):
                await asyncio.sleep(0)
            go.set()
            assert await asking
            assert (await ended(service, "x")).status == "cancelled"
            assert worker.started == []

    run(main)


def test_a_job_whose_start_is_still_being_stored_when_the_server_stops_waits_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with start_held_back(tmp_path) as (service, worker, go):
            stopping = asyncio.create_task(service.stop())
            for _ in range(3):
                await asyncio.sleep(0)
            go.set()
            await stopping
            job = await service.job("x")
            assert job is not None
            assert (job.status, job.attempt) == ("pending", 0)
            assert worker.started == []

    run(main)


def test_a_cancel_that_was_acknowledged_holds_though_the_server_dies(tmp_path: Path) -> None:
    async def first() -> None:
        worker = HeldWorker(tmp_path, deaf=True)
        store = Store.open(tmp_path / "state")
        service = Service(store, [worker])
        await service.start()
        await service.submit(Submission("x", HELD))
        await worker.begun.wait()
        assert await service.cancel("x")
        await service.stop(grace=0)
        await store.close()
        worker.release()

    async def second() -> None:
        async with serving(tmp_path, EngineWorker(engine(tmp_path))) as service:
            job = await ended(service, "x")
            assert (job.status, job.attempt) == ("cancelled", 1)

    run(first)
    run(second)


def test_a_retry_is_a_new_job_that_names_the_old_one(tmp_path: Path) -> None:
    async def main() -> None:
        worker = HeldWorker(tmp_path)
        async with serving(tmp_path, worker) as service:
            await service.submit(Submission("x", HELD, ("s",), client="ada", title="T", previews=False, origin={"o": 1}))
            await worker.begun.wait()
            with pytest.raises(Conflict, match="running"):
                await service.retry("x")
            await service.cancel("x")
            old = await ended(service, "x")
            new = await service.retry("x")
            assert new.id != "x"
            await worker.begun.wait()
            worker.release()
            job = await ended(service, new.id)
            assert (job.status, job.retry_of) == ("done", "x")
            assert (job.client, job.title, job.targets, job.origin) == ("ada", "T", ("s",), {"o": 1})
            assert await service.job("x", origin=True) == old
            with pytest.raises(UnknownJob):
                await service.retry("unknown")

    run(main)


def test_deleting_erases_what_ended_cancels_what_waits_and_leaves_what_runs(tmp_path: Path) -> None:
    async def main() -> None:
        worker = HeldWorker(tmp_path)
        async with serving(tmp_path, worker) as service:
            await service.submit(Submission("done", add(1)))
            await ended(service, "done")
            await service.submit(Submission("runs", HELD))
            await service.submit(Submission("waits", add(1)))
            await worker.begun.wait()
            with service.hub.subscribe(job="waits") as reader:
                assert sorted(await service.delete(["done", "runs", "waits", "unknown"])) == ["done", "waits"]
                last = await anext(reader)
            assert isinstance(last, JobEvent)
            assert last.data == {"event": "job_ended", "status": "cancelled", "seconds": 0.0}
            assert await service.job("done") is None
            assert await service.job("waits") is None
            with pytest.raises(UnknownJob):
                await service.events("waits")
            worker.release()
            assert (await ended(service, "runs")).status == "done"

    run(main)


def test_clearing_the_queue_keeps_its_jobs_as_cancelled_and_clearing_the_history_erases_them(tmp_path: Path) -> None:
    async def main() -> None:
        worker = HeldWorker(tmp_path)
        async with serving(tmp_path, worker) as service:
            await service.submit(Submission("runs", HELD))
            await worker.begun.wait()
            await asyncio.gather(*(service.submit(Submission(str(i), add(i))) for i in range(450)))
            assert await service.clear_pending() == 450
            assert service.pending() == []
            assert (await service.jobs("cancelled"))[1] == 450
            await service.clear_history()
            assert names((await service.jobs())[0]) == ["runs"]
            worker.release()
            await ended(service, "runs")

    run(main)


# ------------------------------------------------------------------------------------------------ losses


def test_a_lost_worker_costs_a_retry(tmp_path: Path) -> None:
    async def main() -> None:
        worker = HeldWorker(tmp_path)
        async with serving(tmp_path, worker) as service:
            await service.submit(Submission("x", HELD))
            await service.submit(Submission("y", add(1)))
            await worker.begun.wait()
            worker.lose("signal 11 at node h")
            await started_again(worker, 2)
            worker.release()
            job = await ended(service, "x")
            assert (job.status, job.attempt) == ("done", 2)
            found = await service.events("x")
            queue = [event.data for event in found if event.data["event"].startswith("job_")]
            assert queue[:4] == [
                {"event": "job_started", "attempt": 1},
                {"event": "job_lost", "attempt": 1, "reason": "signal 11 at node h"},
                {"event": "job_retried", "attempt": 2},
                {"event": "job_started", "attempt": 2},
            ]
            assert [event.seq for event in found] == list(range(1, len(found) + 1))
            await ended(service, "y")
            assert worker.started == ["x", "x", "y"]
            assert (service.counters.lost, service.counters.retried, service.counters.done) == (1, 1, 2)

    run(main)


async def started_again(worker: HeldWorker, times: int) -> None:
    while len(worker.started) < times:
        await asyncio.sleep(0)
    await worker.begun.wait()


def test_lost_twice_is_failed_with_the_reason_and_the_queue_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        worker = HeldWorker(tmp_path)
        async with serving(tmp_path, worker) as service:
            await service.submit(Submission("x", HELD))
            await service.submit(Submission("y", add(1)))
            for times in (1, 2):
                await started_again(worker, times)
                worker.lose("out of memory")
                while len(worker.started) == times:
                    await asyncio.sleep(0)
            job = await ended(service, "x")
            assert job.status == "failed"
            assert job.error is not None
            assert job.error["error"] == "WorkerLost"
            assert "out of memory" in job.error["message"]
            assert (await ended(service, "y")).status == "done"
            assert worker.started == ["x", "x", "y"]

    run(main)


def test_a_worker_that_breaks_its_word_and_raises_counts_as_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(EngineWorker):
        async def run(self, job: str, submission: Submission, listener: RunListener) -> Outcome:
            raise ConnectionError("the pipe broke")

    async def main() -> None:
        async with serving(tmp_path, Broken(engine(tmp_path))) as service:
            await service.submit(Submission("x", add(1)))
            job = await ended(service, "x")
            assert job.error is not None
            assert "the pipe broke" in job.error["message"]

    run(main)


def test_a_job_cancelled_while_its_worker_dies_is_cancelled(tmp_path: Path) -> None:
    async def main() -> None:
        worker = HeldWorker(tmp_path)
        async with serving(tmp_path, worker) as service:
            await service.submit(Submission("x", HELD))
            await worker.begun.wait()
            worker.lose()
            assert await service.cancel("x")
            assert (await ended(service, "x")).status == "cancelled"
            assert worker.started == ["x"]

    run(main)


def test_what_a_lost_worker_says_later_is_not_heard(tmp_path: Path) -> None:
    class Late(EngineWorker):
        async def run(self, job: str, submission: Submission, listener: RunListener) -> Outcome:
            listeners.append(listener)
            listener.on_events(job, [{"event": "log", "text": "in time"}])
            return Outcome("done")

    listeners: list[RunListener] = []

    async def main() -> None:
        async with serving(tmp_path, Late(engine(tmp_path))) as service:
            await service.submit(Submission("x", add(1)))
            before = await log_of(service, "x")
            with service.hub.subscribe(job="x") as reader:
                listeners[0].on_events("x", [{"event": "log", "text": "too late"}])
                listeners[0].on_preview(LivePreview("x", "a", 1, 1, b""))
                assert reader.take() is None
            assert await service.events("x") == before
            assert kinds(before) == ["job_started", "log", "job_ended"]

    run(main)


def test_an_orderly_stop_gives_the_run_back_and_costs_no_attempt(tmp_path: Path) -> None:
    async def first() -> None:
        worker = HeldWorker(tmp_path)
        async with serving(tmp_path, worker) as service:
            await service.submit(Submission("x", HELD))
            await worker.begun.wait()

    async def second() -> None:
        worker = HeldWorker(tmp_path)
        async with serving(tmp_path, worker) as service:
            await worker.begun.wait()
            worker.release()
            job = await ended(service, "x")
            assert (job.status, job.attempt) == ("done", 1)
            told = [kind for kind in kinds(await service.events("x")) if kind.startswith("job_")]
            assert told == ["job_started", "job_returned", "job_started", "job_ended"]

    run(first)
    run(second)


def test_a_run_that_died_with_the_server_is_retried_once_then_failed(tmp_path: Path) -> None:
    async def dies() -> None:
        worker = HeldWorker(tmp_path, deaf=True)
        store = Store.open(tmp_path / "state")
        service = Service(store, [worker])
        await service.start()
        if not await service.job("x"):
            await service.submit(Submission("x", HELD))
            await service.submit(Submission("y", add(1), client="ada"))
        await worker.begun.wait()
        await service.stop(grace=0)
        await store.close()
        worker.release()

    async def back() -> None:
        async with serving(tmp_path, EngineWorker(engine(tmp_path))) as service:
            job = await ended(service, "x")
            assert job.status == "failed"
            assert job.error is not None
            assert "the server died" in job.error["message"]
            found = await service.events("x")
            told = [kind for kind in kinds(found) if kind.startswith("job_")]
            assert told == ["job_started", "job_lost", "job_retried", "job_started", "job_lost", "job_ended"]
            assert [event.seq for event in found] == list(range(1, len(found) + 1))
            assert (await ended(service, "y")).status == "done"

    run(dies)
    run(dies)
    run(back)


def test_a_server_that_comes_back_to_a_full_disk_takes_its_job_up_when_there_is_room(tmp_path: Path) -> None:
    async def dies() -> None:
        worker = HeldWorker(tmp_path, deaf=True)
        store = Store.open(tmp_path / "state")
        service = Service(store, [worker])
        await service.start()
        await service.submit(Submission("x", add(1), client="c" * 100))
        await service.submit(Submission("y", HELD))
        await ended(service, "x")
        await worker.begun.wait()
        await service.stop(grace=0)
        await store.close()
        worker.release()

    async def back() -> None:
        store = Store.open(tmp_path / "state")
        worker = HeldWorker(tmp_path)
        service = Service(store, [worker])
        with files_of_at_most(1000):
            await service.start()
            assert names(service.running()) == ["y"]
            assert worker.started == []
        await started_again(worker, 1)
        worker.release()
        job = await ended(service, "y")
        assert (job.status, job.attempt) == ("done", 2)
        await service.stop()
        await store.close()

    run(dies)
    run(back)


# ------------------------------------------------------------------------------------------------ events


def test_a_client_hears_of_its_own_runs_only(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, EngineWorker(engine(tmp_path))) as service:
            with service.hub.subscribe(client="ada") as ada, service.hub.subscribe(client="bob", queue=True) as bob:
                await service.submit(Submission("a", add(1), client="ada"))
                await service.submit(Submission("n", add(2)))
                await ended(service, "n")
                heard = []
                while (item := ada.take()) is not None:
                    heard.append(item)
                assert heard == await service.events("a")
                others = []
                while (item := bob.take()) is not None:
                    others.append(item)
                assert {type(item) for item in others} == {QueueChanged}
                assert others[-1] in (QueueChanged(1), QueueChanged(0))  # the job is told to be over before the queue is

    run(main)


def test_whoever_reconnects_goes_on_where_it_was(tmp_path: Path) -> None:
    async def main() -> None:
        worker = HeldWorker(tmp_path)
        async with serving(tmp_path, worker) as service:
            await service.submit(Submission("x", HELD))
            seen: list[int] = []
            for _ in range(5):
                async for item in service.follow("x", seen[-1] if seen else 0):
                    assert isinstance(item, JobEvent)
                    seen.append(item.seq)
                    if len(seen) % 7 == 0:
                        break
            worker.release()
            async for item in service.follow("x", seen[-1]):
                assert isinstance(item, JobEvent)
                seen.append(item.seq)
            assert seen == list(range(1, len(seen) + 1))
            assert seen == [event.seq for event in await service.events("x")]

    run(main)


def test_a_follower_that_is_too_slow_for_the_hub_misses_nothing(tmp_path: Path) -> None:
    class Chatty(EngineWorker):
        async def run(self, job: str, submission: Submission, listener: RunListener) -> Outcome:
            for start in range(0, 20_000, 100):
                listener.on_events(job, [{"event": "progress", "value": value} for value in range(start, start + 100)])
                await asyncio.sleep(0)
            return Outcome("done")

    async def main() -> None:
        async with serving(tmp_path, Chatty(engine(tmp_path))) as service:
            await service.submit(Submission("x", add(1)))
            seen: list[int] = []
            async for item in service.follow("x"):
                assert isinstance(item, JobEvent)
                seen.append(item.seq)
                if len(seen) == 5:
                    while service.remaining:  # it reads nothing until all is over
                        await asyncio.sleep(0)
            assert seen == list(range(1, 20_003))

    run(main)


def test_events_are_told_in_time_though_the_disk_is_slow_and_read_though_not_stored(tmp_path: Path) -> None:
    async def main() -> None:
        worker = HeldWorker(tmp_path)
        store = Store.open(tmp_path / "state")
        service = Service(store, [worker])
        await service.start()
        await service.submit(Submission("x", HELD))
        await worker.begun.wait()
        slow = threading.Event()
        busy = store.write(lambda _: slow.wait(30))
        with service.hub.subscribe(job="x") as reader:
            item = await asyncio.wait_for(anext(reader), 10)
            assert isinstance(item, JobEvent)
            assert time.time() - item.time < 5  # 0.04 on an idle machine
            found = await service.events("x")
            assert [event.seq for event in found] == list(range(1, len(found) + 1))
            assert found[-1].seq >= item.seq
            assert not busy.done()
        slow.set()
        worker.release()
        log = await log_of(service, "x")
        assert [event.seq for event in log] == list(range(1, len(log) + 1))
        await service.stop()
        await store.close()

    run(main)


def test_previews_are_told_and_never_stored(tmp_path: Path) -> None:
    class Painter(EngineWorker):
        async def run(self, job: str, submission: Submission, listener: RunListener) -> Outcome:
            listener.on_events(job, [{"event": "node_started", "node": "a", "type": "T"}])
            listener.on_preview(LivePreview(job, "a", 8, 8, b"jpeg"))
            return Outcome("done")

    async def main() -> None:
        async with serving(tmp_path, Painter(engine(tmp_path))) as service:
            await service.pause()
            await service.submit(Submission("x", add(1), client="ada"))
            with service.hub.subscribe(client="ada") as ada:
                await service.resume()
                heard = [await anext(ada) for _ in range(4)]
            assert [type(item) for item in heard] == [JobEvent, JobEvent, LivePreview, JobEvent]
            assert len(await service.events("x")) == 3

    run(main)
    assert b"jpeg" not in b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir())


def test_nothing_is_told_before_it_is_stored_while_the_disk_answers_and_pictures_keep_their_place(tmp_path: Path) -> None:
    class Painter(EngineWorker):
        async def run(self, job: str, submission: Submission, listener: RunListener) -> Outcome:
            busy = store.write(lambda _: slow.wait(30))
            listener.on_events(job, [{"event": "node_started", "node": "a"}])
            for picture in (b"first", b"second"):
                listener.on_preview(LivePreview(job, "a", 8, 8, picture))
            listener.on_events(job, [{"event": "log", "node": "a"}])
            listener.on_preview(LivePreview(job, "b", 8, 8, b"other"))
            begun.set()
            await busy
            await go_on.wait()
            return Outcome("done")

    async def main() -> None:
        service = Service(store, [Painter(engine(tmp_path))], patience=600)
        await service.start()
        with service.hub.subscribe(client="ada") as ada:
            await service.submit(Submission("x", add(1), client="ada"))
            await begun.wait()
            assert [item.seq for item in waiting(ada) if isinstance(item, JobEvent)] == [1]  # the start, stored before
            slow.set()
            told = [await anext(ada) for _ in range(4)]
            go_on.set()
            told.append(await anext(ada))
        assert [item.seq if isinstance(item, JobEvent) else getattr(item, "jpeg", b"") for item in told] == [2, 3, b"second", b"other", 4]
        await service.stop()
        await store.close()

    slow, begun, go_on = threading.Event(), asyncio.Event(), asyncio.Event()
    store = Store.open(tmp_path / "state")
    run(main)


def test_a_log_is_bounded_but_still_says_what_ran(tmp_path: Path) -> None:
    class Endless(EngineWorker):
        async def run(self, job: str, submission: Submission, listener: RunListener) -> Outcome:
            for value in range(300):
                listener.on_events(job, [{"event": "progress", "value": value}])
                await asyncio.sleep(0)
            listener.on_events(job, [{"event": "progress"}, {"event": "node_finished", "node": "a"}])
            return Outcome("done")

    async def main() -> None:
        async with serving(tmp_path, Endless(engine(tmp_path)), limits=Limits(events=100)) as service:
            await service.pause()
            await service.submit(Submission("x", add(1)))
            with service.hub.subscribe(job="x") as reader:
                await service.resume()
                live = await log_of(service, "x")
                heard = []
                while (item := reader.take()) is not None:
                    assert isinstance(item, JobEvent)
                    heard.append(item)
            stored = await service.events("x")
            assert kinds(stored) == ["job_started", *["progress"] * 99, "log_full", "node_finished", "job_ended"]
            assert kinds(heard).count("progress") == 301
            assert [item.seq for item in heard if item.seq] == [event.seq for event in stored]
            assert [event for event in live if event.seq] == stored

    run(main)


def test_the_history_keeps_to_its_limits_while_jobs_come_and_go(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, EngineWorker(engine(tmp_path)), limits=Limits(jobs=10)) as service:
            for i in range(30):
                await service.submit(Submission(str(i), add(i)))
            await ended(service, "29")
            await service.pause()  # after what trims
            found, total = await service.jobs(descending=False)
            assert names(found) == [str(i) for i in range(20, 30)]
            assert total == 10

    run(main)


@pytest.mark.parametrize("sort", ["created", "number", "ended", "duration"])
def test_jobs_are_listed_by_page(tmp_path: Path, sort: Sort) -> None:
    async def main() -> None:
        async with serving(tmp_path, EngineWorker(engine(tmp_path))) as service:
            for i in range(5):
                await service.submit(Submission(str(i), add(i), client="ada", origin={"number": i}))
            await ended(service, "4")
            first, total = await service.jobs("done", limit=3, sort=sort, descending=False)
            second, _ = await service.jobs(("done", "failed"), limit=3, offset=3, sort=sort, descending=False, client="ada", origin=True)
            assert total == 5
            assert sorted(names(first + second)) == ["0", "1", "2", "3", "4"]
            assert [job.origin for job in first] == [{}] * 3
            assert [job.origin["number"] for job in second] == [int(job.id) for job in second]
            assert await service.jobs(client="bob") == ([], 0)

    run(main)


@pytest.mark.parametrize("end", ["done later", "done now", "lost now"])
def test_a_disk_that_is_full_during_a_run_costs_its_log_nothing(tmp_path: Path, end: str) -> None:
    class Wordy(EngineWorker):
        async def run(self, job: str, submission: Submission, listener: RunListener) -> Outcome:
            self.started.append(job)
            begun.set()
            await full.wait()
            for number in range(100):
                listener.on_events(job, [{"event": "log", "number": number, "text": str(number) * 1000}])
                await asyncio.sleep(0)
            await go_on.wait()
            return Outcome("lost" if end == "lost now" and len(self.started) == 1 else "done")

    async def main() -> None:
        worker = Wordy(engine(tmp_path))
        async with serving(tmp_path, worker) as service:
            await service.pause()
            await service.submit(Submission("x", add(1)))
            with service.hub.subscribe(job="x", limit=100_000) as reader:
                await service.resume()
                await begun.wait()
                with files_of_at_most(max(path.stat().st_size for path in (tmp_path / "state").iterdir())):
                    full.set()
                    heard = [await anext(reader) for _ in range(101)]
                    if end != "done later":
                        go_on.set()
                        with pytest.raises(WriteFailed):
                            await service.submit(Submission("y", add(2), origin={"text": "y" * 2000}))
                go_on.set()
                heard += [item async for item in until_the_end(reader)]
            found = await service.events("x")
            assert found == heard
            assert [event.seq for event in found] == list(range(1, len(found) + 1))
            runs = 2 if end == "lost now" else 1
            assert worker.started == ["x"] * runs
            assert [event.data["number"] for event in found if "number" in event.data] == list(range(100)) * runs
            assert (await ended(service, "x")).status == "done"

    begun, full, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
    run(main)


async def until_the_end(reader: Subscription) -> AsyncIterator[JobEvent]:
    async for item in reader:
        if isinstance(item, JobEvent):
            yield item
            if is_last(item):
                return
