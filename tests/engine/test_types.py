"""Socket types: which output fits which input, what is converted on the way, and what a value is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, TypeVar

import pytest

from nodegraph.authoring import Slider
from nodegraph.diffusion.values import Image
from nodegraph.errors import BadNode, NameClash
from nodegraph.types import (
    ANY,
    BOOL,
    FLOAT,
    INT,
    STR,
    ListOf,
    Type,
    Union,
    Var,
    accepts,
    convert,
    fits,
    join,
    joint,
    socket,
    socket_of,
    sockets,
    to_text,
    type_from_hint,
    type_name,
    type_of,
)

T = TypeVar("T")
CASES = json.loads((Path(__file__).parent.parent / "data" / "connect_cases.json").read_text())


@socket("portrait")
class Portrait(Image):
    """A picture of somebody."""


def parse(text: str) -> Type:
    """The inverse of `to_text`."""
    if text.startswith("list[") and text.endswith("]"):
        return ListOf(parse(text[5:-1]))
    if "|" in text:
        return Union(tuple(map(parse, text.split("|"))))
    return ANY if text == "*" else sockets().get(text) or Var(text)


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda c: f"{'each ' if c.get('each') else ''}{c['target']} from {c['source']}")
def test_an_output_meets_an_input_as_the_shared_table_says(case: dict[str, Any]) -> None:
    target, source = parse(case["target"]), parse(case["source"])
    assert joint(target, source, case.get("each", False)) == case["how"]
    assert accepts(target, source) or case["how"] != "plain"
    assert (to_text(target), to_text(source)) == (case["target"], case["source"])


def test_the_casts_of_the_shared_table_are_the_casts_that_are_declared() -> None:
    plain = [s for s in sockets().values() if s.cls.__module__ in ("builtins", "nodegraph.diffusion.values")]
    declared = {(to.name, of.name) for to in plain for of in plain if to is not of and accepts(to, of)}
    assert declared == set(map(tuple, CASES["casts"]))
    assert all(issubclass(sockets()[low].cls, sockets()[high].cls) for low, high in CASES["subclasses"])


@pytest.mark.parametrize(
    ("hint", "type_"),
    [
        (int, INT),
        (Annotated[float, Slider(0, 1)], FLOAT),
        (Any, ANY),
        (T, Var("T")),
        (Literal["a", "b"], STR),
        (Literal[True, False], BOOL),
        (list[int], ListOf(INT)),
        (list[list[str]], ListOf(ListOf(STR))),
        (int | str, Union((INT, STR))),
        (int | None, INT),
        (Optional[str], STR),  # noqa: UP045 - the old spelling is a hint as well
        (list[int | str], ListOf(Union((INT, STR)))),
    ],
)
def test_a_type_hint_becomes_a_type_expression(hint: Any, type_: Type) -> None:
    assert type_from_hint(hint) == type_


@pytest.mark.parametrize("hint", [dict, complex, object, bytes, "int", list, list[dict]])
def test_a_hint_that_is_no_socket_type_is_refused_by_name(hint: Any) -> None:
    with pytest.raises(BadNode, match="is not a socket type") as caught:
        type_from_hint(hint)
    assert caught.value.hint is not None


def test_choices_of_several_types_are_a_union() -> None:
    assert type_from_hint(Literal["auto", 1, 2]) == Union((STR, INT))


def test_converting_applies_the_one_cast_that_fits() -> None:
    assert (convert(FLOAT, 3), type(convert(FLOAT, 3))) == (3.0, float)
    assert convert(ListOf(FLOAT), [1, 2.5]) == [1.0, 2.5]
    assert [type(x) for row in convert(ListOf(ListOf(FLOAT)), [[1], [2]]) for x in row] == [float, float]
    assert convert(INT, 3) == 3
    assert convert(ANY, [1]) == [1]


def test_converting_to_a_union_prefers_what_the_value_already_is() -> None:
    assert type(convert(Union((FLOAT, INT)), 3)) is int
    assert type(convert(Union((STR, FLOAT)), 3)) is float
    assert [type(x) for x in convert(ListOf(Union((STR, FLOAT))), ["a", 3])] == [str, float]
    assert convert(Union((STR, BOOL)), 3) == 3


def test_a_cast_is_found_for_values_of_a_subclass() -> None:
    import numpy as np

    from nodegraph.diffusion.values import Mask

    class Soft(Mask):
        pass

    assert type(convert(sockets()["image"], Soft(np.zeros((1, 2, 2), np.float32)))) is Image


@pytest.mark.parametrize(
    ("type_", "value", "ok"),
    [
        (INT, 1, True),
        (INT, True, False),
        (INT, 1.0, False),
        (FLOAT, 1, True),
        (FLOAT, 1.5, True),
        (FLOAT, True, False),
        (BOOL, True, True),
        (BOOL, 1, False),
        (STR, "", True),
        (STR, None, False),
        (ListOf(INT), [], True),
        (ListOf(INT), [1, "a"], False),
        (ListOf(INT), (1, 2), False),
        (ListOf(INT), 1, False),
        (Union((INT, STR)), "a", True),
        (Union((INT, STR)), 1.5, False),
        (ANY, None, True),
        (Var("T"), object(), True),
    ],
)
def test_a_value_is_of_a_type_or_not(type_: Type, value: Any, ok: bool) -> None:
    assert fits(type_, value) is ok


def test_two_types_in_one_variable_become_the_wider_one() -> None:
    assert join(INT, FLOAT) == join(FLOAT, INT) == FLOAT
    assert join(INT, STR) == INT
    assert join(ANY, INT) == join(INT, ANY) == INT
    assert join(ListOf(INT), ListOf(FLOAT)) == ListOf(FLOAT)


def test_plain_data_has_a_type() -> None:
    assert [type_of(value) for value in (1, 1.0, True, "a", None, [], [1, 2], [1, "a"])] == [
        INT,
        FLOAT,
        BOOL,
        STR,
        None,
        None,
        ListOf(INT),
        None,
    ]


def test_types_are_named_as_people_say_them() -> None:
    assert str(ListOf(Union((INT, STR)))) == "list of int or str"
    assert [type_name(value) for value in (None, 1, [], ["a"], {})] == ["nothing", "int", "list", "list of str", "dict"]
    assert str(ANY) == "anything"


def test_two_classes_cannot_share_the_name_of_a_socket_type() -> None:
    with pytest.raises(NameClash, match=r"two classes want to be the socket type `portrait`.*Portrait.*Other") as caught:

        @socket("portrait")
        class Other:
            """Another one."""

    assert "another name" in (caught.value.hint or "")


def test_a_class_may_be_declared_again_when_its_file_is_loaded_again() -> None:
    def declare() -> type:
        @socket("loaded_twice")
        @dataclass(frozen=True)
        class Twice:
            """Declared in a file that is loaded twice."""

        return Twice

    first, second = declare(), declare()
    assert first is not second
    assert sockets()["loaded_twice"].cls is second


def test_a_socket_type_must_be_explained() -> None:
    with pytest.raises(BadNode, match="no docstring"):

        @socket("unexplained")
        class Unexplained:
            pass

    assert "unexplained" not in sockets()


@pytest.mark.parametrize("name", ["", "a|b", "list[int]", "*", "two words", "a/b/c", "ä"])
def test_names_that_the_text_form_could_not_carry_are_refused(name: str) -> None:
    with pytest.raises(BadNode, match="cannot be the name"):
        socket(name)


def test_a_class_knows_its_socket_type() -> None:
    assert socket_of(int) is INT
    assert socket_of(dict) is None
