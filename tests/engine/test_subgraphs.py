"""Subgraphs: what they mean is what the same nodes mean without them; faults are told where they can be mended; growth is bounded."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest
from harness import Harness, link
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodegraph.cache import Cache
from nodegraph.comfy.api_json import to_api
from nodegraph.document import Document, Link, NodeEntry, parse_document
from nodegraph.errors import (
    BadLink,
    BadOverride,
    BadValue,
    Cycle,
    GraphTooLarge,
    MissingInput,
    NodegraphError,
    NothingToRun,
    OutOfRange,
    Problems,
    TypeMismatch,
    UnknownFormat,
    UnknownInput,
    UnknownNode,
)
from nodegraph.graph import upgrade_document
from nodegraph.overrides import apply_overrides, parse_override
from nodegraph.registry import BrokenPack, Registry
from nodegraph.script import to_script
from nodegraph.subgraphs import MAX_DEPTH, entry_at, flatten

Nodes = Mapping[str, tuple[str, Mapping[str, Any]]]


def node_json(type_: str, inputs: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    values = {name: {"link": list(value)} if isinstance(value, Link) else value for name, value in inputs.items()}
    return {"type": type_, "inputs": values, **more}


def definition(nodes: Nodes, results: Mapping[str, Any] | None = None, *ports: str | dict[str, Any]) -> dict[str, Any]:
    """A subgraph with ports by name (or as they are saved), whose outputs are what `results` says."""
    inner = {id: node_json(*node) for id, node in nodes.items()}
    inner["in"] = {"type": "SubgraphInputs"}
    inner["out"] = node_json("SubgraphOutputs", results or {})
    return {
        "name": "Named",
        "inputs": [{"name": port, "type": "int"} if isinstance(port, str) else port for port in ports],
        "outputs": [{"name": name, "type": "int"} for name in results or {}],
        "nodes": inner,
    }


def workflow(nodes: Mapping[str, Any], **subgraphs: Any) -> Document:
    entries = {id: node_json(*node) if isinstance(node, tuple) else node for id, node in nodes.items()}
    return parse_document({"nodegraph": 1, "nodes": entries, "subgraphs": subgraphs})


SEED = {"name": "a", "type": "int", "default": 10}
ADD = definition({"1": ("Add", {"a": link("in.a"), "b": link("in.b")})}, {"sum": link("1.int")}, SEED, "b")
USED = {"x": ("subgraph/add", {"a": 3, "b": 4}), "show": ("Show", {"value": link("x.sum")})}


def problem(toys: Harness, document: Document, targets: list[str] | None = None) -> NodegraphError:
    return toys.problem(document, targets)


# ------------------------------------------------------------------------------------------------ what they mean


def test_an_instance_runs_what_is_inside_with_its_values(toys: Harness) -> None:
    found = toys.run(workflow(USED, add=ADD))
    assert found.text("show") == "7"
    assert sorted(found.ran) == ["show", "x/1"]


def test_an_instance_can_be_used_twice_and_feed_another_one(toys: Harness) -> None:
    nodes = {**USED, "y": ("subgraph/add", {"a": link("x.sum"), "b": 100}), "show": ("Show", {"value": link("y.sum")})}
    assert toys.run(workflow(nodes, add=ADD)).text("show") == "107"


def test_an_input_that_is_not_set_has_the_default_of_its_port_else_that_of_the_node_inside(toys: Harness) -> None:
    nodes = {**USED, "x": ("subgraph/add", {})}
    assert toys.run(workflow(nodes, add=ADD)).text("show") == "10"


def test_subgraphs_within_subgraphs(toys: Harness) -> None:
    outer = definition({"n": ("subgraph/add", {"a": link("in.p"), "b": 5})}, {"r": link("n.sum")}, "p")
    nodes = {"x": ("subgraph/outer", {"p": 1}), "show": ("Show", {"value": link("x.r")})}
    found = toys.run(workflow(nodes, add=ADD, outer=outer))
    assert found.text("show") == "6"
    assert "x/n/1" in found.ran


def test_an_output_may_hand_on_an_input_or_a_constant(toys: Harness) -> None:
    through = definition({}, {"same": link("in.v"), "five": 5}, "v")
    nodes = {
        "t": ("subgraph/t", {"v": 8}),
        "a": ("Show", {"value": link("t.same")}),
        "b": ("Show", {"value": link("t.five")}),
        "c": ("subgraph/t", {"v": link("d.int")}),
        "d": ("Constant", {"value": 9}),
        "e": ("Show", {"value": link("c.same")}),
    }
    found = toys.run(workflow(nodes, t=through))
    assert [found.text(id) for id in "abe"] == ["8", "5", "9"]


def test_what_is_shown_inside_is_shown_by_the_path(toys: Harness) -> None:
    inner = definition({"s": ("Show", {"value": link("in.v")})}, None, "v")
    found = toys.run(workflow({"x": ("subgraph/s", {"v": 4})}, s=inner))
    assert found.text("x/s") == "4"


def test_running_to_an_instance_runs_what_its_outputs_come_from_and_what_it_shows(toys: Harness) -> None:
    inner = definition({"1": ("Add", {"a": 1}), "s": ("Show", {"value": 2}), "no": ("Add", {"a": 5})}, {"r": link("1.int")})
    found = toys.run(workflow({"x": ("subgraph/s", {}), "other": ("Show", {"value": 1})}, s=inner), ["x"])
    assert sorted(found.ran) == ["x/1", "x/s"]


def test_a_node_inside_can_be_a_target(toys: Harness) -> None:
    assert toys.run(workflow(USED, add=ADD), ["x/1"]).value("x/1") == 7


def test_the_graph_keeps_the_document_with_its_subgraphs(toys: Harness) -> None:
    document = workflow(USED, add=ADD)
    assert toys.check(document).document is document


# ------------------------------------------------------------------------------------------------ the law of keys

numbers = st.integers(0, 5)


@st.composite
def grouped(draw: st.DrawFn) -> tuple[Document, Document, dict[str, str]]:
    """A random graph of sums; the same with random parts of it made subgraphs, again and again; and what each node is called there."""
    count = draw(st.integers(2, 9))
    plain = {}
    for i in range(count):
        ends = [Link(f"n{draw(st.integers(0, i - 1))}", "int") if i and draw(st.booleans()) else draw(numbers) for _ in range(2)]
        plain[f"n{i}"] = NodeEntry("Add", {"a": ends[0], "b": ends[1]})
    plain["show"] = NodeEntry("Show", {"value": Link(f"n{count - 1}", "int")})
    nodes, subgraphs, paths = dict(plain), {}, {id: id for id in plain}
    for turn in range(draw(st.integers(1, 4))):
        chosen = [id for id in nodes if id != "show" and draw(st.booleans())]
        if chosen:
            name = f"g{turn}"
            nodes, subgraphs[name] = _group(nodes, chosen, name)
            paths = {id: f"{name}/{path}" if path.split("/")[0] in chosen else path for id, path in paths.items()}
    data = {"nodegraph": 1, "nodes": Document(nodes).to_json()["nodes"], "subgraphs": subgraphs}
    return Document(plain), parse_document(data), paths


def _group(nodes: dict[str, NodeEntry], chosen: list[str], name: str) -> tuple[dict[str, NodeEntry], dict[str, Any]]:
    """The nodes with the chosen ones in a subgraph; each link across its border gets a port."""
    ports: dict[Link, str] = {}
    results: dict[Link, str] = {}
    inner = {}
    for id in chosen:
        inputs = dict(nodes[id].inputs)
        for key, value in inputs.items():
            if isinstance(value, Link) and value.node not in chosen:
                inputs[key] = Link("in", ports.setdefault(value, f"p{len(ports)}"))
        inner[id] = (nodes[id].type, inputs)
    rest: dict[str, NodeEntry] = {}
    for id, entry in nodes.items():
        if id not in chosen:
            inputs = dict(entry.inputs)
            for key, value in inputs.items():
                if isinstance(value, Link) and value.node in chosen:
                    inputs[key] = Link(name, results.setdefault(value, f"r{len(results)}"))
            rest[id] = NodeEntry(entry.type, inputs)
    for source, port in list(ports.items()):
        assert source.node not in chosen, port
    rest[name] = NodeEntry(f"subgraph/{name}", {port: source for source, port in ports.items()})
    return rest, definition(inner, {port: source for source, port in results.items()}, *ports.values())


@given(grouped())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_making_subgraphs_changes_no_key(toys: Harness, made: tuple[Document, Document, dict[str, str]]) -> None:
    plain, nested, paths = made
    before = toys.key_maker().keys(toys.check(plain))
    after = toys.key_maker().keys(toys.check(nested))
    assert {paths[id]: key for id, key in before.items()} == after


def test_a_picture_made_with_a_subgraph_is_the_cached_one_made_without(toys: Harness) -> None:
    cache = Cache()
    toys.run({"1": ("Add", {"a": 3, "b": 4}), "show": ("Show", {"value": link("1.int")})}, cache=cache)
    assert toys.run(workflow(USED, add=ADD), cache=cache).ran == []


def test_flattening_again_changes_nothing(registry: Registry) -> None:
    flat = flatten(workflow(USED, add=ADD), registry).document
    assert flatten(flat, registry).document.nodes == flat.nodes


# ------------------------------------------------------------------------------------------------ muted and bypassed


def test_a_muted_instance_gives_nothing(toys: Harness) -> None:
    nodes = {**USED, "x": node_json("subgraph/add", {"b": 1}, mode="muted")}
    found = problem(toys, workflow(nodes, add=ADD))
    assert isinstance(found, MissingInput)
    assert (found.node, found.input) == ("show", "value")
    assert "x (subgraph/add) is muted" in found.message


def test_a_bypassed_instance_hands_on_what_fits_by_type(toys: Harness) -> None:
    nodes = {
        "c": ("Constant", {"value": 6}),
        "w": ("Word", {"value": "no"}),
        "x": node_json("subgraph/add", {"a": link("w.str"), "b": link("c.int")}, mode="bypassed"),
        "show": ("Show", {"value": link("x.sum")}),
    }
    words = definition({"1": ("Two", {"a": link("in.b")}), "2": ("ShowText", {"value": link("in.a")})}, {"sum": link("1.total")}, "a", "b")
    assert toys.run(workflow(nodes, add=words)).text("show") == "6"


def test_a_bypassed_instance_of_nested_ones_knows_its_types(toys: Harness) -> None:
    outer = definition({"n": ("subgraph/add", {"a": link("in.p"), "b": 5})}, {"r": link("n.sum")}, "p")
    nodes = {
        "c": ("Constant", {"value": 6}),
        "x": node_json("subgraph/outer", {"p": link("c.int")}, mode="bypassed"),
        "show": ("Show", {"value": link("x.r")}),
    }
    assert toys.run(workflow(nodes, add=ADD, outer=outer)).text("show") == "6"


def test_muted_and_bypassed_nodes_inside_work_as_outside(toys: Harness) -> None:
    inner = definition({"1": ("Add", {"a": link("in.a")}), "2": ("Add", {"a": link("1.int"), "b": 1})}, {"r": link("2.int")}, "a")
    inner["nodes"]["1"]["mode"] = "bypassed"
    nodes = {"c": ("Constant", {"value": 4}), "x": ("subgraph/i", {"a": link("c.int")}), "show": ("Show", {"value": link("x.r")})}
    assert toys.run(workflow(nodes, i=inner)).text("show") == "5"
    inner["nodes"]["1"]["mode"] = "muted"
    found = problem(toys, workflow(nodes, i=inner))
    assert (found.node, found.input) == ("x/2", "a")


# ------------------------------------------------------------------------------------------------ faults, told where they can be mended


def test_an_unknown_subgraph_is_named_with_those_there_are(toys: Harness) -> None:
    found = problem(toys, workflow({"x": ("subgraph/ad", {}), "show": ("Show", {"value": link("x.sum")})}, add=ADD), ["show"])
    assert isinstance(found, UnknownNode)
    assert found.node == "x"
    assert "did you mean `add`" in (found.hint or "")
    assert isinstance(problem(toys, workflow({"x": ("subgraph/ad", {})}), ["x"]), UnknownNode)


def test_an_unknown_subgraph_inside_another_one_is_told_by_the_path(toys: Harness) -> None:
    outer = definition({"n": ("subgraph/gone", {})}, {"r": link("n.sum")})
    assert problem(toys, workflow({"x": ("subgraph/o", {}), "show": ("Show", {"value": link("x.r")})}, o=outer), ["show"]).node == "x/n"


def test_a_value_of_the_wrong_type_is_told_at_the_instance(toys: Harness) -> None:
    found = problem(toys, workflow({**USED, "x": ("subgraph/add", {"a": 1, "b": "four"})}, add=ADD))
    assert isinstance(found, BadValue)
    assert (found.node, found.input, found.node_type) == ("x", "b", "subgraph/add")


def test_a_link_of_the_wrong_type_is_told_at_the_outermost_instance_it_comes_through(toys: Harness) -> None:
    outer = definition({"n": ("subgraph/add", {"b": link("in.p")})}, {"r": link("n.sum")}, "p")
    nodes = {"w": ("Word", {}), "x": ("subgraph/outer", {"p": link("w.str")}), "show": ("Show", {"value": link("x.r")})}
    found = problem(toys, workflow(nodes, add=ADD, outer=outer))
    assert isinstance(found, TypeMismatch)
    assert (found.node, found.input) == ("x", "p")
    assert "node w (Word)" in found.message


def test_a_required_input_that_nothing_is_set_for_is_told_once_at_the_instance(toys: Harness) -> None:
    inner = definition({"1": ("Half", {"a": link("in.a")}), "2": ("Half", {"a": link("in.a")})}, {"r": link("1.float")}, "a")
    found = problem(toys, workflow({"x": ("subgraph/i", {})}, i=inner), ["x/1", "x/2"])
    assert isinstance(found, MissingInput)
    assert (found.node, found.input) == ("x", "a")


def test_the_range_inside_holds_for_values_from_outside(toys: Harness) -> None:
    inner = definition({"m": ("Mode", {"level": link("in.level")})}, {"r": link("m.str")}, "level")
    found = problem(toys, workflow({"x": ("subgraph/i", {"level": 12})}, i=inner), ["x"])
    assert isinstance(found, OutOfRange)
    assert (found.node, found.input) == ("x", "level")


def test_a_broken_default_of_a_port_is_told_inside(toys: Harness) -> None:
    inner = definition({"1": ("Add", {"a": link("in.a")})}, {"r": link("1.int")}, {"name": "a", "type": "int", "default": "x"})
    assert problem(toys, workflow({"x": ("subgraph/i", {})}, i=inner), ["x"]).node == "x/1"


def test_an_input_that_the_subgraph_does_not_have(toys: Harness) -> None:
    found = problem(toys, workflow({**USED, "x": ("subgraph/add", {"b": 1, "aa": 1})}, add=ADD))
    assert isinstance(found, UnknownInput)
    assert (found.node, found.input) == ("x", "aa")


def test_links_to_ports_that_are_not_there_or_lead_nowhere(toys: Harness) -> None:
    found = problem(toys, workflow({**USED, "show": ("Show", {"value": link("x.product")})}, add=ADD))
    assert isinstance(found, BadLink)
    assert (found.node, found.hint) == ("show", "its outputs: `sum`")
    loose = definition({}, {"sum": 1}, "b")
    del loose["nodes"]["out"]
    found = problem(toys, workflow({**USED, "x": ("subgraph/add", {"b": 1})}, add=loose), ["show"])
    assert "to which nothing is connected inside" in found.message
    inner = definition({"1": ("Add", {"a": link("in.gone")})}, {"r": link("1.int")}, "a")
    found = problem(toys, workflow({"x": ("subgraph/i", {})}, i=inner), ["x"])
    assert (found.node, found.input) == ("x/1", "a")
    assert "has no input `gone`" in found.message


def test_faults_of_what_no_output_needs_do_not_stop_the_rest(toys: Harness) -> None:
    graph = toys.check(workflow({**USED, "spare": ("subgraph/add", {"b": "text", "cc": 1})}, add=ADD))
    assert {(each.node, each.input) for each in graph.left_out} == {("spare", "b"), ("spare", "cc")}


def test_faults_inside_what_an_output_needs_do(toys: Harness) -> None:
    with pytest.raises(Problems):
        toys.check(workflow({**USED, "x": ("subgraph/add", {"b": 1, "cc": 1})}, add=ADD))


def test_border_nodes_mean_nothing_on_the_canvas(toys: Harness) -> None:
    found = problem(toys, workflow({"in": ("SubgraphInputs", {}), "show": ("Show", {"value": link("in.a")})}, add=ADD))
    assert isinstance(found, UnknownNode)
    assert "inside a subgraph only" in found.message


def test_a_failure_while_running_names_the_path(toys: Harness) -> None:
    inner = definition({"b": ("Boom", {"a": 1})}, {"r": link("b.int")})
    found = toys.run(workflow({"x": ("subgraph/i", {}), "show": ("Show", {"value": link("x.r")})}, i=inner))
    assert found.error is not None
    assert found.error.node == "x/b"


def test_an_expansion_inside_a_subgraph_has_ids_of_its_own(toys: Harness) -> None:
    inner = definition({"r": ("Repeat", {"times": 3, "value": link("in.v")})}, {"r": link("r.int")}, "v")
    nodes = {id: ("subgraph/i", {"v": i}) for i, id in enumerate("pq")}
    shows = {f"s{id}": ("Show", {"value": link(f"{id}.r")}) for id in "pq"}
    found = toys.run(workflow({**nodes, **shows}, i=inner))
    assert (found.text("sp"), found.text("sq")) == ("3", "4")


def test_two_nodes_of_one_id_are_refused(toys: Harness) -> None:
    with pytest.raises(Problems, match="would both be called x/1"):
        toys.check(workflow({**USED, "x/1": ("Constant", {})}, add=ADD))


def test_a_target_that_is_muted_is_told(toys: Harness) -> None:
    nodes = {**USED, "x": node_json("subgraph/add", {}, mode="muted")}
    assert any(isinstance(each, NothingToRun) for each in toys.problems(workflow(nodes, add=ADD), ["x"]))


# ------------------------------------------------------------------------------------------------ growth


def test_a_subgraph_that_contains_itself_is_refused_with_the_way(toys: Harness) -> None:
    a, b = definition({"n": ("subgraph/b", {})}, {"r": link("n.r")}), definition({"n": ("subgraph/a", {})}, {"r": link("n.r")})
    a["name"], b["name"] = "A", "B"
    for start in "ab":
        found = problem(toys, workflow({"x": (f"subgraph/{start}", {}), "show": ("Show", {"value": link("x.r")})}, a=a, b=b), ["show"])
        assert isinstance(found, Cycle)
        assert found.node == "x"
        assert "-> " in found.message
    unused = toys.check(workflow(USED, a=a, b=b, add=ADD))
    assert len(unused.nodes) == 2


def chain(length: int) -> dict[str, Any]:
    last = {"d0": definition({"1": ("Add", {"a": 1})}, {"r": link("1.int")})}
    return last | {f"d{i}": definition({"n": (f"subgraph/d{i - 1}", {})}, {"r": link("n.r")}) for i in range(1, length)}


def test_deep_nesting_works_up_to_a_bound_and_is_refused_beyond(toys: Harness) -> None:
    nodes = {"x": (f"subgraph/d{MAX_DEPTH - 1}", {}), "show": ("Show", {"value": link("x.r")})}
    assert toys.run(workflow(nodes, **chain(MAX_DEPTH))).text("show") == "1"
    for length in (MAX_DEPTH + 1, 1000):
        with pytest.raises(GraphTooLarge, match="deep"):
            toys.check(workflow({"x": (f"subgraph/d{length - 1}", {})}, **chain(length)))


def test_copies_of_copies_are_counted_before_they_are_made(toys: Harness) -> None:
    subgraphs = {"d0": definition({"1": ("Add", {"a": 1})}, {"r": link("1.int")})}
    for i in range(1, 50):
        subgraphs[f"d{i}"] = definition({f"n{k}": (f"subgraph/d{i - 1}", {}) for k in range(10)}, {"r": link("n0.r")})
    begin = time.process_time()
    with pytest.raises(GraphTooLarge, match="written out"):
        toys.check(workflow({"x": ("subgraph/d49", {})}, **subgraphs))
    assert time.process_time() - begin < 2


def test_links_that_only_lead_through_subgraphs_in_a_circle_are_told(toys: Harness) -> None:
    through = definition({}, {"o": link("in.v")}, "v")
    nodes = {"p": ("subgraph/t", {"v": link("q.o")}), "q": ("subgraph/t", {"v": link("p.o")}), "s": ("Show", {"value": link("p.o")})}
    found = problem(toys, workflow(nodes, t=through))
    assert isinstance(found, Cycle)
    assert (found.node, found.input) == ("s", "value")


def test_a_long_row_of_subgraphs_that_hand_on_takes_linear_time(toys: Harness) -> None:
    through = definition({}, {"o": link("in.v")}, "v")
    nodes: dict[str, Any] = {"0": ("Constant", {"value": 5})}
    nodes |= {"1": ("subgraph/t", {"v": link("0.int")})}
    nodes |= {str(i): ("subgraph/t", {"v": link(f"{i - 1}.o")}) for i in range(2, 3000)}
    nodes |= {f"s{i}": ("Show", {"value": link(f"{i}.o")}) for i in range(1, 3000)}
    begin = time.process_time()
    graph = toys.check(workflow(nodes, t=through))
    assert time.process_time() - begin < 3
    assert graph.nodes["s2999"].links["value"] == Link("0", "int")


def test_a_circle_through_two_instances_is_no_cycle_if_the_nodes_inside_have_none(toys: Harness) -> None:
    two = definition(
        {"1": ("Add", {"a": link("in.a")}), "2": ("Add", {"a": link("in.b"), "b": 1})}, {"p": link("1.int"), "q": link("2.int")}, "a", "b"
    )
    nodes = {
        "x": ("subgraph/two", {"a": 1, "b": link("mid.int")}),
        "mid": ("Add", {"a": link("x.p"), "b": 10}),
        "s": ("Show", {"value": link("x.q")}),
    }
    assert toys.run(workflow(nodes, two=two)).text("s") == "12"


# ------------------------------------------------------------------------------------------------ the file


@pytest.mark.parametrize(
    ("subgraph", "told"),
    [
        (3, "an object with `nodes`"),
        ({"nodes": []}, "an object with `nodes`"),
        ({"nodes": {}, "inputs": {}}, "`inputs` must be a list"),
        ({"nodes": {}, "outputs": [{"type": "int"}]}, "it needs a `name`"),
        ({"nodes": {}, "inputs": [{"name": "a"}, {"name": "a"}]}, "two of its inputs are called 'a'"),
        ({"nodes": {"1": {}}}, "node 1: a node must be an object with a `type`"),
        ({"nodes": {"1": {"type": "A", "inputs": {"a": {"no": 1}}}}}, "is not a link"),
        ({"nodes": {}, "name": 7}, "its name 7 is not a text"),
    ],
)
def test_a_definition_of_the_wrong_form_is_told(subgraph: Any, told: str) -> None:
    with pytest.raises(Problems, match="subgraph 'bad'") as caught:
        workflow({}, bad=subgraph)
    assert any(told in each.message for each in caught.value.errors)


def test_an_id_with_a_slash_is_refused() -> None:
    with pytest.raises(Problems) as caught:
        parse_document({"nodegraph": 1, "nodes": {}, "subgraphs": {"a/b": {"nodes": {}}}})
    assert isinstance(caught.value.errors[0], UnknownFormat)


def test_a_pack_cannot_take_the_name(tmp_path: Any) -> None:
    (tmp_path / "subgraph").mkdir()
    assert isinstance(Registry().load_pack(tmp_path / "subgraph").error, BrokenPack)


def test_nodes_inside_are_brought_to_their_present_version(registry: Registry) -> None:
    document = workflow(USED, add=ADD)
    found = upgrade_document(document, registry)
    assert found.to_json() == document.to_json()


def test_a_node_is_found_by_its_path() -> None:
    outer = definition({"n": ("subgraph/add", {})}, {"r": link("n.sum")})
    document = workflow({"x": ("subgraph/outer", {}), "a/b": ("Constant", {})}, add=ADD, outer=outer)
    types = {
        path: entry.type if (entry := entry_at(document, path)) else None for path in ("x", "x/n", "x/n/1", "a/b", "x/no", "no/1", "a/b/c")
    }
    assert types == {
        "x": "subgraph/outer",
        "x/n": "subgraph/add",
        "x/n/1": "Add",
        "a/b": "Constant",
        "x/no": None,
        "no/1": None,
        "a/b/c": None,
    }


def test_api_json_is_written_without_subgraphs(registry: Registry) -> None:
    found = to_api(workflow(USED, add=ADD), registry)
    assert found["x/1"] == {"class_type": "Add", "inputs": {"a": 3, "b": 4}}
    assert found["show"]["inputs"]["value"] == ["x/1", 0]


def test_a_python_program_has_the_subgraphs_too(toys: Harness) -> None:
    program = to_script(workflow(USED, add=ADD))
    names: dict[str, Any] = {"__name__": "not run"}
    exec(program.partition("if __name__")[0].replace("import nodegraph", ""), names)
    assert toys.run(parse_document(names["workflow"])).text("show") == "7"


# ------------------------------------------------------------------------------------------------ values from outside


def test_a_value_is_set_on_an_instance_and_inside_it(toys: Harness) -> None:
    document = workflow(USED, add=ADD)
    assert toys.run(apply_overrides(document, toys.registry, {"x.a": 20})).text("show") == "24"
    assert toys.run(apply_overrides(document, toys.registry, {"x/1.b": 30})).text("show") == "33"
    assert toys.run(document).text("show") == "7"


def test_a_value_set_inside_one_copy_leaves_the_others(toys: Harness) -> None:
    nodes = {
        "x": node_json("subgraph/add", {"a": 1, "b": 1}, title="first"),
        "y": ("subgraph/add", {"a": 2, "b": 2}),
        "sx": ("Show", {"value": link("x.sum")}),
        "sy": ("Show", {"value": link("y.sum")}),
    }
    found = toys.run(apply_overrides(workflow(nodes, add=ADD), toys.registry, {"first/Add.a": 5, "first/Add.b": 6}))
    assert (found.text("sx"), found.text("sy")) == ("11", "4")


def test_a_value_set_in_a_nested_copy(toys: Harness) -> None:
    outer = definition({"n": ("subgraph/add", {"b": 1}), "m": ("subgraph/add", {"a": link("n.sum"), "b": 2})}, {"r": link("m.sum")})
    nodes = {id: ("subgraph/outer", {}) for id in "xy"} | {f"s{id}": ("Show", {"value": link(f"{id}.r")}) for id in "xy"}
    document = workflow(nodes, add=ADD, outer=outer)
    found = toys.run(apply_overrides(document, toys.registry, {"x/n/1.a": 100, "y/m.b": 7}))
    assert (found.text("sx"), found.text("sy")) == ("103", "18")


def test_values_are_read_by_the_type_of_the_port(registry: Registry) -> None:
    inner = definition({"w": ("Word", {"value": link("in.text")})}, {"r": link("w.str")}, {"name": "text", "type": "str"}, "n")
    document = workflow({"x": ("subgraph/i", {})}, i=inner)
    assert parse_override(document, registry, "x.text=12") == ("x.text", "12")
    assert parse_override(document, registry, "x.n=12") == ("x.n", 12)
    assert parse_override(document, registry, "x/w.value=12") == ("x/w.value", "12")


@pytest.mark.parametrize("key", ["x.c", "x/2.a", "x/1.c", "show/1.a", "x/1/1.a", "nobody/1.a"])
def test_what_names_nothing_is_told(registry: Registry, key: str) -> None:
    with pytest.raises((BadOverride, Problems)):
        apply_overrides(workflow(USED, add=ADD), registry, {key: 1})
