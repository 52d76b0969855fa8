"""Where the time of a run goes: `with span("encode"): ...` is told to whoever traces the run; it costs little when nobody does."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Final

Tell = Callable[[str, float, float], None]
"""name, start in seconds since 1970, seconds"""

_tell: ContextVar[Tell | None] = ContextVar("tell", default=None)
_UNHEARD: Final[AbstractContextManager[None]] = nullcontext()


def span(name: str) -> AbstractContextManager[None]:
    """Time a `with` block, if the node it belongs to is traced."""
    tell = _tell.get()
    return _UNHEARD if tell is None else timed(name, tell)


@contextlib.contextmanager
def timed(name: str, tell: Tell) -> Iterator[None]:
    """Time a `with` block, also if it raises."""
    start, begin = time.time(), time.perf_counter()
    try:
        yield
    finally:
        tell(name, start, time.perf_counter() - begin)


@contextlib.contextmanager
def traced(tell: Tell | None) -> Iterator[None]:
    """Within the `with` block, in this thread or task, spans are told to `tell`."""
    token = _tell.set(tell)
    try:
        yield
    finally:
        _tell.reset(token)
