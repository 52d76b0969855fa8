"""A page of memory that server and worker share: the worker notes which run and node it begins; the server can read it after its death.

Events are sent in batches, so the last ones of a process that is killed never come. What stands on the board does.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
from typing import Final, NamedTuple

SIZE: Final = 1024
LONGEST_JOB: Final = 100
SUPPORTED: Final = sys.platform != "win32"
"""whether a file descriptor can be handed on to a process"""


class Note(NamedTuple):
    """job: the run that was begun last; node: the last node of it, with its type; empty if there is none yet."""

    job: str = ""
    node: str = ""


class Board:
    """One note. `descriptor` is open in this process; whoever has a copy of it sees the same note."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._page = mmap.mmap(descriptor, SIZE)

    def note(self, job: str, node: str = "") -> None:
        text = f"{job[:LONGEST_JOB]}\n{node}\0".encode("utf-8", "replace")
        self._page[: min(len(text), SIZE)] = text[:SIZE]

    def read(self) -> Note:
        job, _, node = self._page[:SIZE].partition(b"\0")[0].decode("utf-8", "replace").partition("\n")
        return Note(job, node)

    def close(self) -> None:
        self._page.close()
        os.close(self.descriptor)


def new_board() -> Board | None:
    """An empty board that vanishes with the last process that has it; None where there is no such thing."""
    if not SUPPORTED:
        return None
    with tempfile.TemporaryFile() as file:
        file.truncate(SIZE)
        return Board(os.dup(file.fileno()))
