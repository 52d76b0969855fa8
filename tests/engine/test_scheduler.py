"""Running a graph: what is demanded runs once, what is known does not, and every end of a run is a clean one."""

from __future__ import annotations

import asyncio
import gc
import threading
import traceback
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pytest
import toys as toy_nodes
from harness import Harness, Nodes, folders, link

from nodegraph import Blocked, Call, Context, Each, Expand, InputFile, InputRefused, Lazy, Ref, Result, node, socket
from nodegraph.cache import Cache, DiskCache, Entry, MemoryCache
from nodegraph.document import Document, Link, NodeEntry
from nodegraph.errors import BadOutput, Cancelled, NodeFailed, NodegraphError, OutOfMemory, RunawayExpansion
from nodegraph.events import Event, RunStarted

# ------------------------------------------------------------------------------------------------ what runs


def test_nodes_run_after_what_they_need_and_give_their_results(toys: Harness) -> None:
    outcome = toys.run(
        {
            "c": ("Add", {"a": link("a.int"), "b": link("b.int")}),
            "a": ("Constant", {"value": 2}),
            "b": ("Add", {"a": link("a.int"), "b": 3}),
        },
        ["c"],
    )
    assert (outcome.status, outcome.ran, outcome.value("c")) == ("done", ["a", "b", "c"], 7)


def test_only_what_the_targets_need_runs(toys: Harness) -> None:
    nodes: Nodes = {"a": ("Constant", {}), "b": ("Boom", {"a": 1}), "c": ("Add", {"a": link("a.int")})}
    assert toys.run(nodes, ["c"]).ran == ["a", "c"]


def test_targets_run_in_the_order_in_which_they_are_named_each_with_all_it_needs(toys: Harness) -> None:
    nodes: Nodes = {f"{kind}{i}": ("Add", {"a": link(f"a{i}.int") if kind == "b" else i, "b": 7}) for i in range(3) for kind in "ab"}
    assert toys.run(nodes, ["b2", "b0", "b1"], helpers=0).ran == ["a2", "b2", "a0", "b0", "a1", "b1"]


def test_a_second_run_finds_everything(toys: Harness) -> None:
    nodes: Nodes = {"a": ("Constant", {"value": 2}), "b": ("Two", {"a": link("a.int")}), "s": ("Show", {"value": link("b.total")})}
    cache = Cache()
    first, second = toys.run(nodes, cache=cache), toys.run(nodes, cache=cache)
    assert (first.ran, second.ran, second.cached) == (["a", "b", "s"], [], ["s"])
    assert second.text("s") == "2"


def test_nodes_that_are_the_same_run_once(toys: Harness) -> None:
    nodes: Nodes = {id: ("Add", {"a": 1, "b": 2}) for id in "xyz"}
    outcome = toys.run(nodes, list("xyz"), helpers=0)
    assert (len(outcome.ran), len(outcome.cached)) == (1, 2)
    assert [outcome.value(id) for id in "xyz"] == [3, 3, 3]


def test_a_node_that_is_never_cached_runs_every_time_but_its_consumers_do_not(toys: Harness) -> None:
    nodes: Nodes = {"d": ("Dice", {"seed": 4}), "a": ("Add", {"a": link("d.int")}), "b": ("Add", {"a": link("a.int")})}
    cache = Cache()
    toys.run(nodes, ["b"], cache)
    second = toys.run(nodes, ["b"], cache)
    assert (second.ran, second.cached) == (["d"], ["a", "b"])


def test_a_fingerprint_decides_whether_a_node_runs_again(toys: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes: Nodes = {"c": ("Clock", {}), "p": ("Parity", {"a": link("c.int")})}
    cache = Cache()
    assert toys.run(nodes, ["p"], cache).ran == ["c", "p"]
    assert toys.run(nodes, ["p"], cache).ran == []
    monkeypatch.setitem(toy_nodes._clock, "now", 1)
    assert toys.run(nodes, ["p"], cache).ran == ["c", "p"]


def test_a_chain_of_20_000_nodes_runs_without_recursion(toys: Harness) -> None:
    chain = Document({str(i): NodeEntry("Add", {"a": Link(str(i - 1), "int") if i else 0, "b": 1}) for i in range(20_000)})
    assert toys.run(chain, ["19999"]).value("19999") == 20_000


def test_a_ladder_of_diamonds_runs_each_node_once(toys: Harness) -> None:
    nodes = {str(i): ("Add", {"a": link(f"{i - 1}.int"), "b": link(f"{i - 1}.int")} if i else {"a": 1}) for i in range(200)}
    outcome = toys.run(nodes, ["199"])
    assert (outcome.value("199"), len(outcome.ran)) == (2**199, 200)


def test_nothing_to_do_is_done(toys: Harness) -> None:
    outcome = toys.run({"a": ("Constant", {})}, [])
    assert (outcome.status, outcome.ran, outcome.outputs) == ("done", [], {})


# ------------------------------------------------------------------------------------------------ early cut-off


def test_consumers_of_a_value_that_is_equal_to_before_do_not_run_again(toys: Harness) -> None:
    def nodes(value: int) -> Nodes:
        return {
            "c": ("Constant", {"value": value}),
            "p": ("Parity", {"a": link("c.int")}),
            "a": ("Add", {"a": link("p.int")}),
            "s": ("Show", {"value": link("a.int")}),
        }

    cache = Cache()
    toys.run(nodes(3), cache=cache)
    even = toys.run(nodes(5), cache=cache)
    assert (even.ran, even.cached, even.text("s")) == (["c", "p"], ["a", "s"], "1")
    odd = toys.run(nodes(4), cache=cache)
    assert (odd.ran, odd.text("s")) == (["c", "p", "a", "s"], "0")
    again = toys.run(nodes(5), cache=cache)
    assert (again.ran, again.cached) == ([], ["s"])


@socket("scheduler_big")
@dataclass(frozen=True, eq=False)
class Big:
    """Something large, compared by identity."""

    data: bytes


@node("MakeBig", category="test")
def make_big(size: int = 10, salt: int = 0) -> Big:
    """Make one."""
    return Big(bytes(size))


@node("SizeOf", category="test")
def size_of_big(big: Big) -> int:
    """How large it is."""
    return len(big.data)


@node("Wrap", category="test")
def wrap(big: Big, remark: str = "") -> Big:
    """Pass it on."""
    return big


@node("Copy", category="test")
def copy(big: Big, extra: int = 0) -> Big:
    """A copy."""
    return Big(big.data + bytes(extra))


def test_a_value_that_is_merely_passed_on_stays_the_same_value(toys: Harness) -> None:
    toys.registry.add(make_big, wrap, copy, size_of_big)
    cache = Cache()

    def nodes(remark: str) -> Nodes:
        return {
            "m": ("MakeBig", {}),
            "w": ("Wrap", {"big": link("m.scheduler_big"), "remark": remark}),
            "n": ("SizeOf", {"big": link("w.scheduler_big")}),
        }

    assert toys.run(nodes("one"), ["n"], cache).ran == ["m", "w", "n"]
    assert toys.run(nodes("two"), ["n"], cache).ran == ["w"]


def test_large_values_of_different_origin_are_never_taken_for_each_other(toys: Harness) -> None:
    toys.registry.add(make_big, wrap, copy, size_of_big)
    cache = Cache()
    for size, extra in ((1, 0), (1, 1), (2, 0), (2, 5)):
        nodes: Nodes = {
            "m": ("MakeBig", {"size": size}),
            "c": ("Copy", {"big": link("m.scheduler_big"), "extra": extra}),
            "n": ("SizeOf", {"big": link("c.scheduler_big")}),
        }
        assert toys.run(nodes, ["n"], cache).value("n") == size + extra


def test_one_call_and_one_call_an_item_are_never_taken_for_each_other(toys: Harness) -> None:
    cache = Cache()
    typed: Nodes = {"l": ("Count", {"to": 2}), "x": ("Anything", {"value": link("l.ints")}), "d": ("Double", {"a": link("l.ints")})}
    assert toys.run(typed, ["d", "x"], cache).value("d") == [0, 2]
    untyped: Nodes = {**typed, "d": ("Double", {"a": link("x.value")})}
    assert toys.run(untyped, ["d"], cache).status == "failed"


def test_one_and_true_and_one_point_zero_are_never_taken_for_each_other(toys: Harness) -> None:
    cache = Cache()
    for value in (1, True, 1.0, "1"):
        nodes: Nodes = {"a": ("Anything", {"value": value}), "b": ("Anything", {"value": link("a.value")})}
        found = toys.run(nodes, ["b"], cache).value("b")
        assert (found, type(found)) == (value, type(value))


# ------------------------------------------------------------------------------------------------ output nodes and files


@node("Save", category="test", output=True)
def save(ctx: Context, value: int) -> None:
    """Save a number."""
    saved = ctx.files.save("output", "number", ".txt", lambda stream: stream.write(str(value).encode()))
    ctx.show("file", file=saved)


@node("SaveAndPass", category="test", output=True)
def save_and_pass(ctx: Context, value: int) -> int:
    """Save a number and pass it on."""
    save(ctx, value)
    return value


SAVING: Nodes = {"c": ("Constant", {"value": 3}), "p": ("Parity", {"a": link("c.int")}), "s": ("Save", {"value": link("p.int")})}


def saved_files(toys: Harness) -> list[str]:
    return sorted(path.name for path in toys.files.output.iterdir())


def test_an_output_node_whose_file_is_still_there_does_not_run_again(toys: Harness) -> None:
    toys.registry.add(save)
    cache = Cache()
    toys.run(SAVING, cache=cache)
    second = toys.run(SAVING, cache=cache)
    assert (second.ran, second.cached, saved_files(toys)) == ([], ["s"], ["number_00001.txt"])
    assert second.result.shown["s"][0]["file"]["name"] == "number_00001.txt"


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("other")])
def test_an_output_node_whose_file_vanished_or_changed_runs_again(toys: Harness, damage: Callable[[Path], Any]) -> None:
    toys.registry.add(save)
    cache = Cache()
    toys.run(SAVING, cache=cache)
    damage(toys.files.output / "number_00001.txt")
    second = toys.run(SAVING, cache=cache)
    assert second.ran == ["s"]
    assert second.result.shown["s"][0]["file"]["path"].endswith(saved_files(toys)[-1])


