"""Encode scenes once, train on them many times: a file of latents, memory-mapped, with what every row shows as a function of its number."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nodegraph.diffusion.models.vae import AutoencoderKL
from nodegraph.diffusion.training.batches import PictureStore, Shot, Stream, generator, paint_shot, shoot, to_signed
from nodegraph.diffusion.training.buckets import Batches, Size, bucket_of, bucket_sizes
from nodegraph.diffusion.training.dataset import Dataset
from nodegraph.diffusion.training.loop import arithmetic
from nodegraph.diffusion.training.scenes import Pixels, SceneRecipe
from nodegraph.diffusion.training.state import as_identity
from nodegraph.diffusion.weights import open_weights, save_weights
from nodegraph.errors import BadCheckpointState, BrokenWeights

CACHE_FILE = "latents.safetensors"


@dataclass(frozen=True)
class LatentSettings:
    """How many scenes of every picture are encoded, and which.

    size: edge in pixels; variants: scenes per picture; batch: pictures encoded at once
    aspect: photos keep their shape up to this ratio of their sides, with about as many pixels; 1 crops them to squares
    """

    size: int = 128
    variants: int = 16
    aspect: float = 2.0
    scenes: SceneRecipe = field(default_factory=SceneRecipe)
    batch: int = 16


@dataclass(frozen=True)
class EncodeStep:
    """Progress of `encode_latents`, in pictures."""

    done: int
    total: int


@dataclass(frozen=True, eq=False)
class LatentCache:
    """Row i is scene `shot(i)` of picture `picture(i)`, a latent in model space.

    buckets: for each size in pixels (N, C, h, w) float16, mapped from the file; places: of each row, (bucket, place in it)
    """

    buckets: tuple[Tensor, ...]
    places: NDArray[np.int64]
    dataset: Dataset
    settings: LatentSettings
    seed: int

    def __len__(self) -> int:
        return len(self.places)

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, h, w) of the first bucket."""
        return tuple(next(bucket for bucket in self.buckets if len(bucket)).shape[1:])

    def take(self, rows: NDArray[np.int64]) -> Tensor:
        """(B, C, h, w) float32, of rows of one bucket."""
        (bucket,) = set(self.places[rows, 0])
        latents: Tensor = self.buckets[bucket][torch.from_numpy(self.places[rows, 1])]
        return latents.float()

    def batches(self, size: int, seed: int) -> Batches:
        """All rows in batches of this size."""
        held = (np.flatnonzero(self.places[:, 0] == bucket) for bucket in range(len(self.buckets)))
        return Batches(tuple(tuple(rows.tolist()) for rows in held if len(rows)), size, seed)

    def picture(self, row: int) -> int:
        """Index of the data set entry that a row shows."""
        return row % len(self.dataset.entries)

    def shot(self, row: int) -> Shot:
        """The scene around it."""
        return shot_of(self.dataset, self.settings, self.seed, row)


def places_of(dataset: Dataset, settings: LatentSettings) -> NDArray[np.int64]:
    """(rows, 2): bucket of each row and its place in there; follows from the shapes of the pictures."""
    sizes = bucket_sizes(settings.size, settings.aspect)
    buckets = np.tile([bucket_of(entry, sizes) for entry in dataset.entries], settings.variants)
    places = np.zeros(len(buckets), dtype=np.int64)
    for bucket in range(len(sizes)):
        places[buckets == bucket] = np.arange((buckets == bucket).sum())
    return np.stack([buckets, places], axis=1)


def shot_of(dataset: Dataset, settings: LatentSettings, seed: int, row: int) -> Shot:
    """Scenes are functions of the row's number, so that they need not be stored."""
    return shoot(dataset, row % len(dataset.entries), settings.scenes, generator(seed, Stream.SCENE, row))


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
    done, parts = (
        0,
        {f"{width}x{height}": [_nothing(net, (width, height))] for width, height in bucket_sizes(settings.size, settings.aspect)},
    )
    for (width, height), latents in _encoded(net, dataset, settings, seed, scale):
        parts[f"{width}x{height}"].append(latents)
        done += len(latents)
        yield EncodeStep(done, total)
    tensors = {name: torch.cat(found) for name, found in parts.items()}
    save_weights(folder / CACHE_FILE, tensors, {"identity": json.dumps(identity, sort_keys=True)})


def _encoded(net: AutoencoderKL, dataset: Dataset, settings: LatentSettings, seed: int, scale: float) -> Iterator[tuple[Size, Tensor]]:
    """Latents of all rows in their order within each bucket, a batch at a time, with the size they are of."""
    buckets, store = places_of(dataset, settings)[:, 0], PictureStore(dataset)
    for bucket, size in enumerate(bucket_sizes(settings.size, settings.aspect)):
        rows = np.flatnonzero(buckets == bucket).tolist()
        for start in range(0, len(rows), settings.batch):
            shots = [shot_of(dataset, settings, seed, row) for row in rows[start : start + settings.batch]]
            yield size, _encode(net, [paint_shot(store, shot, size) for shot in shots], scale)


def _nothing(net: AutoencoderKL, size: Size) -> Tensor:
    """(0, C, h, w): the latents of no picture."""
    return torch.zeros(0, net.config.embed_dim, size[1] // net.config.factor, size[0] // net.config.factor, dtype=torch.float16)


def _encode(net: AutoencoderKL, painted: Sequence[Pixels], scale: float) -> Tensor:
    """(B, C, h, w) of pictures of one size."""
    device = next(net.parameters()).device
    with torch.no_grad(), arithmetic(bf16=True, device=device.type):
        images = torch.cat([to_signed(pixels[None]) for pixels in painted]).to(device)
        return (net.encode(images).mean.float() * scale).half().cpu()


def open_latents(folder: Path, dataset: Dataset, settings: LatentSettings, *, seed: int, vae: str, scale: float) -> LatentCache:
    """The cache in `folder`. Raises `BadCheckpointState` if it is not there, broken, or of other pictures, settings or weights."""
    wanted = cache_identity(dataset, settings, seed, vae, scale)
    if not _is_there(folder, wanted):
        raise BadCheckpointState(f"{folder / CACHE_FILE} does not hold the latents of this data set", hint="encode the data set first")
    tensors = open_weights(folder / CACHE_FILE).load()
    sizes = bucket_sizes(settings.size, settings.aspect)
    buckets = tuple(tensors[f"{width}x{height}"] for width, height in sizes)
    return LatentCache(buckets, places_of(dataset, settings), dataset, settings, seed)


def _is_there(folder: Path, identity: Mapping[str, Any]) -> bool:
    path = folder / CACHE_FILE
    if not path.is_file():
        return False
    try:
        saved = json.loads(open_weights(path).metadata["identity"])
    except (BrokenWeights, KeyError, ValueError):
        return False
    return bool(saved == json.loads(json.dumps(identity)))
