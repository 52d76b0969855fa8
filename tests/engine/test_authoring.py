"""From a signature to a contract: every feature of a node, and every way to get one wrong."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import pytest

from nodegraph import (
    Blocked,
    Color,
    Context,
    Each,
    Expand,
    InputFile,
    Lazy,
    ModelFile,
    Number,
    Ref,
    Seed,
    Slider,
    Text,
    node,
    socket,
)
from nodegraph.authoring import SeedWidget, spec_of
from nodegraph.errors import BadNode
from nodegraph.schema import REQUIRED, InputSpec, NodeSpec
from nodegraph.types import ANY, BOOL, FLOAT, INT, STR, ListOf, Union, Var, socket_of

if typing.TYPE_CHECKING:
    from decimal import Decimal

T = TypeVar("T")


@socket("test_weights", handle=True)
@dataclass(frozen=True)
class Weights:
    """A handle."""


class Pair(NamedTuple):
    left: int
    right: list[str]


def spec(function: Any, **options: Any) -> NodeSpec:
    found = spec_of(node("Test", **{"category": "test", **options})(function))
    assert found is not None
    return found


def only_input(function: Any) -> InputSpec:
    (found,) = spec(function).inputs.values()
    return found


# ------------------------------------------------------------------------------------------------ what a signature says


def test_a_decorated_function_stays_callable() -> None:
    @node("Plus", category="test")
    def plus(a: int, b: int = 2) -> int:
        """Add."""
        return a + b

    assert (plus(1), plus(1, b=3)) == (3, 4)


def test_types_defaults_and_order_come_from_the_signature() -> None:
    def f(b: float, a: int, text: str = "x", on: bool = True) -> int:
        """Do."""
        return a

    inputs = spec(f).inputs
    assert list(inputs) == ["b", "a", "text", "on"]
    assert [i.type for i in inputs.values()] == [FLOAT, INT, STR, BOOL]
    assert [i.required for i in inputs.values()] == [True, True, False, False]
    assert inputs["a"].default is REQUIRED
    assert inputs["text"].default == "x"
    assert [i.widget.kind for i in inputs.values() if i.widget] == ["number", "number", "text", "switch"]


def test_the_contract_cannot_be_changed_afterwards() -> None:
    def f(a: int) -> int:
        """Do."""
        return a

    found = spec(f)
    with pytest.raises(TypeError):
        found.inputs["b"] = found.inputs["a"]  # type: ignore[index]


def test_a_whole_number_as_default_of_a_float_is_a_float() -> None:
    def f(a: float = 1) -> float:
        """Do."""
        return a

    assert type(only_input(f).default) is float


def test_a_range_makes_a_slider_or_a_number_field() -> None:
    def f(
        a: Annotated[float, Slider(0, 1, step=0.1)] = 0.5,
        b: Annotated[int, Number(1)] = 4,
        c: Annotated[int | float, Number(0, 9)] = 1,
    ) -> int:
        """Do."""
        return 0

    a, b, c = spec(f).inputs.values()
    assert (a.minimum, a.maximum, a.widget and a.widget.kind, a.widget and a.widget.options) == (0, 1, "slider", {"step": 0.1})
    assert (b.minimum, b.maximum, b.widget and b.widget.kind, b.widget and b.widget.options) == (1, None, "number", {})
    assert c.type == Union((INT, FLOAT))


def test_a_seed_is_a_whole_number_of_64_bits() -> None:
    def f(seed: Seed = 0) -> int:
        """Do."""
        return seed

    seed = only_input(f)
    assert (seed.type, seed.minimum, seed.maximum, seed.widget and seed.widget.kind) == (INT, 0, 2**64 - 1, "seed")


def test_texts_files_and_colours_have_widgets_of_their_own() -> None:
    def f(
        prompt: Annotated[str, Text(prompt=True, placeholder="a fox")],
        model: Annotated[str, ModelFile("loras")],
        picture: Annotated[str, InputFile("image")],
        colour: Annotated[str, Color()] = "#ffffff",
    ) -> int:
        """Do."""
        return 0

    inputs = spec(f).inputs
    kinds = {name: (i.widget.kind, i.folder) for name, i in inputs.items() if i.widget}
    assert kinds == {"prompt": ("text", None), "model": ("model", "loras"), "picture": ("file", "input"), "colour": ("color", None)}
    prompt = inputs["prompt"].widget
    assert prompt is not None
    assert prompt.options == {"multiline": True, "prompt": True, "placeholder": "a fox"}


def test_a_literal_is_a_choice() -> None:
    def f(mode: Literal["fast", "good"] = "good", count: Literal[1, 2] = 2) -> int:
        """Do."""
        return 0

    mode, count = spec(f).inputs.values()
    assert (mode.type, mode.choices, mode.widget and mode.widget.kind) == (STR, ("fast", "good"), "choice")
    assert (count.type, count.choices) == (INT, (1, 2))


def test_none_in_the_hint_makes_an_input_optional() -> None:
    def f(a: int | None = None, b: Annotated[float, Slider(0, 1)] | None = None) -> int:
        """Do."""
        return 0

    a, b = spec(f).inputs.values()
    assert (a.type, a.optional, a.default) == (INT, True, None)
    assert (b.type, b.optional, b.maximum) == (FLOAT, True, 1)


def test_lazy_ref_each_and_lists_are_told_apart() -> None:
    def f(a: Lazy[int], b: Ref[int], c: Each[int], d: list[int], e: Lazy[float] | None = None) -> int:
        """Do."""
        return 0

    told = {name: (i.lazy, i.raw, i.mapped, i.type, i.optional) for name, i in spec(f).inputs.items()}
    assert told == {
        "a": (True, False, False, INT, False),
        "b": (False, True, False, INT, False),
        "c": (False, False, True, INT, False),
        "d": (False, False, False, ListOf(INT), False),
        "e": (True, False, False, FLOAT, True),
    }


def test_each_and_a_range_go_together() -> None:
    def f(a: Each[Annotated[int, Number(0, 9)]]) -> int:
        """Do."""
        return 0

    assert (only_input(f).mapped, only_input(f).maximum) == (True, 9)


def test_a_lazy_input_can_be_given_in_a_call() -> None:
    assert Lazy.of(7).get() == 7


def test_a_type_variable_makes_a_generic_node() -> None:
    def f(a: T, b: list[T]) -> T:
        """Do."""
        return a

    found = spec(f)
    assert found.generic
    assert found.inputs["a"].type == Var("T")
    assert found.outputs == {"value": found.outputs["value"]}
    assert not spec(fine).generic


def test_outputs_are_named_after_their_type_or_by_a_named_tuple() -> None:
    def one(a: int) -> float:
        """Do."""
        return a

    def many(a: int) -> list[int]:
        """Do."""
        return [a]

    def pair(a: int) -> Pair:
        """Do.

        left: on this side
        """
        return Pair(a, [])

    def anything(a: int) -> Any:
        """Do."""
        return a

    assert list(spec(one).outputs) == ["float"]
    assert {name: o.type for name, o in spec(many).outputs.items()} == {"ints": ListOf(INT)}
    assert {name: (o.type, o.tooltip) for name, o in spec(pair).outputs.items()} == {
        "left": (INT, "on this side"),
        "right": (ListOf(STR), ""),
    }
    assert (spec(pair).named_outputs, spec(one).named_outputs) == (True, False)
    assert {name: o.type for name, o in spec(anything).outputs.items()} == {"value": ANY}


def test_blocked_and_expand_are_no_part_of_what_is_promised() -> None:
    def f(a: int) -> int | Blocked | Expand:
        """Do."""
        return a

    def saves(a: int) -> Expand:
        """Do."""
        return Expand({})

    def saves_or_not(a: int) -> Expand | Blocked:
        """Do."""
        return Blocked()

    assert list(spec(f).outputs) == ["int"]
    assert spec(saves, output=True).outputs == {}
    assert spec(saves_or_not, output=True).outputs == {}


def test_the_docstring_is_help_and_tooltips() -> None:
    def f(amount: float, other: int = 0) -> int:
        """Mix two things.

        More of it: with a colon in the middle.

        amount: 0 keeps the first,
            1 the second
        int: what comes out
        """
        return 0

    found = spec(f)
    assert found.description == "Mix two things.\n\nMore of it: with a colon in the middle."
    assert found.inputs["amount"].tooltip == "0 keeps the first, 1 the second"
    assert found.inputs["other"].tooltip == ""
    assert found.outputs["int"].tooltip == "what comes out"


@pytest.mark.parametrize(
    ("id", "title"),
    [("LoadImage", "Load Image"), ("CLIPEncode", "CLIP Encode"), ("VAEDecode", "VAE Decode"), ("pack/KSampler", "KSampler")],
)
def test_a_title_is_made_from_the_id(id: str, title: str) -> None:
    def f(a: int) -> int:
        """Do."""
        return a

    found = spec_of(node(id, category="test")(f))
    assert found is not None
    assert found.title == title
    assert spec(f, title="Mine").title == "Mine"


def test_the_context_is_no_input() -> None:
    def f(a: int, ctx: Context) -> int:
        """Do."""
        return a

    assert (spec(f).context, list(spec(f).inputs)) == ("ctx", ["a"])


def test_the_lane_follows_from_what_a_node_takes() -> None:
    def plain(a: int) -> int:
        """Do."""
        return a

    async def waits(a: int) -> int:
        """Do."""
        return a

    def loads(ctx: Context, weights: Weights) -> int:
        """Do."""
        return 0

    def loads_many(ctx: Context, weights: list[Weights]) -> int:
        """Do."""
        return 0

    def loads_perhaps(ctx: Context, weights: Weights | int) -> int:
        """Do."""
        return 0

    def patches(weights: Weights) -> Weights:
        """Do."""
        return weights

    assert [spec(f).lane for f in (plain, waits, loads, loads_many, loads_perhaps, patches)] == [
        "cpu",
        "async",
        "device",
        "device",
        "device",
        "cpu",
    ]
    assert spec(plain, lane="device").lane == "device"


def test_the_rest_of_the_declaration_is_kept() -> None:
    def f(a: int) -> int:
        """Do."""
        return a

    def up(version: int, inputs: dict[str, Any]) -> dict[str, Any]:
        return inputs

    found = spec(f, version=3, upgrade=up, output=True, cached=False, fingerprint=len, status="beta")
    assert (found.version, found.upgrade, found.output_node, found.cached) == (3, up, True, False)
    assert (found.fingerprint, found.status) == (len, "beta")


def test_a_contract_has_a_json_form_for_the_editor() -> None:
    def f(mode: Literal["a", "b"], a: Each[float] = 1, b: Annotated[int, Slider(0, 9, step=3)] = 3, c: Lazy[int] | None = None) -> int:
        """Do it.

        a: how much
        """
        return 0

    told = spec(f, output=True).to_json()
    assert told["inputs"] == {
        "mode": {"type": "str", "required": True, "widget": {"kind": "choice"}, "choices": ["a", "b"]},
        "a": {"type": "float", "required": False, "default": 1.0, "widget": {"kind": "number"}, "mapped": True, "tooltip": "how much"},
        "b": {
            "type": "int",
            "required": False,
            "default": 3,
            "widget": {"kind": "slider", "step": 3},
            "minimum": 0,
            "maximum": 9,
        },
        "c": {"type": "int", "required": False, "default": None, "widget": {"kind": "number"}, "lazy": True, "optional": True},
    }
    assert told["outputs"] == {"int": {"type": "int"}}
    assert (told["id"], told["description"], told["output_node"], told["lane"], told["version"]) == ("Test", "Do it.", True, "cpu", 1)


# ------------------------------------------------------------------------------------------------ what cannot be a node


def no_doc(a: int) -> int:
    return a


def only_tooltips(a: int) -> int:
    """a: some number"""
    return a


def unknown_note(a: int) -> int:
    """Do.

    b: not there
    """
    return a


def no_hint(a) -> int:  # type: ignore[no-untyped-def]
    """Do."""
    return 0


def no_return(a: int):  # type: ignore[no-untyped-def]
    """Do."""


def returns_nothing(a: int) -> None:
    """Do."""


def returns_a_dict(a: int) -> dict[str, int]:
    """Do."""
    return {}


def many(*values: int) -> int:
    """Do."""
    return 0


def named(**values: int) -> int:
    """Do."""
    return 0


def positional(a: int, /) -> int:
    """Do."""
    return 0


def not_a_socket(a: complex) -> int:
    """Do."""
    return 0


def hidden_import(a: Decimal) -> int:
    """Do."""
    return 0


def broken_hint(a: "list[int") -> int:  # type: ignore[valid-type]  # noqa: F722
    """Do."""
    return 0


def hint_of_nothing(a: Annotated[int]) -> int:  # type: ignore[valid-type]
    """Do."""
    return 0


def wrong_default(a: int = "x") -> int:  # type: ignore[assignment]
    """Do."""
    return 0


def none_as_default(a: int = None) -> int:  # type: ignore[assignment]  # noqa: RUF013
    """Do."""
    return 0


def no_such_choice(a: Literal["x"] = "y") -> int:  # type: ignore[assignment]
    """Do."""
    return 0


def out_of_range(a: Annotated[int, Number(0, 4)] = 5) -> int:
    """Do."""
    return 0


def empty_range(a: Annotated[int, Slider(4, 0)]) -> int:
    """Do."""
    return 0


def slider_on_text(a: Annotated[str, Slider(0, 4)]) -> int:
    """Do."""
    return 0


def range_on_a_list(a: Annotated[list[float], Number(0, 4)]) -> int:
    """Do."""
    return 0


def seed_of_float(a: Annotated[float, SeedWidget()]) -> int:
    """Do."""
    return 0


def file_of_int(a: Annotated[int, InputFile()]) -> int:
    """Do."""
    return 0


def lazy_each(a: Each[Lazy[int]]) -> int:
    """Do."""
    return 0


def each_list(a: Each[list[int]]) -> int:
    """Do."""
    return 0


def none_inside(a: Lazy[int | None]) -> int:
    """Do."""
    return 0


def two_contexts(a: Context, b: Context) -> int:
    """Do."""
    return 0


async def waits(a: int) -> int:
    """Do."""
    return a


def fine(a: int) -> int:
    """Do."""
    return a


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (no_doc, {}, "node Test has no docstring"),
        (only_tooltips, {}, "says nothing of the node itself"),
        (unknown_note, {}, r"explains \['b'\], which it does not have"),
        (no_hint, {}, "parameter `a` has no type hint"),
        (no_return, {}, "has no return annotation"),
        (returns_nothing, {}, "returns nothing and is no output node"),
        (returns_a_dict, {}, "return type: .* is not a socket type"),
        (many, {}, "parameter `values` cannot be an input"),
        (named, {}, "parameter `values` cannot be an input"),
        (positional, {}, "parameter `a` cannot be an input"),
        (not_a_socket, {}, "node Test, input `a`: 'complex' is not a socket type"),
        (hidden_import, {}, "names 'Decimal', which cannot be found"),
        (broken_hint, {}, "a type hint cannot be read"),
        (hint_of_nothing, {}, "a type hint cannot be read"),
        (wrong_default, {}, "the default 'x' is not of type int"),
        (none_as_default, {}, "the default None is not of type int"),
        (no_such_choice, {}, "the default 'y' is not one of"),
        (out_of_range, {}, "the default 5 is outside 0 to 4"),
        (empty_range, {}, "the range 4 to 0 is empty"),
        (slider_on_text, {}, "Slider stands on str"),
        (range_on_a_list, {}, "Number stands on list of float"),
        (seed_of_float, {}, "Seed stands on float"),
        (file_of_int, {}, "InputFile stands on int"),
        (lazy_each, {}, "only one of Lazy, Ref and Each"),
        (each_list, {}, "Each stands on a list of int"),
        (none_inside, {}, "None stands inside Lazy"),
        (two_contexts, {}, "two Contexts, `a` and `b`"),
        (fine, {"lane": "async"}, "is a `def` in the lane 'async'"),
        (waits, {"lane": "cpu"}, "is a `async def` in the lane 'cpu'"),
        (fine, {"version": 0}, "the version 0 is not a whole number"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_function_that_is_no_node_is_refused_with_the_reason_and_the_way_out(function: Any, options: Any, message: str) -> None:
    with pytest.raises(BadNode, match=message) as caught:
        spec(function, **options)
    assert caught.value.hint


@pytest.mark.parametrize("id", ["", "two words", "a/b/c", "3D", "Ünï", "a/", "/a", "a\n"])
def test_an_id_has_letters_and_digits_and_the_name_of_a_pack(id: str) -> None:
    with pytest.raises(BadNode, match="cannot be a node id"):
        node(id, category="test")(fine)


def test_a_socket_class_is_found_by_its_class() -> None:
    assert socket_of(Weights) is not None
