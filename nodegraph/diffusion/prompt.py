"""Prompts with weights: text to weighted spans, and spans to the chunks of tokens that a CLIP text encoder reads.

    (word)        weight times 1.1, nested as often as you like
    (word:1.3)    weight 1.3; the number of the innermost group counts, as in ComfyUI
    [word]        weight divided by 1.1                       dialect "extended" only
    BREAK         the rest starts in a new chunk              dialect "extended" only
    \\( \\)         parentheses as text; also \\[ \\] in "extended"
    embedding:name   learnt vectors from a file, at the start of a word

A parenthesis without a partner is text. Nothing that a user types is an error here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from nodegraph.diffusion.tokenizer import BOS, EOS, tokenize
from nodegraph.errors import ModelNotFound

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    FindEmbedding = Callable[[str], Vectors | None]

Dialect = Literal["extended", "comfyui"]

STEP = 1.1  # what one pair of parentheses multiplies by
MAX_WEIGHT = 1e6  # larger numbers are text: they only make infinities
CHUNK = 77  # tokens a CLIP text encoder reads at once, begin and end included
WHOLE_WORD = 8  # a group of fewer tokens is not split over two chunks (ComfyUI's rule)

_OPEN = {")": "(", "]": "["}
_WEIGHT = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_EMBEDDING = re.compile(r"(?:^|(?<=\s))embedding:(\S+)")
_BREAK = re.compile(r"(?:^|(?<=\s))BREAK(?=\s|$)")


@dataclass(frozen=True)
class Span:
    """A stretch of text with one weight; escapes are resolved."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True)
class Token:
    """One position of a chunk; `vector`, (width,), stands in for the token table where it is given."""

    id: int
    weight: float = 1.0
    vector: Vectors | None = None


Chunk = tuple[Token, ...]


def parse(text: str, dialect: Dialect = "extended") -> tuple[Span, ...]:
    """Split a prompt into spans of equal weight. Never raises; text without syntax comes back as it was."""
    groups = _Groups(dialect)
    for piece in _pieces(text, dialect):
        groups.feed(piece)
    return tuple(_flatten(groups.finish()))


def escape(text: str, dialect: Dialect = "extended") -> str:
    """The prompt that parses to exactly this text."""
    return re.sub(r"[()\[\]]" if dialect == "extended" else r"[()]", r"\\\g<0>", text)


def sections(spans: Sequence[Span], dialect: Dialect = "extended") -> list[list[Span]]:
    """Split spans at the word BREAK (dialect "extended"); at least one section, empty ones left out."""
    if dialect != "extended":
        return [list(spans)]
    found: list[list[Span]] = [[]]
    for span in spans:
        first, *rest = _BREAK.split(span.text)
        found[-1].append(Span(first, span.weight))
        found += [[Span(part, span.weight)] for part in rest]
    filled = [section for section in found if any(span.text.strip() for span in section)]
    return filled or [[]]


def chunk_prompt(text: str, dialect: Dialect = "extended", *, pad: int = EOS, embeddings: FindEmbedding | None = None) -> tuple[Chunk, ...]:
    """Tokens of a prompt in chunks of exactly 77: begin, up to 75 tokens, end, padding.

    pad: the token that fills a chunk, 49407 for OpenAI's CLIP and 0 for OpenCLIP
    embeddings: vectors (tokens, width) of a learnt embedding by name, or None if there is no such name;
        without it `embedding:name` is text
    Raises ModelNotFound for a name that `embeddings` does not know.
    """
    chunks: list[Chunk] = []
    for section in sections(parse(text, dialect), dialect):
        groups = [group for span in section for group in _token_groups(span, embeddings)]
        chunks += [_framed(body, pad) for body in _pack(groups, CHUNK - 2)]
    return tuple(chunks)


def empty_chunk(pad: int = EOS) -> Chunk:
    """The chunk of an empty prompt."""
    return _framed([], pad)


def is_weighted(chunks: Sequence[Chunk]) -> bool:
    """Whether any token has a weight other than 1."""
    return any(token.weight != 1.0 for chunk in chunks for token in chunk)


# ---------------------------------------------------------------------------------------------- parsing


@dataclass(frozen=True)
class _Group:
    kind: str  # "(" or "["
    weight: float | None
    children: list[str | _Group]


@dataclass(frozen=True)
class _Piece:
    text: str
    syntax: bool  # an unescaped bracket


def _pieces(text: str, dialect: Dialect) -> Iterator[_Piece]:
    brackets = r"()\[\]" if dialect == "extended" else "()"
    for match in re.finditer(rf"\\([{brackets}])|([{brackets}])|(\\|[^\\{brackets}]+)", text):
        escaped, syntax, plain = match.groups()
        yield _Piece(escaped or syntax or plain, syntax is not None)


