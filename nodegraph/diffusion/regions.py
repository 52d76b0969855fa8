"""Where in the latent a conditioning entry counts, and how much: areas, masks and the weights made from them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from nodegraph.errors import InputRefused

FEATHER = 8  # latent pixels over which an area fades at an edge inside the picture


@dataclass(frozen=True)
class Area:
    """A rectangle of the latent, in latent pixels."""

    height: int
    width: int
    y: int = 0
    x: int = 0

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1 or self.y < 0 or self.x < 0:
            raise InputRefused(f"an area must have a size of 1 or more and a corner of 0 or more, got {self}")

    @staticmethod
    def of_fractions(height: float, width: float, y: float, x: float, latent: Tensor) -> Area:
        """From fractions of the picture's size."""
        h, w = latent.shape[-2:]
        return Area(max(1, round(height * h)), max(1, round(width * w)), round(y * h), round(x * w))

    @property
    def slices(self) -> tuple[slice, slice, slice, slice]:
        return slice(None), slice(None), slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)

    def crop(self, latent: Tensor) -> Tensor:
        return latent[self.slices]

    def holds(self, other: Area) -> bool:
        return (
            self.y <= other.y
            and self.x <= other.x
            and self.y + self.height >= other.y + other.height
            and self.x + self.width >= other.x + other.width
        )

    def clipped(self, latent: Tensor) -> Area:
        """The part that lies inside the latent; raises InputRefused if there is none."""
        h, w = latent.shape[-2:]
        if self.y >= h or self.x >= w:
            where = f"the area starts at ({self.y}, {self.x}), outside the latent of {h} x {w}"
            raise InputRefused(where, hint="move the area or enlarge the latent")
        return Area(min(self.height, h - self.y), min(self.width, w - self.x), self.y, self.x)


@dataclass(frozen=True, eq=False)
class Mask:
    """A weight per pixel for a conditioning entry.

    data: (1 or B, H, W), 0..1; resized to the latent bilinearly
    strength: multiplied in
    to_bounds: let the network see only the rectangle around the mask
    """

    data: Tensor
    strength: float = 1.0
    to_bounds: bool = False

    def at(self, latent: Tensor) -> Tensor:
        """(B, 1, h, w) on the latent's device."""
        data = resize_mask(self.data, latent)
        return data * self.strength


def resize_mask(mask: Tensor, latent: Tensor) -> Tensor:
    """(H, W), (N, H, W) or (N, 1, H, W) -> (B, 1, h, w) like the latent, bilinear, rows repeated in turn."""
    data = mask.reshape(-1, 1, *mask.shape[-2:]).to(latent)
    if data.shape[-2:] != latent.shape[-2:]:
        data = interpolate(data, size=latent.shape[-2:], mode="bilinear")
    batch = latent.shape[0]
    return data.repeat(-(-batch // data.shape[0]), 1, 1, 1)[:batch]


def region_weight(area: Area | None, mask: Mask | None, strength: float, x: Tensor) -> tuple[Area | None, Tensor]:
    """The rectangle that the network sees and the weight of its answer there, broadcastable to the crop of x.

    An area without a mask fades over its outer 8 pixels (or a quarter of it) on the sides that lie inside the picture.
    """
    area = area.clipped(x) if area else None
    weight = torch.full((x.shape[0], 1, *x.shape[2:]), float(strength), device=x.device, dtype=x.dtype)
    if mask is not None:
        whole = mask.at(x)
        if mask.to_bounds and area is None:
            area = _bounds(whole)
        weight = weight * whole
    weight = area.crop(weight) if area else weight
    if area and mask is None:
        weight = weight * _feather(area.height, area.y, x.shape[2], x).reshape(1, 1, -1, 1)
        weight = weight * _feather(area.width, area.x, x.shape[3], x).reshape(1, 1, 1, -1)
    return area, weight


def _feather(size: int, offset: int, whole: int, like: Tensor) -> Tensor:
    """(size,) ramp up from an inner start and down to an inner end."""
    ramp = torch.ones(size, device=like.device, dtype=like.dtype)
    reach = min(FEATHER, size // 4)
    rise = torch.arange(1, reach + 1, device=like.device, dtype=like.dtype) / max(reach, 1)
    if offset > 0:
        ramp[:reach] *= rise
    if offset + size < whole:
        ramp[size - reach :] *= rise.flip(0)
    return ramp


def _bounds(mask: Tensor) -> Area | None:
    """The rectangle around all non-zero pixels of (B, 1, h, w); None for an empty mask."""
    rows = (mask != 0).any(dim=(0, 1, 3)).nonzero().flatten()
    columns = (mask != 0).any(dim=(0, 1, 2)).nonzero().flatten()
    if len(rows) == 0:
        return None
    y, x = int(rows[0]), int(columns[0])
    return Area(int(rows[-1]) + 1 - y, int(columns[-1]) + 1 - x, y, x)
