"""How much memory a training step takes, known before the first one: measured on a batch of one, scaled up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nodegraph.diffusion.store import physical_memory
from nodegraph.diffusion.training.loop import LoopSettings, Task, arithmetic, parameters
from nodegraph.errors import OutOfMemory

COPIES = 5  # of every weight: itself, its gradient, its moving average, and at most two moments
GIB = 2**30


@dataclass(frozen=True)
class StepMemory:
    """In bytes.

    fixed: weights, gradients, averages, moments, and what a step keeps once
    item: what one more picture in a batch keeps for its gradient
    """

    fixed: int
    item: int

    def total(self, batch: int) -> int:
        return self.fixed + batch * self.item

    def largest_batch(self, free: int) -> int:
        """That fits into `free` bytes, 0 if none does."""
        return max(0, (free - self.fixed) // max(1, self.item))


def step_memory(task: Task, settings: LoopSettings) -> StepMemory:
    """Measure it with the forward passes of one picture and of two: what both keep is for the step, such as words shared by all pictures.

    Nothing is changed.
    """
    weights = sum(value.numel() * value.element_size() for value in parameters(task.net).values())
    one, two = (_kept(task.with_batch(count), settings) for count in (1, 2))
    item = max(0, two - one)
    return StepMemory(COPIES * weights + one - item, item)


def _kept(task: Task, settings: LoopSettings) -> int:
    """Bytes that a forward pass keeps for the gradient, besides the weights."""
    known = {value.untyped_storage().data_ptr() for value in parameters(task.net).values()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, _same), arithmetic(settings.bf16, task.device.type):
        loss = task.loss(task.heaviest_step)
    del loss
    return sum(kept.values())


def _same(tensor: Any) -> Any:
    return tensor


def check_memory(task: Task, settings: LoopSettings, free: Callable[[torch.device], int] | None = None) -> StepMemory:
    """Raises OutOfMemory, with a batch that would fit, if a step needs more than is free now."""
    need, left, batch = step_memory(task, settings), (free or free_memory)(task.device), task.settings.batch
    if need.total(batch) > left:
        raise OutOfMemory(
            f"a step with a batch of {batch} would take about {need.total(batch) / GIB:.1f} GiB "
            f"({need.fixed / GIB:.1f} for weights, {need.item / GIB:.2f} for each picture), and {left / GIB:.1f} GiB are free",
            hint=_way_out(batch, need.largest_batch(left)),
        )
    return need


def _way_out(batch: int, fitting: int) -> str:
    if not fitting:
        return "train smaller pictures or a smaller network, or free memory"
    parts = -(-batch // fitting)
    return f"a batch of {-(-batch // parts)}, accumulated {parts} times, does the same"


def free_memory(device: torch.device) -> int:
    """Bytes that may still be taken on a device without swapping."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            facts = dict(line.split(":", 1) for line in stream)
        return int(facts["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return physical_memory()
