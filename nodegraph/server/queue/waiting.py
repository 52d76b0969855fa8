"""The jobs that wait, in their order: by number, then by when they were submitted."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from nodegraph.server.queue.entry import Entry

Turn = tuple[float, int]


MOST_AT_HAND: Final = 4 * 2**20
"""characters of documents kept in memory; others are read from the store when their turn comes"""


class Waiting:
    def __init__(self) -> None:
        self._at_hand = 0
        self._order: list[Turn] = []
        self._entries: dict[Turn, Entry] = {}
        self._turns: dict[str, Turn] = {}

    def add(self, entry: Entry) -> None:
        if self._at_hand + entry.size > MOST_AT_HAND:
            entry.submission = None
        if entry.submission is not None:
            self._at_hand += entry.size
        turn = (entry.job.number, entry.serial)
        insort(self._order, turn)
        self._entries[turn] = entry
        self._turns[entry.job.id] = turn

    def get(self, id: str) -> Entry | None:
        turn = self._turns.get(id)
        return self._entries[turn] if turn is not None else None

    def remove(self, id: str) -> Entry | None:
        """Take a job out, wherever it stands."""
        turn = self._turns.pop(id, None)
        if turn is None:
            return None
        del self._order[bisect_left(self._order, turn)]
        entry = self._entries.pop(turn)
        if entry.submission is not None:
            self._at_hand -= entry.size
        return entry

    def first(self) -> Entry | None:
        """Take out the one whose turn it is."""
        return self.remove(self._entries[self._order[0]].job.id) if self._order else None

    def move(self, id: str, number: float) -> Entry | None:
        entry = self.remove(id)
        if entry is not None:
            entry.job = replace(entry.job, number=number)
            self.add(entry)
        return entry

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Entry]:
        """In their order."""
        return (self._entries[turn] for turn in self._order)