def test_a_vanished_file_is_made_again_also_when_only_the_way_to_its_value_changed(toys: Harness) -> None:
    toys.registry.add(save)
    cache = Cache()
    toys.run(SAVING, cache=cache)
    (toys.files.output / "number_00001.txt").unlink()
    other: Nodes = {**SAVING, "c": ("Constant", {"value": 5})}
    assert toys.run(other, cache=cache).ran == ["c", "p", "s"]
    assert toys.run(other, cache=cache).ran == []
    assert saved_files(toys) == ["number_00001.txt"]


def test_a_vanished_file_is_made_again_after_a_restart(toys: Harness, tmp_path: Path) -> None:
    toys.registry.add(save)

    def restarted() -> list[str]:
        cache = Cache(disk=DiskCache(tmp_path / "cache"))
        ran = toys.run(SAVING, cache=cache).ran
        cache.flush()
        return ran

    assert restarted() == ["c", "p", "s"]
    assert restarted() == []
    (toys.files.output / "number_00001.txt").unlink()
    assert "s" in restarted()
    assert restarted() == []


def test_another_output_folder_gets_files_of_its_own(toys: Harness, tmp_path: Path) -> None:
    toys.registry.add(save)
    cache = Cache()
    toys.run(SAVING, cache=cache)
    toys.files = folders(tmp_path / "other")
    assert toys.run(SAVING, cache=cache).ran == ["s"]
    assert saved_files(toys) == ["number_00001.txt"]


# ------------------------------------------------------------------------------------------------ handles


@socket("scheduler_handle", handle=True)
@dataclass(frozen=True)
class Handle:
    """Names a resource."""

    path: str


@node("LoadFile", category="test")
def load_file(ctx: Context, file: Annotated[str, InputFile("any")]) -> Handle:
    """Name a file as resource."""
    return Handle(str(ctx.files.find_input(file)))


@node("Patch", category="test")
def patch(handle: Handle, remark: str = "") -> Handle:
    """Another name for it."""
    return Handle(handle.path)


@node("ReadHandle", category="test")
def read_handle(handle: Handle, times: int = 1) -> str:
    """Read what it names."""
    return Path(handle.path).read_text() * times


def reading(file: Any, times: int = 1) -> Nodes:
    return {
        "w": ("Word", {"value": file if isinstance(file, str) else ""}),
        "l": ("LoadFile", {"file": file}),
        "p": ("Patch", {"handle": link("l.scheduler_handle")}),
        "i": ("If", {"on": True, "yes": link("p.scheduler_handle"), "no": link("l.scheduler_handle")}),
        "r": ("ReadHandle", {"handle": link("i.value"), "times": times}),
    }


@pytest.fixture
def library(toys: Harness) -> Harness:
    toys.registry.add(load_file, patch, read_handle)
    (toys.files.input / "a.txt").write_text("text")
    return toys


def test_names_of_resources_are_kept_in_memory_while_the_resource_stays(library: Harness, tmp_path: Path) -> None:
    cache = Cache(disk=DiskCache(tmp_path / "cache"))
    assert library.run(reading("a.txt"), ["r"], cache).ran == ["l", "p", "i", "r"]
    assert library.run(reading("a.txt"), ["r"], cache).ran == []
    assert library.run(reading("a.txt", 2), ["r"], cache).ran == ["r"]
    cache.flush()


def test_names_of_resources_are_made_again_when_the_resource_was_moved_but_what_was_made_with_them_stays(library: Harness) -> None:
    cache = Cache()
    assert library.run(reading("a.txt"), ["r"], cache).value("r") == "text"
    (library.files.input / "a.txt").rename(library.files.input / "b.txt")
    assert library.run(reading("b.txt"), ["r"], cache).ran == []
    moved = library.run(reading("b.txt", 2), ["r"], cache)
    assert (moved.value("r"), moved.ran) == ("texttext", ["l", "p", "i", "r"])


def test_names_of_resources_are_never_written_to_disk(library: Harness, tmp_path: Path) -> None:
    folder = tmp_path / "cache"

    def restarted(times: int) -> list[str]:
        cache = Cache(disk=Everything(folder))
        ran = library.run(reading("a.txt", times), ["r"], cache).ran
        cache.flush()
        return ran

    assert restarted(1) == ["l", "p", "i", "r"]
    assert restarted(1) == []
    assert restarted(2) == ["l", "p", "i", "r"]


class Everything(DiskCache):
    """A disk that also keeps what is quick to make again."""

    def wants(self, entry: Entry) -> bool:
        return True


# ------------------------------------------------------------------------------------------------ files


