"""Threads of a run: what can go on goes on, the device runs one node at a time, and nobody waits for a wake-up that does not come.

Overlap is proven by barriers: nodes that wait for each other end only if they run at once. `Lanes.poll` is an hour here, so that a run
whose main thread was not woken would stand still, and the barriers would break.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from harness import Harness, Nodes, link

from nodegraph import Blocked, Call, Context, Each, Expand, Lazy, Result, node, socket
from nodegraph.cache import Cache
from nodegraph.errors import NodeFailed
from nodegraph.lanes import Lanes

WAIT = 20.0
"""seconds after which a barrier breaks: a fault, not a slow machine"""


@socket("lanes_weights", handle=True)
@dataclass(frozen=True)
class Weights:
    """A handle."""


@node("Weights", category="test")
def weights() -> Weights:
    """Name weights."""
    return Weights()


@pytest.fixture(autouse=True)
def nobody_wakes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lanes, "poll", 3600.0)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert [thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("nodegraph")] == []


def meeting(toys: Harness, count: int, name: str = "Meet") -> threading.Barrier:
    """A node that ends only when `count` of them run at once."""
    barrier = threading.Barrier(count)

    @node(name, category="test")
    def meet(a: int) -> int:
        """Wait for the others."""
        barrier.wait(WAIT)
        return a

    toys.registry.add(meet)
    return barrier


def test_four_nodes_that_wait_for_each_other_run_at_once(toys: Harness) -> None:
    meeting(toys, 4)
    nodes: Nodes = {str(i): ("Meet", {"a": i}) for i in range(4)}
    outcome = toys.run(nodes, list(nodes), helpers=3)
    assert (outcome.status, sorted(outcome.ran)) == ("done", ["0", "1", "2", "3"])


def test_more_nodes_than_threads_take_turns(toys: Harness) -> None:
    meeting(toys, 3)
    nodes: Nodes = {str(i): ("Meet", {"a": i}) for i in range(12)}
    assert toys.run(nodes, list(nodes), helpers=2).status == "done"


def test_without_helpers_everything_runs_in_the_calling_thread(toys: Harness) -> None:
    nodes: Nodes = {str(i): ("Thread", {"a": i}) for i in range(5)}
    outcome = toys.run(nodes, list(nodes), helpers=0)
    assert {outcome.value(id) for id in nodes} == {threading.current_thread().name}


def test_small_nodes_need_no_second_thread(toys: Harness) -> None:
    nodes: Nodes = {str(i): ("Thread", {"a": link(f"n{i}.int")}) for i in range(300)} | {
        f"n{i}": ("Constant", {"value": i}) for i in range(300)
    }
    outcome = toys.run(nodes, [str(i) for i in range(300)])
    here = [id for id, outputs in outcome.outputs.items() if outputs["str"] == threading.current_thread().name]
    assert len(here) > 100  # a busy machine may hold up the main thread, and lend some to a helper


def device_nodes(toys: Harness) -> list[str]:
    """A node for the device that must be alone there, and the names of the threads it ran in."""
    alone = threading.Lock()
    threads: list[str] = []

    @node("Device", category="test", lane="device")
    def device(a: int, others: list[int] | None = None) -> int:
        """Must be alone."""
        assert alone.acquire(blocking=False)
        try:
            threads.append(threading.current_thread().name)
            for _ in range(3000):
                assert alone.locked()
        finally:
            alone.release()
        return a

    toys.registry.add(device)
    return threads


def test_the_device_never_runs_two_nodes_at_once(toys: Harness) -> None:
    threads = device_nodes(toys)
    nodes: Nodes = {}
    for i in range(30):
        nodes = {**nodes, f"c{i}": ("Steps", {"count": 300, "a": i}), f"d{i}": ("Device", {"a": link(f"c{i}.int") if i % 3 else i})}
    for helpers in (0, 1, 4):
        assert toys.run(nodes, [f"d{i}" for i in range(30)], helpers=helpers).status == "done"
    assert len(threads) == 90


def test_the_lane_follows_from_the_contract(toys: Harness) -> None:
    """Nodes that take weights and a Context share the device, though nobody said so."""
    alone = threading.Lock()

    @node("Sample", category="test")
    def sample(ctx: Context, weights: Weights, seed: int) -> int:
        """Must be alone."""
        assert alone.acquire(blocking=False)
        for _ in range(2000):
            ctx.check()
        alone.release()
        return seed

    toys.registry.add(weights, sample)
    nodes: Nodes = {"w": ("Weights", {}), **{str(i): ("Sample", {"weights": link("w.lanes_weights"), "seed": i}) for i in range(10)}}
    assert toys.run(nodes, [str(i) for i in range(10)], helpers=4).status == "done"


def busy_device(toys: Harness) -> tuple[threading.Event, threading.Event]:
    """A node that occupies the device until it is let go: (it has begun, let it go)."""
    begun, go = threading.Event(), threading.Event()

    @node("Busy", category="test", lane="device")
    def busy(a: int = 0) -> int:
        """Occupy the device."""
        begun.set()
        assert go.wait(WAIT)
        return a

    toys.registry.add(busy)
    return begun, go


def test_a_picture_is_saved_while_the_device_is_busy(toys: Harness) -> None:
    begun, go = busy_device(toys)

    @node("SaveIt", category="test")
    def save_it(a: int) -> int:
        """Save, and only then let the device end."""
        assert begun.wait(WAIT)
        go.set()
        return a

    toys.registry.add(save_it)
    nodes: Nodes = {"d": ("Busy", {}), "s": ("SaveIt", {"a": 1})}
    assert toys.run(nodes, ["s", "d"], helpers=1).status == "done"
    begun.clear()
    go.clear()
    assert toys.run(nodes, ["d", "s"], helpers=1).status == "done"


def test_what_becomes_ready_through_a_helper_goes_on_while_the_main_thread_is_busy(toys: Harness) -> None:
    _, go = busy_device(toys)

    @node("LetGo", category="test")
    def let_go(a: int) -> int:
        """End of a chain that must not wait for the device."""
        go.set()
        return a

    toys.registry.add(let_go)
    nodes: Nodes = {
        "d": ("Busy", {}),
        "c": ("Constant", {"value": 1}),
        **{f"n{i}": ("Add", {"a": link(f"n{i - 1}.int" if i else "c.int"), "b": 1}) for i in range(50)},
        "e": ("LetGo", {"a": link("n49.int")}),
    }
    assert toys.run(nodes, ["d", "e"], helpers=1).status == "done"


def test_what_becomes_ready_through_the_async_lane_goes_on_while_the_main_thread_is_busy(toys: Harness) -> None:
    begun, go = busy_device(toys)

    @node("Answer", category="test")
    async def answer(a: int = 0) -> int:
        """Come back only when the device is occupied, and the main thread with it."""
        while not begun.is_set():
            await asyncio.sleep(0.001)
        return a

    @node("LetGo", category="test")
    def let_go(a: int) -> int:
        """What waits for the answer."""
        go.set()
        return a

    toys.registry.add(answer, let_go)
    nodes: Nodes = {"a": ("Answer", {}), "l": ("LetGo", {"a": link("a.int")}), "d": ("Busy", {"a": 1})}
    assert toys.run(nodes, ["l", "d"], helpers=2).status == "done"


def test_the_main_thread_is_woken_by_what_helpers_and_the_async_lane_finish(toys: Harness) -> None:
    """Main waits with nothing to do, again and again, until another thread has made something ready."""
    both = threading.Barrier(2)

    @node("Pair", category="test")
    def pair(a: int, b: int = 0) -> int:
        """Two at once: one of them in a helper."""
        both.wait(WAIT)
        return a + 1

    toys.registry.add(pair)
    nodes: Nodes = {}
    for i in range(20):
        before = {"a": link(f"j{i - 1}.int")} if i else {"a": 1}
        nodes = {
            **nodes,
            f"x{i}": ("Pair", before),
            f"y{i}": ("Pair", {**before, "b": 1}),
            f"w{i}": ("Async", {"a": link(f"x{i}.int")}),
            f"j{i}": ("Add", {"a": link(f"w{i}.int"), "b": link(f"y{i}.int")}),
        }
    assert toys.run(nodes, ["j19"], helpers=1).status == "done"


def test_the_device_is_taken_again_as_soon_as_it_is_free(toys: Harness) -> None:
    """A helper holds the device while main waits for it; main must be woken when it is free."""
    main = threading.current_thread()
    both = threading.Barrier(2)

    @node("Hold", category="test", lane="device")
    def hold(a: int) -> int:
        """Begin together with `Beside`, so that one of the two runs in a helper."""
        if a == 0:
            both.wait(WAIT)
        return a

    @node("Beside", category="test")
    def beside(a: int) -> bool:
        """Whether this one ran in the main thread."""
        both.wait(WAIT)
        return threading.current_thread() is main

    toys.registry.add(hold, beside)
    nodes: Nodes = {"b": ("Beside", {"a": 1}), **{f"h{i}": ("Hold", {"a": i}) for i in range(20)}}
    assert toys.run(nodes, ["b", *(f"h{i}" for i in range(20))], helpers=1).status == "done"


# ------------------------------------------------------------------------------------------------ failing and cancelling


def test_a_helper_that_fails_ends_the_run_and_what_others_do_is_kept(toys: Harness) -> None:
    begun, go = busy_device(toys)

    @node("FailBeside", category="test")
    def fail_beside(a: int) -> int:
        """Fail while the device is busy."""
        assert begun.wait(WAIT)
        threading.Timer(0.01, go.set).start()
        raise ValueError("beside")

    toys.registry.add(fail_beside)
    cache = Cache()
    nodes: Nodes = {"d": ("Busy", {}), "f": ("FailBeside", {"a": 1}), "x": ("Add", {"a": link("d.int")})}
    outcome = toys.run(nodes, ["f", "x"], cache, helpers=2)
    assert isinstance(outcome.error, NodeFailed)
    assert (outcome.status, outcome.error.node, outcome.ran) == ("failed", "f", ["d"])
    assert toys.run({"d": ("Busy", {})}, ["d"], cache).ran == []


def test_of_two_nodes_that_fail_at_once_one_is_told(toys: Harness) -> None:
    both = threading.Barrier(2)

    @node("FailTogether", category="test")
    def fail_together(a: int) -> int:
        """Fail."""
        both.wait(WAIT)
        raise ValueError(str(a))

    toys.registry.add(fail_together)
    outcome = toys.run({"x": ("FailTogether", {"a": 1}), "y": ("FailTogether", {"a": 2})}, ["x", "y"], helpers=1)
    assert outcome.error is not None
    assert outcome.error.node in ("x", "y")
    assert len(outcome.told("node_failed")) == 1


def test_cancelling_reaches_every_thread(toys: Harness) -> None:
    stop = threading.Event()
    all_begun = threading.Barrier(4, action=stop.set)

    @node("Endless", category="test")
    def endless(ctx: Context, a: int) -> int:
        """Work until cancelled."""
        all_begun.wait(WAIT)
        while True:
            ctx.check()

    toys.registry.add(endless)
    nodes: Nodes = {str(i): ("Endless", {"a": i}) for i in range(4)}
    outcome = toys.run(nodes, list(nodes), cancelled=stop, helpers=3)
    assert (outcome.status, outcome.ran) == ("cancelled", [])


def test_a_waiting_main_thread_sees_that_somebody_cancelled(toys: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lanes, "poll", 0.01)
    stop = threading.Event()

    @node("Forget", category="test")
    async def forget(a: int = 0) -> int:
        """Never come back; cancel the run from outside."""
        stop.set()
        await asyncio.Event().wait()
        return a

    toys.registry.add(forget)
    assert toys.run({"f": ("Forget", {})}, ["f"], cancelled=stop).status == "cancelled"


def test_an_interrupt_in_the_main_thread_cancels_the_helpers(toys: Harness) -> None:
    begun = threading.Event()

    @node("Endless", category="test")
    def endless(ctx: Context, a: int = 0) -> int:
        """Work until cancelled."""
        begun.set()
        while True:
            ctx.check()

    @node("Interrupt", category="test", lane="device")
    def interrupt(a: int = 0) -> int:
        """As if Ctrl-C were pressed while a helper works."""
        assert begun.wait(WAIT)
        raise KeyboardInterrupt

    toys.registry.add(endless, interrupt)
    run, events = toys.prepare({"e": ("Endless", {}), "i": ("Interrupt", {})}, ["e", "i"], helpers=1)
    with pytest.raises(KeyboardInterrupt):
        run.execute()
    assert events[-1].kind == "run_finished"


class Interrupted(Lanes):
    """Lanes whose main thread is interrupted while it waits for a helper."""

    def _pick(self) -> str | None:
        found = super()._pick()
        if found is None and threading.get_ident() == self._main and self._running:
            raise KeyboardInterrupt
        return found


def test_an_interrupt_while_the_main_thread_waits_ends_everything(toys: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodegraph.scheduler.Lanes", Interrupted)

    @node("Hang", category="test")
    async def hang(a: int = 0) -> int:
        """Never come back."""
        await asyncio.Event().wait()
        return a

    toys.registry.add(hang)
    run, _ = toys.prepare({"h": ("Hang", {})}, ["h"], helpers=1)
    with pytest.raises(KeyboardInterrupt):
        run.execute()
    assert run.cancelled.is_set()


class InterruptedBetween(Lanes):
    """Lanes whose main thread is interrupted between the end of a node and saying so."""

    def leave(self, id: str) -> None:
        if threading.get_ident() == self._main:
            raise KeyboardInterrupt
        super().leave(id)


def test_an_interrupt_between_two_nodes_ends_everything(toys: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodegraph.scheduler.Lanes", InterruptedBetween)
    meeting(toys, 2)
    run, _ = toys.prepare({"x": ("Meet", {"a": 1}), "y": ("Meet", {"a": 2}), "z": ("Add", {"a": link("x.int")})}, ["z", "y"], helpers=1)
    with pytest.raises(KeyboardInterrupt):
        run.execute()


class Broken(Lanes):
    """Lanes with a fault that shows only in helpers."""

    def _main_is_held_up(self) -> bool:
        raise AssertionError("a fault of the engine")


def test_a_fault_in_a_helper_is_raised_and_hangs_nobody(toys: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodegraph.scheduler.Lanes", Broken)
    go = threading.Event()

    @node("Slow", category="test")
    def slow(a: int) -> int:
        """Give the helper time to fail."""
        go.wait(0.05)
        return a

    toys.registry.add(slow)
    nodes: Nodes = {str(i): ("Slow", {"a": i}) for i in range(4)}
    run, _ = toys.prepare(nodes, list(nodes), helpers=1)
    with pytest.raises(AssertionError, match="a fault of the engine"):
        run.execute()


def test_a_system_without_threads_to_spare_is_no_fault(toys: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_more)
    nodes: Nodes = {str(i): ("Steps", {"count": 2000, "a": i}) for i in range(5)}
    assert toys.run(nodes, list(nodes), helpers=3).status == "done"


# ------------------------------------------------------------------------------------------------ async nodes


def async_meeting(toys: Harness, count: int) -> None:
    """An `async` node that ends only when `count` of them wait at once."""
    here: list[asyncio.Event] = []

    @node("MeetAsync", category="test")
    async def meet(a: Each[int]) -> int:
        """Wait for the others."""
        here.append(asyncio.Event())
        if len(here) == count:
            for event in here:
                event.set()
        await asyncio.wait_for(here[-1].wait() if len(here) < count else asyncio.sleep(0), WAIT)
        return a * 10

    toys.registry.add(meet)


def test_async_nodes_overlap(toys: Harness) -> None:
    async_meeting(toys, 5)
    nodes: Nodes = {str(i): ("MeetAsync", {"a": i}) for i in range(5)}
    outcome = toys.run(nodes, list(nodes), helpers=0)
    assert [outcome.value(str(i)) for i in range(5)] == [0, 10, 20, 30, 40]


def test_the_items_of_a_list_overlap_too(toys: Harness) -> None:
    async_meeting(toys, 5)
    assert toys.run({"m": ("MeetAsync", {"a": [0, 1, 2, 3, 4]})}, ["m"]).value("m") == [0, 10, 20, 30, 40]


def test_only_so_many_items_of_a_list_wait_at_once(toys: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodegraph.async_lane.AT_ONCE", 3)
    now, most = 0, 0

    @node("Waits", category="test")
    async def waits(a: Each[int]) -> int:
        """Count who is here."""
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        return a

    toys.registry.add(waits)
    assert toys.run({"w": ("Waits", {"a": list(range(20))})}, ["w"]).value("w") == list(range(20))
    assert most == 3


def test_blocked_items_of_a_list_are_skipped(toys: Harness) -> None:
    @node("Odd", category="test")
    async def odd(a: Each[int]) -> int | Blocked:
        """Odd ones only."""
        return a if a % 2 else Blocked("even")

    toys.registry.add(odd)
    nodes: Nodes = {"o": ("Odd", {"a": [1, 2, 3]}), "p": ("Odd", {"a": link("o.int")}), "s": ("Sum", {"values": link("p.int")})}
    assert toys.run(nodes, ["s"]).value("s") == 4


def test_an_async_node_whose_lazy_input_is_blocked_is_skipped(toys: Harness) -> None:
    @node("Ask", category="test")
    async def ask(a: Lazy[int]) -> int:
        """Ask for it."""
        return a.get()

    toys.registry.add(ask)
    nodes: Nodes = {"g": ("Gate", {"a": 1, "open": False}), "x": ("Ask", {"a": link("g.int")}), "s": ("Show", {"value": link("x.int")})}
    outcome = toys.run(nodes)
    assert (outcome.status, outcome.result.shown) == ("done", {})


def asynchronously(toys: Harness, work: Callable[[int], Any]) -> None:
    @node("A", category="test")
    async def a(a: Each[int] = 0) -> int:
        """Do it."""
        await asyncio.sleep(0)
        found: int = work(a)
        return found

    toys.registry.add(a)


def raising(error: BaseException) -> Callable[[int], Any]:
    def work(a: int) -> Any:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("no"), "ValueError: no"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (asyncio.CancelledError(), "it cancelled itself"),
    ],
)
def test_whatever_an_async_node_raises_is_told_and_others_end_well(toys: Harness, error: BaseException, message: str) -> None:
    asynchronously(toys, raising(error))
    cache = Cache()
    nodes: Nodes = {"x": ("A", {}), "y": ("Async", {"a": 1})}
    outcome = toys.run(nodes, ["x", "y"], cache)
    assert outcome.error is not None
    assert (outcome.status, outcome.error.node, message in outcome.error.message) == ("failed", "x", True)


def test_when_one_item_fails_the_others_are_stopped_before_the_run_ends(toys: Harness) -> None:
    ended: list[int] = []

    @node("Fan", category="test")
    async def fan(a: Each[int]) -> int:
        """The first one fails, the others would wait for ever."""
        try:
            if a == 0:
                raise ValueError("first")
            await asyncio.Event().wait()
            return a
        finally:
            ended.append(a)

    toys.registry.add(fan)
    outcome = toys.run({"f": ("Fan", {"a": [1, 2, 0]})}, ["f"])
    assert outcome.error is not None
    assert outcome.error.message == "ValueError: first"
    assert sorted(ended) == [0, 1, 2]


@pytest.mark.parametrize("fails", ["Boom", "BoomLater"])
def test_when_a_node_fails_those_that_only_wait_are_not_waited_for(toys: Harness, fails: str) -> None:
    waiting, ended = threading.Event(), threading.Event()

    @node("Wait", category="test")
    async def wait(a: int = 0) -> int:
        """It would never come back."""
        waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return a

    @node("Once", category="test")
    def once(a: int = 0) -> int:
        """Give the other one time to wait."""
        assert waiting.wait(WAIT)
        return a

    @node("BoomLater", category="test")
    async def boom_later(a: int) -> int:
        """Fail in the same lane."""
        raise ValueError("later")

    toys.registry.add(wait, once, boom_later)
    nodes: Nodes = {"w": ("Wait", {}), "o": ("Once", {}), "x": (fails, {"a": link("o.int")})}
    outcome = toys.run(nodes, ["w", "x"])
    assert outcome.error is not None
    assert (outcome.status, outcome.error.node, ended.is_set()) == ("failed", "x", True)


def test_an_async_node_can_wait_for_lazy_inputs_and_expand(toys: Harness) -> None:
    @node("Either", category="test")
    async def either(on: bool, yes: Lazy[int], no: Lazy[int]) -> int | Expand:
        """One of two, plus one."""
        value = yes.get() if on else no.get()
        await asyncio.sleep(0)
        return Expand({"x": Call("Add", {"a": value, "b": 1})}, {"int": Result("x", "int")})

    toys.registry.add(either)
    nodes: Nodes = {
        "a": ("Constant", {"value": 4}),
        "e": ("Either", {"on": True, "yes": link("a.int"), "no": link("b.int")}),
        "b": ("Boom", {"a": 1}),
    }
    assert toys.run(nodes, ["e"]).value("e") == 5


def test_cancelling_stops_async_nodes_and_lets_them_clean_up(toys: Harness) -> None:
    stop = threading.Event()
    cleaned: list[int] = []

    @node("Waits", category="test")
    async def waits(a: int) -> int:
        """Never come back by itself."""
        try:
            stop.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(a)
        return a

    toys.registry.add(waits)
    nodes: Nodes = {str(i): ("Waits", {"a": i}) for i in range(3)}
    outcome = toys.run(nodes, list(nodes), cancelled=stop)
    assert (outcome.status, outcome.ran) == ("cancelled", [])
    assert len(cleaned) >= 1


def test_async_nodes_work_in_every_order_with_others(toys: Harness) -> None:
    nodes: Nodes = {"0": ("Constant", {"value": 1})}
    for i in range(1, 60):
        nodes = {**nodes, str(i): ("Async" if i % 2 else "Add", {"a": link(f"{i - 1}.int")})}
    for helpers in (0, 2):
        assert toys.run(nodes, ["59"], helpers=helpers).value("59") == 1
