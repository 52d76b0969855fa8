"""Worker processes as they really are: killed, hanging, printing, left alone. Whatever happens, a run ends and the next one works."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from harness import Nodes, document, link
from rig import PATIENCE, Recorder, submission, trouble_settings, working

from nodegraph import Engine
from nodegraph.server.queue.model import Outcome
from nodegraph.server.supervision.deaths import cause, memory_kills
from nodegraph.server.supervision.life import Limits
from nodegraph.server.supervision.supervisor import WorkerLost, WorkerProcess

SUM: Nodes = {
    "one": ("trouble/Number", {"value": 1}),
    "sum": ("trouble/Add", {"a": link("one.int"), "b": 2}),
    "show": ("trouble/Show", {"value": link("sum.int")}),
}
QUICK = Limits(hang=2.0, grace=0.3, ping=0.2, stop=2.0)


def with_node(type: str, **inputs: Any) -> Nodes:
    """A number goes through a node of this type and is shown."""
    return {
        "one": ("trouble/Number", {"value": 1}),
        "bad": (type, {"a": link("one.int"), **inputs}),
        "show": ("trouble/Show", {"value": link("bad.int")}),
    }


def shown(outcome: Outcome) -> str:
    (item,) = outcome.outputs["show"]
    return str(item["text"])


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits for its parent to notice does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


async def gone(pid: int) -> float:
    """Seconds until a process has ended."""
    begin = time.monotonic()
    async with asyncio.timeout(PATIENCE):
        while is_alive(pid):
            await asyncio.sleep(0.005)
    return time.monotonic() - begin


# ------------------------------------------------------------------------------------------------ runs


def test_a_run_tells_what_the_engine_tells_in_order_and_completely(tmp_path: Path) -> None:
    nodes: dict[str, tuple[str, dict[str, Any]]] = {"0": ("trouble/Number", {"value": 1})}
    nodes |= {str(i): ("trouble/Add", {"a": link(f"{i - 1}.int"), "b": i}) for i in range(1, 2000)}
    nodes["show"] = ("trouble/Show", {"value": link("1999.int")})

    async def remote() -> tuple[Recorder, Outcome]:
        recorder = Recorder()
        async with working(tmp_path / "there") as worker:
            return recorder, await worker.run("job", submission(nodes), recorder)

    def without_times(event: Mapping[str, Any]) -> Mapping[str, Any]:
        return json.loads(json.dumps({key: value for key, value in event.items() if key != "seconds"}))  # type: ignore[no-any-return]

    recorder, outcome = asyncio.run(remote())
    local: list[Mapping[str, Any]] = []
    with Engine(trouble_settings(tmp_path / "here")) as engine:
        engine.run(document(nodes), emit=lambda event: local.append(event.to_json()))
    assert (outcome.status, shown(outcome)) == ("done", str(1 + sum(range(2000))))
    assert list(map(without_times, recorder.events)) == list(map(without_times, local))
    assert max(recorder.batches) <= 512
    assert len(recorder.batches) < 200


def test_a_second_run_finds_the_results_of_the_first(tmp_path: Path) -> None:
    async def work() -> None:
        async with working(tmp_path) as worker:
            first, second = Recorder(), Recorder()
            assert shown(await worker.run("a", submission(SUM), first)) == "3"
            assert shown(await worker.run("b", submission(SUM), second)) == "3"
            assert len(first.told("node_started")) == 3
            assert not second.told("node_started")
            assert [event["node"] for event in second.told("node_finished")] == ["show"]

    asyncio.run(work())


def test_a_workflow_that_was_prepared_runs_as_any_other_and_a_faulty_one_does_no_harm(tmp_path: Path) -> None:
    async def work() -> None:
        async with working(tmp_path) as worker:
            worker.prepare("{}", None)  # before there is anybody to hear it
            await worker.ready()
            good, faulty = submission(SUM), submission({"a": ("trouble/NoSuchNode", {})})
            for text in ("{}", "[]", json.dumps(faulty.document), json.dumps(good.document)):
                worker.prepare(text, None)
            assert shown(await worker.run("a", good, Recorder())) == "3"
            assert (await worker.run("b", faulty, Recorder())).status == "failed"
            assert worker.status.lives == 1

    asyncio.run(work())


def test_results_in_memory_can_be_let_go_of(tmp_path: Path) -> None:
    async def work() -> None:
        async with working(tmp_path) as worker:
            first, second = Recorder(), Recorder()
            await worker.run("a", submission(SUM, targets=["sum"]), first)
            assert (await worker.stats())["results"]["entries"] == 2
            await worker.free(models=True, results=True)
            await worker.run("b", submission(SUM, targets=["sum"]), second)
            assert len(second.told("node_started")) == len(first.told("node_started")) == 2

    asyncio.run(work())


def test_events_and_previews_come_while_the_node_works(tmp_path: Path) -> None:
    async def work() -> None:
        recorder = Recorder()
        async with working(tmp_path) as worker:
            run = asyncio.create_task(worker.run("job", submission(with_node("trouble/Steps", count=2000)), recorder))
            await recorder.until(lambda told: len(told.told("progress")) >= 3 and len(told.previews) >= 2)
            assert not run.done()
            assert worker.status.node == "bad"
            assert worker.status.state == "busy"
            await worker.cancel("job")
            assert (await run).status == "cancelled"
            assert worker.status.state == "idle"
            assert worker.status.lives == 1
        picture = recorder.previews[0]
        assert (picture.job, picture.node, picture.width, picture.height) == ("job", "bad", 12, 8)
        from PIL import Image

        with Image.open(io.BytesIO(picture.jpeg)) as image:
            assert (image.format, image.size) == ("JPEG", (12, 8))

    asyncio.run(work())


def test_no_previews_are_made_if_nobody_looks(tmp_path: Path) -> None:
    async def work() -> None:
        recorder = Recorder()
        async with working(tmp_path) as worker:
            await worker.run("job", submission(with_node("trouble/Steps", count=20), previews=False), recorder)
        assert not recorder.previews
        assert recorder.told("progress")

    asyncio.run(work())


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 20, 100])
def test_a_worker_can_be_stopped_at_any_moment_of_its_start(tmp_path: Path, turns: int) -> None:
    """turns: of the event loop, after which it is stopped. Its process may not be there yet."""

    async def work() -> None:
        worker = WorkerProcess(trouble_settings(tmp_path), preload=False)
        await worker.start()
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE / 3):
            await worker.stop()

    asyncio.run(work())


def test_events_arrive_within_fifty_milliseconds(tmp_path: Path) -> None:
    """Each progress says when it was emitted by the clock that both processes share: the traced start of the node, plus its step."""
    delays: list[float] = []

    class Clock(Recorder):
        def on_events(self, job: str, events: Any, text: str = "") -> None:
            now = time.time()
            delays.extend(now - float(event["start"]) - event["seconds"] for event in events if event["event"] == "span")
            super().on_events(job, events, text)

    async def work() -> None:
        async with working(tmp_path) as worker:
            await worker.ready()
            for turn in range(30):
                await worker.run(f"job{turn}", submission(with_node("trouble/Steps", count=1), previews=False, trace=True), Clock())

    asyncio.run(work())
    assert len(delays) > 100
    usual = sorted(delays)[len(delays) // 4]
    assert usual < 0.05, "the quarter that other programs on this machine did not hold up"


def test_faults_of_nodes_and_of_graphs_fail_the_run_and_nothing_else(tmp_path: Path) -> None:
    async def work() -> None:
        async with working(tmp_path) as worker:
            node = await worker.run(
                "a", submission({"bad": ("trouble/Show", {"value": link("x.int")}), "x": ("trouble/Odd", {})}), Recorder()
            )
            assert node.status == "failed"
            assert node.error is not None
            assert node.error["error"] == "Problems"
            assert shown(await worker.run("b", submission(SUM), Recorder())) == "3"
            assert worker.status.lives == 1

    asyncio.run(work())


def test_only_the_targets_are_run(tmp_path: Path) -> None:
    async def work() -> None:
        recorder = Recorder()
        async with working(tmp_path) as worker:
            assert (await worker.run("a", submission(SUM, targets=["sum"]), recorder)).status == "done"
        assert [event["node"] for event in recorder.told("node_started")] == ["one", "sum"]

    asyncio.run(work())


def test_a_traced_run_tells_its_spans(tmp_path: Path) -> None:
    async def work() -> None:
        recorder = Recorder()
        async with working(tmp_path) as worker:
            await worker.run("a", submission(SUM, trace=True), recorder)
        assert {event["name"] for event in recorder.told("span")} == {"key", "cache", "queue", "run"}

    asyncio.run(work())


def test_secrets_reach_nodes_and_nothing_that_is_told(tmp_path: Path) -> None:
    nodes: Nodes = {"s": ("trouble/Secret", {"name": "api_key"}), "show": ("trouble/Show", {"value": link("s.int")})}

    async def work() -> None:
        lines: list[str] = []
        recorder = Recorder()
        async with working(tmp_path, on_line=lines.append) as worker:
            asked = submission(nodes, secrets={"api_key": "correct horse"})
            outcome = await worker.run("a", asked, recorder)
            assert shown(outcome) == str(len("correct horse"))
            assert shown(await worker.run("b", submission(nodes), Recorder())) == "0"
        told = repr((asked, outcome, recorder.events, lines))
        assert "correct horse" not in told

    asyncio.run(work())


@pytest.mark.parametrize("fails", [True, False])
def test_a_node_that_says_a_secret_is_not_quoted(tmp_path: Path, fails: bool) -> None:
    async def work() -> None:
        lines: list[str] = []
        recorder = Recorder()
        async with working(tmp_path, on_line=lines.append) as worker, asyncio.timeout(PATIENCE):
            nodes: Nodes = {"s": ("trouble/Leak", {"name": "api_key", "fails": fails})}
            outcome = await worker.run("a", submission(nodes, targets=("s",), secrets={"api_key": "correct horse", "other": "s"}), recorder)
            while not any("the key is" in line for line in lines):
                await asyncio.sleep(0.01)
        assert outcome.status == ("failed" if fails else "done")
        told = [repr(outcome), *map(repr, recorder.events), *lines]
        assert not [text for text in told if "correct horse" in text]
        assert sum("the key is <hidden>!" in text for text in told) >= 4

    asyncio.run(work())


def test_what_json_cannot_hold_is_told_in_some_form(tmp_path: Path) -> None:
    async def work() -> None:
        recorder = Recorder()
        async with working(tmp_path) as worker:
            outcome = await worker.run("a", submission({"o": ("trouble/Odd", {"value": 1})}), recorder)
        (item,) = outcome.outputs["o"]
        assert item == {
            "kind": "odd",
            "bad": None,
            "cls": "<class 'int'>",
            "huge": "a number of more than 300 digits",
            "keys": {"1": "b'x'"},
            "broken": "\ud800",
            "where": [3],
        }
        assert recorder.told("node_finished")[0]["shown"] == [item]

    asyncio.run(work())


def test_a_node_that_shows_too_much_is_cut_and_breaks_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        recorder = Recorder()
        async with working(tmp_path) as worker:
            outcome = await worker.run("a", submission({"h": ("trouble/Huge", {"value": 70 * 2**20})}), recorder)
            assert outcome.status == "done"
            assert "too many" in outcome.outputs["h"][0]["text"]
            assert recorder.told("log") == [{"event": "log", "node": "h", "level": "info", "text": "(too large to be told)"}]
            assert worker.status.lives == 1

    asyncio.run(work())


def test_a_thread_that_a_node_left_behind_is_not_heard_in_the_next_run(tmp_path: Path) -> None:
    async def work() -> None:
        async with working(tmp_path) as worker:
            assert (await worker.run("a", submission(with_node("trouble/Late")), Recorder())).status == "done"
            recorder = Recorder()
            assert (await worker.run("b", submission(with_node("trouble/Steps", count=10)), recorder)).status == "done"
            assert not recorder.told("log")

    asyncio.run(work())


# ------------------------------------------------------------------------------------------------ printing


def test_what_packs_print_does_not_break_the_link(tmp_path: Path) -> None:
    async def work() -> None:
        lines: list[str] = []
        async with working(tmp_path, on_line=lines.append) as worker:
            assert shown(await worker.run("a", submission(with_node("trouble/Noise")), Recorder())) == "1"
            assert shown(await worker.run("b", submission(SUM), Recorder())) == "3"
            assert worker.status.lives == 1
        for text in ("printed", "written to descriptor 1", "written to descriptor 2", "printed by a child"):
            assert text in lines
        (long,) = [line for line in lines if line.startswith("a line that is long")]
        assert len(long) == 4000

    asyncio.run(work())


# ------------------------------------------------------------------------------------------------ death


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("kill", "the worker process was killed by SIGKILL (signal 9); the last node was bad (trouble/Die)"),
        ("segfault", "the worker process was killed by SIGSEGV (signal 11); the last node was bad (trouble/Die)"),
        ("exit", "the worker process ended with exit code 3; the last node was bad (trouble/Die)"),
    ],
)
def test_a_process_that_dies_loses_its_run_and_the_next_one_works(tmp_path: Path, how: str, reason: str) -> None:
    async def work() -> None:
        async with working(tmp_path) as worker:
            outcome = await worker.run("a", submission(with_node("trouble/Die", how=how)), Recorder())
            assert (outcome.status, outcome.reason) == ("lost", reason)
            assert shown(await worker.run("b", submission(SUM), Recorder())) == "3"
            assert worker.status.lives == 2

    asyncio.run(work())


def test_a_process_killed_from_outside_in_the_middle_of_a_run(tmp_path: Path) -> None:
    async def work() -> None:
        recorder = Recorder()
        async with working(tmp_path) as worker:
            run = asyncio.create_task(worker.run("a", submission(with_node("trouble/Steps", count=10_000)), recorder))
            await recorder.until(lambda told: told.told("progress"))
            pid = worker.status.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            outcome = await run
            assert outcome.status == "lost"
            assert outcome.reason == "the worker process was killed by SIGKILL (signal 9); the last node was bad (trouble/Steps)"
            assert shown(await worker.run("b", submission(SUM), Recorder())) == "3"

    asyncio.run(work())


def test_an_idle_process_that_is_killed_is_replaced(tmp_path: Path) -> None:
    async def work() -> None:
        async with working(tmp_path) as worker:
            pid = int((await worker.ready())["pid"])
            os.kill(pid, signal.SIGKILL)
            await gone(pid)
            assert shown(await worker.run("b", submission(SUM), Recorder())) == "3"
            assert worker.status.pid != pid

    asyncio.run(work())


def test_a_run_that_a_dead_process_never_began_is_given_to_the_next_one(tmp_path: Path) -> None:
    """The process is stopped before the run is sent, so that it certainly has not begun, and then killed."""

    async def work() -> None:
        async with working(tmp_path) as worker:
            await worker.run("before", submission(with_node("trouble/Steps", count=1)), Recorder())
            pid = worker.status.pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            run = asyncio.create_task(worker.run("a", submission(SUM), recorder := Recorder()))
            while worker.status.state != "busy":
                await asyncio.sleep(0)
            os.kill(pid, signal.SIGKILL)
            assert shown(await run) == "3"
            assert len(recorder.told("run_started")) == 1
            assert worker.status.lives == 2

    asyncio.run(work())


def test_children_of_a_worker_end_with_it(tmp_path: Path) -> None:
    async def work() -> None:
        recorder = Recorder()
        async with working(tmp_path) as worker:
            outcome = await worker.run("a", submission(with_node("trouble/Parent")), recorder)
            assert outcome.status == "lost"
            (told,) = recorder.told("log")
            await gone(int(told["text"]))

    asyncio.run(work())


def test_a_process_that_cannot_start_says_why_and_is_tried_again(tmp_path: Path) -> None:
    """A pack that ends the whole process while it is loaded."""
    bad = tmp_path / "fatal"
    bad.mkdir()
    (bad / "nodes.py").write_text("import os, sys\nprint('the last words')\nsys.stdout.flush()\nos._exit(7)\n")

    async def work() -> None:
        async with working(tmp_path, packs=[bad]) as worker:
            outcome = await worker.run("a", submission(SUM), Recorder())
            assert outcome.status == "lost"
            assert outcome.reason == "the worker process ended with exit code 7 while it was starting: the last words"
            (bad / "nodes.py").write_text("")
            outcome = await worker.run("b", submission({"s": ("ShowText", {"value": "hello"})}), Recorder())
            assert outcome.status == "done"

    asyncio.run(work())


def test_words_for_ends_of_processes() -> None:
    assert cause(-9, {"a": 3}, {"a": 4}) == "was killed by SIGKILL (signal 9) because memory ran out"
    assert cause(-9, {"a": 3}, {"a": 3}) == "was killed by SIGKILL (signal 9)"
    assert cause(-11, {"a": 3}, {"a": 4}) == "was killed by SIGSEGV (signal 11)"
    assert cause(-200, {}, {}) == "was killed by signal 200"
    assert cause(1, {}, {}) == "ended with exit code 1"
    assert cause(None, {}, {}) == "closed its link"


def test_counters_of_processes_killed_for_memory(tmp_path: Path) -> None:
    (tmp_path / "vmstat").write_text("nr_free_pages 5\noom_kill 2\nswap_ra 0\n")
    (tmp_path / "noise").write_bytes(b"oom_kill many \xff")
    assert memory_kills([tmp_path / "vmstat", tmp_path / "noise", tmp_path / "none"]) == {str(tmp_path / "vmstat"): 2}
    if sys.platform == "linux":
        assert memory_kills()


# ------------------------------------------------------------------------------------------------ hanging


@pytest.mark.parametrize("type", ["trouble/Spin", "trouble/Stuck", "trouble/HoldsAll"])
def test_a_node_that_cannot_be_stopped_is_killed_after_the_grace_period(tmp_path: Path, type: str) -> None:
    async def work() -> None:
        recorder = Recorder()
        limits = Limits(hang=PATIENCE, grace=0.3, ping=0.2)
        async with working(tmp_path, limits) as worker:
            run = asyncio.create_task(worker.run("a", submission(with_node(type)), recorder))
            await begun(worker, recorder)
            await worker.cancel("a")
            outcome = await run
            assert outcome.status == "cancelled"
            assert "did not stop within 0.3 s" in outcome.reason
            assert shown(await worker.run("b", submission(SUM), Recorder())) == "3"

    asyncio.run(work())


async def begun(worker: WorkerProcess, recorder: Recorder) -> None:
    """Wait until the node is called. One that lets no other thread run may never be heard of: then its board says so."""
    async with asyncio.timeout(PATIENCE):
        while not recorder.told("node_started") and not (worker.note and worker.note.node.startswith("bad")):
            await asyncio.sleep(0.01)


def test_a_node_that_lets_no_thread_run_is_taken_for_hanging(tmp_path: Path) -> None:
    async def work() -> None:
        async with working(tmp_path, QUICK) as worker:
            outcome = await worker.run("a", submission(with_node("trouble/HoldsAll")), Recorder())
            assert outcome.status == "lost"
            assert (
                outcome.reason == "the worker process gave no sign of life for 2 s and was killed; the last node was bad (trouble/HoldsAll)"
            )
            assert shown(await worker.run("b", submission(SUM), Recorder())) == "3"

    asyncio.run(work())


def test_a_node_that_is_merely_busy_is_not_taken_for_hanging(tmp_path: Path) -> None:
    async def work() -> None:
        recorder = Recorder()
        async with working(tmp_path, Limits(grace=0.3)) as worker:
            run = asyncio.create_task(worker.run("a", submission(with_node("trouble/Spin")), recorder))
            await recorder.until(lambda told: told.told("node_started"))
            for _ in range(5):
                assert (await worker.stats())["pid"] == worker.status.pid, "the thread that answers pings gets its turn"
            assert not run.done()
            await worker.cancel("a")
            assert (await run).status == "cancelled"

    asyncio.run(work())


def test_a_stopped_process_is_taken_for_hanging_while_idle_too(tmp_path: Path) -> None:
    async def work() -> None:
        async with working(tmp_path, QUICK) as worker:
            pid = int((await worker.ready())["pid"])
            os.kill(pid, signal.SIGSTOP)
            await gone(pid)
            assert shown(await worker.run("b", submission(SUM), Recorder())) == "3"

    asyncio.run(work())


# ------------------------------------------------------------------------------------------------ cancelling


def test_a_run_that_waits_for_its_turn_can_be_cancelled(tmp_path: Path) -> None:
    async def work() -> None:
        recorder = Recorder()
        async with working(tmp_path) as worker:
            first = asyncio.create_task(worker.run("a", submission(with_node("trouble/Steps", count=10_000)), recorder))
            await recorder.until(lambda told: told.told("progress"))
            second = asyncio.create_task(worker.run("b", submission(SUM), Recorder()))
            await asyncio.sleep(0)
            await worker.cancel("b")
            await worker.cancel("nobody")
            await worker.cancel("a")
            assert (await first).status == "cancelled"
            assert (await second).status == "cancelled"
            assert worker.status.lives == 1

    asyncio.run(work())


def test_stopping_the_worker_ends_its_run_and_its_process(tmp_path: Path) -> None:
    async def work() -> None:
        recorder = Recorder()
        async with working(tmp_path, Limits(stop=1.0)) as worker:
            run = asyncio.create_task(worker.run("a", submission(with_node("trouble/Stuck")), recorder))
            await recorder.until(lambda told: told.told("node_started"))
            pid = worker.status.pid
            assert pid is not None
            await worker.stop()
            assert (await run).status == "cancelled"
            assert not is_alive(pid)
            assert worker.status.state == "stopped"
            assert (await worker.run("b", submission(SUM), Recorder())).reason == "the worker is stopped"
            with pytest.raises(WorkerLost):
                await worker.stats()

    asyncio.run(work())


# ------------------------------------------------------------------------------------------------ the server dies

SERVER = """
import asyncio, sys
from pathlib import Path
sys.path[:0] = {paths!r}
from rig import Recorder, submission, working
from test_worker import with_node

