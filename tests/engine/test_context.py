"""What a node gets to see of the world, what a run tells while it goes, and how values are put into words."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from harness import Harness

from nodegraph import Context, events, node
from nodegraph import context as context_module
from nodegraph.calling import summary
from nodegraph.diffusion.values import Image
from nodegraph.errors import BadValue, Cancelled
from nodegraph.events import (
    Event,
    Listener,
    Log,
    NodeBlocked,
    NodeFailed,
    NodeFinished,
    NodeStarted,
    Preview,
    Progress,
    RunFinished,
    RunStarted,
    Span,
    ignore,
    listener,
)
from nodegraph.files import Files


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(context_module, "time", found)
    return found


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture
def make(files: Files, told: list[Event]) -> Callable[..., Context]:
    return lambda **options: Context("7", **{"files": files, "emit": told.append, **options})


Make = Callable[..., Context]


# ------------------------------------------------------------------------------------------------ progress and cancelling


def test_steps_are_passed_on_one_by_one_with_progress(make: Make, told: list[Event], clock: Clock) -> None:
    ctx = make()
    seen = []
    for step in ctx.track(["a", "b", "c"], text=lambda s: f"at {s}"):
        clock.now += 1
        seen.append(step)
    assert seen == ["a", "b", "c"]
    assert told == [Progress("7", 1, 3, "at a"), Progress("7", 2, 3, "at b"), Progress("7", 3, 3, "at c")]


def test_steps_may_say_themselves_where_they_are(make: Make, told: list[Event], clock: Clock) -> None:
    for _ in make().track([7, 8], at=lambda step: (step, 9)):
        clock.now += 1
    assert told == [Progress("7", 7, 9), Progress("7", 8, 9)]


def test_a_generator_has_no_end_unless_it_is_given(make: Make, told: list[Any], clock: Clock) -> None:
    def steps() -> Iterator[int]:
        for i in range(2):
            clock.now += 1
            yield i

    assert list(make().track(steps())) == [0, 1]
    assert list(make().track(steps(), total=2)) == [0, 1]
    assert [event.total for event in told] == [None, None, 2, 2]


def test_progress_is_told_at_most_twenty_times_a_second_but_the_end_always(make: Make, told: list[Any], clock: Clock) -> None:
    ctx = make()
    for _ in ctx.track(range(1000)):
        clock.now += 0.001
    assert 15 <= len(told) <= 22
    assert told[-1].value == 1000


def test_it_is_looked_at_cancelling_before_every_step(make: Make) -> None:
    stop = threading.Event()
    ctx = make(cancelled=stop)
    seen = []

    def work() -> None:
        for step in ctx.track(range(10)):
            seen.append(step)
            if step == 3:
                stop.set()

    with pytest.raises(Cancelled):
        work()
    assert seen == [0, 1, 2, 3]
    with pytest.raises(Cancelled):
        ctx.check()


def test_a_sampler_that_is_left_in_the_middle_cleans_up(make: Make) -> None:
    stop = threading.Event()
    closed: list[bool] = []

    def sampler() -> Iterator[int]:
        try:
            yield from range(10)
        finally:
            closed.append(True)

    def work() -> None:
        for _ in make(cancelled=stop).track(sampler()):
            stop.set()

    with pytest.raises(Cancelled):
        work()
    assert closed == [True]
    for _ in make().track(sampler()):
        break
    assert closed == [True, True]


def test_a_context_that_nobody_can_cancel_goes_on(make: Make) -> None:
    make().check()


# ------------------------------------------------------------------------------------------------ previews, messages, results


def picture(brightness: int = 0) -> Any:
    return np.full((4, 6, 3), brightness, np.uint8)


def test_a_preview_is_a_small_jpeg(make: Make, told: list[Any], clock: Clock) -> None:
    from PIL import Image as Pillow

    make(previews=True).preview(picture)
    (event,) = told
    assert (event.node, event.width, event.height) == ("7", 6, 4)
    assert Pillow.open(io.BytesIO(event.jpeg)).size == (6, 4)


def test_a_preview_that_nobody_looks_at_is_not_even_made(make: Make, told: list[Any]) -> None:
    def fail() -> Any:
        raise AssertionError("made in vain")

    make().preview(fail)
    assert list(make().track([1], preview=lambda step: fail())) == [1]
    assert [event.kind for event in told] == ["progress"]


def test_there_are_at_most_ten_previews_a_second(make: Make, told: list[Any], clock: Clock) -> None:
    ctx = make(previews=True)
    made = []
    for _ in ctx.track(range(100), preview=lambda step: (made.append(step), picture(step))[1]):
        clock.now += 0.01
    assert len(made) == len([event for event in told if event.kind == "preview"])
    assert 9 <= len(made) <= 11


def test_a_preview_may_turn_out_to_be_nothing(make: Make, told: list[Any]) -> None:
    make(previews=True).preview(lambda: None)
    assert told == []


def test_messages_have_two_levels(make: Make, told: list[Event]) -> None:
    ctx = make()
    ctx.log("hello")
    ctx.log("careful", "warning")
    ctx.log("odd", "shout")
    assert told == [Log("7", "info", "hello"), Log("7", "warning", "careful"), Log("7", "info", "odd")]


def test_what_is_shown_is_plain_data(make: Make, files: Files) -> None:
    ctx = make()
    saved = ctx.files.save("output", "x", ".txt", lambda stream: stream.write(b"x"))
    ctx.show("image", file=saved, width=3)
    ctx.show("text", text="t")
    assert ctx.shown == [{"kind": "image", "file": saved.to_json(), "width": 3}, {"kind": "text", "text": "t"}]


# ------------------------------------------------------------------------------------------------ the diffusion layer


class Store:
    """What the diffusion layer lends."""

    def __init__(self) -> None:
        self.held: list[Any] = []

    @contextmanager
    def lease(self, handle: Any, **options: Any) -> Iterator[Any]:
        self.held.append(handle)
        try:
            yield (handle, options)
        finally:
            self.held.remove(handle)

    def noise(self, seed: int, like: Any) -> Any:
        return (seed, like)


def test_weights_and_noise_come_from_the_store_that_is_made_when_first_needed(make: Make) -> None:
    store = Store()
    asked: list[int] = []
    ctx = make(services=lambda: (asked.append(1), store)[1])
    assert asked == []
    with ctx.load("model", patches=3) as net:
        assert net == ("model", {"patches": 3})
        assert store.held == ["model"]
    assert store.held == []
    assert ctx.noise(5, "like") == (5, "like")


def test_without_a_store_it_is_said_how_to_get_one(make: Make) -> None:
    with pytest.raises(RuntimeError, match="pass services="):
        make().noise(1, None)
    with pytest.raises(RuntimeError, match="pass services="):
        make().load("model")


def test_a_node_sees_its_id_its_folders_and_the_workflow(toys: Harness) -> None:
    seen: list[Any] = []

    @node("Look", category="test")
    def look(ctx: Context, a: int) -> int:
        """Look around."""
        seen.append((ctx.node, ctx.files, ctx.workflow))
        return a

    toys.registry.add(look)
    assert toys.run({"7": ("Look", {"a": 1})}, ["7"]).status == "done"
    assert seen == [("7", toys.files, None)]


# ------------------------------------------------------------------------------------------------ events


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (RunStarted(3, ["a"]), {"event": "run_started", "total": 3, "cached": ["a"]}),
        (NodeStarted("a", "Add"), {"event": "node_started", "node": "a", "type": "Add"}),
        (Progress("a", 1, 2.5, "t"), {"event": "progress", "node": "a", "value": 1, "total": 2.5, "text": "t"}),
        (Preview("a", 2, 3, b"jpeg"), {"event": "preview", "node": "a", "width": 2, "height": 3}),
        (Log("a", "info", "t"), {"event": "log", "node": "a", "level": "info", "text": "t"}),
        (
            NodeFinished("a", "Add", 1.5),
            {"event": "node_finished", "node": "a", "type": "Add", "seconds": 1.5, "cached": False, "shown": (), "nbytes": 0},
        ),
        (
            Span("encode", "a", 1.5, 0.25, "MainThread"),
            {"event": "span", "name": "encode", "node": "a", "start": 1.5, "seconds": 0.25, "thread": "MainThread"},
        ),
        (NodeBlocked("a", "why"), {"event": "node_blocked", "node": "a", "reason": "why"}),
        (
            NodeFailed("a", BadValue("no")),
            {"event": "node_failed", "node": "a", "error": {"code": "E106", "error": "BadValue", "message": "no"}},
        ),
        (RunFinished("done", 1.5, 2, 3), {"event": "run_finished", "status": "done", "seconds": 1.5, "executed": 2, "cached": 3}),
    ],
)
def test_every_event_has_a_plain_form_without_its_binary_part(event: Event, told: dict[str, Any]) -> None:
    assert event.to_json() == told


def test_kinds_of_events_are_unique() -> None:
    kinds = [cls.kind for cls in vars(events).values() if isinstance(cls, type) and issubclass(cls, Event)]
    assert len(kinds) == len(set(kinds)) == 11


def test_a_listener_is_called_by_one_thread_at_a_time() -> None:
    busy = threading.Lock()
    count = 0

    def sink(event: Event) -> None:
        nonlocal count
        assert busy.acquire(blocking=False)
        count += 1
        busy.release()

    tell = listener(sink, threading.Event())
    threads = [threading.Thread(target=lambda: [tell(NodeStarted("a", "Add")) for _ in range(500)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert isinstance(tell, Listener)
    assert (tell.error, count) == (None, 4000)


def test_a_listener_that_fails_is_not_called_again_and_cancels() -> None:
    stop = threading.Event()
    calls: list[Event] = []

    def sink(event: Event) -> None:
        calls.append(event)
        raise OSError("gone")

    tell = listener(sink, stop)
    assert isinstance(tell, Listener)
    for _ in range(3):
        tell(NodeStarted("a", "Add"))
    assert (len(calls), stop.is_set(), str(tell.error)) == (1, True, "gone")


def test_who_does_not_listen_costs_nothing() -> None:
    stop = threading.Event()
    assert listener(ignore, stop) is ignore
    wrapped = listener(print, stop)
    assert listener(wrapped, stop) is wrapped
    ignore(NodeStarted("a", "Add"))


# ------------------------------------------------------------------------------------------------ words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "None"),
        (3, "3"),
        (True, "True"),
        (1.5, "1.5"),
        (10**200, "1" + "0" * 38 + "…"),
        ("a fox", "'a fox'"),
        ("x" * 500, f"'{'x' * 59}…'"),
        ("a\x1b[0m\n", "'a\\\\x1b[0m\\\\n'"),
        ([], "list of 0"),
        ([1, 2], "list of 2 int"),
        (np.zeros((2, 3), np.float32), "ndarray 2x3 float32"),
        (Image(np.zeros((1, 8, 9, 3), np.float32)), "image 1x8x9x3 float32"),
        (object, "type"),
        ({"a": 1}, "dict"),
    ],
)
def test_a_value_is_summarised_and_never_dumped(value: Any, words: str) -> None:
    assert summary(value) == words
