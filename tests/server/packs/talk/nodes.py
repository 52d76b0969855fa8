"""Nodes whose runs have something to tell."""

from __future__ import annotations

import time

from nodegraph import Call, Context, Expand, Result, node


@node("talk/Steps", category="talk", cached=False)
def steps(ctx: Context, count: int = 4, seconds: float = 0.02) -> int:
    """Work in steps that can be cancelled, with a picture and a word of each."""
    import numpy as np

    walk = ctx.track(range(count), preview=lambda step: np.full((8, 12, 3), step % 256, np.uint8), text=lambda step: f"step {step}")
    for _ in walk:
        time.sleep(seconds)
    return count


@node("talk/Fail", category="talk")
def fail(value: int = 0) -> int:
    """Never succeed."""
    raise KeyError(f"no {value}")


@node("talk/Twice", category="talk")
def twice(value: int) -> int | Expand:
    """Do its work with two other nodes."""
    return Expand({"one": Call("Integer", {"value": value}), "two": Call("talk/Steps", {"count": value})}, {"int": Result("two", "int")})


@node("talk/Secret", category="talk", cached=False)
def secret(ctx: Context, name: str) -> int:
    """How long a secret is."""
    return len(ctx.secret(name) or "")
