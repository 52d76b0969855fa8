"""Nodes that do nothing, or only wait."""

from __future__ import annotations

import time
from typing import Annotated

from nodegraph import Context, Text, node


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


@node("bench/Text", category="bench")
def text(text: Annotated[str, Text()] = "") -> str:
    """Return a text."""
    return text


@node("bench/Talk", category="bench", cached=False, output=True)
def talk(ctx: Context, a: int, seconds: float = 10.0, rate: float = 200.0) -> None:
    """Say how far it is, `rate` times a second; late ones are made up for."""
    begin = time.monotonic()
    for i in range(1, round(seconds * rate) + 1):
        time.sleep(max(0.0, begin + i / rate - time.monotonic()))
        ctx.progress(i, i)