class _Groups:
    """A stack of open brackets and what stands inside them."""

    def __init__(self, dialect: Dialect) -> None:
        self._stack: list[tuple[str, list[str | _Group]]] = [("", [])]
        self._open = {"(": 0, "[": 0}
        self._dialect = dialect

    def feed(self, piece: _Piece) -> None:
        if piece.syntax and piece.text in self._open:
            self._stack.append((piece.text, []))
            self._open[piece.text] += 1
        elif piece.syntax and self._open[_OPEN[piece.text]]:
            self._close(_OPEN[piece.text])
        else:
            self._stack[-1][1].append(piece.text)

    def finish(self) -> list[str | _Group]:
        self._spill(0)
        return self._stack[0][1]

    def _close(self, kind: str) -> None:
        partner = next(place for place in reversed(range(len(self._stack))) if self._stack[place][0] == kind)
        self._spill(partner)
        _, children = self._stack.pop()
        self._open[kind] -= 1
        weight = _take_weight(children) if kind == "(" else None
        self._stack[-1][1].append(_Group(kind, weight, children))

    def _spill(self, place: int) -> None:
        """Brackets opened after the one at `place` have no partner: they are text of that one, in one go."""
        lonely = self._stack[place + 1 :]
        del self._stack[place + 1 :]
        for kind, children in lonely:
            self._open[kind] -= 1
            self._stack[place][1].extend([kind, *children])


def _take_weight(children: list[str | _Group]) -> float | None:
    """Cut `:number` off the end of a group, if it is there and something stands before it."""
    last = children[-1] if children else None
    if not isinstance(last, str):
        return None
    before, colon, number = last.rpartition(":")
    if not colon or not _WEIGHT.fullmatch(number) or abs(float(number)) > MAX_WEIGHT or not (before or len(children) > 1):
        return None
    children[-1] = before
    return float(number)


def _flatten(children: list[str | _Group]) -> Iterator[Span]:
    """Spans in reading order; a stack instead of recursion, since brackets nest as deep as the user likes."""
    todo: list[tuple[str | _Group, float]] = [(child, 1.0) for child in reversed(list(_joined(children)))]
    while todo:
        item, weight = todo.pop()
        if isinstance(item, str):
            yield Span(item, weight)
            continue
        inner = _inner_weight(item, weight)
        todo += [(child, inner) for child in reversed(list(_joined(item.children)))]


def _inner_weight(group: _Group, outer: float) -> float:
    if group.weight is not None:
        return group.weight
    return min(outer * STEP, MAX_WEIGHT) if group.kind == "(" else outer / STEP


def _joined(children: list[str | _Group]) -> Iterator[str | _Group]:
    """Neighbouring pieces of text made one; empty text left out."""
    for is_text, run in groupby(children, key=lambda child: isinstance(child, str)):
        if not is_text:
            yield from run
        elif text := "".join(piece for piece in run if isinstance(piece, str)):
            yield text


# ---------------------------------------------------------------------------------------------- tokens


def _token_groups(span: Span, embeddings: FindEmbedding | None) -> Iterator[list[Token]]:
    """Tokens that belong together: those of a span's text, and those of each embedding in it."""
    rest = span.text
    while embeddings is not None and (match := _EMBEDDING.search(rest)):
        yield _text_tokens(rest[: match.start()], span.weight)
        vectors, used = _find(match[1], embeddings)
        yield [Token(0, span.weight, vector) for vector in vectors]
        rest = rest[match.start(1) + used :]
    yield _text_tokens(rest, span.weight)


def _find(name: str, embeddings: FindEmbedding) -> tuple[Vectors, int]:
    """The vectors of a name, and how many letters it took: commas behind it may belong to the text."""
    for candidate in dict.fromkeys((name, name.rstrip(","))):
        vectors = embeddings(candidate)
        if vectors is not None:
            return vectors, len(candidate)
    raise ModelNotFound(f"there is no embedding {name.rstrip(',')!r}", hint="put its .safetensors file into the embeddings folder")


def _text_tokens(text: str, weight: float) -> list[Token]:
    return [Token(token, weight) for token in tokenize(text)]


def _pack(groups: Sequence[list[Token]], size: int) -> list[list[Token]]:
    """Fill chunks of `size`; short groups are kept whole, long ones are cut where the chunk ends."""
    chunks: list[list[Token]] = [[]]
    for group in groups:
        rest = group
        while len(chunks[-1]) + len(rest) > size:
            room = size - len(chunks[-1]) if len(group) >= WHOLE_WORD else 0
            chunks[-1].extend(rest[:room])
            rest = rest[room:]
            chunks.append([])
        chunks[-1].extend(rest)
    return chunks


def _framed(body: Sequence[Token], pad: int) -> Chunk:
    return (Token(BOS), *body, Token(EOS), *[Token(pad)] * (CHUNK - 2 - len(body)))
