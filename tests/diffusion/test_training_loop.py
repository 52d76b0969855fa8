"""The training loop: it learns, resumes exactly, saves when cancelled, and never loses a sound state."""

from __future__ import annotations

import json
import math
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from nodegraph.diffusion.training.batches import Stream, indices, torch_generator
from nodegraph.diffusion.training.loop import LoopSettings, Task, averaged, train
from nodegraph.diffusion.training.optimiser import OptimiserSettings, matrices, orthogonalised
from nodegraph.diffusion.training.state import STATE_FILE, load_state
from nodegraph.errors import BadCheckpointState, Cancelled, TrainingDiverged, WriteFailed

QUICK = {"lr": 0.05, "schedule": "constant", "warmup": 2, "bf16": False, "average": 0.9}


class LineTask(Task):
    """Fit y = 2a - b; optionally a step whose loss is no number."""

    def __init__(self, seed: int = 0, broken_step: int | None = None, identity: str = "line") -> None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))
        self.identity = {"kind": identity, "seed": seed}
        self.seed, self.broken_step = seed, broken_step

    def loss(self, step: int) -> Tensor:
        x = torch.randn(16, 2, generator=torch_generator(self.seed, Stream.NOISE, step))
        loss = (self.net(x)[:, 0] - (2 * x[:, 0] - x[:, 1])).square().mean()
        return loss * math.nan if step == self.broken_step else loss

    def samples(self) -> np.ndarray:
        value = self.net(torch.ones(1, 2)).item()
        return np.full((1, 2, 2, 3), int(min(255, abs(value) * 50)), dtype=np.uint8)


def losses(task: Task, folder: Path, steps: int, total: int | None = None, **options: object) -> list[float]:
    """Losses of at most `steps` steps of a run of `total`, which is then closed."""
    run = train(task, LoopSettings(steps=total or steps, **{**QUICK, **options}), folder)  # type: ignore[arg-type]
    found = [next(run).loss for _ in range(steps)]
    run.close()
    return found


OPTIMISERS = [OptimiserSettings("adamw"), OptimiserSettings("muon", weight_decay=0.01)]


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_the_loss_falls(tmp_path: Path, optimiser: OptimiserSettings) -> None:
    found = losses(LineTask(), tmp_path, 150, optimiser=optimiser, lr=0.02)
    assert np.mean(found[-20:]) < 0.1 * np.mean(found[:5])


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_an_interrupted_run_repeats_the_uninterrupted_one_bit_for_bit(tmp_path: Path, optimiser: OptimiserSettings) -> None:
    whole = losses(LineTask(), tmp_path / "whole", 9, optimiser=optimiser, accumulate=2)
    parts = losses(LineTask(), tmp_path / "parts", 4, total=9, optimiser=optimiser, accumulate=2)
    parts += losses(LineTask(), tmp_path / "parts", 5, total=9, optimiser=optimiser, accumulate=2)
    assert parts == whole
    first, second = load_state(tmp_path / "whole"), load_state(tmp_path / "parts")
    assert first is not None
    assert second is not None
    assert all(torch.equal(first.average[name], second.average[name]) for name in first.average)
    assert second.losses == whole
    assert second.step == 9


def test_a_run_may_change_its_optimiser(tmp_path: Path) -> None:
    before = losses(LineTask(), tmp_path, 30, total=90, optimiser=OPTIMISERS[1], lr=0.02)
    after = losses(LineTask(), tmp_path, 60, total=90, optimiser=OPTIMISERS[0], lr=0.02)
    assert np.mean(after[-10:]) < np.mean(before[-10:])


class Halves(LineTask):
    """The batch of every step of `LineTask` in two parts."""

    def loss(self, step: int) -> Tensor:
        x = torch.randn(16, 2, generator=torch_generator(self.seed, Stream.NOISE, step // 2))[step % 2 :: 2]
        return (self.net(x)[:, 0] - (2 * x[:, 0] - x[:, 1])).square().mean()


def test_accumulated_batches_are_one_large_batch(tmp_path: Path) -> None:
    whole = losses(LineTask(), tmp_path / "whole", 6)
    assert losses(Halves(), tmp_path / "halves", 6, accumulate=2) == pytest.approx(whole, rel=1e-3)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31))
def test_orthogonalised_matrices_keep_their_directions_and_lose_their_lengths(rows: int, columns: int, seed: int) -> None:
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    straight = u.T @ orthogonalised(matrix).float() @ v.T
    kept = s > 0.05 * s[0]  # a direction that is hardly there needs more rounds
    assert ((straight.diagonal()[kept] > 0.5) & (straight.diagonal()[kept] < 1.4)).all()
    assert (straight - torch.diag(straight.diagonal())).abs().max() < 0.15


def test_tables_ends_and_vectors_are_left_to_adamw() -> None:
    net = nn.ModuleDict(
        {"table": nn.Embedding(50, 32), "first": nn.Conv2d(4, 32, 3), "inner": nn.Conv2d(32, 32, 3), "norm": nn.GroupNorm(4, 32)}
    )
    assert matrices(net) == ["inner.weight"]


def test_the_finished_net_holds_the_averaged_weights(tmp_path: Path) -> None:
    task = LineTask()
    for _ in train(task, LoopSettings(steps=12, **QUICK), tmp_path):  # type: ignore[arg-type]
        pass
    state = load_state(tmp_path)
    assert state is not None
    assert all(torch.equal(value, state.average[name]) for name, value in task.net.named_parameters())
    assert any(not torch.equal(state.weights[name], state.average[name]) for name in state.weights)


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path) -> None:
    losses(LineTask(), tmp_path, 5)
    assert list(train(LineTask(), LoopSettings(steps=5, **QUICK), tmp_path)) == []  # type: ignore[arg-type]


