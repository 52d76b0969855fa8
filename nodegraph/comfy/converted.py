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

    def __init__(self, within: str = "", found: dict[str, None] | None = None) -> None:
        self._within = within
        self._found: dict[str, None] = {} if found is None else found

    def within(self, name: str) -> Warnings:
        """The same, for remarks about nodes inside something."""
        return Warnings(name, self._found)

    def add(self, message: str, node: str | None = None, type_: str | None = None) -> None:
        named = f' "{shorten(type_, 60)}"' if type_ else ""
        places = (self._within, f"node {shorten(node, 60)}{named}" if node is not None else "")
        where = ", ".join(filter(None, places))
        self._found[f"{where}: {message}" if where else message] = None

    def all(self) -> tuple[str, ...]:
        return tuple(self._found)
