"""Batches of pictures of one shape: everything is seen, nothing is squeezed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nodegraph.diffusion.models.vae import AutoencoderKL
from nodegraph.diffusion.models.vae_config import VaeConfig
from nodegraph.diffusion.training.buckets import Batches, bucket_of, bucket_sizes
from nodegraph.diffusion.training.dataset import Dataset, Entry, read_dataset
from nodegraph.diffusion.training.latents import LatentSettings, encode_latents, open_latents
from nodegraph.errors import BadValue

VAE = VaeConfig(ch=8, ch_mult=(1, 2, 2), num_res_blocks=1, norm_groups=2)


@given(st.integers(1, 40), st.floats(1, 4))
def test_sizes_keep_the_budget_the_step_and_the_aspect(edge: int, aspect: float) -> None:
    sizes = bucket_sizes(edge * 32, aspect)
    assert sizes[0] == (edge * 32, edge * 32)
    assert len(set(sizes)) == len(sizes)
    assert all(side % 32 == 0 for size in sizes for side in size)
    assert all(width * height <= (edge * 32) ** 2 for width, height in sizes)
    assert all(max(size) / min(size) <= aspect + 1e-5 for size in sizes)
    assert {(height, width) for width, height in sizes} == set(sizes)


def test_a_size_that_no_network_takes_is_refused() -> None:
    with pytest.raises(BadValue, match="130 pixels is not divisible by 32"):
        bucket_sizes(130, 2.0)


def test_photos_go_where_they_fit_and_cutouts_to_the_square() -> None:
    sizes = bucket_sizes(256, 2.0)
    wide, tall = Entry("a", width=1600, height=900, cutout=False), Entry("b", width=900, height=1600, cutout=False)
    assert sizes[bucket_of(wide, sizes)][0] > sizes[bucket_of(wide, sizes)][1]
    assert sizes[bucket_of(tall, sizes)][0] < sizes[bucket_of(tall, sizes)][1]
    assert bucket_of(Entry("c", width=1600, height=900, cutout=True), sizes) == 0


@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.integers(1, 8), st.integers(0, 2**32))
def test_a_pass_shows_every_row_and_a_batch_is_of_one_bucket(counts: list[int], batch: int, seed: int) -> None:
    starts = np.cumsum([0, *counts])
    rows = tuple(tuple(range(start, start + count)) for start, count in zip(starts, counts, strict=False))
    batches = Batches(rows, batch, seed)
    for number in range(2):
        drawn = [batches.at(number * batches.steps + step) for step in range(batches.steps)]
        seen = Counter(int(row) for part in drawn for row in part)
        assert set(seen) == set(range(sum(counts)))
        assert all(len({int(np.searchsorted(starts, row, "right")) for row in part}) == 1 for part in drawn)
        assert sum(seen.values()) == batch * batches.steps


def photos(folder: Path) -> Dataset:
    folder.mkdir()
    for name, size in (("wide", (80, 40)), ("tall", (40, 80)), ("square", (64, 64))):
        Image.new("RGB", size, (200, 30, 60)).save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(f"a {name} photo")
    return read_dataset(folder)


def test_latents_of_photos_have_the_shape_of_their_bucket(tmp_path: Path) -> None:
    data, settings = photos(tmp_path / "photos"), LatentSettings(size=64, variants=3, batch=2)
    torch.manual_seed(0)
    facts = {"seed": 0, "vae": "abc", "scale": 1.0}
    steps = list(encode_latents(AutoencoderKL(VAE), data, settings, tmp_path, **facts))  # type: ignore[arg-type]
    assert steps[-1].done == steps[-1].total == 9
    cache = open_latents(tmp_path, data, settings, **facts)  # type: ignore[arg-type]
    for row in range(len(cache)):
        entry, latent = data.entries[cache.picture(row)], cache.take(np.array([row]))[0]
        assert (latent.shape[2] > latent.shape[1]) == (entry.width > entry.height)
        assert (latent.shape[2] < latent.shape[1]) == (entry.width < entry.height)
    assert len(cache.batches(2, 0).rows) == 3