def test_closing_the_generator_saves_the_state(tmp_path: Path) -> None:
    run = train(LineTask(), LoopSettings(steps=100, save_steps=1000, **QUICK), tmp_path)  # type: ignore[arg-type]
    for _ in range(3):
        next(run)
    assert not (tmp_path / STATE_FILE).exists()
    run.close()
    state = load_state(tmp_path)
    assert state is not None
    assert state.step == 3


def test_cancelling_while_a_step_is_shown_saves_the_state(tmp_path: Path) -> None:
    run = train(LineTask(), LoopSettings(steps=100, **QUICK), tmp_path)  # type: ignore[arg-type]
    next(run)
    with pytest.raises(Cancelled):
        run.throw(Cancelled())
    state = load_state(tmp_path)
    assert state is not None
    assert state.step == 1


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_state(tmp_path: Path) -> None:
    good = losses(LineTask(), tmp_path / "good", 5)
    run = train(LineTask(broken_step=5), LoopSettings(steps=20, **QUICK), tmp_path / "bad")  # type: ignore[arg-type]
    with pytest.raises(TrainingDiverged, match="step 6: the loss is nan"):
        list(run)
    state = load_state(tmp_path / "bad")
    assert state is not None
    assert state.losses == good
    assert state.is_finite()
    assert len(losses(LineTask(), tmp_path / "bad", 3, total=20)) == 3  # and it can be continued


def test_a_full_disk_leaves_the_former_state_whole(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    losses(LineTask(), tmp_path, 2, total=9)
    before = (tmp_path / STATE_FILE).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    run = train(LineTask(), LoopSettings(steps=9, **QUICK), tmp_path)  # type: ignore[arg-type]
    next(run)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, hard))  # no file may grow beyond that: what a full disk does
    try:
        with pytest.raises(WriteFailed):
            run.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / STATE_FILE).read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve.json", STATE_FILE]


def test_the_state_of_another_run_is_refused_with_both_sides(tmp_path: Path) -> None:
    losses(LineTask(), tmp_path, 2)
    with pytest.raises(BadCheckpointState, match="kind: saved 'line', now 'circle'"):
        losses(LineTask(identity="circle"), tmp_path, 1)


@pytest.mark.parametrize("damage", ["cut", "empty", "other"])
def test_a_broken_state_is_refused(tmp_path: Path, damage: str) -> None:
    losses(LineTask(), tmp_path, 2)
    path = tmp_path / STATE_FILE
    path.write_bytes({"cut": path.read_bytes()[:-40], "empty": b"", "other": b"PK\x03\x04 a pickle"}[damage])
    with pytest.raises(BadCheckpointState):
        losses(LineTask(), tmp_path, 1)


def test_samples_come_from_the_averaged_weights_and_change_nothing(tmp_path: Path) -> None:
    plain = losses(LineTask(), tmp_path / "plain", 6)
    run = train(LineTask(), LoopSettings(steps=6, sample_steps=3, **QUICK), tmp_path / "shown")  # type: ignore[arg-type]
    steps = list(run)
    assert [step.loss for step in steps] == plain
    assert [step.samples is not None for step in steps] == [False, False, True] * 2


def test_averaged_weights_are_taken_back_after_an_exception(tmp_path: Path) -> None:
    task = LineTask()
    losses(task, tmp_path, 4)
    state, before = load_state(tmp_path), {name: value.clone() for name, value in task.net.named_parameters()}
    assert state is not None
    with pytest.raises(ZeroDivisionError), averaged(task.net, state):
        raise ZeroDivisionError
    assert all(torch.equal(value, before[name]) for name, value in task.net.named_parameters())
    assert task.net.training


def test_progress_tells_time_and_the_curve_is_written_for_people(tmp_path: Path) -> None:
    steps = list(train(LineTask(), LoopSettings(steps=4, **QUICK), tmp_path))  # type: ignore[arg-type]
    assert [step.step for step in steps] == [1, 2, 3, 4]
    assert steps[-1].left == 0
    assert all(a.seconds <= b.seconds for a, b in pairwise(steps))
    curve = json.loads((tmp_path / "curve.json").read_text())
    assert curve["losses"] == [step.loss for step in steps]


def test_learning_rates(tmp_path: Path) -> None:
    flat = LoopSettings(steps=100, lr=1.0, lr_end=0.1, warmup=10, schedule="constant")
    cosine = LoopSettings(steps=100, lr=1.0, lr_end=0.1, warmup=10, schedule="cosine")
    trapezoid = LoopSettings(steps=100, lr=1.0, lr_end=0.1, warmup=10, schedule="trapezoid", decay=0.5)
    assert [flat.rate(0), flat.rate(9), flat.rate(99)] == [0.1, 1.0, 1.0]
    assert cosine.rate(55) == pytest.approx(0.55)
    assert cosine.rate(100) == pytest.approx(0.1)
    assert trapezoid.rate(54) == 1.0
    assert trapezoid.rate(100) == pytest.approx(0.1)


@given(st.integers(1, 40), st.integers(1, 20), st.integers(0, 5))
def test_every_pass_shows_every_item_once_however_batches_cut_it(count: int, batch: int, seed: int) -> None:
    steps = -(-3 * count // batch)
    order = np.concatenate([indices(seed, step, batch, count) for step in range(steps)])
    for start in range(0, 3 * count, count):
        assert sorted(order[start : start + count]) == list(range(count))


def test_a_copied_state_folder_continues_the_same_run(tmp_path: Path) -> None:
    losses(LineTask(), tmp_path / "here", 3, total=6)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    assert losses(LineTask(), tmp_path / "here", 3, total=6) == losses(LineTask(), tmp_path / "there", 3, total=6)