@node("ReadText", category="test")
def read_text(ctx: Context, file: Each[Annotated[str, InputFile("any")]]) -> str:
    """Read a file."""
    return ctx.files.find_input(file).read_text()


@pytest.mark.parametrize("linked", [False, True])
def test_a_file_is_read_again_when_its_contents_change_whether_its_name_was_typed_or_linked(library: Harness, linked: bool) -> None:
    library.registry.add(read_text)
    nodes: Nodes = {
        "w": ("Word", {"value": "a.txt"}),
        "r": ("ReadText", {"file": link("w.str") if linked else "a.txt"}),
        "s": ("ShowText", {"value": link("r.str")}),
    }
    cache = Cache()
    assert library.run(nodes, cache=cache).text("s") == "text"
    assert [id for id in library.run(nodes, cache=cache).ran if id != "w"] == []
    (library.files.input / "a.txt").write_text("changed")
    assert library.run(nodes, cache=cache).text("s") == "changed"
    (library.files.input / "a.txt").write_text("text")
    assert [id for id in library.run(nodes, cache=cache).ran if id != "w"] == []


def test_a_linked_name_of_a_file_that_is_not_there_is_told_at_the_node(library: Harness) -> None:
    library.registry.add(read_text)
    for name, code in (("b.txt", "E401"), ("../a.txt", "E406")):
        nodes: Nodes = {"w": ("Word", {"value": name}), "r": ("ReadText", {"file": link("w.str")})}
        error = library.run(nodes, ["r"]).error
        assert error is not None
        assert (error.code, error.node, error.input) == (code, "r", "file")


def test_a_resource_named_along_a_link_is_made_again_each_time_but_not_what_was_made_with_it(library: Harness) -> None:
    cache = Cache()
    nodes = {**reading(link("w.str")), "w": ("Word", {"value": "a.txt"})}
    assert library.run(nodes, ["r"], cache).value("r") == "text"
    (library.files.input / "a.txt").rename(library.files.input / "b.txt")
    moved = {**nodes, "w": ("Word", {"value": "b.txt"}), "r": ("ReadHandle", {"handle": link("i.value"), "times": 2})}
    assert library.run(moved, ["r"], cache).value("r") == "texttext"


# ------------------------------------------------------------------------------------------------ lazy inputs


def choice(on: bool) -> Nodes:
    return {
        "a": ("Constant", {"value": 1}),
        "b": ("Constant", {"value": 2}),
        "i": ("If", {"on": on, "yes": link("a.int"), "no": link("b.int")}),
    }


@pytest.mark.parametrize(("on", "ran", "value"), [(True, ["a", "i"], 1), (False, ["b", "i"], 2)])
def test_the_branch_that_is_not_taken_never_runs(toys: Harness, on: bool, ran: list[str], value: int) -> None:
    outcome = toys.run(choice(on), ["i"])
    assert (outcome.ran, outcome.value("i")) == (ran, value)


def test_a_node_that_waits_for_a_lazy_input_is_told_of_once(toys: Harness) -> None:
    outcome = toys.run(choice(True), ["i"])
    assert [(event.kind, event.node) for event in outcome.events if hasattr(event, "node")] == [
        ("node_started", "i"),
        ("node_started", "a"),
        ("node_finished", "a"),
        ("node_finished", "i"),
    ]


def test_a_literal_can_stand_in_for_a_lazy_input(toys: Harness) -> None:
    assert toys.run({"i": ("If", {"on": False, "yes": "y", "no": "n"})}, ["i"]).value("i") == "n"


def test_a_lazy_value_is_converted_like_any_other(toys: Harness) -> None:
    nodes: Nodes = {"c": ("Constant", {"value": 3}), "i": ("If", {"on": True, "yes": link("c.int"), "no": 0.5})}
    found = toys.run(nodes, ["i"]).value("i")
    assert (found, type(found)) == (3.0, float)


@node("LazySum", category="test")
def lazy_sum(values: Lazy[list[float]], on: bool = True, other: Lazy[int] | None = None) -> float:
    """Add up a list that is asked for."""
    return sum(values.get()) + (other.get() if other is not None else 0) if on else -1.0


def test_a_lazy_list_comes_as_a_list_without_what_is_blocked(toys: Harness) -> None:
    toys.registry.add(lazy_sum)
    assert toys.run({"c": ("Constant", {"value": 3}), "s": ("LazySum", {"values": link("c.int")})}, ["s"]).value("s") == 3.0
    assert toys.run({"s": ("LazySum", {"values": [1, 2], "other": 5})}, ["s"]).value("s") == 8.0
    nodes: Nodes = {"g": ("Odd", {"a": [1, 2, 3]}), "s": ("LazySum", {"values": link("g.int")})}
    toys.registry.add(odd)
    assert toys.run(nodes, ["s"]).value("s") == 4.0


def test_two_thousand_nested_choices_are_no_problem(toys: Harness) -> None:
    nodes = {str(i): ("If", {"on": True, "yes": link(f"{i + 1}.value") if i < 1999 else 5, "no": 6}) for i in range(2000)}
    outcome = toys.run(nodes, ["0"])
    assert (outcome.value("0"), len(outcome.ran)) == (5, 2000)


def test_a_choice_runs_again_only_if_what_it_may_use_changes(toys: Harness) -> None:
    cache = Cache()
    toys.run(choice(True), ["i"], cache)
    assert toys.run(choice(True), ["i"], cache).ran == []
    assert toys.run({**choice(True), "a": ("Constant", {"value": 9})}, ["i"], cache).value("i") == 9


def counting(toys: Harness, **options: Any) -> list[int]:
    """A node `Counter` that counts its calls, and the list of what it gave."""
    given: list[int] = []

    @node("Counter", category="test", **options)
    def counter(a: int = 0) -> int:
        """How often it was called."""
        given.append(len(given))
        return given[-1]

    toys.registry.add(counter)
    return given


def test_a_node_that_is_never_cached_gives_one_answer_a_run_however_late_it_is_asked_for(toys: Harness) -> None:
    given = counting(toys, cached=False)
    nodes: Nodes = {
        "n": ("Counter", {}),
        "use": ("Add", {"a": link("n.int")}),
        "late": ("Add", {"a": link("n.int"), "b": 100}),
        "i": ("If", {"on": True, "yes": link("late.int"), "no": 0}),
        "end": ("Add", {"a": link("use.int"), "b": link("i.value")}),
    }
    outcome = toys.run(nodes, ["end"], Cache(MemoryCache(0)), helpers=0)
    assert (outcome.value("end"), given) == (100, [0])


def test_a_result_that_a_lazy_input_may_ask_for_is_kept_until_it_did(toys: Harness) -> None:
    given = counting(toys)
    nodes: Nodes = {
        "n": ("Counter", {}),
        "use": ("Add", {"a": link("n.int")}),
        "on": ("Greater", {"a": link("use.int"), "b": -1}),
        "i": ("If", {"on": link("on.bool"), "yes": link("n.int"), "no": 5}),
    }
    outcome = toys.run(nodes, ["i"], Cache(MemoryCache(0)))
    assert (outcome.value("i"), given) == (0, [0])


# ------------------------------------------------------------------------------------------------ Blocked


@node("Odd", category="test")
def odd(a: Each[int]) -> int | Blocked:
    """Let odd numbers through."""
    return a if a % 2 else Blocked("even")


class Sides(NamedTuple):
    left: int
    right: int


@node("Left", category="test")
def left(a: int) -> Sides:
    """Block one output only."""
    return Sides(a, Blocked("no right side"))  # type: ignore[arg-type]


