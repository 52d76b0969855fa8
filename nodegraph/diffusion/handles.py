"""Handles to weights: which file, which part, and a recipe of patches. Cheap, frozen, picklable; no weights are touched.

Only `with ctx.load(handle) as net:` makes one real (`nodegraph.diffusion.store`). No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from nodegraph.types import socket


@dataclass(frozen=True)
class WeightsRef:
    """A weights file in the state it had when a node looked at it."""

    path: Path
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> WeightsRef:
        stat = path.stat()
        return cls(path, stat.st_size, stat.st_mtime_ns)

    @property
    def name(self) -> str:
        return self.path.name


@dataclass(frozen=True)
class SamplingChange:
    """What is taken otherwise than the weights file says; None as it says.

    prediction: what the network predicts; zero_terminal_snr: whether the noise schedule ends in pure noise
    shift: towards more noise, of a network that predicts a flow
    """

    prediction: Literal["eps", "v", "x0"] | None = None
    zero_terminal_snr: bool | None = None
    shift: float | None = None


@socket("model", color="#ba68c8", handle=True)
@dataclass(frozen=True)
class Model:
    """A denoising network with its noise schedule. patches: applied in order while it is loaded, the first outermost.

    A patch is an `AttnPatch` or `BlockPatch` (see `nodegraph.diffusion.models.attention`), wrapped in `Patch` with its kind.
    """

    weights: WeightsRef
    patches: tuple[Patch, ...] = ()
    sampling: SamplingChange = SamplingChange()

    def patched(self, *patches: Patch) -> Model:
        """A new handle with more patches; this one stays as it is."""
        return replace(self, patches=(*self.patches, *patches))


@dataclass(frozen=True)
class Patch:
    """One layer of the onion around a network: `call` gets `(call, proceed)` at every "attention" or every "block"."""

    kind: str
    call: Any = field(compare=True)


@socket("clip", color="#ffd54f", handle=True)
@dataclass(frozen=True)
class TextEncoder:
    """A text encoder with its tokenizer. layer: which hidden state is used, -1 the last (`CLIPSkip` changes it).

    more: files of further encoders, whose states are joined with those of the first
    """

    weights: WeightsRef
    layer: int | None = None
    more: tuple[WeightsRef, ...] = ()


@socket("vae", color="#e57373", handle=True)
@dataclass(frozen=True)
class Vae:
    """An autoencoder between pictures and latents."""

    weights: WeightsRef


@socket("upscaler", color="#4db6ac", handle=True)
@dataclass(frozen=True)
class Upscaler:
    """A network that enlarges pictures by a fixed factor."""

    weights: WeightsRef


@socket("image_text_encoder", color="#9fa8da", handle=True)
@dataclass(frozen=True)
class ImageTextEncoder:
    """A pair of networks that says how well a picture and a text go together."""

    weights: WeightsRef


@socket("dataset", color="#aed581", handle=True)
@dataclass(frozen=True)
class TrainingSet:
    """A folder of captioned pictures to train on."""

    folder: Path
