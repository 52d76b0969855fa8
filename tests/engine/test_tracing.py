"""Where the time of a run goes: spans are told when they are asked for, lie within each other, and are not told otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Harness, Nodes, document, folders, link
from toys import TOYS

from nodegraph import Context, Engine, node
from nodegraph.events import Event, Span
from nodegraph.registry import Registry
from nodegraph.settings import Settings
from nodegraph.spans import span


@node("Writes", category="toys", output=True)
def writes(ctx: Context, value: int) -> None:
    """Save a file."""
    with span("load"):
        text = str(value).encode()
    saved = ctx.files.save("output", "number", ".txt", lambda stream: stream.write(text))
    ctx.show("text", text=saved.name)


@node("Fails", category="toys", output=True)
def fails(value: int) -> None:
    """Fail within a span."""
    with span("load"):
        raise ValueError(value)


NODES: Nodes = {"a": ("Constant", {"value": 3}), "w": ("Writes", {"value": link("a.int")})}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    files = folders(tmp_path)
    settings = Settings(files.input, files.output, files.temp, (), cache=tmp_path / "cache", device="cpu")
    with Engine(settings, Registry().add(*TOYS, writes, fails)) as made:
        yield made


def spans(engine: Engine, nodes: Nodes, trace: bool = True) -> list[Span]:
    told: list[Event] = []
    engine.run(document(nodes), emit=told.append, trace=trace)
    return [event for event in told if isinstance(event, Span)]


def test_a_traced_run_tells_where_its_time_went(engine: Engine) -> None:
    found = spans(engine, NODES)
    assert {(one.name, one.node) for one in found} == {
        ("key", ""),
        ("cache", ""),
        ("queue", "a"),
        ("run", "a"),
        ("queue", "w"),
        ("run", "w"),
        ("load", "w"),
        ("encode", "w"),
        ("save", "w"),
    }
    assert all(one.seconds >= 0 and one.thread for one in found)


def test_spans_within_a_node_lie_within_its_run(engine: Engine) -> None:
    found = {one.name: one for one in spans(engine, NODES) if one.node == "w"}
    run = found["run"]
    for name in ("load", "encode", "save"):
        assert run.thread == found[name].thread
        assert run.start <= found[name].start + 1e-3
        assert found[name].start + found[name].seconds <= run.start + run.seconds + 1e-3
    assert found["encode"].start <= found["save"].start


def test_what_is_cached_has_no_span_of_its_own(engine: Engine) -> None:
    spans(engine, NODES)
    assert {one.name for one in spans(engine, NODES)} == {"key", "cache"}


def test_nothing_is_told_when_nobody_asked(engine: Engine) -> None:
    assert spans(engine, NODES, trace=False) == []
    with span("load"):
        pass


def test_a_node_that_fails_has_its_spans(engine: Engine) -> None:
    found = spans(engine, {"a": ("Constant", {}), "f": ("Fails", {"value": link("a.int")})})
    assert [one.name for one in found if one.node == "f"] == ["queue", "load", "run"]


def test_async_nodes_and_nodes_that_are_called_twice_are_traced(engine: Engine) -> None:
    found = spans(
        engine,
        {
            "x": ("Async", {"a": 4}),
            "l": ("Later", {"a": link("x.int"), "b": 1}),
            "s": ("Show", {"value": link("l.int")}),
        },
    )
    assert [one.name for one in found if one.node == "x"] == ["queue", "run"]
    assert [one.name for one in found if one.node == "l"] == ["queue", "run", "queue", "run"]


def test_traced_runs_say_the_same_as_others(toys: Harness) -> None:
    outcome = toys.run(NODES | {"w": ("Show", {"value": link("a.int")})})
    assert outcome.status == "done"
    assert not outcome.told("span")
