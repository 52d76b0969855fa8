"""Jobs found by words: in their titles, in the names of files that they saved, in what their nodes are called and were told."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nodegraph.server.queue.store.packing import unpack


def words_of(text: str) -> list[str]:
    return text.casefold().split()


def serials(connection: sqlite3.Connection, words: Sequence[str], where: str, values: Sequence[Any], order: str) -> list[int]:
    """The rows of jobs that hold all of the words, in order."""
    rows = connection.execute(
        f"SELECT serial, title, outputs, document FROM jobs JOIN documents USING (serial){where} ORDER BY {order}", values
    )
    return [serial for serial, title, outputs, document in rows if _holds(words, title, outputs, document)]


def _holds(words: Sequence[str], title: str, outputs: str | bytes | None, document: str | bytes) -> bool:
    made, asked = unpack(outputs) if outputs is not None else "{}", unpack(document)
    raw = "\n".join((title, made, asked)).casefold()
    if any(word not in raw for word in words if word.isascii() and word.isalnum()):
        return False  # most are told apart without a closer look
    text = "\n".join((title, *_made(json.loads(made)), *_asked(json.loads(asked)))).casefold()
    return all(word in text for word in words)


def _made(outputs: Mapping[str, Any]) -> Iterator[str]:
    """Texts that were shown, and names of files."""
    for item in (item for shown in outputs.values() for item in shown if isinstance(item, Mapping)):
        file = item.get("file")
        yield from _strings(item.get("text"), file.get("name") if isinstance(file, Mapping) else None)


def _asked(document: Mapping[str, Any]) -> Iterator[str]:
    """Titles of nodes, and what their inputs say."""
    subgraphs = document.get("subgraphs")
    for graph in (document, *(subgraphs.values() if isinstance(subgraphs, Mapping) else ())):
        for node in graph.get("nodes", {}).values():
            yield from _strings(node.get("title"), *node.get("inputs", {}).values())


def _strings(*values: Any) -> Iterator[str]:
    return (value for value in values if isinstance(value, str))
