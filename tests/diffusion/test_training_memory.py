"""What a training step will take is known before it is tried."""

from __future__ import annotations

from pathlib import Path

import pytest
from pictures_with_words import write_shapes

from nodegraph.diffusion.models.vae_config import VaeConfig
from nodegraph.diffusion.training.dataset import read_dataset
from nodegraph.diffusion.training.loop import LoopSettings, parameters
from nodegraph.diffusion.training.memory import StepMemory, check_memory, free_memory, step_memory
from nodegraph.diffusion.training.vae import VaeSettings, VaeTask
from nodegraph.errors import OutOfMemory

SETTINGS = LoopSettings(steps=1)


def task(folder: Path, size: int = 32, batch: int = 6) -> VaeTask:
    config = VaeConfig(ch=8, ch_mult=(1, 2, 2), num_res_blocks=1, norm_groups=2)
    return VaeTask(
        read_dataset(write_shapes(folder / f"shapes{size}-{batch}")), VaeSettings(size=size, batch=batch, crop=16, early_steps=3), config
    )


def test_it_grows_with_the_picture_and_not_with_the_batch(tmp_path: Path) -> None:
    small, large, many = (step_memory(task(tmp_path, size, batch), SETTINGS) for size, batch in ((32, 2), (64, 2), (32, 8)))
    assert small == many
    assert small.fixed == large.fixed > 4 * sum(value.nbytes for value in parameters(task(tmp_path, 32, 1).net).values())
    assert large.item == pytest.approx(4 * small.item, rel=0.25)


def test_probing_changes_nothing(tmp_path: Path) -> None:
    probed = task(tmp_path)
    before = {name: value.clone() for name, value in parameters(probed.net).items()}
    first = step_memory(probed, SETTINGS)
    assert step_memory(probed, SETTINGS) == first
    assert all(before[name].equal(value) and value.grad is None for name, value in parameters(probed.net).items())
    assert probed.settings.batch == 6


def test_too_large_a_batch_is_refused_with_one_that_fits(tmp_path: Path) -> None:
    given = task(tmp_path)
    need = step_memory(given, SETTINGS)
    with pytest.raises(OutOfMemory, match="a step with a batch of 6 would take") as caught:
        check_memory(given, SETTINGS, lambda device: need.total(3))
    assert caught.value.hint == "a batch of 3, accumulated 2 times, does the same"
    with pytest.raises(OutOfMemory) as caught:
        check_memory(given, SETTINGS, lambda device: need.fixed)
    assert "smaller" in caught.value.hint
    assert check_memory(given, SETTINGS) == need
    assert free_memory(given.device) > need.total(6)


def test_the_largest_batch_fits_and_one_more_does_not() -> None:
    need = StepMemory(fixed=1000, item=300)
    fits = need.largest_batch(2000)
    assert need.total(fits) <= 2000 < need.total(fits + 1)
    assert need.largest_batch(10) == 0
