"""Lists: make them, pair them, pick from them. An input that takes one value runs once an item when it gets a list."""

from __future__ import annotations

from typing import Annotated, NamedTuple, TypeVar

from nodegraph import InputRefused, Number, Seed, Text, node
from nodegraph.diffusion import Image

T = TypeVar("T")


@node("Numbers", category="lists")
def numbers(start: int = 0, count: Annotated[int, Number(1, 10_000)] = 4, step: int = 1) -> list[int]:
    """A list of whole numbers: start, start + step, ..."""
    return [start + i * step for i in range(count)]


@node("Seeds", category="lists")
def seeds(seed: Seed = 0, count: Annotated[int, Number(1, 10_000)] = 4) -> list[int]:
    """Seeds that follow one another: seed, seed + 1, ... They wrap around after the largest one."""
    return [(seed + i) % 2**64 for i in range(count)]


class Pairs(NamedTuple):
    texts: list[str]
    numbers: list[int]


@node("Combinations", category="lists")
def combinations(texts: list[str], numbers: list[int]) -> Pairs:
    """Pair each text with each number: 3 prompts and 4 seeds give two lists of 12, row by row.

    texts: the first one is repeated for every number, then the next
    """
    return Pairs([text for text in texts for _ in numbers], [number for _ in texts for number in numbers])


@node("CombineTexts", category="lists")
def combine_texts(rows: list[str], columns: list[str], pattern: Annotated[str, Text()] = "{row}, {column}") -> list[str]:
    """Put each text of one list together with each of another: 6 subjects and 4 styles give 24 prompts, row by row, ready for `ImageGrid`.

    rows: stands for {row}; the first one is used for every column, then the next
    columns: stands for {column}
    pattern: what every text looks like, for instance `{row}, {column} style`
    """
    import re

    parts = re.split(r"\{(row|column)\}", pattern)  # text, name, text, name, ..., text
    return [_filled(parts, {"row": row, "column": column}) for row in rows for column in columns]


def _filled(parts: list[str], values: dict[str, str]) -> str:
    return "".join(values[part] if number % 2 else part for number, part in enumerate(parts))


@node("JoinLists", category="lists")
def join_lists(first: list[T], second: list[T]) -> list[T]:
    """One list after the other."""
    return [*first, *second]


@node("ListItem", category="lists")
def list_item(items: list[T], index: int = 0) -> T:
    """Pick one item of a list.

    index: 0 is the first, -1 the last
    """
    if not -len(items) <= index < len(items):
        raise InputRefused(f"item {index} was asked for; the list has {len(items)}", input="index", hint="0 is the first, -1 the last")
    return items[index]


@node("BatchImages", category="lists")
def batch_images(images: list[Image]) -> Image:
    """Put pictures of one size into one batch."""
    import numpy as np

    for other in images[1:]:
        images[0].require_same_size(other)
    return Image(np.concatenate([image.data for image in images]))
