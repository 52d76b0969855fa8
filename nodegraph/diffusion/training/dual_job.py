"""Train an image-text encoder and put it into one small file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from nodegraph.diffusion.judging import Vocabulary
from nodegraph.diffusion.models.dual_encoder import DualEncoder
from nodegraph.diffusion.models.dual_encoder_config import ARCHITECTURE, DUAL_ENCODER, ROWS, TABLE, TOKENS, DualEncoderConfig
from nodegraph.diffusion.training.dataset import Dataset
from nodegraph.diffusion.training.dual_encoder import DualEncoderSettings, DualEncoderTask
from nodegraph.diffusion.training.export import Card, card_of, used_tokens
from nodegraph.diffusion.training.loop import LoopSettings, Pictures, TrainStep, train
from nodegraph.diffusion.training.optimiser import OptimiserName, OptimiserSettings
from nodegraph.diffusion.training.state import finished_state, weights_hash
from nodegraph.diffusion.weights import save_weights


@dataclass(frozen=True)
class DualEncoderJob:
    """What to train and where. Call `train`, then `finish`; each continues what an earlier call left."""

    dataset: Dataset
    folder: Path
    title: str
    licence: str
    loop: LoopSettings
    settings: DualEncoderSettings = field(default_factory=DualEncoderSettings)
    config: DualEncoderConfig = field(default_factory=DualEncoderConfig)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @cached_property
    def task(self) -> DualEncoderTask:
        task = DualEncoderTask(self.dataset, self.settings, self.config, seed=self.loop.seed)
        task.to(self.device)
        return task

    def train(self) -> Iterator[TrainStep]:
        return train(self.task, self.loop, self.folder)

    def finish(self) -> tuple[Path, Pictures]:
        """Write the encoder; returns its path and scenes with what they are judged to show."""
        state = finished_state(self.folder, self.task.identity)
        self.task.net.eval()
        with torch.no_grad():
            samples = self.task.samples()
        path = self.folder / "judge.safetensors"
        card = card_of(self.dataset, self.title, self.licence)
        export_dual_encoder(path, self.task.net.encoder, used_tokens(state), self.task.words, card)
        return path, samples


def loop_settings(
    steps: int, lr: float, optimiser: OptimiserName, *, sample_steps: int = 0, save_seconds: float = 120.0, seed: int = 0
) -> LoopSettings:
    """How an image-text encoder is trained best: half of the steps at the full rate, then linearly to zero."""
    rates = LoopSettings(steps, seed=seed, lr=lr, lr_end=0.0, warmup=30, schedule="trapezoid", decay=0.5, average=0.98)
    return replace(rates, optimiser=OptimiserSettings(optimiser), sample_steps=sample_steps, save_seconds=save_seconds)


def export_dual_encoder(path: Path, net: DualEncoder, used: Tensor, words: Vocabulary, card: Card) -> None:
    """Write both towers, float16. used: (vocab,) bool, tokens that training has seen: of the others nothing is written."""
    tensors = {key: value.half().cpu().contiguous() for key, value in net.state_dict().items()}
    ids = used.nonzero().flatten().cpu()
    tensors |= {TOKENS: ids.int(), ROWS: tensors.pop(TABLE)[ids]}
    facts = {
        "nodegraph.image_size": str(net.config.size),
        "nodegraph.image_norm_groups": str(net.config.groups),
        "nodegraph.clip_heads": str(net.config.text.heads),
        ARCHITECTURE: DUAL_ENCODER,
        "modelspec.architecture": f"nodegraph/{DUAL_ENCODER}",
        "nodegraph.weights_hash": weights_hash(tensors),
    }
    save_weights(path, tensors, {**card.metadata(), **words.metadata(), **facts})
