"""Errors: unique numbers, one form for people and one for programs, and nothing of what is quoted is obeyed by a terminal."""

from __future__ import annotations

import ast
import re
import time
from pathlib import Path

import pytest

from nodegraph import errors
from nodegraph.errors import (
    BadLink,
    Cancelled,
    NodegraphError,
    Problems,
    TypeMismatch,
    all_errors,
    did_you_mean,
    nearest,
    printable,
    shorten,
)

KNOWN = """
E100 Problems        E101 MissingInput     E102 TypeMismatch  E103 Cycle             E104 UnknownNode     E105 UnknownInput
E106 BadValue        E107 OutOfRange       E108 NotAChoice    E109 BadLink           E110 NothingToRun    E111 BadOverride
E112 GraphTooLarge   E113 BadVersion
E201 NodeFailed      E202 BadOutput        E203 InputRefused  E204 RunawayExpansion  E205 UnevenLists
E301 ModelNotFound   E302 UnknownModel     E303 MissingPart   E304 MissingTrace      E305 OutOfMemory     E306 ModelMismatch
E307 TrainingDiverged E308 BadCheckpointState E309 MissingPackage
E401 FileMissing     E402 NotJson          E403 UnknownFormat E404 FormatTooNew      E405 TooLarge        E406 UnsafePath
E407 NotAPicture     E408 WriteFailed      E409 BrokenWeights E410 PickleRefused     E411 BadDataset      E412 NotConvertible
E413 ReadFailed
E501 NameClash       E502 BrokenPack       E503 BadNode
"""


def test_numbers_are_unique() -> None:
    codes = [cls.code for cls in all_errors()]
    assert len(codes) == len(set(codes))


def test_numbers_and_names_once_given_stay() -> None:
    known = dict(re.findall(r"(E\d{3}) (\w+)", KNOWN))
    assert known.items() <= {cls.code: cls.__name__ for cls in all_errors()}.items()


def test_every_number_is_in_a_range_that_the_module_explains() -> None:
    assert {cls.code[1] for cls in all_errors()} == set(re.findall(r"E(\d)xx", errors.__doc__ or ""))


def test_an_error_is_told_in_one_form() -> None:
    error = TypeMismatch("wants latent, but node 4 gives image", node="9", node_type="KSampler", input="latent", hint="put X\nbetween them")
    assert error.render() == (
        'E102 TypeMismatch   node 9 "KSampler", input `latent`\n  wants latent, but node 4 gives image\n  -> put X\n     between them'
    )
    assert str(error) == error.render()
    assert error.to_json() == {
        "code": "E102",
        "error": "TypeMismatch",
        "message": "wants latent, but node 4 gives image",
        "node": "9",
        "node_type": "KSampler",
        "input": "latent",
        "hint": "put X\nbetween them",
    }


def test_what_is_not_known_is_left_out() -> None:
    assert NodegraphError("so it is").render() == "E000 NodegraphError\n  so it is"
    assert NodegraphError("so it is").to_json() == {"code": "E000", "error": "NodegraphError", "message": "so it is"}


def test_the_place_is_filled_in_once() -> None:
    error = BadLink("no", node="3")
    assert error.at("4", "Add", "a") is error
    assert (error.node, error.node_type, error.input) == ("3", "Add", "a")


def test_several_problems_are_told_together_and_what_is_left_out_is_counted() -> None:
    problems = Problems([BadLink("one"), BadLink("two")], hidden=3)
    assert problems.render().splitlines()[-1] == "and 3 more problems"
    assert [entry["message"] for entry in problems.to_json()["errors"]] == ["one", "two"]
    assert problems.message == "5 problems, the first 2 of them here"
    assert Problems([BadLink("one")]).message == "1 problem"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\rb", "a\\x0db"),
        ("\x9b2J", "\\x9b2J"),
        ("\u202egnp.exe", "\\x202egnp.exe"),
        ("\ud800", "\\xd800"),
        ("ünï ✓ 狐", "ünï ✓ 狐"),
        ("two\nlines\tand tab", "two\nlines\tand tab"),
    ],
)
def test_control_characters_are_shown_and_not_obeyed(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_nothing_that_is_quoted_reaches_the_terminal_raw() -> None:
    evil = "x\x1b]0;title\x07\r\n"
    told = BadLink(evil, node=evil, node_type=evil, input=evil, hint=evil).render()
    assert "\x1b" not in told
    assert "\r" not in told
    assert told.isascii()
    assert len(told.splitlines()) == 3


def test_a_quoted_value_is_one_bounded_line() -> None:
    assert shorten("a\nb") == "a\\nb"
    assert shorten({"a": 1}) == "{'a': 1}"
    assert len(shorten("x" * 10_000)) == 80
    assert shorten("x" * 81).endswith("…")


def test_the_nearest_names_are_found_whatever_their_case() -> None:
    known = ["LoadImage", "SaveImage", "KSampler"]
    assert nearest("loadimage", known)[0] == "LoadImage"
    assert did_you_mean("Ksamplr", known) == "did you mean `KSampler`?"
    assert did_you_mean("zzzz", known) is None
    assert did_you_mean("zzzz", known, "look") == "look"


def test_looking_for_the_nearest_name_is_bounded_whatever_is_asked() -> None:
    begin = time.process_time()
    nearest("a" * 1_000_000, (f"{'ab' * 250}{i}" for i in range(1_000_000)))
    assert time.process_time() - begin < 5


def test_cancelling_is_not_caught_by_a_node_that_catches_every_exception() -> None:
    assert not issubclass(Cancelled, Exception)


def calls_without_hint(path: Path) -> list[str]:
    """Where a file makes a NodegraphError without a way out."""
    names = {cls.__name__ for cls in all_errors()} - {"Problems"}
    found = []
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        made = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in names
        if made and not any(keyword.arg in ("hint", None) for keyword in call.keywords):
            found.append(f"{path.name}:{call.lineno}")
    return found


@pytest.mark.parametrize("name", ["graph", "document", "files", "overrides", "registry", "expansion", "calling", "content", "authoring"])
def test_every_error_comes_with_a_way_out(name: str) -> None:
    assert calls_without_hint(Path(errors.__file__).with_name(f"{name}.py")) == []
