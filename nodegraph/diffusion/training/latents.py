"""Encode scenes once, train on them many times: a file of latents, memory-mapped, with what every row shows as a function of its number."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nodegraph.diffusion.models.vae import AutoencoderKL
from nodegraph.diffusion.training.batches import PictureStore, Stream, generator, to_signed
from nodegraph.diffusion.training.dataset import Dataset
from nodegraph.diffusion.training.scenes import Scene, SceneRecipe, paint
from nodegraph.diffusion.training.state import as_identity
from nodegraph.diffusion.weights import open_weights, save_weights
from nodegraph.errors import BadCheckpointState, BrokenWeights

CACHE_FILE = "latents.safetensors"


@dataclass(frozen=True)
class LatentSettings:
    """How many scenes of every picture are encoded, and which.

    size: edge in pixels; variants: scenes per picture; batch: pictures encoded at once
    """

    size: int = 128
    variants: int = 48
    scenes: SceneRecipe = field(default_factory=SceneRecipe)
    batch: int = 16


@dataclass(frozen=True)
class EncodeStep:
    """Progress of `encode_latents`, in pictures."""

    done: int
    total: int


@dataclass(frozen=True, eq=False)
class LatentCache:
    """latents: (N, C, h, w) float16 in model space, mapped from the file; row i is scene `scene(i)` of picture `picture(i)`."""

    latents: Tensor
    dataset: Dataset
    settings: LatentSettings
    seed: int

    def __len__(self) -> int:
        return len(self.latents)

    def picture(self, row: int) -> int:
        """Index of the data set entry that a row shows."""
        return row % len(self.dataset.entries)

    def scene(self, row: int) -> Scene:
        """The scene around it."""
        return scene_of(self.settings, self.seed, row)


def scene_of(settings: LatentSettings, seed: int, row: int) -> Scene:
    """Scenes are functions of the row's number, so that they need not be stored."""
    return settings.scenes.draw(generator(seed, Stream.SCENE, row))


def cache_identity(dataset: Dataset, settings: LatentSettings, seed: int, vae: str, scale: float) -> dict[str, Any]:
    """What a cache depends on. vae: hash of the autoencoder's weights."""
    return as_identity(kind="latents", settings=settings, seed=seed, data=dataset.fingerprint(), vae=vae, scale=scale)


def encode_latents(
    net: AutoencoderKL, dataset: Dataset, settings: LatentSettings, folder: Path, *, seed: int, vae: str, scale: float
) -> Iterator[EncodeStep]:
    """Write `folder/latents.safetensors`; does nothing if the same latents are already there. Closing it early leaves nothing behind.

    vae: hash of the weights of `net`; scale: latents are multiplied by it
    """
    identity = cache_identity(dataset, settings, seed, vae, scale)
    total = len(dataset.entries) * settings.variants
    if _is_there(folder, identity):
        yield EncodeStep(total, total)
        return
    store, rows = PictureStore(dataset), []
    for start in range(0, total, settings.batch):
        numbers = range(start, min(start + settings.batch, total))
        rows.append(_encode(net, store, settings, seed, numbers, scale))
        yield EncodeStep(numbers.stop, total)
    save_weights(folder / CACHE_FILE, {"latents": torch.cat(rows)}, {"identity": json.dumps(identity, sort_keys=True)})


def _encode(net: AutoencoderKL, store: PictureStore, settings: LatentSettings, seed: int, numbers: range, scale: float) -> Tensor:
    pictures = [store[row % len(store.dataset.entries)] for row in numbers]
    painted = [paint(picture, scene_of(settings, seed, row), settings.size) for picture, row in zip(pictures, numbers, strict=True)]
    with torch.no_grad():
        images = torch.cat([to_signed(pixels[None]) for pixels in painted])
        return (net.encode(images).mean.float() * scale).half()  # (B, C, h, w)


def open_latents(folder: Path, dataset: Dataset, settings: LatentSettings, *, seed: int, vae: str, scale: float) -> LatentCache:
    """The cache in `folder`. Raises `BadCheckpointState` if it is not there, broken, or of other pictures, settings or weights."""
    wanted = cache_identity(dataset, settings, seed, vae, scale)
    if not _is_there(folder, wanted):
        raise BadCheckpointState(f"{folder / CACHE_FILE} does not hold the latents of this data set", hint="encode the data set first")
    return LatentCache(open_weights(folder / CACHE_FILE).load()["latents"], dataset, settings, seed)


def _is_there(folder: Path, identity: Mapping[str, Any]) -> bool:
    path = folder / CACHE_FILE
    if not path.is_file():
        return False
    try:
        saved = json.loads(open_weights(path).metadata["identity"])
    except (BrokenWeights, KeyError, ValueError):
        return False
    return bool(saved == json.loads(json.dumps(identity)))
