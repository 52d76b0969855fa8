"""What reading a foreign workflow gives: a document of ours, and what a careful reader should know about it."""

from __future__ import annotations

from typing import NamedTuple

from nodegraph.document import Document
from nodegraph.errors import shorten


class Converted(NamedTuple):
    document: Document
    warnings: tuple[str, ...] = ()


class Warnings:
    """Remarks gathered while converting, each about a node where that is known."""

    def __init__(self) -> None:
        self._found: dict[str, None] = {}

    def add(self, message: str, node: str | None = None, type_: str | None = None) -> None:
        named = f' "{shorten(type_, 60)}"' if type_ else ""
        where = f"node {shorten(node, 60)}{named}: " if node is not None else ""
        self._found[where + message] = None

    def all(self) -> tuple[str, ...]:
        return tuple(self._found)
