"""Laws that hold for every graph: random ones of toy nodes, with lazy, mapped, generic, blocked and expanding nodes among them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from harness import Harness, Nodes, document, folders
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from toys import TOYS

from nodegraph.cache import Cache, DiskCache, Entry, MemoryCache
from nodegraph.document import Document, Link, NodeEntry, parse_document, parse_json
from nodegraph.errors import NodegraphError, Problems
from nodegraph.events import Event
from nodegraph.graph import GraphNode
from nodegraph.plan import strict_links
from nodegraph.registry import Registry
from nodegraph.values import Blocked

OUTPUTS: Mapping[str, tuple[str, str]] = {
    "Constant": ("int", "int"),
    "Add": ("int", "int"),
    "Parity": ("parity", "int"),
    "Two": ("int", "total"),
    "Gate": ("int", "int"),
    "Repeat": ("int", "int"),
    "Twice": ("int", "int"),
    "Async": ("int", "int"),
    "Steps": ("int", "int"),
    "Sum": ("int", "int"),
    "If": ("int", "value"),
    "Pick": ("int", "value"),
    "Later": ("int", "int"),
    "Count": ("list", "ints"),
    "Double": ("each", "int"),
}


@st.composite
def graphs(draw: st.DrawFn, kinds: Sequence[str] = tuple(OUTPUTS), size: int = 9) -> Nodes:
    """Nodes named "0", "1" ... each linked to earlier ones or given literals, which all differ."""
    nodes: dict[str, tuple[str, dict[str, Any]]] = {}
    numbers: list[Link] = []
    lists: list[Link] = []
    literal = iter(range(1, 10_000))

    def number() -> Any:
        return draw(st.sampled_from(numbers)) if numbers and draw(st.integers(0, 3)) else next(literal)

    def several() -> Any:
        return draw(st.sampled_from(lists)) if lists and draw(st.booleans()) else [next(literal), next(literal)]

    for i in range(draw(st.integers(1, size))):
        kind = draw(st.sampled_from(kinds))
        inputs: dict[str, Any] = {
            "Constant": lambda: {"value": next(literal)},
            "Add": lambda: {"a": number(), "b": next(literal)},
            "Later": lambda: {"a": number(), "b": next(literal)},
            "Parity": lambda: {"a": number()},
            "Two": lambda: {"a": number()},
            "Gate": lambda: {"a": number(), "open": draw(st.integers(0, 3)) > 0},
            "Repeat": lambda: {"times": draw(st.integers(0, 3)), "value": number()},
            "Twice": lambda: {"a": number()},
            "Async": lambda: {"a": number()},
            "Steps": lambda: {"count": 2, "a": number()},
            "Sum": lambda: {"values": several()},
            "If": lambda: {"on": draw(st.booleans()), "yes": number(), "no": number()},
            "Pick": lambda: {"items": several(), "index": draw(st.integers(0, 1))},
            "Count": lambda: {"to": draw(st.integers(2, 4))},
            "Double": lambda: {"a": several() if draw(st.booleans()) else number(), "plus": next(literal)},
        }[kind]()
        nodes[str(i)] = (kind, inputs)
        flavour, output = OUTPUTS[kind]
        mapped = flavour == "each" and (type(inputs["a"]) is list or inputs["a"] in lists)
        (lists if flavour == "list" or mapped else numbers).append(Link(str(i), output))
    return nodes


@pytest.fixture(scope="module")
def laws(tmp_path_factory: pytest.TempPathFactory) -> Harness:
    return Harness(Registry().add(*TOYS), folders(tmp_path_factory.mktemp("laws")))


def targets_of(nodes: Nodes) -> list[str]:
    """The nodes that nobody is linked to."""
    used = {value.node for _, inputs in nodes.values() for value in inputs.values() if isinstance(value, Link)}
    return [id for id in nodes if id not in used]


def plain(outputs: Mapping[str, Mapping[str, Any]]) -> Any:
    return {id: dict(values) for id, values in outputs.items()}


def strict_parents(node: GraphNode) -> set[str]:
    return {link.node for link in strict_links(node)}


# ------------------------------------------------------------------------------------------------ execution


@given(graphs())
def test_a_node_runs_after_everything_it_needs(laws: Harness, nodes: Nodes) -> None:
    outcome = laws.run(nodes, list(nodes), helpers=1)
    place = {id: i for i, id in enumerate([*outcome.cached, *outcome.ran])}
    for id, node in outcome.run.nodes.items():
        assert all(place[parent] < place[id] for parent in strict_parents(node) if id in outcome.ran and parent in outcome.ran)
    assert len(outcome.ran) == len(set(outcome.ran))


@given(graphs())
def test_a_cached_run_equals_a_fresh_one_and_runs_nothing(laws: Harness, nodes: Nodes) -> None:
    cache = Cache()
    targets = targets_of(nodes)
    first = laws.run(nodes, targets, cache)
    second = laws.run(nodes, targets, cache)
    fresh = laws.run(nodes, targets)
    blocked = {event.node for event in first.told("node_blocked")}
    assert first.status == second.status == fresh.status == "done"
    assert plain(first.outputs) == plain(second.outputs) == plain(fresh.outputs)
    assert second.ran == []
    assert set(second.cached) >= set(targets) - blocked


@given(graphs(), st.sampled_from([0, 2000, 10**9]))
def test_neither_the_budget_of_the_cache_nor_the_number_of_threads_changes_a_result(laws: Harness, nodes: Nodes, budget: int) -> None:
    expected = plain(laws.run(nodes, list(nodes), helpers=0).outputs)
    cache = Cache(MemoryCache(budget))
    for helpers in (0, 2):
        assert plain(laws.run(nodes, list(nodes), cache, helpers=helpers).outputs) == expected
        assert cache.memory.bytes <= budget


@given(graphs())
def test_a_restart_changes_no_result(laws: Harness, tmp_path_factory: pytest.TempPathFactory, nodes: Nodes) -> None:
    folder = tmp_path_factory.mktemp("disk")
    expected = plain(laws.run(nodes, list(nodes)).outputs)
    for turn in range(2):
        cache = Cache(disk=Everything(folder))
        outcome = laws.run(nodes, list(nodes), cache)
        cache.flush()
        assert plain(outcome.outputs) == expected
        assert not turn or {id for id in outcome.ran if not has_blocked(outcome.outputs.get(id, {}))} == set()


def has_blocked(outputs: Mapping[str, Any]) -> bool:
    """Blocked is no plain value, and so is not stored."""
    return any(type(value) is Blocked for value in outputs.values())


class Everything(DiskCache):
    """A disk that also keeps what is quick to make again."""

    def wants(self, entry: Entry) -> bool:
        return True


def descendants(nodes: Nodes, changed: str) -> set[str]:
    found = {changed}
    for id, (_, inputs) in nodes.items():
        if any(isinstance(value, Link) and value.node in found for value in inputs.values()):
            found.add(id)
    return found


ONE_TO_ONE = ("Constant", "Add", "Later", "Double", "Sum", "Count")
"""nodes that give another result whenever one of their numbers is another, and are told apart by a number of their own"""


@given(graphs(ONE_TO_ONE), st.data())
def test_changing_one_literal_runs_exactly_what_depends_on_it(laws: Harness, nodes: Nodes, data: st.DataObject) -> None:
    """Nodes that are the same run once, so it is keys that are counted."""
    literals = [
        (id, name)
        for id, (_, inputs) in nodes.items()
        for name, value in inputs.items()
        if type(value) is int and name not in ("count", "to")
    ]
    if not literals:
        return
    id, name = data.draw(st.sampled_from(literals))
    kind, inputs = nodes[id]
    changed = {**nodes, id: (kind, {**inputs, name: 100_000})}
    cache = Cache()
    before, after = laws.run(nodes, list(nodes), cache), laws.run(changed, list(changed), cache)
    assert (before.status, after.status) == ("done", "done")
    keys = laws.keys(changed)
    affected = descendants(nodes, id)
    assert {keys[ran] for ran in after.ran if ran in keys} == {keys[one] for one in affected}
    assert set(after.ran) & set(nodes) <= affected


@given(graphs(), st.data())
def test_after_any_change_a_run_with_an_old_cache_equals_a_fresh_one(laws: Harness, nodes: Nodes, data: st.DataObject) -> None:
    cache = Cache()
    laws.run(nodes, list(nodes), cache)
    for _ in range(3):
        id = data.draw(st.sampled_from(sorted(nodes)))
        kind, inputs = nodes[id]
        name = data.draw(st.sampled_from(sorted(inputs)))
        if type(inputs[name]) is int and kind not in ("Repeat", "Count", "Steps", "Pick"):
            nodes = {**nodes, id: (kind, {**inputs, name: data.draw(st.integers(0, 3))})}
        elif type(inputs[name]) is bool:
            nodes = {**nodes, id: (kind, {**inputs, name: not inputs[name]})}
        assert plain(laws.run(nodes, list(nodes), cache).outputs) == plain(laws.run(nodes, list(nodes)).outputs)


@given(graphs(), st.integers(0, 40))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_a_run_cancelled_at_any_event_leaves_a_cache_that_a_later_run_can_trust(laws: Harness, nodes: Nodes, at: int) -> None:
    stop = threading.Event()
    count = 0

    def on_event(event: Event) -> None:
        nonlocal count
        count += 1
        if count > at:
            stop.set()

    cache = Cache()
    first = laws.run(nodes, list(nodes), cache, emit=on_event, cancelled=stop)
    expected = plain(laws.run(nodes, list(nodes)).outputs)
    assert first.status in ("done", "cancelled")
    assert first.events[-1].kind == "run_finished"
    assert plain(first.outputs).items() <= expected.items()
    assert plain(laws.run(nodes, list(nodes), cache).outputs) == expected


@given(graphs())
def test_no_result_is_held_when_a_run_has_ended_but_those_of_its_targets(laws: Harness, nodes: Nodes) -> None:
    targets = targets_of(nodes)
    outcome = laws.run(nodes, targets)
    assert set(outcome.run.entries) == set(targets)
    assert (outcome.run.consumers, outcome.run.expanding) == ({}, {})


@given(graphs())
def test_every_node_that_is_told_to_have_begun_is_told_to_have_ended_once(laws: Harness, nodes: Nodes) -> None:
    outcome = laws.run(nodes, targets_of(nodes))
    begun = [event.node for event in outcome.told("node_started")]
    ended = [event.node for event in outcome.told("node_finished")]
    assert len(begun) == len(set(begun))
    assert len(ended) == len(set(ended))
    assert set(begun) <= set(ended)
    assert [event.kind for event in outcome.events].count("run_finished") == 1


# ------------------------------------------------------------------------------------------------ keys


@given(graphs(), st.randoms(use_true_random=False))
def test_renaming_and_reordering_keep_every_key_and_every_result(laws: Harness, nodes: Nodes, random: Any) -> None:
    names = [f"node {i}" for i in range(len(nodes))]
    random.shuffle(names)
    new = dict(zip(nodes, names, strict=True))
    renamed = {
        new[id]: (kind, dict(reversed([(n, Link(new[v.node], v.output) if isinstance(v, Link) else v) for n, v in inputs.items()])))
        for id, (kind, inputs) in random.sample(sorted(nodes.items()), len(nodes))
    }
    assert laws.keys(renamed) == {new[id]: key for id, key in laws.keys(nodes).items()}
    expected = plain(laws.run(nodes, list(nodes)).outputs)
    assert plain(laws.run(renamed, list(renamed)).outputs) == {new[id]: outputs for id, outputs in expected.items()}


@given(graphs(), st.text(max_size=5), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2))
def test_titles_layout_and_meta_never_change_a_key(laws: Harness, nodes: Nodes, title: str, layout: Any) -> None:
    decorated = document(nodes)
    for entry in decorated.nodes.values():
        entry.title, entry.rest = title, layout
    decorated.layout, decorated.meta, decorated.rest = layout, layout, {"more": layout}
    assert laws.keys(decorated) == laws.keys(nodes)


@given(graphs())
def test_nodes_with_different_inputs_have_different_keys(laws: Harness, nodes: Nodes) -> None:
    keys = laws.keys(nodes)
    described = {
        id: (kind, tuple(sorted((n, keys[v.node] if isinstance(v, Link) else repr(v)) for n, v in inputs.items())))
        for id, (kind, inputs) in nodes.items()
    }
    assert len(set(keys.values())) == len(set(map(repr, described.values())))


# ------------------------------------------------------------------------------------------------ documents

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
literals = json_values.filter(lambda value: type(value) is not dict)
links = st.builds(Link, st.text(max_size=4), st.text(max_size=4))
entries = st.builds(
    NodeEntry,
    st.text(max_size=6),
    st.dictionaries(st.text(max_size=4), literals | links, max_size=3),
    st.none() | st.integers(1, 9),
    st.text(max_size=4),
    st.sampled_from(["active", "muted", "bypassed"]),
    st.dictionaries(st.text(max_size=4).filter(lambda k: k not in ("type", "version", "inputs", "title", "mode")), json_values, max_size=2),
)
objects = st.dictionaries(st.text(max_size=4), json_values, max_size=2)
documents = st.builds(
    Document,
    st.dictionaries(st.text(min_size=1, max_size=5), entries, max_size=4),
    objects,
    objects,
    objects.map(lambda rest: {key: value for key, value in rest.items() if key not in ("nodegraph", "nodes", "layout", "meta")}),
)


@given(documents)
@example(Document())
def test_a_document_written_and_read_is_the_same_document(made: Document) -> None:
    for text in (json.dumps(made.to_json()), json.dumps(made.to_json(), ensure_ascii=False, indent=2)):
        assert parse_document(parse_json(text)) == made
        assert parse_document(parse_json(text.encode("utf-8", "surrogatepass").decode("utf-8", "surrogatepass"))) == made


def fault_of(work: Callable[[], object]) -> NodegraphError | None:
    """What is told when something is refused; anything but a NodegraphError is a failure of the test."""
    try:
        work()
    except NodegraphError as error:
        return error
    return None


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_a_document_or_an_error_with_a_number(data: bytes) -> None:
    error = fault_of(lambda: parse_document(parse_json(data)))
    assert error is None or error.code.startswith(("E1", "E4"))


@given(json_values)
def test_any_json_is_a_document_or_an_error_with_a_number(value: Any) -> None:
    for data in (value, {"nodegraph": value}, {"nodegraph": 1, "nodes": value}, {"nodegraph": 1, "nodes": {"1": value}}):
        error = fault_of(lambda data=data: parse_document(data))  # type: ignore[misc]
        assert error is None or error.code.startswith(("E1", "E4"))


@given(
    st.dictionaries(st.sampled_from(["a", "b", "yes", "no", "value", "values", "items", "on", "x"]), json_values | links, max_size=4),
    st.sampled_from([t.__nodegraph__.id for t in TOYS] + ["Nothing"]),
)  # type: ignore[attr-defined]
def test_any_inputs_are_a_graph_or_problems_with_numbers(laws: Harness, inputs: Mapping[str, Any], type: str) -> None:
    error = fault_of(lambda: laws.check({"1": (type, inputs), "2": ("Add", {"a": Link("1", "int")})}, ["1"]))
    assert error is None or isinstance(error, Problems)
    assert all(each.code.startswith("E1") and each.hint and each.node for each in (error.errors if error else ()))


def test_the_graphs_of_these_laws_have_everything_in_them() -> None:
    """A check of the checks: lazy, mapped, blocked, expanding and async nodes do occur, linked to each other."""
    seen: set[str] = set()
    linked = 0

    @given(graphs())
    @settings(database=None, max_examples=150)
    def look(nodes: Nodes) -> None:
        nonlocal linked
        for kind, inputs in nodes.values():
            seen.add(kind)
            linked += sum(isinstance(value, Link) for value in inputs.values())

    look()
    assert seen == set(OUTPUTS)
    assert linked > 100
