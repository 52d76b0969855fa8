"""Checking a workflow: every fault with node, input, both sides and the way out, all of them at once, in linear time."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import pytest
from harness import Harness, Nodes, document, link

from nodegraph import InputFile, ModelFile, node
from nodegraph.document import Document, Link, NodeEntry
from nodegraph.errors import (
    BadLink,
    BadValue,
    BadVersion,
    Cycle,
    FileMissing,
    MissingInput,
    ModelNotFound,
    NodegraphError,
    NotAChoice,
    NothingToRun,
    OutOfRange,
    Problems,
    TypeMismatch,
    UnknownInput,
    UnknownNode,
    UnsafePath,
)
from nodegraph.graph import build, substitute, unify
from nodegraph.types import ANY, FLOAT, INT, STR, ListOf, Type, Union, Var

# ------------------------------------------------------------------------------------------------ what is right


def test_a_graph_holds_checked_nodes_in_topological_order(toys: Harness) -> None:
    graph = toys.check({"c": ("Add", {"a": link("b.int")}), "b": ("Add", {"a": link("a.int"), "b": 2}), "a": ("Constant", {})}, ["c"])
    assert list(graph.nodes) == ["a", "b", "c"]
    assert graph.nodes["b"].inputs == {"b": 2}
    assert graph.nodes["b"].links == {"a": link("a.int")}
    assert graph.nodes["c"].inputs == {"b": 0}
    assert graph.targets == ("c",)


def test_without_targets_every_output_node_is_run(toys: Harness) -> None:
    graph = toys.check({"a": ("Constant", {}), "x": ("Show", {"value": 1}), "y": ("Show", {"value": link("a.int")})})
    assert graph.targets == ("x", "y")


def test_a_target_is_run_once_however_often_it_is_named(toys: Harness) -> None:
    assert toys.check({"a": ("Constant", {}), "b": ("Constant", {})}, ["b", "a", "b"]).targets == ("b", "a")
    assert toys.check({"ab": ("Constant", {})}, "ab").targets == ("ab",)


def test_a_whole_number_typed_into_a_float_becomes_one(toys: Harness) -> None:
    graph = toys.check({"1": ("Half", {"a": 3}), "2": ("Mean", {"values": [1, 2.5]})}, ["1", "2"])
    assert [type(graph.nodes["1"].inputs["a"]), *map(type, graph.nodes["2"].inputs["values"])] == [float, float, float]


def test_what_has_to_happen_to_a_linked_value_is_noted(toys: Harness) -> None:
    graph = toys.check(
        {
            "i": ("Constant", {}),
            "l": ("Count", {"to": 3}),
            "same": ("Add", {"a": link("i.int")}),
            "cast": ("Half", {"a": link("i.int")}),
            "wrap": ("Sum", {"values": link("i.int")}),
            "list": ("Mean", {"values": link("l.ints")}),
            "each": ("Double", {"a": link("l.ints")}),
            "limits": ("Mode", {"level": link("i.int")}),
            "word": ("Word", {}),
            "choice": ("Mode", {"name": link("word.str")}),
            "generic": ("If", {"on": True, "yes": link("i.int"), "no": link("i.int")}),
        },
        [],
    )
    assert {id: node.casts for id, node in graph.nodes.items() if node.casts} == {
        "cast": {"a": FLOAT},
        "wrap": {"values": ListOf(INT)},
        "list": {"values": ListOf(FLOAT)},
        "limits": {"level": INT},
        "choice": {"name": STR},
    }
    assert [id for id, node in graph.nodes.items() if node.mapped] == ["each"]


@pytest.mark.parametrize(
    ("nodes", "consumer", "ok"),
    [
        ({"g": ("If", {"on": True, "yes": link("i.int"), "no": link("i.int")})}, ("Add", {"a": link("g.value")}), True),
        ({"g": ("If", {"on": True, "yes": link("i.int"), "no": link("i.int")})}, ("ShowText", {"value": link("g.value")}), False),
        ({"g": ("If", {"on": True, "yes": link("i.int"), "no": link("f.float")})}, ("Half", {"a": link("g.value")}), True),
        ({"g": ("If", {"on": True, "yes": link("i.int"), "no": link("f.float")})}, ("Add", {"a": link("g.value")}), False),
        ({"g": ("If", {"on": True, "yes": link("f.float"), "no": link("i.int")})}, ("Add", {"a": link("g.value")}), False),
        ({"g": ("If", {"on": True, "yes": link("i.int"), "no": 2.5})}, ("Add", {"a": link("g.value")}), False),
        ({"g": ("If", {"on": True, "yes": 1, "no": 2})}, ("ShowText", {"value": link("g.value")}), False),
        ({"g": ("If", {"on": True, "yes": "a", "no": "b"})}, ("ShowText", {"value": link("g.value")}), True),
        ({"g": ("Pick", {"items": link("l.ints")})}, ("Add", {"a": link("g.value")}), True),
        ({"g": ("Pick", {"items": link("l.ints")})}, ("ShowText", {"value": link("g.value")}), False),
        ({"g": ("Pick", {"items": ["a", "b"]})}, ("Add", {"a": link("g.value")}), False),
        ({"g": ("Pick", {"items": link("i.int")})}, ("Add", {"a": link("g.value")}), True),
        ({"g": ("Anything", {"value": link("i.int")})}, ("ShowText", {"value": link("g.value")}), True),
        ({"g": ("Double", {"a": link("l.ints")})}, ("Sum", {"values": link("g.int")}), True),
        ({"g": ("Double", {"a": link("l.ints")})}, ("Add", {"a": link("g.int")}), False),
        ({"g": ("Double", {"a": [1, 2]})}, ("Add", {"a": link("g.int")}), False),
        ({"g": ("Double", {"a": [1, 2]})}, ("Double", {"a": link("g.int")}), True),
    ],
)
def test_what_is_connected_decides_what_comes_out_of_generic_and_mapped_nodes(
    toys: Harness, nodes: Nodes, consumer: tuple[str, Mapping[str, Any]], ok: bool
) -> None:
    givers = {"i": ("Constant", {}), "f": ("Half", {"a": 1.0}), "l": ("Count", {"to": 3})}
    whole: Nodes = {**givers, **nodes, "x": consumer}
    if ok:
        toys.check(whole, ["x"])
    else:
        assert isinstance(toys.problem(whole, ["x"]), TypeMismatch)


def test_a_type_variable_stands_for_the_wider_type(toys: Harness) -> None:
    graph = toys.check(
        {"i": ("Constant", {}), "f": ("Half", {"a": 1.0}), "g": ("If", {"on": 1 > 0, "yes": link("i.int"), "no": link("f.float")})}, ["g"]
    )
    assert graph.nodes["g"].casts == {"yes": FLOAT}
    with_literal = toys.check({"f": ("Half", {"a": 1.0}), "g": ("If", {"on": True, "yes": 3, "no": link("f.float")})}, ["g"])
    assert type(with_literal.nodes["g"].inputs["yes"]) is float


def test_unifying_and_substituting_are_inverse() -> None:
    for target, source, bound in (
        (Var("T"), INT, {"T": INT}),
        (ListOf(Var("T")), ListOf(INT), {"T": INT}),
        (ListOf(Var("T")), INT, {"T": INT}),
        (ListOf(ListOf(Var("T"))), ListOf(ListOf(STR)), {"T": STR}),
        (INT, STR, {}),
    ):
        found: dict[str, Type] = {}
        unify(target, source, found)
        assert found == bound
    assert substitute(Union((Var("T"), ListOf(Var("U")))), {"T": INT}) == Union((INT, ListOf(ANY)))


# ------------------------------------------------------------------------------------------------ what is wrong

WRONG: list[tuple[Nodes, type[NodegraphError], str, str | None, str, str]] = [
    ({"1": ("Zzzzzz", {})}, UnknownNode, "1", None, "there is no node type 'Zzzzzz'", "nodegraph nodes"),
    ({"1": ("Ad", {})}, UnknownNode, "1", None, "there is no node type 'Ad'", "did you mean `Add`"),
    ({"1": ("p/Add", {})}, UnknownNode, "1", None, "'p/Add'", "the pack `p`, which is not installed"),
    ({"1": ("Add", {})}, MissingInput, "1", "a", "nothing is connected, and it wants int", "set a value or connect it"),
    ({"1": ("Sum", {})}, MissingInput, "1", "values", "it wants list of int", "connect it; `Count` can give list of int"),
    ({"1": ("Constant", {"vlaue": 1})}, UnknownInput, "1", "vlaue", "Constant has no input of that name", "did you mean `value`"),
    ({"1": ("Clock", {"x": 1})}, UnknownInput, "1", "x", "Clock has no input of that name", "it has: none"),
    ({"1": ("Constant", {"value": "1"})}, BadValue, "1", "value", "1 is a str; it wants int", "give an int; the default is 0"),
    ({"1": ("Constant", {"value": True})}, BadValue, "1", "value", "True is a bool; it wants int", "give an int"),
    ({"1": ("Constant", {"value": 1.0})}, BadValue, "1", "value", "1.0 is a float; it wants int", "give an int"),
    ({"1": ("Constant", {"value": None})}, BadValue, "1", "value", "None is nothing; it wants int", "give an int"),
    ({"1": ("Constant", {"value": [1]})}, BadValue, "1", "value", "[1] is a list of int; it wants int", "give an int"),
    ({"1": ("Half", {"a": float("nan")})}, BadValue, "1", "a", "nan is not a finite number", "give a float"),
    ({"1": ("Half", {"a": float("-inf")})}, BadValue, "1", "a", "-inf is not a finite number", "give a float"),
    ({"1": ("Mean", {"values": [1.0, float("nan")]})}, BadValue, "1", "values", "is not a finite number", "connect an output"),
    ({"1": ("Mean", {"values": [1.0, "a"]})}, BadValue, "1", "values", "it wants list of float", "connect an output"),
    ({"1": ("Half", {"a": 10**400})}, OutOfRange, "1", "a", "too large to be a float", "use a smaller number"),
    ({"1": ("Mean", {"values": [10**400]})}, OutOfRange, "1", "values", "too large to be a float", "use a smaller number"),
    ({"1": ("Anything", {"value": object})}, BadValue, "1", "value", "it wants anything", "connect an output to it"),
    ({"1": ("Anything", {"value": [{1: 2}]})}, BadValue, "1", "value", "it wants anything", "connect an output to it"),
    (
        {"1": ("Mode", {"level": 10})},
        OutOfRange,
        "1",
        "level",
        "10 is outside the range 0 to 9",
        "a number in the range 0 to 9; the default is 0",
    ),
    ({"1": ("Mode", {"level": -1})}, OutOfRange, "1", "level", "-1 is outside the range 0 to 9", "give a number in"),
    ({"1": ("Dice", {"seed": 2**64})}, OutOfRange, "1", "seed", "is outside the range 0 to 18446744073709551615", "give a number"),
    (
        {"1": ("Mode", {"name": "hihg"})},
        NotAChoice,
        "1",
        "name",
        "hihg is not one of its choices",
        "did you mean `high`? The choices: low, high",
    ),
    ({"1": ("Mode", {"name": 1})}, NotAChoice, "1", "name", "1 is not one of its choices", "the choices: low, high"),
    ({"1": ("Double", {"a": [1, "x"]})}, BadValue, "1", "a", "x is a str; it wants int", "give an int"),
    ({"1": ("Add", {"a": link("7.int")})}, BadLink, "1", "a", "linked to node 7, which does not exist", "remove the link or add the node"),
    ({"100": ("Add", {"a": link("1O0.int")})}, BadLink, "100", "a", "linked to node 1O0, which does not exist", "did you mean `100`"),
    (
        {"1": ("Add", {"a": link("2.x")}), "2": ("Two", {"a": 1})},
        BadLink,
        "1",
        "a",
        "output `x` of node 2 (Two)",
        "its outputs: `total`, `text`",
    ),
    ({"1": ("Add", {"a": link("2.x")}), "2": ("Show", {"value": 1})}, BadLink, "1", "a", "which has no such output", "its outputs: none"),
    (
        {"1": ("Add", {"a": link("2.text")}), "2": ("Two", {"a": 1})},
        TypeMismatch,
        "1",
        "a",
        "wants int, but node 2 (Two) `text` gives str",
        "connect an output of the right type",
    ),
    (
        {"1": ("ShowText", {"value": link("2.total")}), "2": ("Two", {"a": 1})},
        TypeMismatch,
        "1",
        "value",
        "wants str, but node 2 (Two) `total` gives int",
        "put `Two` or `Thread` between them",
    ),
    (
        {"1": ("Add", {"a": link("2.ints")}), "2": ("Count", {"to": 3})},
        TypeMismatch,
        "1",
        "a",
        "wants int, but node 2 (Count) `ints` gives list of int",
        "pick one with `ListItem`",
    ),
    (
        {"1": ("If", {"on": True, "yes": link("2.total"), "no": link("2.text")}), "2": ("Two", {"a": 1})},
        TypeMismatch,
        "1",
        "no",
        "wants int, but node 2 (Two) `text` gives str",
        "connect an output",
    ),
    (
        {"1": ("If", {"on": True, "yes": link("2.total"), "no": "text"}), "2": ("Two", {"a": 1})},
        BadValue,
        "1",
        "no",
        "text is a str; it wants int",
        "connect an output to it",
    ),
]


@pytest.mark.parametrize(
    ("nodes", "kind", "id", "input", "message", "hint"), WRONG, ids=lambda v: v.__name__ if isinstance(v, type) else None
)
def test_a_fault_names_the_node_the_input_both_sides_and_the_way_out(
    toys: Harness, nodes: Nodes, kind: type[NodegraphError], id: str, input: str | None, message: str, hint: str
) -> None:
    problem = toys.problem(nodes, list(nodes))
    assert (type(problem), problem.node, problem.node_type, problem.input) == (kind, id, nodes[id][0], input)
    assert message in problem.message
    assert hint in (problem.hint or "")


def test_all_faults_are_told_at_once(toys: Harness) -> None:
    everything = {
        f"{i}-{id}": (type, {n: relinked(v, i) for n, v in inputs.items()})
        for i, (nodes, *_) in enumerate(WRONG)
        for id, (type, inputs) in nodes.items()
    }
    problems = toys.problems(everything, [])
    assert sorted(p.code for p in problems) == sorted(kind.code for _, kind, *_ in WRONG)


def relinked(value: Any, i: int) -> Any:
    return Link(f"{i}-{value.node}", value.output) if isinstance(value, Link) else value


def test_nothing_to_run_is_told(toys: Harness) -> None:
    problem = toys.problem({"1": ("Constant", {})})
    assert isinstance(problem, NothingToRun)
    assert "SaveImage" in (problem.hint or "")
    assert isinstance(toys.problem({}), NothingToRun)


def test_a_target_that_is_not_there_is_told(toys: Harness) -> None:
    problem = toys.problem({"sample": ("Constant", {})}, ["smaple"])
    assert isinstance(problem, NothingToRun)
    assert (problem.message, problem.hint) == ("there is no node smaple to run", "did you mean `sample`?")


def with_modes(nodes: Nodes, **modes: str) -> Document:
    made = document(nodes)
    for id, mode in modes.items():
        made.nodes[id].mode = mode
    return made


def test_a_target_that_is_switched_off_is_told(toys: Harness) -> None:
    for mode in ("muted", "bypassed"):
        problem = toys.problem(with_modes({"a": ("Constant", {})}, a=mode), ["a"])
        assert isinstance(problem, NothingToRun)
        assert (problem.node, problem.message, problem.hint) == ("a", f"it is to be run, but it is {mode}", "activate it")


def test_a_target_of_unknown_type_is_one_fault(toys: Harness) -> None:
    assert isinstance(toys.problem({"a": ("Nothing", {})}, ["a"]), UnknownNode)


# ------------------------------------------------------------------------------------------------ cycles


def test_a_cycle_is_printed_in_the_direction_in_which_values_would_flow(toys: Harness) -> None:
    nodes: Nodes = {
        "a": ("Add", {"a": link("c.int")}),
        "b": ("Add", {"a": link("a.int")}),
        "c": ("Double", {"a": link("b.int")}),
        "after": ("Show", {"value": link("c.int")}),
    }
    problem = toys.problem(nodes)
    assert isinstance(problem, Cycle)
    assert problem.node == "a"
    assert problem.message == "its result would depend on itself: a (Add) -> b (Add) -> c (Double) -> a (Add)"
    assert problem.hint == "remove one of these links"


def test_a_node_linked_to_itself_is_a_cycle(toys: Harness) -> None:
    assert "a (Add) -> a (Add)" in toys.problem({"a": ("Add", {"a": link("a.int")})}, ["a"]).message


def test_each_cycle_is_told_once_and_other_faults_beside_it(toys: Harness) -> None:
    nodes: Nodes = {
        "a": ("Add", {"a": link("b.int"), "b": link("b.int")}),
        "b": ("Add", {"a": link("a.int")}),
        "c": ("Add", {"a": link("d.int"), "b": "wrong"}),
        "d": ("Add", {"a": link("c.int")}),
        "after": ("Add", {"a": link("d.int"), "b": "wrong too"}),
    }
    assert sorted((p.code, p.node) for p in toys.problems(nodes, ["after"])) == [
        ("E103", "a"),
        ("E103", "c"),
        ("E106", "after"),
        ("E106", "c"),
    ]


def test_lazy_links_make_cycles_too(toys: Harness) -> None:
    assert isinstance(toys.problem({"a": ("If", {"on": True, "yes": link("a.value"), "no": 1})}, ["a"]), Cycle)


def test_a_long_cycle_is_cut_short(toys: Harness) -> None:
    nodes = {str(i): ("Add", {"a": link(f"{(i + 1) % 5_000}.int")}) for i in range(5_000)}
    problem = toys.problem(nodes, ["0"])
    assert isinstance(problem, Cycle)
    assert " -> … -> " in problem.message
    assert len(problem.message) < 400


# ------------------------------------------------------------------------------------------------ modes


def test_a_bypassed_node_passes_on_the_input_in_the_same_place_or_of_the_same_type(toys: Harness) -> None:
    nodes: Nodes = {
        "a": ("Constant", {"value": 1}),
        "b": ("Constant", {"value": 2}),
        "x": ("Add", {"a": link("a.int"), "b": link("b.int")}),
        "y": ("Show", {"value": link("x.int")}),
    }
    assert toys.check(with_modes(nodes, x="bypassed")).nodes["y"].links == {"value": link("a.int")}
    second = {**nodes, "x": ("Add", {"a": 5, "b": link("b.int")})}
    assert toys.check(with_modes(second, x="bypassed")).nodes["y"].links == {"value": link("b.int")}


def test_a_chain_of_bypassed_nodes_is_followed(toys: Harness) -> None:
    nodes: Nodes = {
        "a": ("Constant", {}),
        "b": ("Add", {"a": link("a.int")}),
        "c": ("Add", {"a": link("b.int")}),
        "d": ("Show", {"value": link("c.int")}),
    }
    graph = toys.check(with_modes(nodes, b="bypassed", c="bypassed"))
    assert (list(graph.nodes), graph.nodes["d"].links) == (["a", "d"], {"value": link("a.int")})


def test_a_bypassed_node_that_can_pass_nothing_on_is_told_where_it_is_missed(toys: Harness) -> None:
    nodes: Nodes = {"a": ("Constant", {}), "w": ("Thread", {"a": link("a.int")}), "s": ("ShowText", {"value": link("w.str")})}
    problem = toys.problem(with_modes(nodes, w="bypassed"))
    assert (type(problem), problem.node, problem.input) == (MissingInput, "s", "value")
    assert problem.message == "wants str, but node w (Thread) is bypassed and has nothing to pass on as `str`"


def test_a_muted_source_is_told_where_it_is_missed_and_an_optional_input_takes_its_default(toys: Harness) -> None:
    nodes: Nodes = {"a": ("Constant", {"value": 7}), "x": ("Add", {"a": 1, "b": link("a.int")}), "y": ("Add", {"a": link("a.int")})}
    problem = toys.problem(with_modes(nodes, a="muted"), ["x", "y"])
    assert (type(problem), problem.node, problem.input) == (MissingInput, "y", "a")
    assert problem.message == "wants int, but node a (Constant) is muted"
    assert problem.hint == "activate that node, or connect another one"
    alone = toys.check(with_modes({id: nodes[id] for id in "ax"}, a="muted"), ["x"])
    assert (alone.nodes["x"].inputs, alone.nodes["x"].links) == ({"a": 1, "b": 0}, {})


def test_muted_nodes_are_not_looked_at_at_all(toys: Harness) -> None:
    nodes: Nodes = {"bad": ("No such type", {"x": 1}), "wrong": ("Show", {"value": "x"}), "good": ("Show", {"value": 1})}
    assert toys.check(with_modes(nodes, bad="muted", wrong="muted")).targets == ("good",)


def test_bypassed_nodes_in_a_circle_lead_nowhere(toys: Harness) -> None:
    nodes: Nodes = {"a": ("Add", {"a": link("b.int")}), "b": ("Add", {"a": link("a.int")}), "c": ("Show", {"value": link("b.int")})}
    assert isinstance(toys.problem(with_modes(nodes, a="bypassed", b="bypassed")), MissingInput)


def test_a_bypassed_node_of_unknown_type_is_one_fault(toys: Harness) -> None:
    nodes: Nodes = {"u": ("Unknown", {"a": 1}), "c": ("Add", {"a": link("u.int")})}
    assert isinstance(toys.problem(with_modes(nodes, u="bypassed"), ["c"]), UnknownNode)


def test_a_link_to_an_unknown_node_is_one_fault(toys: Harness) -> None:
    assert isinstance(toys.problem({"u": ("Unknown", {}), "c": ("Add", {"a": link("u.int")})}, ["c"]), UnknownNode)


# ------------------------------------------------------------------------------------------------ versions


def rename_amount(version: int, inputs: dict[str, Any]) -> dict[str, Any]:
    if version == 1:
        inputs["amount"] = inputs.pop("strength")
    return inputs


@node("Newer", category="test", version=3, upgrade=rename_amount, output=True)
def newer(amount: int, more: int = 0) -> int:
    """Saved by older versions as `strength`."""
    return amount


@node("Fails", category="test", version=2, upgrade=lambda version, inputs: inputs["gone"])
def fails(a: int) -> int:
    """Its upgrade does not work."""
    return a


@node("Wrong", category="test", version=2, upgrade=lambda version, inputs: [1])  # type: ignore[arg-type, return-value]
def wrong(a: int) -> int:
    """Its upgrade gives something else."""
    return a


def versioned(type: str, version: int | None, **inputs: Any) -> Document:
    return Document({"1": NodeEntry(type, inputs, version, rest={"note": 1})})


def test_inputs_of_an_older_version_are_brought_up(toys: Harness) -> None:
    toys.registry.add(newer)
    old = versioned("Newer", 1, strength=4)
    assert toys.check(old).nodes["1"].inputs == {"amount": 4, "more": 0}
    assert old.nodes["1"].inputs == {"strength": 4}
    assert toys.check(versioned("Newer", 2, amount=4)).nodes["1"].inputs["amount"] == 4
    assert toys.check(versioned("Newer", None, amount=4)).nodes["1"].inputs["amount"] == 4


def test_a_bypassed_node_of_an_older_version_passes_on_what_its_upgrade_says(toys: Harness) -> None:
    toys.registry.add(newer)
    nodes = {
        "a": NodeEntry("Constant", {"value": 1}),
        "n": NodeEntry("Newer", {"strength": link("a.int")}, 1, mode="bypassed"),
        "s": NodeEntry("Show", {"value": link("n.int")}),
    }
    assert toys.check(Document(nodes)).nodes["s"].links == {"value": link("a.int")}


def test_a_later_version_asks_for_an_update(toys: Harness) -> None:
    toys.registry.add(newer)
    problem = toys.problem(versioned("Newer", 4, amount=1))
    assert (type(problem), problem.message) == (BadVersion, "it was saved with version 4; this is version 3")


@pytest.mark.parametrize(("type", "message"), [("Fails", "KeyError: 'gone'"), ("Wrong", "gave no inputs, but [1]")])
def test_an_upgrade_that_fails_is_a_fault_of_the_node(toys: Harness, type: str, message: str) -> None:
    toys.registry.add(fails, wrong)
    problem = toys.problem(versioned(type, 1, a=1), ["1"])
    assert isinstance(problem, BadVersion)
    assert message in problem.message
    assert (problem.node, f"`upgrade` of {type}" in (problem.hint or "")) == ("1", True)


# ------------------------------------------------------------------------------------------------ files


@node("Read", category="test", output=True)
def read(file: Annotated[str, InputFile("any")], weights: Annotated[str, ModelFile("loras")] | None = None) -> str:
    """Name files."""
    return file


def test_files_that_inputs_name_must_be_there(toys: Harness) -> None:
    toys.registry.add(read)
    (toys.files.input / "a.txt").write_text("x")
    assert toys.check({"1": ("Read", {"file": "a.txt"})}).nodes["1"].inputs == {"file": "a.txt", "weights": None}
    problems = toys.problems({"1": ("Read", {"file": "b.txt", "weights": "w.safetensors"}), "2": ("Read", {"file": "../a.txt"})})
    assert [(type(p), p.node, p.input) for p in problems] == [
        (FileMissing, "1", "file"),
        (ModelNotFound, "1", "weights"),
        (UnsafePath, "2", "file"),
    ]
    assert build(document({"1": ("Read", {"file": "b.txt"})}), toys.registry, None).targets == ("1",)


# ------------------------------------------------------------------------------------------------ large graphs


def chain(count: int) -> Document:
    """Each node needs the next one in the file."""
    return Document({str(i): NodeEntry("Add", {"a": Link(str(i + 1), "int") if i < count - 1 else 1}) for i in range(count)})


def test_a_chain_of_100_000_nodes_is_checked_without_recursion(toys: Harness) -> None:
    assert sys.getrecursionlimit() < 100_000
    graph = toys.check(chain(100_000), ["0"])
    assert next(iter(graph.nodes)) == "99999"


def test_checking_takes_as_many_steps_for_each_node_however_many_there_are(toys: Harness) -> None:
    def steps(count: int) -> int:
        made, found = chain(count), 0

        def count_call(*_: Any) -> None:
            nonlocal found
            found += 1

        sys.setprofile(count_call)
        try:
            toys.check(made, ["0"])
        finally:
            sys.setprofile(None)
        return found

    assert steps(2_000) < 2.1 * steps(1_000)


def test_a_ladder_with_exponentially_many_paths_is_no_problem(toys: Harness) -> None:
    nodes = {str(i): ("Add", {"a": link(f"{i - 1}.int"), "b": link(f"{i - 1}.int")} if i else {"a": 1}) for i in range(500)}
    assert len(toys.check(nodes, ["499"]).nodes) == 500


@pytest.mark.parametrize(
    "inputs", [{"value": "x"}, {"unknown": 1}, {"value": link("nowhere.int")}], ids=["bad values", "unknown inputs", "bad links"]
)
def test_of_very_many_faults_the_first_are_told_and_the_others_counted(toys: Harness, inputs: Mapping[str, Any]) -> None:
    with pytest.raises(Problems) as caught:
        toys.check({f"node {i}": ("Constant", inputs) for i in range(2_000)}, [])
    assert (len(caught.value.errors), caught.value.hidden) == (100, 1_900)


def test_hints_are_worked_out_for_those_that_are_told_only(toys: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    get = toys.registry.get
    monkeypatch.setattr(toys.registry, "get", lambda id: (asked.append(id), get(id)))
    with pytest.raises(Problems) as caught:
        toys.check({str(i): (f"Unknown{i % 1_000}", {}) for i in range(2_000)}, [])
    assert (len(asked), caught.value.hidden) == (100, 1_900)


def test_of_a_tangle_the_cycle_through_its_first_node_is_told(toys: Harness) -> None:
    nodes = {f"n{i}": ("Add", {"a": link(f"n{(i + 1) % 7}.int"), "b": link(f"n{(i + 3) % 7}.int")}) for i in range(7)}
    problem = toys.problem(nodes, ["n0"])
    path = [f"n{i} (Add)" for i in (0, 6, 5, 4, 3, 2, 1, 0)]
    assert problem.message == f"its result would depend on itself: {' -> '.join(path)}"


def test_a_fault_that_no_target_depends_on_is_left_out_and_told(toys: Harness) -> None:
    nodes = {
        "a": ("Constant", {"value": 1}),
        "b": ("Add", {"b": "x"}),
        "c": ("Add", {"a": Link("b", "int")}),
        "s": ("Show", {"value": Link("a", "int")}),
    }
    graph = toys.check(nodes)
    assert list(graph.nodes) == ["a", "s"]
    assert {(problem.code, problem.node) for problem in graph.left_out} == {("E101", "b"), ("E106", "b")}
    assert {problem.node for problem in toys.problems(nodes, ["c"])} == {"b"}