def test_what_is_blocked_skips_its_consumers_and_passes_on(toys: Harness) -> None:
    nodes: Nodes = {
        "g": ("Gate", {"a": 1, "open": False}),
        "x": ("Add", {"a": link("g.int")}),
        "y": ("Boom", {"a": link("x.int")}),
        "s": ("Show", {"value": link("y.int")}),
        "other": ("Show", {"value": 5}),
    }
    outcome = toys.run(nodes)
    assert (outcome.status, outcome.ran) == ("done", ["g", "other"])
    assert [(event.node, event.reason) for event in outcome.told("node_blocked")] == [("x", "closed"), ("y", "closed"), ("s", "closed")]
    assert outcome.result.shown.keys() == {"other"}
    assert toys.run({**nodes, "g": ("Gate", {"a": 1}), "y": ("Add", {"a": link("x.int")})}).text("s") == "1"


def test_one_blocked_output_blocks_only_its_own_consumers(toys: Harness) -> None:
    toys.registry.add(left)
    nodes: Nodes = {"l": ("Left", {"a": 1}), "x": ("Show", {"value": link("l.left")}), "y": ("Show", {"value": link("l.right")})}
    assert toys.run(nodes).result.shown.keys() == {"x"}


def test_blocked_items_of_a_list_are_skipped_in_their_place_and_left_out_of_whole_lists(toys: Harness) -> None:
    toys.registry.add(odd)
    nodes: Nodes = {
        "l": ("Count", {"to": 5}),
        "o": ("Odd", {"a": link("l.ints")}),
        "d": ("Double", {"a": link("o.int"), "plus": link("l.ints")}),
        "t": ("Sum", {"values": link("d.int")}),
    }
    outcome = toys.run(nodes, ["d", "t"])
    assert [value if isinstance(value, int) else "-" for value in outcome.value("d")] == ["-", 3, "-", 9, "-"]
    assert outcome.value("t") == 12


def test_a_lazy_input_that_is_blocked_skips_the_node(toys: Harness) -> None:
    nodes: Nodes = {
        "g": ("Gate", {"a": 1, "open": False}),
        "i": ("If", {"on": True, "yes": link("g.int"), "no": 5}),
        "s": ("Show", {"value": link("i.value")}),
    }
    outcome = toys.run(nodes)
    assert (outcome.status, outcome.result.shown) == ("done", {})


def test_what_is_blocked_is_blocked_again_from_the_cache(toys: Harness) -> None:
    nodes: Nodes = {"g": ("Gate", {"a": 1, "open": False}), "s": ("Show", {"value": link("g.int")})}
    cache = Cache()
    toys.run(nodes, cache=cache)
    second = toys.run(nodes, cache=cache)
    assert (second.ran, second.result.shown) == ([], {})


# ------------------------------------------------------------------------------------------------ Each


@pytest.mark.parametrize(
    ("inputs", "value"),
    [
        ({"a": 3}, 6),
        ({"a": [1, 2, 3]}, [2, 4, 6]),
        ({"a": [1, 2], "plus": [10, 20]}, [12, 24]),
        ({"a": [1, 2], "plus": 5}, [7, 9]),
        ({"a": [1, 2], "plus": [5]}, [7, 9]),
        ({"a": [1], "plus": [5, 6]}, [7, 8]),
        ({"a": 1, "plus": [5, 6]}, [7, 8]),
        ({"a": [1]}, [2]),
        ({"a": []}, []),
        ({"a": [], "plus": [5]}, []),
    ],
)
def test_a_list_in_an_each_input_means_one_call_an_item(toys: Harness, inputs: Mapping[str, Any], value: Any) -> None:
    assert toys.run({"d": ("Double", inputs)}, ["d"]).value("d") == value


@pytest.mark.parametrize("inputs", [{"a": [1, 2], "plus": [1, 2, 3]}, {"a": [], "plus": [1, 2]}])
def test_lists_of_different_lengths_are_refused_with_their_lengths(toys: Harness, inputs: dict[str, list[int]]) -> None:
    outcome = toys.run({"d": ("Double", inputs)}, ["d"])
    assert outcome.error is not None
    assert outcome.error.code == "E205"
    assert f"`a` has {len(inputs['a'])}, `plus` has {len(inputs['plus'])}" in outcome.error.message


def test_a_mapped_node_shows_everything_and_can_be_cancelled_between_items(toys: Harness) -> None:
    stop = threading.Event()
    seen: list[int] = []

    @node("ShowEach", category="test", output=True)
    def show_each(ctx: Context, a: Each[int]) -> None:
        """Show."""
        ctx.show("text", text=str(a))

    @node("StopAt", category="test")
    def stop_at(a: Each[int], at: int = -1) -> int:
        """Cancel the run at a number."""
        seen.append(a)
        if a == at:
            stop.set()
        return a

    toys.registry.add(show_each, stop_at)
    outcome = toys.run({"l": ("Count", {"to": 3}), "s": ("ShowEach", {"a": link("l.ints")})})
    assert [item["text"] for item in outcome.result.shown["s"]] == ["0", "1", "2"]
    stopped = toys.run({"l": ("Count", {"to": 100}), "x": ("StopAt", {"a": link("l.ints"), "at": 3})}, ["x"], cancelled=stop)
    assert (stopped.status, seen) == ("cancelled", [0, 1, 2, 3])


def test_a_mapped_node_with_several_outputs_gives_a_list_for_each(toys: Harness) -> None:
    @node("Parts", category="test")
    def parts(a: Each[int]) -> Sides:
        """Two numbers."""
        return Sides(a, -a)

    toys.registry.add(parts)
    assert toys.run({"p": ("Parts", {"a": [1, 2]})}, ["p"]).outputs["p"] == {"left": [1, 2], "right": [-1, -2]}


def test_items_are_converted_one_by_one(toys: Harness) -> None:
    @node("Kind", category="test")
    def kind(a: Each[float]) -> str:
        """The type of a value."""
        return type(a).__name__

    toys.registry.add(kind)
    nodes: Nodes = {"l": ("Count", {"to": 2}), "k": ("Kind", {"a": link("l.ints")})}
    assert toys.run(nodes, ["k"]).value("k") == ["float", "float"]


# ------------------------------------------------------------------------------------------------ expansion


def test_a_loop_of_a_thousand_turns(toys: Harness) -> None:
    outcome = toys.run({"r": ("Repeat", {"times": 1000, "value": 5}), "s": ("Show", {"value": link("r.int")})})
    assert (outcome.text("s"), outcome.status) == ("1005", "done")


def test_a_longer_loop_finds_the_turns_of_a_shorter_one_in_the_cache(toys: Harness) -> None:
    cache = Cache()
    toys.run({"r": ("Repeat", {"times": 50, "value": 0})}, ["r"], cache)
    assert toys.run({"r": ("Repeat", {"times": 50, "value": 0})}, ["r"], cache).ran == []
    longer = toys.run({"r": ("Repeat", {"times": 51, "value": 0})}, ["r"], cache)
    assert longer.value("r") == 51


def test_a_reference_passes_a_value_on_unseen(toys: Harness) -> None:
    nodes: Nodes = {"c": ("Constant", {"value": 4}), "t": ("Twice", {"a": link("c.int")})}
    outcome = toys.run(nodes, ["t"])
    assert (outcome.value("t"), outcome.ran) == (8, ["c", "t/0.sum", "t"])
    assert toys.run({"t": ("Twice", {"a": 4})}, ["t"]).value("t") == 8


