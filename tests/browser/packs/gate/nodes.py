"""Nodes that a test holds and lets go."""

from __future__ import annotations

import time
from itertools import count
from pathlib import Path

from nodegraph import Context, node

PAUSE = 0.02


@node("gate/Wait", category="gate", cached=False)
def wait(ctx: Context, file: str, value: int = 0) -> int:
    """Work in small steps, each with a picture, until a file is there.

    file: whose coming ends the work
    """
    import numpy as np

    walk = ctx.track(count(), preview=lambda step: np.full((48, 64, 3), 40 + step % 180, np.uint8))
    for _ in walk:
        if Path(file).exists():
            return value
        time.sleep(PAUSE)
    return value


@node("gate/Show", category="gate", output=True)
def show(ctx: Context, value: int) -> None:
    """Show a number."""
    ctx.show("text", text=f"it is {value}")