async def main():
    async with working(Path({folder!r})) as worker:
        recorder = Recorder()
        run = asyncio.create_task(worker.run("a", submission(with_node({type!r})), recorder))
        while not (worker.note and worker.note.node.startswith("bad")):
            await asyncio.sleep(0.01)
        print(worker.status.pid, flush=True)
        await run

asyncio.run(main())
"""


@pytest.mark.parametrize("type", ["trouble/Stuck", "trouble/HoldsAll"])
def test_a_worker_ends_when_its_server_is_killed_whatever_it_does(tmp_path: Path, type: str) -> None:
    here = Path(__file__).parent
    code = SERVER.format(paths=[str(here), str(here.parent), str(here.parent.parent)], folder=str(tmp_path), type=type)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        pid = int(server.stdout.readline())
        assert is_alive(pid)
        server.kill()
        server.wait()
    assert asyncio.run(gone(pid)) < 2.0


# ------------------------------------------------------------------------------------------------ questions


def test_a_worker_answers_during_a_run(tmp_path: Path) -> None:
    async def work() -> None:
        recorder = Recorder()
        async with working(tmp_path) as worker:
            run = asyncio.create_task(worker.run("a", submission(with_node("trouble/Steps", count=10_000)), recorder))
            await recorder.until(lambda told: told.told("progress"))
            stats = await worker.stats()
            assert stats["pid"] == worker.status.pid
            assert stats["rss"] > 2**20
            assert stats["device"]["kind"] == "cpu"
            assert stats["results"]["entries"] == 1
            assert not run.done()
            await worker.cancel("a")
            await run

    asyncio.run(work())


def test_a_worker_explains_what_would_run(tmp_path: Path) -> None:
    async def work() -> None:
        async with working(tmp_path) as worker:
            await worker.run("a", submission(SUM), Recorder())
            before = document(SUM).to_json()
            nothing = {id: [] for id in before["nodes"]}
            assert await worker.explain(before, before=before) == {"run": {}, "cached": ["show"], "reasons": nothing}
            after = json.loads(json.dumps(before))
            after["nodes"]["sum"]["inputs"]["b"] = 5
            found = await worker.explain(after, before=before)
            assert found["cached"] == ["one"]
            assert found["run"] == {"sum": ["input `b`: 2 -> 5"], "show": ["input `value`: node sum `int` gives another result"]}
            assert (await worker.explain(after))["run"]["sum"] == ["first run"]
            assert (await worker.explain(after, before={"nodegraph": 1, "nodes": {}}))["run"]["sum"] == ["first run"]

    asyncio.run(work())


def test_a_worker_carries_old_nodes_over(tmp_path: Path) -> None:
    old = {"nodegraph": 1, "nodes": {"x": {"type": "trouble/Older", "version": 1, "inputs": {"number": 4}}}}
    from nodegraph.errors import Problems

    async def work() -> None:
        async with working(tmp_path) as worker:
            assert (await worker.upgrade(old))["nodes"]["x"] == {"type": "trouble/Older", "version": 2, "inputs": {"value": 4}}
            broken = {"nodegraph": 1, "nodes": {"x": {"type": "trouble/Older", "version": 1, "inputs": {}}}}
            with pytest.raises(Problems) as caught:
                await worker.upgrade(broken)
            (fault,) = caught.value.errors
            assert (fault.code, fault.node) == ("E113", "x")

    asyncio.run(work())