def test_a_reference_to_what_is_never_used_is_never_worked_out(toys: Harness) -> None:
    @node("Ignore", category="test")
    def ignore(a: Ref[int]) -> int | Expand:
        """Do not use it."""
        return 5

    toys.registry.add(ignore)
    assert toys.run({"b": ("Boom", {"a": 1}), "i": ("Ignore", {"a": link("b.int")})}, ["i"]).value("i") == 5


def test_a_reference_can_stand_for_an_output_and_be_handed_down(toys: Harness) -> None:
    @node("Through", category="test")
    def through(a: Ref[int], depth: int) -> int | Expand:
        """Pass it on from inside."""
        if not depth:
            return Expand({}, {"int": a})
        return Expand({"next": Call("Through", {"a": a, "depth": depth - 1})}, {"int": Result("next", "int")})

    toys.registry.add(through)
    nodes: Nodes = {"c": ("Constant", {"value": 4}), "t": ("Through", {"a": link("c.int"), "depth": 3}), "x": ("Add", {"a": link("t.int")})}
    assert toys.run(nodes, ["x"]).value("x") == 4
    assert toys.run({"t": ("Through", {"a": 4, "depth": 3})}, ["t"]).value("t") == 4


def test_a_result_that_went_through_an_expansion_can_still_be_asked_for_later(toys: Harness) -> None:
    @node("Same", category="test")
    def same(a: Ref[int]) -> int | Expand:
        """Stand for another output."""
        return Expand({}, {"int": a})

    toys.registry.add(same)
    given = counting(toys)
    nodes: Nodes = {
        "n": ("Counter", {}),
        "t": ("Same", {"a": link("n.int")}),
        "u": ("Add", {"a": link("t.int"), "b": 10}),
        "i": ("If", {"on": True, "yes": link("late.int"), "no": 0}),
        "late": ("Add", {"a": link("n.int"), "b": 100}),
        "end": ("Add", {"a": link("u.int"), "b": link("i.value")}),
    }
    for memory in (0, 10**9):
        given.clear()
        outcome = toys.run(nodes, ["end"], Cache(MemoryCache(memory)), helpers=0)
        assert outcome.value("end") == 110 + (given[-1] if memory == 0 else 0)


