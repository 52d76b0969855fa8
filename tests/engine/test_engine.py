"""The engine as one object: documents in, events and results out, the same today and after a restart."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness import Nodes, document, link
from toys import TOYS

import nodegraph
from nodegraph import Cancelled, Context, Engine, Registry, node
from nodegraph.device import Policy, numeric_policy
from nodegraph.document import Document
from nodegraph.errors import BadOverride, FileMissing, NodeFailed, Problems, UnknownFormat
from nodegraph.events import Event
from nodegraph.registry import builtin_folder
from nodegraph.settings import Settings, cache_folder, default_settings

NODES: Nodes = {"c": ("Constant", {"value": 3}), "a": ("Add", {"a": link("c.int"), "b": 1}), "s": ("Show", {"value": link("a.int")})}


@node("SaveNumber", category="test", output=True)
def save_number(ctx: Context, value: int, times: int = 1) -> None:
    """Save a number with the title of its workflow."""
    text = f"{value} {(ctx.workflow or {}).get('meta', {}).get('title')}"
    ctx.show("file", file=ctx.files.save("output", "n", ".txt", lambda stream: stream.write(text.encode())))


@pytest.fixture
def place(tmp_path: Path) -> Settings:
    """Folders of their own, with a cache on disk."""
    return Settings(tmp_path / "in", tmp_path / "out", tmp_path / "temp", (), cache=tmp_path / "cache", device="cpu")


def engine(place: Settings) -> Engine:
    return Engine(place, Registry().add(*TOYS, save_number))


def text(result: Any, id: str = "s") -> str:
    (item,) = result.shown[id]
    found: str = item["text"]
    return found


def test_a_workflow_is_a_path_plain_data_or_a_document(place: Settings, tmp_path: Path) -> None:
    made = document(NODES)
    path = tmp_path / "w.json"
    path.write_text(json.dumps(made.to_json()))
    with engine(place) as one:
        assert [text(one.run(workflow)) for workflow in (made, made.to_json(), path, str(path))] == ["4"] * 4
        assert one.document(path) == made
    for wrong, kind in ((tmp_path / "nowhere.json", FileMissing), ({"x": 1}, UnknownFormat)):
        with pytest.raises(kind):
            one.run(wrong)


def test_inputs_can_be_changed_and_targets_chosen(place: Settings) -> None:
    with engine(place) as one:
        assert text(one.run(document(NODES), {"c.value": 10})) == "11"
        assert one.run(document(NODES), targets=["a"]).outputs == {"a": {"int": 4}}
        with pytest.raises(Problems) as caught:
            one.run(document(NODES), {"c.nothing": 1})
        assert isinstance(caught.value.errors[0], BadOverride)


def test_a_checked_graph_can_be_run_but_not_changed_any_more(place: Settings) -> None:
    with engine(place) as one:
        graph = one.check(document(NODES))
        assert text(one.run(graph)) == "4"
        with pytest.raises(TypeError, match="belong to `check`"):
            one.run(graph, {"c.value": 1})
        with pytest.raises(TypeError, match="belong to `check`"):
            one.run(graph, targets=["a"])


def test_faults_of_the_graph_are_raised_and_faults_of_nodes_are_in_the_result(place: Settings) -> None:
    with engine(place) as one:
        with pytest.raises(Problems):
            one.run(document({"s": ("Show", {})}))
        assert isinstance(one.run(document({"b": ("Boom", {"a": 1})}), targets=["b"]).error, NodeFailed)


def test_results_survive_a_restart(place: Settings) -> None:
    nodes: Nodes = {**NODES, "s": ("SaveNumber", {"value": link("a.int")})}
    with engine(place) as one:
        first = one.run(document(nodes))
    with engine(place) as two:
        second = two.run(document(nodes))
    assert (first.executed, second.executed, second.cached) == (["c", "a", "s"], [], ["s"])
    assert [path.name for path in place.output.iterdir()] == ["n_00001.txt"]


def test_without_a_cache_folder_nothing_is_written(place: Settings, tmp_path: Path) -> None:
    with Engine(replace(place, cache=None), Registry().add(*TOYS)) as one:
        graph = one.check(document(NODES))
        one.run(graph)
        one.remember(graph, "w")
        assert one.explain(graph, "w") == {}
    assert list(tmp_path.iterdir()) == []


def test_nodes_see_the_workflow_they_run_in(place: Settings) -> None:
    made = document({"s": ("SaveNumber", {"value": 5})})
    made.meta = {"title": "mine"}
    with engine(place) as one:
        one.run(made)
    assert (place.output / "n_00001.txt").read_text() == "5 mine"


@pytest.mark.parametrize(
    "item",
    [
        {"kind": "x", "file": {}},
        {"kind": "x", "file": {"path": 3}},
        {"kind": "x", "file": {"path": "p", "root": "nowhere", "name": "p", "size": 1}},
    ],
)
def test_a_node_may_show_what_only_looks_like_a_saved_file(place: Settings, item: dict[str, Any]) -> None:
    @node("ShowOddly", category="test", output=True)
    def show_oddly(ctx: Context, a: int = 0) -> None:
        """Show something odd."""
        ctx.show(**item)

    with Engine(place, Registry().add(show_oddly)) as one:
        for _ in range(2):
            assert one.run(document({"s": ("ShowOddly", {})})).executed == ["s"]


def test_what_happens_is_told_to_the_listener(place: Settings) -> None:
    told: list[Event] = []
    with engine(place) as one:
        one.run(document(NODES), emit=told.append)
    assert [event.kind for event in told] == ["run_started", *["node_started", "node_finished"] * 3, "run_finished"]


def test_a_listener_that_is_gone_ends_the_run(place: Settings) -> None:
    def gone(event: Event) -> None:
        raise BrokenPipeError("gone")

    with engine(place) as one, pytest.raises(BrokenPipeError):
        one.run(document(NODES), emit=gone)


def test_a_run_can_be_cancelled_from_outside(place: Settings) -> None:
    stop = threading.Event()
    stop.set()
    with engine(place) as one:
        assert one.run(document(NODES), cancelled=stop).status == "cancelled"


def test_runs_in_several_threads_share_one_cache(place: Settings) -> None:
    found: list[str] = []
    with engine(place) as one:
        threads = [threading.Thread(target=lambda i=i: found.append(text(one.run(document(NODES), {"c.value": i % 3})))) for i in range(12)]  # type: ignore[misc]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found) == sorted(["1", "2", "3"] * 4)


# ------------------------------------------------------------------------------------------------ plan and reasons


def test_it_is_told_what_would_run_and_why(place: Settings) -> None:
    with engine(place) as one:
        graph = one.check(document(NODES))
        assert set(one.plan(graph).run) == {"c", "a", "s"}
        assert one.explain(graph, "w") == {id: ["first run"] for id in ("s", "a", "c")}
        one.run(graph)
        one.remember(graph, "w")
        assert one.explain(graph, "w") == {}
        changed = one.check(document(NODES), {"a.b": 7})
        assert one.explain(changed, "w") == {"s": ["input `value`: node a `int` gives another result"], "a": ["input `b`: 1 -> 7"]}
        assert one.explain(changed, "another workflow")["a"] == ["first run"]


def test_two_graphs_are_compared_whatever_is_cached(place: Settings) -> None:
    with engine(place) as one:
        graph = one.check(document(NODES))
        changed = one.check(document(NODES), {"a.b": 7})
        for _ in range(2):
            assert one.compare(graph, graph) == {"c": [], "a": [], "s": []}
            told = one.compare(changed, graph)
            assert told == {"c": [], "a": ["input `b`: 1 -> 7"], "s": ["input `value`: node a `int` gives another result"]}
            assert one.compare(graph, None) == {id: ["first run"] for id in ("c", "a", "s")}
            one.run(changed)


def test_a_node_that_is_never_cached_is_told_to_run_every_time(place: Settings) -> None:
    with engine(place) as one:
        graph = one.check(document({"d": ("Dice", {})}), targets=["d"])
        for _ in range(2):
            assert one.explain(graph, "w") == {"d": ["it runs every time"]}
            one.run(graph)
            one.remember(graph, "w")


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"a": 3}', "\x00"])
def test_a_damaged_memory_of_reasons_is_a_first_run(place: Settings, damage: str) -> None:
    with engine(place) as one:
        graph = one.check(document(NODES))
        one.remember(graph, "w")
        (path,) = (place.cache or Path()).joinpath("explain").iterdir()
        path.write_text(damage)
        assert one.explain(graph, "w")["a"] == ["first run"]


# ------------------------------------------------------------------------------------------------ functions of the package


def test_run_and_check_are_functions_of_the_package(place: Settings) -> None:
    data = document({"n": ("Integer", {"value": 3})}).to_json()
    with pytest.raises(Problems, match="E110"):
        nodegraph.run(data, settings=place)
    with pytest.raises(Problems, match="E110"):
        nodegraph.check(data, settings=place)


def test_run_raises_what_a_node_raised(place: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodegraph.engine.builtin_registry", lambda packs: Registry().add(*TOYS))
    nodes: Nodes = {"b": ("Boom", {"a": 1}), "s": ("Show", {"value": link("b.int")})}
    with pytest.raises(NodeFailed, match="boom at 1"):
        nodegraph.run(document(nodes), settings=place)
    assert text(nodegraph.run(document(NODES), {"c.value": 1}, settings=place)) == "2"

    @node("GiveUp", category="test", output=True)
    def give_up(a: int = 0) -> None:
        """Cancel."""
        raise Cancelled

    monkeypatch.setattr("nodegraph.engine.builtin_registry", lambda packs: Registry().add(give_up))
    with pytest.raises(Cancelled):
        nodegraph.run(document({"g": ("GiveUp", {})}), settings=place)


# ------------------------------------------------------------------------------------------------ settings and device


def settled(environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, here: Path, **arguments: Any) -> Settings:
    monkeypatch.chdir(here)
    return default_settings(environ=environ, **arguments)


def test_settings_come_from_arguments_then_the_environment_then_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = builtin_folder("models")
    plain = settled({}, monkeypatch, tmp_path)
    assert (plain.input, plain.output, plain.models, plain.device) == (tmp_path / "input", tmp_path / "output", (shipped,), "auto")
    environ = {
        "NODEGRAPH_INPUT": "/e/in",
        "NODEGRAPH_OUTPUT": "/e/out",
        "NODEGRAPH_MODELS": f"/e/m1{os.pathsep}/e/m2",
        "NODEGRAPH_PACKS": "/e/pack",
        "NODEGRAPH_CACHE": "/e/cache",
        "NODEGRAPH_DEVICE": "cuda:1",
    }
    env = settled(environ, monkeypatch, tmp_path)
    assert (env.input, env.output, env.packs, env.device) == (Path("/e/in"), Path("/e/out"), (Path("/e/pack"),), "cuda:1")
    assert env.models == (Path("/e/m1"), Path("/e/m2"), shipped)
    assert (env.cache, env.temp) == (Path("/e/cache/results"), Path("/e/cache/temp"))
    (tmp_path / "models").mkdir()
    given = settled(
        environ,
        monkeypatch,
        tmp_path,
        input=Path("i"),
        models=(Path("m"),),
        packs=(Path("p"),),
        cache=Path("c"),
        device="cpu",
        use_cache=False,
    )
    assert (given.input, given.packs, given.cache, given.temp, given.device) == (
        Path("i"),
        (Path("p"), Path("/e/pack")),
        None,
        Path("c/temp"),
        "cpu",
    )
    assert given.models == (Path("m"), Path("/e/m1"), Path("/e/m2"), tmp_path / "models", shipped)


def test_without_a_setting_the_cache_lies_where_the_platform_wants_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert settled({}, monkeypatch, tmp_path).cache == cache_folder() / "results"
    assert cache_folder().is_absolute()


def test_results_depend_on_the_kind_of_device_and_not_on_its_number() -> None:
    assert Policy("cuda:0", "float16").key == Policy("cuda:1", "float16").key != Policy("cpu", "float16").key
    assert Policy("cpu", "float16").key != Policy("cpu", "float32").key
    assert numeric_policy("cpu", "float32") == Policy("cpu", "float32")


def test_a_machine_without_signs_of_an_accelerator_is_not_asked_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodegraph.device._may_have_accelerator", lambda: False)
    monkeypatch.setattr("nodegraph.device._accelerator", lambda: pytest.fail("torch would be imported"))
    assert numeric_policy("auto", "float32") == Policy("cpu", "float32")
    monkeypatch.setattr("nodegraph.device._may_have_accelerator", lambda: True)
    monkeypatch.setattr("nodegraph.device._accelerator", lambda: "mps")
    assert numeric_policy("auto", "float32") == Policy("mps", "float32")


def test_a_document_is_not_changed_by_running_it(place: Settings) -> None:
    made = document(NODES)
    before = json.dumps(made.to_json())
    with engine(place) as one:
        one.run(made, {"c.value": 9})
    assert json.dumps(made.to_json()) == before
    assert isinstance(made, Document)
