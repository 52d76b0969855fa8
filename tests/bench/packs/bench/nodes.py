"""Nodes that do nothing, or only wait."""

from __future__ import annotations

import time

from nodegraph import Context, node


@node("bench/Pass", category="bench")
def pass_on(a: int, b: int = 0) -> int:
    """Return the first number."""
    return a


@node("bench/Sink", category="bench", output=True)
def sink(a: int, b: int = 0) -> None:
    """Take a number."""


@node("bench/Sleep", category="bench")
def sleep(a: int, seconds: float = 0.5) -> int:
    """Wait."""
    time.sleep(seconds)
    return a


@node("bench/Clock", category="bench", cached=False, output=True)
def clock(ctx: Context, a: int, seconds: float = 0.02) -> None:
    """Wait, and show what time it is."""
    time.sleep(seconds)
    ctx.show("text", text=repr(time.time()))