def test_an_expansion_without_end_is_stopped(toys: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodegraph.scheduler.MAX_EXPANDED", 500)
    outcome = toys.run({"f": ("Forever", {"a": 1}), "ok": ("Constant", {})}, ["f"])
    assert isinstance(outcome.error, RunawayExpansion)
    assert (outcome.error.node, outcome.error.hint) == ("f", "check the condition that ends the loop")


def expanding(toys: Harness, expansion: Callable[[], Expand], **options: Any) -> None:
    """A node `E` that expands into something."""

    @node("E", category="test", **options)
    def e(a: int = 0) -> int | Expand:
        """Expand."""
        return expansion()

    toys.registry.add(e)


@pytest.mark.parametrize(
    ("expansion", "message"),
    [
        (Expand({"x": Call("Nothing", {})}, {"int": Result("x", "int")}), "there is no node type 'Nothing'"),
        (Expand({"x": Call("Add", {"a": "text"})}, {"int": Result("x", "int")}), "text is a str; it wants int"),
        (Expand({"x": Call("Add", {})}, {"int": Result("x", "int")}), "nothing is connected"),
        (Expand({"x": Call("Add", {"a": Result("y", "int")})}, {"int": Result("x", "int")}), "which does not exist"),
        (Expand({"x": Call("Add", {"a": Result("x", "int")})}, {"int": Result("x", "int")}), "depend on itself"),
        (Expand({"x": Call("Add", {"a": object()})}, {"int": Result("x", "int")}), "it wants int"),
        (Expand({"x": Call("Constant", {})}, {}), "its expansion says nothing for output `int`"),
        (Expand({"x": Call("Constant", {})}, {"int": Result("y", "int")}), "from `int` of y, which is not in it"),
        (Expand({"x": Call("Constant", {})}, {"int": Result("x", "nope")}), "from `nope` of x, which is not in it"),
        (Expand({"x": Call("Constant", {})}, {"int": Result("x", "int"), "more": 1}), "outputs that it does not have: ['more']"),
        (Expand({"x": Call("Word", {})}, {"int": Result("x", "str")}), "output `int` promises int, but its expansion gave str"),
        (Expand({}, {"int": "text"}), "output `int` promises int, but its expansion gave str"),
        (Expand({}, {"int": None}), "output `int` promises int, but its expansion gave nothing"),
    ],
)
def test_a_faulty_expansion_is_a_fault_of_the_node_that_made_it(toys: Harness, expansion: Expand, message: str) -> None:
    expanding(toys, lambda: expansion)
    outcome = toys.run({"1": ("E", {})}, ["1"])
    assert (outcome.status, type(outcome.error)) == ("failed", BadOutput)
    assert outcome.error is not None
    assert message in outcome.error.message
    assert (outcome.error.node, outcome.error.node_type) == ("1", "E")


def test_an_expansion_can_give_plain_data_and_blocked(toys: Harness) -> None:
    expanding(toys, lambda: Expand({}, {"int": 7}))
    assert toys.run({"1": ("E", {})}, ["1"]).value("1") == 7
    toys.registry.specs.pop("E")
    expanding(toys, lambda: Expand({"g": Call("Gate", {"a": 1, "open": False})}, {"int": Result("g", "int")}))
    assert isinstance(toys.run({"1": ("E", {})}, ["1"]).value("1"), Blocked)


def test_inner_nodes_never_take_the_place_of_nodes_of_the_document(toys: Harness) -> None:
    expanding(toys, lambda: Expand({"x": Call("Constant", {"value": 7})}, {"int": Result("x", "int")}))
    nodes: Nodes = {"1": ("E", {}), "1/0.x": ("Constant", {"value": 1}), "s": ("Add", {"a": link("1.int"), "b": link("1/0.x.int")})}
    for order in (["1", "s"], ["1/0.x", "s"]):
        assert toys.run(nodes, order).value("s") == 8


def test_output_nodes_inside_an_expansion_run_and_show(toys: Harness) -> None:
    toys.registry.add(save)
    expanding(toys, lambda: Expand({"s": Call("Save", {"value": 5}), "c": Call("Constant", {"value": 1})}, {"int": Result("c", "int")}))
    cache = Cache()
    outcome = toys.run({"1": ("E", {})}, ["1"], cache)
    assert (outcome.value("1"), saved_files(toys)) == (1, ["number_00001.txt"])
    assert outcome.result.shown["1"][0]["file"]["name"] == "number_00001.txt"
    assert toys.run({"1": ("E", {})}, ["1"], cache).ran == []
    (toys.files.output / "number_00001.txt").unlink()
    assert "1/0.s" in toys.run({"1": ("E", {})}, ["1"], cache).ran
    assert saved_files(toys) == ["number_00001.txt"]


def test_an_expansion_of_an_output_node_runs_what_it_saves(toys: Harness) -> None:
    @node("SaveAll", category="test", output=True)
    def save_all(upto: int) -> Expand:
        """Save several."""
        return Expand({str(i): Call("Save", {"value": i}) for i in range(upto)})

    toys.registry.add(save, save_all)
    outcome = toys.run({"1": ("SaveAll", {"upto": 3})})
    assert (outcome.status, len(saved_files(toys)), len(outcome.result.shown["1"])) == ("done", 3, 3)


def test_of_a_node_called_once_an_item_some_calls_may_expand(toys: Harness) -> None:
    @node("Halved", category="test")
    def halved(a: Each[int]) -> int | Expand | Blocked:
        """Even numbers go through another node, twelve is not let through."""
        if a == 12:
            return Blocked()
        return Expand({"add": Call("Add", {"a": a, "b": 100})}, {"int": Result("add", "int")}) if a % 2 == 0 else a

    toys.registry.add(halved)
    outcome = toys.run({"1": ("Halved", {"a": [1, 2, 3, 12, 4]})}, ["1"])
    assert outcome.value("1") == [1, 102, 3, Blocked(), 104]
    assert sorted(outcome.ran) == ["1", "1/0.1.add", "1/0.4.add"]
    assert toys.run({"1": ("Halved", {"a": 2})}, ["1"]).value("1") == 102


def test_calls_for_items_may_expand_beside_each_other(toys: Harness) -> None:
    @node("ByOthers", category="test")
    async def by_others(a: Each[int]) -> int | Expand:
        """Wait, then have it done by others."""
        await asyncio.sleep(0)
        return Expand(
            {"one": Call("Constant", {"value": a}), "two": Call("Add", {"a": Result("one", "int"), "b": 1})}, {"int": Result("two", "int")}
        )

    toys.registry.add(by_others)
    assert toys.run({"1": ("ByOthers", {"a": list(range(20))})}, ["1"]).value("1") == list(range(1, 21))


@pytest.mark.parametrize("outputs", [{}, {"int": Result("nobody", "int")}, {"int": "a word"}, {"int": 1, "other": 2}])
def test_a_faulty_expansion_of_one_item_is_a_fault_of_the_node(toys: Harness, outputs: dict[str, Any]) -> None:
    @node("OneBad", category="test")
    def one_bad(a: Each[int]) -> int | Expand:
        """All calls but the first speak of what is not there."""
        return Expand({}, outputs) if a > 1 else a

    toys.registry.add(one_bad)
    error = toys.run({"1": ("OneBad", {"a": [1, 2, 3]})}, ["1"]).error
    assert isinstance(error, BadOutput)
    assert (error.node, error.node_type) == ("1", "OneBad")


def test_a_run_tells_at_its_beginning_of_all_results_that_are_at_hand(toys: Harness) -> None:
    """Also of those that only went into others that are at hand, and of those behind inputs that may not be asked for."""
    cache = Cache()
    chain: Nodes = {
        "1": ("Constant", {"value": 1}),
        "2": ("Add", {"a": link("1.int"), "b": 1}),
        "3": ("Add", {"a": link("2.int"), "b": 1}),
        "4": ("Constant", {"value": 4}),
    }
    toys.run(chain, ["3"], cache)

    def at_hand(nodes: Nodes, target: str) -> list[str]:
        (begin,) = [event for event in toys.run(nodes, [target], cache).events if isinstance(event, RunStarted)]
        assert len(set(begin.cached)) == len(begin.cached)
        return sorted(begin.cached)

    assert at_hand(chain, "3") == ["1", "2", "3"]
    assert at_hand({**chain, "5": ("If", {"on": True, "yes": link("2.int"), "no": link("4.int")})}, "5") == ["1", "2", "3"]
    assert at_hand({"9": ("Constant", {"value": 9})}, "9") == []


def test_a_failing_inner_node_names_the_node_of_the_document(toys: Harness) -> None:
    expanding(toys, lambda: Expand({"b": Call("Boom", {"a": 3})}, {"int": Result("b", "int")}))
    outcome = toys.run({"1": ("E", {})}, ["1"])
    assert outcome.error is not None
    assert (outcome.error.node, outcome.error.node_type) == ("1", "Boom")


def test_an_expansion_makes_its_choices_lazily(toys: Harness) -> None:
    @node("Countdown", category="test")
    def countdown(n: int) -> int | Expand:
        """Count down by an If whose other branch would fail."""
        if n == 0:
            return 0
        nodes = {
            "on": Call("Greater", {"a": n, "b": 0}),
            "next": Call("Countdown", {"n": n - 1}),
            "boom": Call("Boom", {"a": n}),
            "if": Call("If", {"on": Result("on", "bool"), "yes": Result("next", "int"), "no": Result("boom", "int")}),
        }
        return Expand(nodes, {"int": Result("if", "value")})

    toys.registry.add(countdown)
    assert toys.run({"c": ("Countdown", {"n": 200})}, ["c"]).value("c") == 0


def test_types_are_known_through_references(toys: Harness) -> None:
    @node("Wrong", category="test")
    def wrong(a: Ref[str]) -> str | Expand:
        """Give a text to a number."""
        return Expand({"x": Call("Add", {"a": a})}, {"str": Result("x", "int")})

    toys.registry.add(wrong)
    outcome = toys.run({"w": ("Word", {}), "x": ("Wrong", {"a": link("w.str")})}, ["x"])
    assert outcome.error is not None
    assert "wants int, but node w (outside) `str` gives str" in outcome.error.message


# ------------------------------------------------------------------------------------------------ failure


def test_a_failing_node_is_told_in_the_form_of_all_errors_and_what_was_finished_is_kept(toys: Harness) -> None:
    nodes: Nodes = {"c": ("Constant", {"value": 7}), "b": ("Boom", {"a": link("c.int")}), "s": ("Show", {"value": link("b.int")})}
    cache = Cache()
    outcome = toys.run(nodes, cache=cache)
    error = outcome.error
    assert (outcome.status, outcome.outputs) == ("failed", {})
    assert isinstance(error, NodeFailed)
    assert (error.code, error.node, error.node_type, error.message) == ("E201", "b", "Boom", "ZeroDivisionError: boom at 7")
    assert error.hint is not None
    lines = error.hint.splitlines()
    assert lines[0].startswith("at ")
    assert lines[0].endswith("in boom")
    assert lines[1] == "a = 7"
    assert isinstance(error.__cause__, ZeroDivisionError)
    (event,) = outcome.told("node_failed")
    assert (event.node, event.error) == ("b", error)
    again = toys.run({**nodes, "b": ("Add", {"a": link("c.int")})}, cache=cache)
    assert again.ran == ["b", "s"]


def test_a_failed_run_keeps_targets_that_were_finished(toys: Harness) -> None:
    outcome = toys.run({"s": ("Show", {"value": 1}), "b": ("Boom", {"a": 1})}, ["s", "b"], helpers=0)
    assert (outcome.status, outcome.text("s")) == ("failed", "1")


def test_a_failed_run_tells_what_large_inputs_were_like(toys: Harness) -> None:
    @node("FailBig", category="test")
    def fail_big(big: Big, name: str, sizes: list[int]) -> int:
        """Fail."""
        raise ValueError("no")

    toys.registry.add(make_big, fail_big)
    nodes: Nodes = {
        "m": ("MakeBig", {}),
        "f": ("FailBig", {"big": link("m.scheduler_big"), "name": "a fox", "sizes": [1, 2]}),
    }
    error = toys.run(nodes, ["f"]).error
    assert error is not None
    assert (error.hint or "").splitlines()[1:] == ["name = 'a fox'", "sizes = list of 2 int", "big = scheduler_big"]


def test_after_a_failure_nothing_new_is_begun(toys: Harness) -> None:
    nodes: Nodes = {"b": ("Boom", {"a": 1}), **{str(i): ("Constant", {"value": i}) for i in range(50)}}
    assert toys.run(nodes, list(nodes), helpers=0).ran == []


def test_a_node_may_refuse_its_inputs(toys: Harness) -> None:
    error = toys.run({"r": ("Refuse", {"a": 3})}, ["r"]).error
    assert isinstance(error, InputRefused)
    assert (error.message, error.hint, error.node, error.node_type, error.input) == ("3 is not welcome", "try another", "r", "Refuse", "a")


def test_a_node_that_breaks_its_promise_is_blamed(toys: Harness) -> None:
    error = toys.run({"l": ("Lies", {"a": 3})}, ["l"]).error
    assert isinstance(error, BadOutput)
    assert error.message == "output `int` promises int, but it returned a str"


def test_a_node_with_several_outputs_must_return_them_all(toys: Harness) -> None:
    @node("OneShort", category="test")
    def one_short(a: int) -> Sides:
        """Forget one."""
        return (a,)  # type: ignore[return-value]

    toys.registry.add(one_short)
    error = toys.run({"x": ("OneShort", {"a": 1})}, ["x"]).error
    assert isinstance(error, BadOutput)
    assert error.message == "it returned a tuple; its outputs are left, right"


def test_a_whole_number_returned_for_a_float_becomes_one(toys: Harness) -> None:
    @node("Whole", category="test")
    def whole(a: int) -> float:
        """Return a whole number."""
        return a

    toys.registry.add(whole)
    assert type(toys.run({"x": ("Whole", {"a": 1})}, ["x"]).value("x")) is float


def test_a_value_of_another_type_than_was_promised_is_caught_on_arrival(toys: Harness) -> None:
    nodes: Nodes = {"x": ("Anything", {"value": "text"}), "a": ("Add", {"a": link("x.value")})}
    error = toys.run(nodes, ["a"]).error
    assert error is not None
    assert (error.code, error.node, error.input, error.message) == ("E102", "a", "a", "wants int, but what came is a str")
    fine: Nodes = {"x": ("Anything", {"value": 3}), "a": ("Half", {"a": link("x.value")})}
    assert toys.run(fine, ["a"]).value("a") == 1.5


@pytest.mark.parametrize(
    ("inputs", "code", "input"),
    [({"level": link("n.int")}, "E107", "level"), ({"name": link("w.str")}, "E108", "name")],
)
def test_linked_values_obey_the_same_limits_as_typed_ones(toys: Harness, inputs: Mapping[str, Any], code: str, input: str) -> None:
    nodes: Nodes = {"n": ("Constant", {"value": 10}), "w": ("Word", {"value": "middle"}), "m": ("Mode", inputs)}
    error = toys.run(nodes, ["m"]).error
    assert error is not None
    assert (error.code, error.node, error.node_type, error.input) == (code, "m", "Mode", input)


class Sulky(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        (ValueError("a\x1b[31m"), NodeFailed, "ValueError: a\\x1b[31m"),
        (ValueError("x" * 10_000), NodeFailed, "xxx…"),
        (Sulky(), NodeFailed, "Sulky: (its message could not be made)"),
        (SystemExit(3), NodeFailed, "SystemExit: 3"),
        (GeneratorExit(), NodeFailed, "GeneratorExit"),
        (RecursionError("deep"), NodeFailed, "RecursionError: deep"),
        (MemoryError(), OutOfMemory, "memory ran out: MemoryError"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), OutOfMemory, "memory ran out: CUDA out of memory"),
        (InputRefused("no"), InputRefused, "no"),
    ],
)
def test_whatever_a_node_raises_is_told(toys: Harness, raised: BaseException, kind: type[NodegraphError], message: str) -> None:
    @node("Raise", category="test")
    def raise_it(a: int = 0) -> int:
        """Raise."""
        raise raised

    toys.registry.add(raise_it)
    outcome = toys.run({"r": ("Raise", {})}, ["r"])
    assert (outcome.status, type(outcome.error)) == ("failed", kind)
    assert outcome.error is not None
    assert message in outcome.error.render()
    assert outcome.error.node == "r"


