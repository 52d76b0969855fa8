"""Entries of a conditioning: what is said, where in the picture, when in the run, and how strongly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from nodegraph.diffusion.regions import Area, Mask
from nodegraph.errors import InputRefused


@dataclass(frozen=True, eq=False)
class Prompt:
    """One conditioning entry.

    context: (1, L, D) or (B, L, D) token states of the text encoder
    pooled: (1, P) or (B, P) vector for models that take one, else None
    strength: weight against other entries at the same place
    area: the part of the latent that the network sees for this entry, None for all of it
    mask: weight per latent pixel
    start, end: fractions of the schedule between which the entry takes part
    extras: more inputs of the network by name, such as "concat" (1, C, h, w) for an inpainting model; tensors are repeated to the batch and
        cut to `area` where they are as large as the latent
    control: anything that hooks of the network read for the rows of this entry (control nets); entries share a model call only if equal
    """

    context: Tensor
    pooled: Tensor | None = None
    strength: float = 1.0
    area: Area | None = None
    mask: Mask | None = None
    start: float = 0.0
    end: float = 1.0
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    control: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if self.context.ndim != 3:
            raise InputRefused(f"a prompt's context must be (1, tokens, width), got {tuple(self.context.shape)}")


def fill_counterparts(positive: Sequence[Prompt], negative: Sequence[Prompt]) -> tuple[list[Prompt], list[Prompt]]:
    """Give every entry with an area one on the other side with the same area, so that both branches see the same crop.

    The counterpart takes region and strength from the entry, and what is said from the smallest entry of its own side that covers the area.
    """
    full_negative = [*negative, *_counterparts(positive, negative)]
    full_positive = [*positive, *_counterparts(negative, positive)]
    return full_positive, full_negative


def _counterparts(entries: Sequence[Prompt], others: Sequence[Prompt]) -> list[Prompt]:
    found: list[Prompt] = []
    for entry in entries:
        cover = _smallest_cover(entry.area, [*others, *found]) if entry.area else None
        if cover is not None and cover.area != entry.area:
            found.append(replace(cover, strength=entry.strength, area=entry.area, mask=entry.mask, start=entry.start, end=entry.end))
    return found


def _smallest_cover(area: Area, entries: Sequence[Prompt]) -> Prompt | None:
    covering = [e for e in entries if e.area is None or e.area.holds(area)]
    return min(covering, key=lambda e: (e.area is None, e.area.height * e.area.width if e.area else 0), default=None)
