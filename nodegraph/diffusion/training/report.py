"""What people see of a training while it goes on and afterwards: progress, sample sheets, the loss curve."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nodegraph.context import Context
from nodegraph.diffusion.pictures import write_png
from nodegraph.diffusion.plots import loss_curve
from nodegraph.diffusion.sheets import sheet
from nodegraph.diffusion.training.loop import Pictures, TrainStep
from nodegraph.diffusion.training.memory import GIB, StepMemory
from nodegraph.diffusion.values import Image


def follow(ctx: Context, steps: Iterator[TrainStep], folder: Path) -> None:
    """Work through a training loop with progress, a live curve and sample sheets; cancelling saves the state first."""

    def words(step: TrainStep) -> str:
        return f"loss {step.loss:.4f}, {step.left / 60:.1f} min left"

    shown: Image | None = None
    for step in ctx.track(steps, at=lambda step: (step.step, step.total), text=words):
        if step.samples is not None:
            shown = sheet_of(step.samples)
            write_png(folder / "samples.png", shown)
            write_png(folder / "curve.png", loss_curve(step.losses))
        ctx.preview(lambda step=step, shown=shown: board(shown, loss_curve(step.losses)))  # type: ignore[misc]


def tell_memory(ctx: Context, need: StepMemory, batch: int) -> None:
    """Say what a step will take."""
    ctx.log(f"a step takes about {need.total(batch) / GIB:.1f} GiB of memory")


def sheet_of(pictures: Pictures) -> Image:
    """(B, H, W, 3) on one sheet; pairs, which are twice as wide as high, in fewer columns."""
    columns = 5 if pictures.shape[2] > pictures.shape[1] else 10
    return sheet([picture.astype(np.float32) / np.float32(255) for picture in pictures], columns, 2)


def board(samples: Image | None, curve: Image) -> NDArray[np.uint8]:
    """(H, W, 3): the curve, above the newest samples if there are any."""
    parts = [curve.data[0], *([samples.data[0]] if samples is not None else [])]
    width = max(part.shape[1] for part in parts)
    padded = [np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)), constant_values=1.0) for part in parts]
    return (np.concatenate(padded) * 255).astype(np.uint8)


def curve_of(folder: Path) -> Image:
    """The loss over all steps that were saved, as a picture."""
    try:
        losses = json.loads((folder / "curve.json").read_text())["losses"]
    except (OSError, ValueError, KeyError):
        losses = []
    return loss_curve(losses)


def licence_of(dataset: Any) -> str:
    """The licences of the pictures, each once."""
    return ", ".join(sorted({entry.licence for entry in dataset.entries if entry.licence})) or "unknown"