def test_a_failure_does_not_keep_alive_what_the_node_held(toys: Harness) -> None:
    toys.registry.add(make_big)
    held: list[weakref.ref[Any]] = []

    @node("Holds", category="test")
    def holds(a: int = 0) -> int:
        """Fail with something large at hand."""
        big = Big(bytes(1000))
        held.append(weakref.ref(big))
        raise ValueError("no")

    toys.registry.add(holds)
    outcome = toys.run({"h": ("Holds", {})}, ["h"])
    assert outcome.error is not None
    gc.collect()
    assert held[0]() is None


def test_a_failure_does_not_keep_alive_what_came_in_nor_the_run(toys: Harness) -> None:
    toys.registry.add(make_big, wrap)
    refs: list[weakref.ref[Any]] = []

    @node("FailOn", category="test")
    def fail_on(big: Big) -> int:
        """Fail."""
        refs.append(weakref.ref(big))
        raise ValueError("no")

    toys.registry.add(fail_on)
    nodes: Nodes = {
        "m": ("MakeBig", {}),
        "w": ("Wrap", {"big": link("m.scheduler_big")}),
        "f": ("FailOn", {"big": link("w.scheduler_big")}),
    }
    run, _ = toys.prepare(nodes, ["f"], Cache(MemoryCache(0)))
    refs.append(weakref.ref(run))
    error = run.execute().error
    del run
    gc.collect()
    assert error is not None
    assert error.__cause__ is not None
    assert [ref() for ref in refs] == [None, None]
    assert "in fail_on" in "".join(traceback.format_exception(error.__cause__))


# ------------------------------------------------------------------------------------------------ cancelling


def test_a_run_is_cancelled_within_a_step(toys: Harness) -> None:
    stop = threading.Event()

    def on_event(event: Event) -> None:
        if event.kind == "progress":
            stop.set()

    cache = Cache()
    nodes: Nodes = {"c": ("Constant", {"value": 1}), "s": ("Steps", {"count": 10**9, "a": link("c.int")})}
    outcome = toys.run(nodes, ["s"], cache, emit=on_event, cancelled=stop)
    assert (outcome.status, outcome.ran, outcome.error) == ("cancelled", ["c"], None)
    assert outcome.events[-1].status == "cancelled"  # type: ignore[attr-defined]
    again = toys.run({**nodes, "s": ("Steps", {"count": 3, "a": link("c.int")})}, ["s"], cache)
    assert (again.ran, again.value("s")) == (["s"], 4)


def test_a_run_that_was_cancelled_before_it_began_runs_nothing(toys: Harness) -> None:
    stop = threading.Event()
    stop.set()
    outcome = toys.run({"a": ("Constant", {})}, ["a"], cancelled=stop)
    assert (outcome.status, outcome.ran) == ("cancelled", [])
    assert [event.kind for event in outcome.events] == ["run_started", "run_finished"]


def test_a_run_whose_results_are_all_at_hand_is_done_even_if_cancelled(toys: Harness) -> None:
    stop = threading.Event()
    cache = Cache()
    nodes: Nodes = {"a": ("Constant", {})}
    toys.run(nodes, ["a"], cache)
    stop.set()
    assert toys.run(nodes, ["a"], cache, cancelled=stop).status == "done"


def test_a_run_is_cancelled_from_another_thread(toys: Harness) -> None:
    begun = threading.Event()

    @node("Endless", category="test")
    def endless(ctx: Context, a: int = 0) -> int:
        """Work until cancelled."""
        begun.set()
        while True:
            ctx.check()

    toys.registry.add(endless)
    run, events = toys.prepare({"e": ("Endless", {})}, ["e"])
    other = threading.Thread(target=lambda: (begun.wait(10), run.cancel()))
    other.start()
    result = run.execute()
    other.join()
    assert result.status == "cancelled"
    assert events[-1].kind == "run_finished"


