"""Changing inputs from outside: how a node is named, how a value is read, and that the document itself stays as it was."""

from __future__ import annotations

from typing import Any

import pytest
from harness import document, link

from nodegraph.document import Document, Link, NodeEntry
from nodegraph.errors import BadOverride, Problems
from nodegraph.overrides import apply_overrides, find_node, parse_override, parse_value
from nodegraph.registry import Registry

DOCUMENT = Document(
    {
        "1": NodeEntry("Constant", {"value": 5}, 1, "the number", "active", {"note": "kept"}),
        "2": NodeEntry("Add", {"a": Link("1", "int"), "b": 1}, title="first.sum"),
        "3": NodeEntry("Add", {"a": Link("2", "int"), "b": 2}, title="second"),
        "4": NodeEntry("Word", {"value": "x"}, title="second word"),
        "5": NodeEntry("If", {"on": True, "yes": "a", "no": "b"}),
    },
    {"1": {"pos": [0, 0]}},
    {"title": "t"},
    {"more": 1},
)


@pytest.mark.parametrize(
    ("key", "id"),
    [("1.value", "1"), ("the number.value", "1"), ("Constant.value", "1"), ("first.sum.a", "2"), ("second.b", "3"), ("If.on", "5")],
)
def test_a_node_is_named_by_id_or_title_or_type(registry: Registry, key: str, id: str) -> None:
    changed = apply_overrides(DOCUMENT, registry, {key: 9})
    assert changed.nodes[id].inputs[key.rpartition(".")[2]] == 9
    assert {other: entry for other, entry in changed.nodes.items() if other != id} == {
        other: entry for other, entry in DOCUMENT.nodes.items() if other != id
    }


def test_the_document_stays_as_it_was_and_nothing_else_is_lost(registry: Registry) -> None:
    changed = apply_overrides(DOCUMENT, registry, {"1.value": 9})
    assert DOCUMENT.nodes["1"].inputs == {"value": 5}
    assert changed.nodes["1"] == NodeEntry("Constant", {"value": 9}, 1, "the number", "active", {"note": "kept"})
    assert (changed.layout, changed.meta, changed.rest) == (DOCUMENT.layout, DOCUMENT.meta, DOCUMENT.rest)


def test_an_input_can_be_linked_anew(registry: Registry) -> None:
    assert apply_overrides(DOCUMENT, registry, {"3.b": {"link": ["1", "int"]}}).nodes["3"].inputs["b"] == link("1.int")
    assert apply_overrides(DOCUMENT, registry, {"3.b": link("1.int")}).nodes["3"].inputs["b"] == link("1.int")


@pytest.mark.parametrize(
    ("key", "message", "hint"),
    [
        ("seed", "seed does not name an input", "NODE.INPUT=VALUE"),
        (".seed", ".seed does not name an input", "NODE.INPUT"),
        ("1.", "1. does not name an input", "NODE.INPUT"),
        ("", "does not name an input", "NODE.INPUT"),
        (7, "7 does not name an input", "NODE.INPUT"),
        ("Add.b", "2 nodes are called Add: 2, 3", "use the id"),
        ("thrid.b", "there is no node thrid", "the nodes: 1 (the number)"),
        ("Constnat.value", "there is no node Constnat", "did you mean `Constant`?"),
        ("1.valeu", "node 1 (Constant) has no input `valeu`", "did you mean `value`?"),
        ("1.x", "node 1 (Constant) has no input `x`", "it has: value"),
    ],
)
def test_an_override_that_names_nothing_is_refused_with_what_there_is(registry: Registry, key: Any, message: str, hint: str) -> None:
    with pytest.raises(Problems) as caught:
        apply_overrides(DOCUMENT, registry, {key: 1})
    (problem,) = caught.value.errors
    assert isinstance(problem, BadOverride)
    assert message in problem.message
    assert hint in (problem.hint or "")


def test_all_wrong_overrides_are_told_at_once(registry: Registry) -> None:
    with pytest.raises(Problems) as caught:
        apply_overrides(DOCUMENT, registry, {"1.x": 1, "nobody.y": 2, "1.value": 3})
    assert len(caught.value.errors) == 2


def test_inputs_of_a_node_of_unknown_type_can_be_changed(registry: Registry) -> None:
    unknown = document({"1": ("pack/New", {})})
    assert apply_overrides(unknown, registry, {"1.anything": 3}).nodes["1"].inputs == {"anything": 3}


def test_no_overrides_give_the_document_itself(registry: Registry) -> None:
    assert apply_overrides(DOCUMENT, registry, {}) is DOCUMENT


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.value=7", 7),
        ("2.b = 7", 7),
        ("1.value=-3", -3),
        ("5.on=false", False),
        ("4.value=7", "7"),
        ("4.value=a = b", "a = b"),
        ("4.value=", ""),
        ('4.value="quoted"', '"quoted"'),
        ('4.value={"link": ["1", "int"]}', '{"link": ["1", "int"]}'),
        ("5.yes=7", "7"),
        ("1.value=seven", "seven"),
        ("1.value=NaN", "NaN"),
        ('2.b={"link": ["1", "int"]}', Link("1", "int")),
        ('2.b={"x": 1}', '{"x": 1}'),
    ],
)
def test_a_value_is_json_but_stays_text_where_text_is_wanted(registry: Registry, text: str, value: Any) -> None:
    key, found = parse_override(DOCUMENT, registry, text)
    assert (found, type(found)) == (value, type(value))
    assert key == text.split("=")[0].strip()


def test_a_text_without_an_equals_sign_is_no_override(registry: Registry) -> None:
    with pytest.raises(BadOverride, match="has no `=`"):
        parse_override(DOCUMENT, registry, "1.value")


@pytest.mark.parametrize(("raw", "value"), [("1", 1), ("1.5", 1.5), ("[1, 2]", [1, 2]), ("null", None), ("1e999", "1e999"), ("{", "{")])
def test_a_value_of_an_unknown_input_is_json_or_text(raw: str, value: Any) -> None:
    assert parse_value(raw) == value


def test_a_node_can_be_found_alone() -> None:
    assert find_node(DOCUMENT.nodes, "second word") == "4"
