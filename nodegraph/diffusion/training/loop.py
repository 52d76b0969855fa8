"""The training loop, whatever is trained: warm-up, clipping, accumulation, a moving average, checkpoints, exact resume.

A run is a generator of `TrainStep`. Closing it is cancelling: the state is saved first. A resumed run gives bit for bit the losses of one
that was never interrupted (same machine, same number of threads).
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from nodegraph.diffusion.training.optimiser import Moments, Optimiser, OptimiserSettings
from nodegraph.diffusion.training.state import TrainState, load_state, save_state
from nodegraph.errors import Cancelled, TrainingDiverged

Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class LoopSettings:
    """How to train.

    steps: total, over all sessions; seed: of data order, noise and initial weights
    lr: highest learning rate, reached after `warmup` steps; schedule: afterwards constant, a cosine to `lr_end`, or constant until the
        last `decay` of the steps and then linear to `lr_end`
    optimiser: AdamW, or Muon for matrices and AdamW for the rest, at the same rate
    accumulate: batches whose gradients make one step; clip: largest norm of the gradient
    average: decay of the moving average of the weights (0 switches it off)
    bf16: compute in bfloat16 where it is safe (weights, norms and losses stay float32)
    save_steps, save_seconds: how often the state is saved, whichever comes first; sample_steps: how often sample pictures are made, 0 never
    """

    steps: int
    seed: int = 0
    lr: float = 1e-3
    lr_end: float = 1e-5
    warmup: int = 50
    schedule: Literal["constant", "cosine", "trapezoid"] = "cosine"
    decay: float = 0.3
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    accumulate: int = 1
    clip: float = 1.0
    average: float = 0.995
    bf16: bool = True
    save_steps: int = 500
    save_seconds: float = 120.0
    sample_steps: int = 0

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        if self.schedule == "cosine":
            return self.lr_end + (self.lr - self.lr_end) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        if self.schedule == "trapezoid":
            return self.lr_end + (self.lr - self.lr_end) * min(1.0, max(0.0, (1 - done) / self.decay))
        return self.lr

    def average_decay(self, step: int) -> float:
        """Decay of the moving average, short at first so that the initial weights are forgotten."""
        return min(self.average, (1 + step) / (10 + step))


@dataclass(frozen=True)
class TrainStep:
    """One step done. seconds: over all sessions; left: estimate of the seconds to come.

    losses: of all steps so far; samples: (B, H, W, 3) uint8 pictures made by the averaged weights, every `sample_steps`, else None
    """

    step: int
    total: int
    loss: float
    lr: float
    seconds: float
    left: float
    losses: Sequence[float] = field(default=(), repr=False)
    samples: Pictures | None = field(default=None, repr=False)


class Task(ABC):
    """What is trained. A batch is a function of (seed, step): no other state is allowed.

    settings: a frozen dataclass; its `batch` is how many pictures a batch has
    heaviest_step: one whose batch takes as much memory as any
    """

    net: nn.Module
    settings: Any
    identity: dict[str, Any]
    heaviest_step: int = 0
    device: torch.device = torch.device("cpu")

    def to(self, device: torch.device) -> None:
        """Move the net; batches are made on the CPU, so that a seed means the same noise everywhere, and follow it."""
        self.device = device
        self.net.to(device)

    def with_batch(self, count: int) -> Self:
        """The same task, sharing the net, with batches of so many pictures."""
        other = copy(self)
        other.settings = replace(self.settings, batch=count)
        return other

    @abstractmethod
    def loss(self, step: int) -> Tensor:
        """The loss of the batch of this step: a scalar with a graph."""

    def samples(self) -> Pictures | None:
        """Pictures that show how good the current weights of `net` are; always of the same seeds."""
        return None


def train(task: Task, settings: LoopSettings, folder: Path) -> Iterator[TrainStep]:
    """Train `task.net` in place, continuing the state in `folder` if there is one; at the end the net holds the averaged weights.

    Raises `BadCheckpointState` if the state there is of another run, `TrainingDiverged` if the loss or its gradient is no number,
    `WriteFailed` if the state cannot be saved.
    """
    state = load_state(folder, task.identity) or TrainState.fresh(parameters(task.net), task.identity)
    run = _Run(task, settings, folder, state)
    try:
        while state.step < settings.steps:
            yield run.step()
    except (GeneratorExit, KeyboardInterrupt, Cancelled):
        run.save()
        raise
    run.save()
    use_weights(task.net, state.average)


def parameters(net: nn.Module) -> dict[str, Tensor]:
    """Trainable tensors by name; they share memory with the net."""
    return {name: value for name, value in net.named_parameters() if value.requires_grad}


def use_weights(net: nn.Module, weights: dict[str, Tensor]) -> None:
    """Copy weights into the net."""
    with torch.no_grad():
        for name, value in parameters(net).items():
            value.copy_(weights[name])


@contextmanager
def arithmetic(bf16: bool, device: str = "cpu") -> Iterator[None]:
    """How the forward pass computes. Attention is written out: for a few hundred tokens the CPU's fused kernel is slower backwards
    (measured: a training step of the small U-Net takes 0.57 s instead of 0.75 s)."""
    backends = [SDPBackend.MATH] if device == "cpu" else [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    with torch.autocast(device, torch.bfloat16, enabled=bf16), sdpa_kernel(backends):
        yield


@contextmanager
def averaged(net: nn.Module, state: TrainState) -> Iterator[None]:
    """The net with its averaged weights, in evaluation mode; undone on leaving."""
    kept = {name: value.detach().clone() for name, value in parameters(net).items()}
    mode = net.training
    use_weights(net, state.average)
    net.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        use_weights(net, kept)
        net.train(mode)


class _Run:
    """One session of a run: the optimiser works on `state` in place."""

    def __init__(self, task: Task, settings: LoopSettings, folder: Path, state: TrainState) -> None:
        self.task, self.settings, self.folder, self.state = task, settings, folder, state
        use_weights(task.net, state.weights)
        task.net.train()
        self.parameters = parameters(task.net)
        self.state.weights = {name: value.detach() for name, value in self.parameters.items()}
        self.state.average = {name: value.to(task.device) for name, value in state.average.items()}
        self.optimiser = Optimiser(task.net, settings.optimiser, Moments(state.moment1, state.moment2), state.step)
        self.saved_at = time.monotonic()

    def step(self) -> TrainStep:
        started, number = time.monotonic(), self.state.step
        rate = self.settings.rate(number)
        loss = self._update(number, rate)
        self.state.step = number + 1
        self.state.losses.append(loss)
        self.state.seconds += time.monotonic() - started
        samples = self._samples()
        if self._save_is_due():
            self.save()
        left = self.state.seconds / self.state.step * (self.settings.steps - self.state.step)
        return TrainStep(self.state.step, self.settings.steps, loss, rate, self.state.seconds, left, self.state.losses, samples)

    def _update(self, number: int, rate: float) -> float:
        self.task.net.zero_grad(set_to_none=True)
        loss = sum(self._backward(number * self.settings.accumulate + part) for part in range(self.settings.accumulate))
        norm = nn.utils.clip_grad_norm_(self.parameters.values(), self.settings.clip).item()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._stop(number, loss, norm)
        self.optimiser.step(rate)
        decay = self.settings.average_decay(number) if self.settings.average else 0.0
        torch._foreach_lerp_(list(self.state.average.values()), [self.state.weights[name] for name in self.state.average], 1 - decay)
        return loss

    def _backward(self, batch: int) -> float:
        """Add the gradients of one batch; its share of the step's loss."""
        with arithmetic(self.settings.bf16, self.task.device.type):
            loss = self.task.loss(batch) / self.settings.accumulate
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    def _stop(self, number: int, loss: float, norm: float) -> None:
        """Give up before the weights are touched. The state saved last, or this one if it is sound, stays to continue from."""
        if self.state.is_finite():
            self.save()
        raise TrainingDiverged(
            f"step {number + 1}: the loss is {loss:g}, the norm of its gradient {norm:g}",
            hint=f"continue from {self.folder} with a smaller learning rate than {self.settings.lr:g}, or without bf16",
        )

    def _samples(self) -> Pictures | None:
        if not self.settings.sample_steps or self.state.step % self.settings.sample_steps:
            return None
        with averaged(self.task.net, self.state), arithmetic(self.settings.bf16, self.task.device.type):
            return self.task.samples()

    def _save_is_due(self) -> bool:
        return self.state.step % self.settings.save_steps == 0 or time.monotonic() - self.saved_at > self.settings.save_seconds

    def save(self) -> None:
        moments = self.optimiser.moments()
        self.state.moment1, self.state.moment2 = moments.first, moments.second
        save_state(self.state, self.folder)
        self.saved_at = time.monotonic()