def test_a_node_cannot_eat_the_cancelling(toys: Harness) -> None:
    stop = threading.Event()

    @node("Greedy", category="test")
    def greedy(ctx: Context, a: int = 0) -> int:
        """Catch everything that is an Exception."""
        stop.set()
        try:
            ctx.check()
        except Exception:  # noqa: BLE001 - what a careless node does
            return 1
        return 2

    toys.registry.add(greedy)
    assert toys.run({"g": ("Greedy", {})}, ["g"], cancelled=stop).status == "cancelled"


def test_a_node_may_cancel_the_run_by_itself(toys: Harness) -> None:
    @node("GiveUp", category="test")
    def give_up(a: int = 0) -> int:
        """Cancel."""
        raise Cancelled

    toys.registry.add(give_up)
    outcome = toys.run({"g": ("GiveUp", {}), "x": ("Add", {"a": link("g.int")})}, ["x"])
    assert (outcome.status, outcome.error) == ("cancelled", None)


def test_an_interrupt_from_the_keyboard_ends_the_run_and_is_raised_when_all_is_at_rest(toys: Harness) -> None:
    @node("Interrupt", category="test")
    def interrupt(a: int = 0) -> int:
        """As if Ctrl-C were pressed meanwhile."""
        raise KeyboardInterrupt

    toys.registry.add(interrupt)
    cache = Cache()
    nodes: Nodes = {"c": ("Constant", {"value": 3}), "i": ("Interrupt", {"a": link("c.int")})}
    run, events = toys.prepare(nodes, ["i"], cache)
    with pytest.raises(KeyboardInterrupt):
        run.execute()
    assert (events[-1].kind, events[-1].status) == ("run_finished", "cancelled")  # type: ignore[attr-defined]
    assert toys.run({"c": ("Constant", {"value": 3})}, ["c"], cache).ran == []


# ------------------------------------------------------------------------------------------------ events and memory


def test_events_tell_the_run_from_beginning_to_end(toys: Harness) -> None:
    nodes: Nodes = {"c": ("Constant", {"value": 1}), "s": ("Show", {"value": link("c.int")}), "t": ("ShowText", {"value": "x"})}
    cache = Cache()
    toys.run({"t": nodes["t"]}, cache=cache)
    outcome = toys.run(nodes, cache=cache, helpers=0)
    told = [{k: v for k, v in event.to_json().items() if k not in ("seconds", "nbytes")} for event in outcome.events]
    assert told == [
        {"event": "run_started", "total": 2, "cached": ["t"]},
        {"event": "node_finished", "node": "t", "type": "ShowText", "cached": True, "shown": ({"kind": "text", "text": "x"},)},
        {"event": "node_started", "node": "c", "type": "Constant"},
        {"event": "node_finished", "node": "c", "type": "Constant", "cached": False, "shown": ()},
        {"event": "node_started", "node": "s", "type": "Show"},
        {"event": "node_finished", "node": "s", "type": "Show", "cached": False, "shown": ({"kind": "text", "text": "1"},)},
        {"event": "run_finished", "status": "done", "executed": 2, "cached": 1},
    ]


@pytest.mark.parametrize("kind", ["run_started", "node_started", "progress", "node_finished", "run_finished"])
def test_a_listener_that_fails_ends_the_run_and_its_fault_is_raised_as_it_is(toys: Harness, kind: str) -> None:
    told: list[str] = []

    def on_event(event: Event) -> None:
        told.append(event.kind)
        if event.kind == kind:
            raise BrokenPipeError("gone")

    run, _ = toys.prepare({"c": ("Constant", {}), "s": ("Steps", {"count": 1, "a": link("c.int")})}, ["s"], emit=on_event)
    with pytest.raises(BrokenPipeError, match="gone"):
        run.execute()
    assert told[-1] == kind


def alive(toys: Harness, nodes: Nodes, targets: list[str], **options: Any) -> list[int]:
    """How many values of `MakeBig` are alive each time `Watch` runs."""
    refs: list[weakref.ref[Big]] = []
    counts: list[int] = []

    @node("Track", category="test")
    def track(size: int = 10) -> Big:
        """Make one and watch it."""
        big = Big(bytes(size))
        refs.append(weakref.ref(big))
        return big

    @node("Alive", category="test")
    def alive(a: int) -> int:
        """Count."""
        gc.collect()
        counts.append(sum(ref() is not None for ref in refs))
        return a

    toys.registry.add(track, alive, size_of_big, wrap)
    assert toys.run(nodes, targets, Cache(MemoryCache(0)), helpers=0, **options).status == "done"
    return counts


def test_a_result_is_freed_after_its_last_use(toys: Harness) -> None:
    nodes: Nodes = {
        "m": ("Track", {}),
        "w": ("Wrap", {"big": link("m.scheduler_big")}),
        "n": ("SizeOf", {"big": link("w.scheduler_big")}),
        "x": ("Alive", {"a": link("n.int")}),
    }
    assert alive(toys, nodes, ["x"]) == [0]


def test_a_result_lives_while_somebody_may_use_it(toys: Harness) -> None:
    nodes: Nodes = {
        "m": ("Track", {}),
        "n": ("SizeOf", {"big": link("m.scheduler_big")}),
        "x": ("Alive", {"a": link("n.int")}),
        "y": ("Gather", {"big": link("m.scheduler_big"), "a": link("x.int")}),
        "z": ("Alive", {"a": link("y.int")}),
    }

    @node("Gather", category="test")
    def gather(big: Big, a: int) -> int:
        """Use both."""
        return a + 1

    toys.registry.add(gather)
    assert alive(toys, nodes, ["z"]) == [1, 0]


def test_the_result_of_a_target_lives_to_the_end(toys: Harness) -> None:
    nodes: Nodes = {"m": ("Track", {}), "n": ("SizeOf", {"big": link("m.scheduler_big")}), "x": ("Alive", {"a": link("n.int")})}
    assert alive(toys, nodes, ["m", "x"]) == [1]


def test_a_run_holds_few_results_at_a_time_however_many_it_makes(toys: Harness) -> None:
    nodes: Nodes = {}
    for i in range(20):
        nodes = {
            **nodes,
            f"m{i}": ("Track", {"size": i}),
            f"n{i}": ("SizeOf", {"big": link(f"m{i}.scheduler_big")}),
            f"x{i}": ("Alive", {"a": link(f"n{i}.int")}),
        }
    assert max(alive(toys, nodes, [f"x{i}" for i in range(20)])) <= 1


def test_inner_results_of_a_loop_are_freed_turn_by_turn(toys: Harness) -> None:
    @node("Loop", category="test")
    def loop(turns: int, a: int) -> int | Expand:
        """Make something large in every turn."""
        if not turns:
            return a
        nodes = {
            "m": Call("Track", {"size": turns}),
            "n": Call("SizeOf", {"big": Result("m", "scheduler_big")}),
            "x": Call("Alive", {"a": Result("n", "int")}),
            "next": Call("Loop", {"turns": turns - 1, "a": Result("x", "int")}),
        }
        return Expand(nodes, {"int": Result("next", "int")})

    toys.registry.add(loop)
    assert max(alive(toys, {"l": ("Loop", {"turns": 10, "a": 0})}, ["l"])) <= 1
