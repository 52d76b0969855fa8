"""The plan is what then happens, found without running anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import Harness, Nodes, link

from nodegraph.cache import Cache, DiskCache, Entry
from nodegraph.plan import Plan, plan, strict_links

NODES: Nodes = {
    "a": ("Constant", {"value": 1}),
    "b": ("Add", {"a": link("a.int"), "b": 1}),
    "c": ("Add", {"a": link("a.int"), "b": 2}),
    "s": ("Show", {"value": link("b.int")}),
    "t": ("Show", {"value": link("c.int")}),
}


def planned(toys: Harness, nodes: Nodes, cache: Cache, targets: list[str] | None = None) -> Plan:
    graph = toys.check(nodes, targets)
    return plan(graph, toys.key_maker().keys(graph), cache, toys.valid)


@pytest.mark.parametrize("changed", [None, "a", "b", "c"])
def test_what_is_planned_is_what_runs(toys: Harness, changed: str | None) -> None:
    cache = Cache()
    assert planned(toys, NODES, cache) == Plan(("s", "b", "a", "t", "c"), ())
    toys.run(NODES, cache=cache)
    nodes = dict(NODES)
    if changed is not None:
        type, inputs = NODES[changed]
        nodes[changed] = (type, {**inputs, "value" if changed == "a" else "b": 100})
    expected = planned(toys, nodes, cache)
    outcome = toys.run(nodes, cache=cache)
    assert (set(outcome.ran), set(outcome.cached)) == (set(expected.run), set(expected.cached))


def test_planning_changes_nothing(toys: Harness) -> None:
    cache = Cache()
    toys.run(NODES, cache=cache)
    assert planned(toys, NODES, cache) == planned(toys, NODES, cache) == Plan((), ("s", "t"))


def test_lazy_inputs_are_not_counted(toys: Harness) -> None:
    nodes: Nodes = {"a": ("Constant", {}), "on": ("Greater", {"a": 1}), "i": ("If", {"on": link("on.bool"), "yes": link("a.int"), "no": 1})}
    assert planned(toys, nodes, Cache(), ["i"]).run == ("i", "on")
    assert [str(each.node) for each in strict_links(toys.check(nodes, ["i"]).nodes["i"])] == ["on"]


def test_results_whose_files_are_gone_are_planned_to_be_made_again(toys: Harness) -> None:
    cache = Cache()
    toys.run(NODES, cache=cache)
    graph = toys.check(NODES)
    keys = toys.key_maker().keys(graph)
    gone = plan(graph, keys, cache, lambda entry: False)
    assert gone.run == ("s", "t")
    assert set(gone.cached) == {"b", "c"}


def test_what_is_on_disk_counts_as_at_hand(toys: Harness, tmp_path: Path) -> None:
    graph = toys.check(NODES)
    keys = toys.key_maker().keys(graph)
    DiskCache(tmp_path).put(keys["b"], Entry({"int": 2}, (), 5.0))
    assert plan(graph, keys, Cache(disk=DiskCache(tmp_path))).cached == ("b",)


def test_a_long_chain_is_planned_without_recursion(toys: Harness) -> None:
    nodes = {str(i): ("Add", {"a": link(f"{i - 1}.int") if i else 1}) for i in range(5_000)}
    assert len(planned(toys, nodes, Cache(), ["4999"]).run) == 5_000
