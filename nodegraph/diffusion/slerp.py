"""Between two vectors along the arc from one to the other: for directions and for noise, which plain mixing would weaken."""

from __future__ import annotations

import torch
from torch import Tensor

PARALLEL = 1e-4  # rad; below this angle, or this near to opposite, a great circle between two directions is not well defined


def slerp(a: Tensor, b: Tensor, part: Tensor) -> Tensor:
    """Between vectors along the last axis: direction along the great circle (Shoemake 1985), length linear; part 0 is a, 1 is b.

    Where the great circle is not defined (same or opposite directions, a length of 0) the mix is linear.
    """
    length_a, length_b = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    tiny = torch.finfo(a.dtype).tiny
    unit_a, unit_b = a / length_a.clamp(min=tiny), b / length_b.clamp(min=tiny)
    # twice the half-chord's angle: exact for small angles, where acos of the dot product is not
    angle = 2 * torch.atan2((unit_a - unit_b).norm(dim=-1, keepdim=True), (unit_a + unit_b).norm(dim=-1, keepdim=True))
    sine = angle.sin()
    plain = (sine.abs() < PARALLEL) | (length_a == 0) | (length_b == 0)
    safe = torch.where(plain, torch.ones_like(sine), sine)
    direction = (((1 - part) * angle).sin() * unit_a + (part * angle).sin() * unit_b) / safe
    return torch.where(plain, torch.lerp(a, b, part.expand_as(a)), direction * torch.lerp(length_a, length_b, part))
