"""Weighted prompts: a table of cases, and laws for any text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodegraph.diffusion.prompt import Dialect, Span, Token, chunk_prompt, empty_chunk, escape, is_weighted, parse, sections
from nodegraph.diffusion.tokenizer import BOS, EOS, tokenize
from nodegraph.errors import ModelNotFound

DIALECTS: list[Dialect] = ["extended", "comfyui"]
UP, DOWN = 1.1, 1 / 1.1


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("", []),
        ("a fox", [("a fox", 1)]),
        ("a (fox)", [("a ", 1), ("fox", UP)]),
        ("((fox))", [("fox", UP * UP)]),
        ("(fox:1.3) runs", [("fox", 1.3), (" runs", 1)]),
        ("(a (b:1.3) c)", [("a ", UP), ("b", 1.3), (" c", UP)]),
        ("((a:1.3))", [("a", 1.3)]),
        ("((a) b:0.5)", [("a", 0.5 * UP), (" b", 0.5)]),
        ("(a:b:0.5)", [("a:b", 0.5)]),
        ("(a: 0.5 )", [("a", 0.5)]),
        ("(a:-1)", [("a", -1.0)]),
        ("(a:.5)", [("a", 0.5)]),
        ("(a:1e1)", [("a", 10.0)]),
        ("(a:nan)", [("a:nan", UP)]),
        ("(a:1e99)", [("a:1e99", UP)]),
        ("(a:1.2.3)", [("a:1.2.3", UP)]),
        ("(a:)", [("a:", UP)]),
        ("(:1.2)", [(":1.2", UP)]),
        ("((a):1.2)", [("a", 1.2 * UP)]),
        ("a:1.2", [("a:1.2", 1)]),
        ("()", []),
        (r"\(a\)", [("(a)", 1)]),
        (r"(\(a\):1.2)", [("(a)", 1.2)]),
        (r"a\b", [("a\\b", 1)]),
        ("(a", [("(a", 1)]),
        ("a)", [("a)", 1)]),
        ("a) (b)", [("a) ", 1), ("b", UP)]),
        ("((a)", [("(", 1), ("a", UP)]),
        ("(a))", [("a", UP), (")", 1)]),
        (")(", [(")(", 1)]),
    ],
)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_parentheses(text: str, spans: list[tuple[str, float]], dialect: Dialect) -> None:
    parsed = parse(text, dialect)
    assert [span.text for span in parsed] == [span for span, _ in spans]
    assert [span.weight for span in parsed] == pytest.approx([weight for _, weight in spans])


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("[a]", [("a", DOWN)]),
        ("[[a]]", [("a", DOWN * DOWN)]),
        ("([a])", [("a", 1.0)]),
        ("[a:0.5]", [("a:0.5", DOWN)]),
        (r"\[a\]", [("[a]", 1)]),
        ("([a)]", [("[a", UP), ("]", 1)]),
        ("[(a]", [("(a", DOWN)]),
        ("a]", [("a]", 1)]),
    ],
)
def test_brackets_of_the_extended_dialect(text: str, spans: list[tuple[str, float]]) -> None:
    parsed = parse(text)
    assert [span.text for span in parsed] == [span for span, _ in spans]
    assert [span.weight for span in parsed] == pytest.approx([weight for _, weight in spans])


def test_brackets_and_break_are_text_for_comfyui() -> None:
    assert parse(r"[a] \[b\] BREAK c", "comfyui") == (Span(r"[a] \[b\] BREAK c"),)
    assert len(chunk_prompt("a BREAK b", "comfyui")) == 1


@pytest.mark.parametrize("dialect", DIALECTS)
@given(text=st.text())
def test_any_text_is_read_and_read_again_the_same(dialect: Dialect, text: str) -> None:
    spans = parse(text, dialect)
    assert all(span.text and abs(span.weight) <= 1e6 for span in spans)
    assert "".join(span.text for span in parse(escape(text, dialect), dialect)) == text
    assert all(span.weight == 1 for span in parse(escape(text, dialect), dialect))


@given(text=st.text(alphabet=st.characters(blacklist_characters="()[]\\")))
def test_text_without_syntax_is_one_span(text: str) -> None:
    assert parse(text) == ((Span(text),) if text else ())


@given(text=st.text(alphabet="ab ()[]\\:12."))
def test_letters_are_kept_in_order(text: str) -> None:
    def letters(value: str) -> str:
        return "".join(letter for letter in value if letter in "ab")

    assert letters("".join(span.text for span in parse(text))) == letters(text)


@given(spans=st.lists(st.tuples(st.text(min_size=1), st.floats(-10, 10)), max_size=5))
def test_written_groups_come_back(spans: list[tuple[str, float]]) -> None:
    written = "".join(f"({escape(text)}:{weight!r})" for text, weight in spans)
    assert [(span.text, span.weight) for span in parse(written)] == spans


def test_deep_nesting_is_no_trouble() -> None:
    depth = 100_000
    assert parse("(" * depth + "a" + ")" * depth)[0].weight == 1e6
    assert parse("(" * depth + "a")[0].text == "(" * depth + "a"
    assert len(parse("[" * depth + "a" + ")" * depth)) == 1
    assert parse(r"\(" * depth)[0].text == "(" * depth


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a BREAK b", [["a "], [" b"]]),
        ("(a BREAK b:1.2) c", [["a "], [" b", " c"]]),
        ("BREAK", [[]]),
        ("a BREAK BREAK b", [["a "], [" b"]]),
        ("BREAKING news, OUTBREAK", [["BREAKING news, OUTBREAK"]]),
    ],
)
def test_break_starts_a_section(text: str, parts: list[list[str]]) -> None:
    assert [[span.text for span in section] for section in sections(parse(text))] == parts


def test_a_chunk_is_framed_and_padded() -> None:
    (chunk,) = chunk_prompt("a (fox:1.5)")
    assert [token.id for token in chunk] == [BOS, *tokenize("a fox"), *[EOS] * 74]
    assert [token.weight for token in chunk[:5]] == [1, 1, 1.5, 1, 1]
    (padded,) = chunk_prompt("a fox", pad=0)
    assert [token.id for token in padded[3:]] == [EOS, *[0] * 73]
    assert chunk_prompt("") == (empty_chunk(),)
    assert is_weighted([chunk])
    assert not is_weighted([padded])


@pytest.mark.parametrize("text", ["", "cat " * 200, "a (b:1.2) " * 90, "(strawberrycake) " * 60, "a BREAK b"])
def test_every_chunk_has_77_tokens_and_loses_none(text: str) -> None:
    chunks = chunk_prompt(text)
    assert all(len(chunk) == 77 and chunk[0].id == BOS and chunk[-1].id == EOS for chunk in chunks)
    body = [token.id for chunk in chunks for token in chunk if token.id not in (BOS, EOS)]
    assert body == [token for section in sections(parse(text)) for span in section for token in tokenize(span.text)]


def test_a_long_text_is_cut_where_the_chunk_ends() -> None:
    first, second = chunk_prompt("cat " * 80)
    assert [token.id for token in first].count(tokenize("cat")[0]) == 75
    assert [token.id for token in second].count(tokenize("cat")[0]) == 5


def test_a_short_group_moves_to_the_next_chunk_as_a_whole() -> None:
    first, second = chunk_prompt("cat " * 72 + "(a red fox runs:1.2)")
    assert [token.id for token in first[73:]] == [EOS] * 4
    assert [token.id for token in second[1:5]] == tokenize("a red fox runs")
    cut, rest = chunk_prompt("cat " * 72 + "(a red fox runs over the green hill:1.2)")
    assert [token.id for token in cut[73:76]] == tokenize("a red fox")
    assert [token.id for token in rest[1:6]] == tokenize("runs over the green hill")


def test_embeddings_stand_for_their_vectors() -> None:
    vectors = np.arange(6, dtype=np.float32).reshape(3, 2)
    (chunk,) = chunk_prompt("a (embedding:style, fox:1.2) embedding:style", embeddings={"style": vectors}.get)
    assert [token.id for token in chunk[5:7]] == tokenize(", fox")
    assert [token.weight for token in chunk[1:8]] == [1, 1.2, 1.2, 1.2, 1.2, 1.2, 1]
    found = [token.vector.tolist() for token in chunk if token.vector is not None]
    assert found == vectors.tolist() * 2


def test_an_unknown_embedding_is_named() -> None:
    with pytest.raises(ModelNotFound, match="no embedding 'nobody'"):
        chunk_prompt("a embedding:nobody, b", embeddings={}.get)


def test_without_a_finder_an_embedding_is_text() -> None:
    (chunk,) = chunk_prompt("embedding:x")
    assert [token.id for token in chunk if token.id not in (BOS, EOS)] == tokenize("embedding:x")


def test_tokens_are_values() -> None:
    assert Token(5) == Token(5, 1.0, None)
