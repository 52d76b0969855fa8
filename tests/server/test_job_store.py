"""The database: grouped writes that last, numbered migrations, damage, a full disk, and a history that stays small."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from engine_worker import add

from nodegraph.errors import BadValue, FormatTooNew, ReadFailed, WriteFailed
from nodegraph.server.queue.errors import Conflict, StateInUse, UnknownJob
from nodegraph.server.queue.model import Job, JobEvent, Submission
from nodegraph.server.queue.store import events, history, jobs
from nodegraph.server.queue.store.database import FILE_NAME, Store
from nodegraph.server.queue.store.events import Batch
from nodegraph.server.queue.store.history import Limits, Usage
from nodegraph.server.queue.store.opening import migrate, migrations, open_database, suspect

Work = Callable[[Store], Awaitable[None]]


def with_store(folder: Path, work: Work) -> None:
    async def main() -> None:
        store = Store.open(folder)
        try:
            await work(store)
        finally:
            await store.close()

    asyncio.run(main())


def insert(id: str, **more: Any) -> Callable[[sqlite3.Connection], jobs.Accepted]:
    return partial(jobs.insert, submission=Submission(id, add(1, 2), **more), created=100.0)


def ended(accepted: jobs.Accepted, when: float, **more: Any) -> Callable[[sqlite3.Connection], int]:
    job = Job(accepted.job.id, accepted.job.number, "done", 100.0, ended=when, **more)
    return partial(jobs.end, serial=accepted.serial, job=job)


def ids(connection: sqlite3.Connection) -> list[str]:
    return [id for (id,) in connection.execute("SELECT id FROM jobs ORDER BY serial")]


# ------------------------------------------------------------------------------------------------ writing


def test_what_was_acknowledged_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    async def write(store: Store) -> None:
        await asyncio.gather(*(store.write(insert(str(i))) for i in range(50)))

    async def look(store: Store) -> None:
        assert await store.read(ids) == [str(i) for i in range(50)]
        assert await store.read(partial(jobs.document, id="7")) == add(1, 2)

    with_store(tmp_path, write)
    with_store(tmp_path, look)


def test_writes_that_wait_share_one_commit(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        told: list[str] = []
        go = threading.Event()
        store.write(lambda connection: connection.set_trace_callback(told.append))
        first = store.write(lambda _: go.wait(10))
        others = [store.write(insert(str(i))) for i in range(300)]
        go.set()
        await asyncio.gather(first, *others)
        assert told.count("COMMIT") <= 2
        assert await store.read(ids) == [str(i) for i in range(300)]

    with_store(tmp_path, work)


def test_one_that_fails_takes_no_other_with_it(tmp_path: Path) -> None:
    def half(connection: sqlite3.Connection) -> None:
        insert("half")(connection)
        raise ZeroDivisionError("in the middle")

    async def work(store: Store) -> None:
        go = threading.Event()
        blocker = store.write(lambda _: go.wait(10))
        good, bad, after = store.write(insert("good")), store.write(half), store.write(insert("after"))
        go.set()
        await asyncio.gather(blocker, good, after)
        with pytest.raises(ZeroDivisionError, match="in the middle"):
            await bad
        assert await store.read(ids) == ["good", "after"]

    with_store(tmp_path, work)


def test_durable_writes_are_synced_and_the_others_need_not_be(tmp_path: Path) -> None:
    def level(connection: sqlite3.Connection) -> int:
        return int(connection.execute("PRAGMA synchronous").fetchone()[0])

    async def work(store: Store) -> None:
        assert await store.write(level) == 2  # FULL
        assert await store.write(level, durable=False) == 1  # NORMAL
        assert await store.write(level) == 2

    with_store(tmp_path, work)


def test_a_document_that_is_no_json_is_refused_whole(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        submission = Submission("x", {"nodes": {"a": {"inputs": {"value": float("nan")}}}})
        with pytest.raises(BadValue, match="JSON"):
            await store.write(partial(jobs.insert, submission=submission, created=1.0))
        assert await store.read(ids) == []

    with_store(tmp_path, work)


def test_nothing_can_be_written_once_it_is_closed(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        await store.close()
        with pytest.raises(RuntimeError, match="closed"):
            store.write(ids)

    with_store(tmp_path, work)


# ------------------------------------------------------------------------------------------------ a full disk


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file may grow beyond that: what a full disk does."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_on_a_full_disk_the_submitter_is_told_and_nothing_half_is_there(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        await store.write(insert("before"))
        full = max(path.stat().st_size for path in tmp_path.iterdir())
        with files_of_at_most(full):
            answers = await asyncio.gather(*(store.write(insert(f"full {i}")) for i in range(20)), return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, WriteFailed)]
        accepted = [answer.job.id for answer in answers if isinstance(answer, jobs.Accepted)]
        assert refused
        assert len(refused) + len(accepted) == 20
        assert "free some space" in str(refused[0].hint)
        assert await store.read(ids) == ["before", *accepted]
        await store.write(insert("after"))
        assert await store.read(ids) == ["before", *accepted, "after"]

    async def look(store: Store) -> None:
        found = await store.read(ids)
        assert found[0] == "before"
        assert found[-1] == "after"
        for id in found:
            assert await store.read(partial(jobs.document, id=id)) == add(1, 2)

    with_store(tmp_path, work)
    with_store(tmp_path, look)


def test_what_fits_on_a_nearly_full_disk_gets_there(tmp_path: Path) -> None:
    def limit(connection: sqlite3.Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 4}")

    async def work(store: Store) -> None:
        await store.write(limit)
        go = threading.Event()
        blocker = store.write(lambda _: go.wait(10))
        noise = random.Random(1).randbytes(200_000).hex()  # does not compress well
        large = store.write(partial(jobs.insert, submission=Submission("large", {"noise": noise}), created=1.0))
        small = store.write(insert("small"))
        go.set()
        await blocker
        with pytest.raises(WriteFailed, match="full"):
            await large
        assert (await small).new
        assert await store.read(ids) == ["small"]

    with_store(tmp_path, work)


# ------------------------------------------------------------------------------------------------ opening


def test_one_server_a_folder(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        with pytest.raises(StateInUse, match="another server"):
            Store.open(tmp_path)
        code = f"from pathlib import Path\nfrom nodegraph.server.queue.store.database import Store\nStore.open(Path({str(tmp_path)!r}))"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "StateInUse" in other.stderr

    with_store(tmp_path, work)
    with_store(tmp_path, lambda store: store.write(insert("free again")))


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WriteFailed, match="cannot write"):
        Store.open(tmp_path / "file" / "state")


def test_migrations_are_numbered_without_gaps() -> None:
    assert [number for number, _ in migrations()] == list(range(1, len(migrations()) + 1))


def test_an_older_database_is_brought_up_with_what_is_in_it(tmp_path: Path) -> None:
    steps = tmp_path / "steps"
    steps.mkdir()
    (steps / "0001_first.sql").write_text("CREATE TABLE t (a INTEGER);\n-- a comment; with a semicolon\nINSERT INTO t VALUES (7);\n")
    open_database(tmp_path / "x.db", steps).close()
    (steps / "0002_second.sql").write_text("ALTER TABLE t ADD COLUMN b TEXT DEFAULT 'new';")
    connection = open_database(tmp_path / "x.db", steps)
    assert connection.execute("SELECT * FROM t").fetchall() == [(7, "new")]
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    connection.close()


def test_a_migration_that_fails_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    steps = tmp_path / "steps"
    steps.mkdir()
    (steps / "0001_first.sql").write_text("CREATE TABLE t (a INTEGER);")
    connection = open_database(tmp_path / "x.db", steps)
    (steps / "0002_second.sql").write_text("CREATE TABLE u (a INTEGER);\nINSERT INTO nowhere VALUES (1);")
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        migrate(connection, steps)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("t",)]
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()


def test_a_newer_database_is_refused_untouched(tmp_path: Path) -> None:
    with_store(tmp_path, lambda store: store.write(lambda connection: connection.execute("CREATE TABLE future (a)")))
    raw = sqlite3.connect(tmp_path / FILE_NAME)
    raw.execute("PRAGMA user_version = 999")
    raw.close()
    before = (tmp_path / FILE_NAME).read_bytes()
    for _ in range(2):  # the lock is let go of as well
        with pytest.raises(FormatTooNew, match="schema 999"):
            Store.open(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == before


@pytest.mark.parametrize("damage", ["garbage", "cut", "scrambled"])
def test_a_damaged_file_is_moved_aside_and_said(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    with_store(tmp_path, lambda store: store.write(insert("lost")))
    path = tmp_path / FILE_NAME
    content = path.read_bytes()
    broken = {"garbage": b"no database at all" * 100, "cut": content[:5000], "scrambled": content[:100] + bytes(len(content) - 100)}[damage]
    path.write_bytes(broken)

    async def works(store: Store) -> None:
        assert await store.read(ids) == []
        await store.write(insert("new"))

    with caplog.at_level(logging.ERROR):
        with_store(tmp_path, works)
    (aside,) = tmp_path.glob(f"{FILE_NAME}.damaged-*")
    assert aside.read_bytes() == broken
    assert str(aside) in caplog.text


def test_damage_met_in_use_is_an_error_and_the_next_start_moves_the_file_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def fill(store: Store) -> None:
        await asyncio.gather(*(store.write(insert(str(i), origin={"x": random.Random(i).randbytes(3000).hex()})) for i in range(100)))

    async def meet(store: Store) -> None:
        assert len(await store.read(ids)) == 100
        with pytest.raises(ReadFailed, match="malformed") as met:
            await store.read(lambda connection: [jobs.document(connection, str(i)) for i in range(100)])
        assert "restart" in str(met.value.hint)

    with_store(tmp_path, fill)
    raw = bytearray((tmp_path / FILE_NAME).read_bytes())
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'documents'").fetchone()
    connection.close()
    raw[(root - 1) * 4096 : root * 4096] = bytes(4096)
    (tmp_path / FILE_NAME).write_bytes(raw)
    with_store(tmp_path, meet)

    async def works(store: Store) -> None:
        assert await store.read(ids) == []
        await store.write(insert("new"))

    with caplog.at_level(logging.ERROR):
        with_store(tmp_path, works)
    assert "is damaged" in caplog.text
    with_store(tmp_path, lambda store: store.read(ids))
    assert len(list(tmp_path.glob(f"{FILE_NAME}.*"))) == 1


def test_a_sound_file_under_suspicion_is_kept(tmp_path: Path) -> None:
    async def look(store: Store) -> None:
        assert await store.read(ids) == ["kept"]

    with_store(tmp_path, lambda store: store.write(insert("kept")))
    suspect(tmp_path / FILE_NAME)
    with_store(tmp_path, look)
    assert [path.name for path in tmp_path.glob(f"{FILE_NAME}*")] == [FILE_NAME]


def test_a_folder_with_two_damaged_files_keeps_both(tmp_path: Path) -> None:
    for text in (b"one" * 500, b"two" * 500):
        (tmp_path / FILE_NAME).write_bytes(text)
        open_database(tmp_path / FILE_NAME).close()
    kept = {path.read_bytes() for path in tmp_path.glob(f"{FILE_NAME}.damaged-*") if not path.name.endswith(("-wal", "-shm"))}
    assert kept == {b"one" * 500, b"two" * 500}


# ------------------------------------------------------------------------------------------------ jobs


def test_the_same_submission_is_the_same_job_and_another_is_a_conflict(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        first = await store.write(insert("x", client="ada"))
        turned = Submission("x", dict(reversed(add(1, 2).items())), client="ada", title="other", number=4.0)
        again = await store.write(partial(jobs.insert, submission=turned, created=200.0))
        assert not again.new
        assert again.job == first.job
        others = [
            Submission("x", add(1, 3), client="ada"),
            Submission("x", add(1, 2), client="bob"),
            Submission("x", add(1, 2), ("s",), client="ada"),
        ]
        for other in [*others, Submission("x", add(True, 2), client="ada"), Submission("x", add(1, 2.0), client="ada")]:  # type: ignore[arg-type]
            with pytest.raises(Conflict, match="another content"):
                await store.write(partial(jobs.insert, submission=other, created=1.0))
        assert await store.read(ids) == ["x"]

    with_store(tmp_path, work)


def test_numbers_go_on_though_the_history_was_erased(tmp_path: Path) -> None:
    async def first(store: Store) -> None:
        accepted = await store.write(insert("a"))
        await store.write(ended(accepted, 1.0))
        assert await store.write(partial(jobs.delete, ids=["a", "unknown"])) == ["a"]

    async def second(store: Store) -> None:
        assert (await store.write(insert("b"))).job.number == 2.0

    with_store(tmp_path, first)
    with_store(tmp_path, second)


def test_in_front_is_before_everything_that_waits(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        numbers = [
            (await store.write(insert(str(i), **more))).job.number
            for i, more in enumerate([{}, {"front": True}, {"front": True}, {"number": -7.5}, {"front": True}, {"number": 3}])
        ]
        assert numbers == [1.0, -1.0, -2.0, -7.5, -8.5, 3.0]

    with_store(tmp_path, work)


def test_listing_pages_sorts_and_filters(tmp_path: Path) -> None:
    def listing(connection: sqlite3.Connection, *statuses: Any, **more: Any) -> tuple[list[str], int]:
        options = {"client": None, "sort": "created", "descending": False, "limit": 100, "offset": 0, "origin": False, **more}
        found, total = jobs.listing(connection, statuses, **options)
        return [job.id for job in found], total

    async def work(store: Store) -> None:
        for i, seconds in enumerate((5.0, 1.0, 3.0)):
            accepted = await store.write(insert(str(i), client="ada" if i else ""))
            await store.write(partial(jobs.start, serial=accepted.serial, attempt=1, now=10.0))
            await store.write(ended(accepted, 10.0 + seconds))
        await store.write(insert("p", front=True))
        read = store.read
        assert await read(listing) == (["0", "1", "2", "p"], 4)
        assert await read(partial(listing, descending=True, limit=2, offset=1)) == (["2", "1"], 4)
        assert await read(lambda c: listing(c, "done", sort="duration")) == (["1", "2", "0"], 3)
        assert await read(lambda c: listing(c, "done", sort="ended", descending=True)) == (["0", "2", "1"], 3)
        assert await read(lambda c: listing(c, "done", "pending", sort="number", limit=1)) == (["p"], 4)
        assert await read(partial(listing, client="ada")) == (["1", "2"], 2)
        assert await read(lambda c: listing(c, "failed")) == ([], 0)

    with_store(tmp_path, work)


def test_listing_does_not_read_documents(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        await store.write(insert("x", origin={"prompt": {"large": True}}))
        await store.write(lambda connection: connection.execute("UPDATE documents SET document = 'not JSON', origin = 'not JSON'"))
        found, _ = await store.read(
            partial(jobs.listing, statuses=(), client=None, sort="created", descending=True, limit=9, offset=0, origin=False)
        )
        assert [job.id for job in found] == ["x"]
        with pytest.raises(json.JSONDecodeError):
            await store.read(partial(jobs.get, id="x", origin=True))

    with_store(tmp_path, work)


def test_what_was_submitted_comes_back_word_for_word(tmp_path: Path) -> None:
    text = "ein Hütchen \U0001f3a9 \ud800 \x00 " * 200
    document = {"nodes": {"a": {"type": "Word", "inputs": {"value": text, "big": 2**70, "real": 1e-300, "none": None}}}}
    asked = Submission("x", document, ("a", "b"), client="ada", title="Tïtle", previews=False, trace=True, origin={"extra": [1, 2.5, text]})

    async def work(store: Store) -> None:
        await store.write(partial(jobs.insert, submission=asked, created=1.0))
        assert await store.read(partial(jobs.submission, id="x")) == asked
        job = await store.read(partial(jobs.get, id="x", origin=True))
        assert job is not None
        assert (job.origin, job.targets, job.title) == (asked.origin, ("a", "b"), "Tïtle")
        with pytest.raises(UnknownJob):
            await store.read(partial(jobs.document, id="y"))

    with_store(tmp_path, work)


def test_a_broken_file_in_use_is_an_error_that_says_so(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        await asyncio.gather(*(store.write(insert(str(i), origin={"x": "y" * 5000 + str(i)})) for i in range(100)))
        await store.write(lambda connection: None)
        with pytest.raises(ReadFailed, match="cannot read"):
            await store.read(lambda connection: connection.execute("SELECT * FROM nowhere"))
        with pytest.raises(WriteFailed, match="no such table"):
            await store.write(lambda connection: connection.execute("INSERT INTO nowhere VALUES (1)"))
        assert len(await store.read(ids)) == 100

    with_store(tmp_path, work)


# ------------------------------------------------------------------------------------------------ events


def test_events_come_back_from_any_number_on(tmp_path: Path) -> None:
    data = [{"event": "progress", "node": "a", "value": i} for i in range(1000)]
    sizes = [1, 2, 30, 400, 567]

    async def work(store: Store) -> None:
        serial = (await store.write(insert("x"))).serial
        first = 1
        for size in sizes:
            await store.write(
                partial(events.append, serial=serial, batches=[Batch(first, 50.0 + first, data[first - 1 : first - 1 + size])])
            )
            first += size
        for after in (0, 1, 2, 3, 32, 33, 431, 433, 999, 1000, 5000):
            found = await store.read(partial(events.read, id="x", after=after))
            assert [(event.seq, event.data["value"]) for event in found] == [(i, i - 1) for i in range(after + 1, 1001)]
        assert (await store.read(partial(events.read, id="x")))[3] == JobEvent("x", 4, 54.0, data[3])
        part = await store.read(partial(events.read, id="x", after=2, most=10))
        assert [event.seq for event in part] == list(range(3, 34))  # whole batches
        with pytest.raises(UnknownJob):
            await store.read(partial(events.read, id="y"))

    with_store(tmp_path, work)


def test_a_number_is_given_once(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        serial = (await store.write(insert("x"))).serial
        append = partial(events.append, serial=serial, batches=[Batch(1, 0.0, [{"event": "log"}])])
        await store.write(append)
        with pytest.raises(WriteFailed, match="UNIQUE"):
            await store.write(append)
        assert len(await store.read(partial(events.read, id="x"))) == 1

    with_store(tmp_path, work)


def test_a_progress_that_is_no_number_is_null_in_the_log(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        serial = (await store.write(insert("x"))).serial
        event = {"event": "progress", "value": float("nan"), "more": ({"total": float("inf")}, 2.0, "text")}
        await store.write(partial(events.append, serial=serial, batches=[Batch(1, 0.0, [event])]))
        (found,) = await store.read(partial(events.read, id="x"))
        assert found.data == {"event": "progress", "value": None, "more": [{"total": None}, 2.0, "text"]}

    with_store(tmp_path, work)


# ------------------------------------------------------------------------------------------------ history


async def trimmed(store: Store, limits: Limits) -> list[str]:
    while await store.write(partial(history.trim, limits=limits)):
        pass
    return await store.read(ids)


def test_the_oldest_that_ended_go_first_and_what_has_not_ended_stays(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        accepted = [await store.write(insert(str(i))) for i in range(6)]
        for i, when in ((4, 1.0), (1, 2.0), (2, 3.0), (5, 4.0)):
            await store.write(ended(accepted[i], when))
        assert await trimmed(store, Limits(jobs=4)) == ["0", "1", "2", "3", "4", "5"]
        assert await trimmed(store, Limits(jobs=2)) == ["0", "2", "3", "5"]
        assert await trimmed(store, Limits(jobs=0)) == ["0", "3"]

    with_store(tmp_path, work)


def test_it_is_bounded_in_bytes_with_events_documents_and_outputs(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        for i in range(500):
            accepted = await store.write(insert(str(i)), durable=False)
            batch = Batch(1, 0.0, [{"event": "log", "text": f"{i} " * 300}])
            await store.write(partial(events.append, serial=accepted.serial, batches=[batch]), durable=False)
            size = await store.write(ended(accepted, float(i), outputs={"s": [{"text": "x"}]}), durable=False)
            assert 700 < size < 5000
        used = await store.read(history.usage)
        assert used.jobs == 500
        left = await trimmed(store, Limits(bytes=used.bytes // 2))
        assert left == [str(i) for i in range(500 - len(left), 500)]
        assert 200 < len(left) < 260
        assert (await store.read(history.usage)).bytes <= used.bytes // 2
        assert await store.read(lambda c: c.execute("SELECT count(*) FROM events").fetchone()) == (len(left),)
        assert await store.read(lambda c: c.execute("SELECT count(*) FROM documents").fetchone()) == (len(left),)
        assert await trimmed(store, Limits(bytes=0)) == []
        assert await store.read(history.usage) == Usage(0, 0)

    with_store(tmp_path, work)


def test_what_was_erased_gives_its_room_back(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        for i in range(30):
            accepted = await store.write(insert(str(i)), durable=False)
            await store.write(ended(accepted, 1.0, outputs={"s": [{"text": str(hash(str(j)))} for j in range(2000)]}), durable=False)
        await store.write(lambda c: None)
        (full,) = await store.read(lambda c: c.execute("PRAGMA page_count").fetchone())
        await trimmed(store, Limits(jobs=0))
        (empty,) = await store.read(lambda c: c.execute("PRAGMA page_count").fetchone())
        assert empty < full / 10

    with_store(tmp_path, work)
