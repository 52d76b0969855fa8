"""What flows between diffusion nodes: frozen, shape-checked values over read-only NumPy arrays in host memory.

No value holds device memory, so a cache entry never pins an accelerator, nothing can be changed downstream, and picture nodes, codecs
and replays from disk need no torch. Nodes turn them into tensors while they work (`nodegraph.diffusion.tensors`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nodegraph.errors import InputRefused
from nodegraph.types import declare_cast, socket

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


def _freeze(owner: str, name: str, array: Any, shape: str, ndim: int) -> None:
    """Check an array of a value and make it read-only. Raises InputRefused naming the class, what it wants and what came."""
    got = f"{getattr(array, 'dtype', type(array).__name__)} {tuple(getattr(array, 'shape', ()))}"
    if type(array).__module__ != "numpy" or array.dtype.name != "float32" or array.ndim != ndim:
        raise InputRefused(f"{owner}.{name} must be a float32 array of shape {shape}, not {got}")
    if 0 in array.shape:
        raise InputRefused(f"{owner}.{name} is empty: {got}", hint="give at least one picture of at least one pixel")
    array.flags.writeable = False


@socket("image", color="#64b5f6")
@dataclass(frozen=True, eq=False)
class Image:
    """Pictures. data: (B, H, W, 3) float32, red green blue in 0..1, read-only."""

    data: Floats

    def __post_init__(self) -> None:
        _freeze("Image", "data", self.data, "(B, H, W, 3)", 4)
        if self.data.shape[3] != 3:
            raise InputRefused(f"Image.data must have 3 channels, not {self.data.shape[3]}")

    def __len__(self) -> int:
        return int(self.data.shape[0])

    @property
    def height(self) -> int:
        return int(self.data.shape[1])

    @property
    def width(self) -> int:
        return int(self.data.shape[2])

    def require_same_size(self, other: Image) -> None:
        """Raises InputRefused if height or width differ."""
        if (self.height, self.width) != (other.height, other.width):
            raise InputRefused(
                f"the pictures differ in size: {self.width}x{self.height} and {other.width}x{other.height}",
                hint="put `ImageScale` before one of them",
            )


@socket("mask", color="#b0bec5")
@dataclass(frozen=True, eq=False)
class Mask:
    """Where something applies. data: (B, H, W) float32 in 0..1, 1 = fully there, read-only."""

    data: Floats

    def __post_init__(self) -> None:
        _freeze("Mask", "data", self.data, "(B, H, W)", 3)


@socket("latent", color="#f06292")
@dataclass(frozen=True, eq=False)
class Latent:
    """Latents as the autoencoder gives them (before its scale factor). data: (B, C, h, w) float32; h = H / 8 for Stable Diffusion.

    mask: (B or 1, H, W) float32 or None; where sampling may change something
    batch_index: which rows of a larger batch these are, so that each keeps its noise
    """

    data: Floats
    mask: Floats | None = None
    batch_index: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        _freeze("Latent", "data", self.data, "(B, C, h, w)", 4)
        if self.mask is not None:
            _freeze("Latent", "mask", self.mask, "(B, H, W)", 3)

    def __len__(self) -> int:
        return int(self.data.shape[0])

    def with_data(self, data: Floats) -> Latent:
        """The same mask and batch index over other latents."""
        return replace(self, data=data)


@dataclass(frozen=True, eq=False)
class Cond:
    """One entry of a conditioning. context: (1, tokens, D) float32; pooled: (1, P) float32 or None; start, end: fractions of the run."""

    __storable__ = True

    context: Floats
    pooled: Floats | None = None
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        _freeze("Cond", "context", self.context, "(1, tokens, D)", 3)
        if self.pooled is not None:
            _freeze("Cond", "pooled", self.pooled, "(1, P)", 2)


@socket("conditioning", color="#ffb74d")
@dataclass(frozen=True, eq=False)
class Conditioning:
    """What guides a denoiser: one or more encoded prompts, each with where and when it applies."""

    entries: tuple[Cond, ...]

    def __post_init__(self) -> None:
        if not self.entries:
            raise InputRefused("a conditioning needs at least one entry")


def mask_to_image(mask: Mask) -> Image:
    """A mask as a grey picture."""
    import numpy as np

    return Image(np.repeat(mask.data[..., None], 3, axis=-1))


declare_cast(Image, Mask, mask_to_image)
