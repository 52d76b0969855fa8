"""Working in tiles gives what working on the whole picture gives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nodegraph.diffusion.tiles import in_tiles


def blur(x: Tensor) -> Tensor:
    """A network that sees 3 pixels around each, and doubles the size."""
    kernel = torch.ones(3, 1, 7, 7) / 49
    padded = F.pad(x, (3, 3, 3, 3), mode="replicate")
    return F.interpolate(F.conv2d(padded, kernel, groups=3), scale_factor=2.0, mode="nearest")


@pytest.mark.parametrize(("height", "width"), [(20, 20), (64, 100), (33, 65), (200, 31)])
def test_a_network_that_sees_less_than_a_quarter_of_the_overlap_gives_the_same(height: int, width: int) -> None:
    x = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    whole, tiled = blur(x), in_tiles(blur, x, 2, tile=32, overlap=16)
    assert tiled.shape == whole.shape
    assert torch.allclose(tiled, whole, atol=1e-5)


def test_one_tile_is_the_whole_exactly() -> None:
    x = torch.rand(2, 3, 24, 24)
    assert torch.equal(in_tiles(blur, x, 2, tile=32, overlap=8), blur(x))


def test_every_tile_is_tracked() -> None:
    x = torch.rand(1, 3, 64, 64)
    seen: list[object] = []

    def track(places: list[object]) -> list[object]:
        seen.extend(places)
        return places

    in_tiles(blur, x, 2, tile=32, overlap=0, track=track)
    assert len(seen) == 4
