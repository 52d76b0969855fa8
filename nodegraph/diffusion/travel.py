"""A way through several stops, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

Ease = Literal["even", "smooth"]


class Place(NamedTuple):
    """Where a frame is: `share` of the way from stop `start` to stop `end`, 0 at the first one."""

    start: int
    end: int
    share: float


def way(stops: int, frames: int, loop: bool, ease: Ease) -> Iterator[Place]:
    """The place of every frame of a way through `stops`, `frames` from each to the next.

    loop: go on from the last stop to the first, up to just before it: stops * frames places. Else the last stop is the last place:
        (stops - 1) * frames + 1 places
    ease: "even" moves by the same share every frame, "smooth" slows down around stops: (1 - cos(pi * share)) / 2
    """
    for leg in range(stops if loop else stops - 1):
        for frame in range(frames):
            yield Place(leg, (leg + 1) % stops, _eased(frame / frames, ease))
    if not loop:
        yield Place(stops - 1, stops - 1, 0.0)


def _eased(share: float, ease: Ease) -> float:
    return share if ease == "even" else (1 - math.cos(math.pi * share)) / 2
