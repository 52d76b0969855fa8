"""The second stage as one job: encode the data set, train U-Net and text encoder, export one checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from nodegraph.diffusion.identify import SD_SCALE
from nodegraph.diffusion.models.vae import AutoencoderKL
from nodegraph.diffusion.training.batches import PictureStore, Stream, generator, paint_batch, to_signed
from nodegraph.diffusion.training.captions import prompt
from nodegraph.diffusion.training.dataset import Dataset
from nodegraph.diffusion.training.diffusion import DiffusionSettings, DiffusionTask, SampleSettings, TextToLatent
from nodegraph.diffusion.training.export import TABLE, card_of, export_checkpoint, latent_colours, used_tokens
from nodegraph.diffusion.training.latents import EncodeStep, LatentSettings, encode_latents, open_latents
from nodegraph.diffusion.training.loop import LoopSettings, Pictures, TrainStep, train
from nodegraph.diffusion.training.scenes import SceneRecipe
from nodegraph.diffusion.training.state import finished_state, weights_hash
from nodegraph.diffusion.training.vae import VaeTask

SHOWN = 30
FITTED = 64


@dataclass(frozen=True)
class CheckpointJob:
    """What to train and where. Call `encode`, then `train`, then `finish`; each continues what an earlier call left.

    vae: standardised (`vae.standardise`); prompts: of the sample sheet, subjects and styles in turn if empty
    start: what to train on from, None begins with random weights
    """

    dataset: Dataset
    vae: AutoencoderKL
    folder: Path
    title: str
    licence: str
    loop: LoopSettings
    diffusion: DiffusionSettings = field(default_factory=DiffusionSettings)
    latents: LatentSettings = field(default_factory=LatentSettings)
    prompts: tuple[str, ...] = ()
    start: TextToLatent | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @cached_property
    def source(self) -> str:
        """Hash of the autoencoder, so that neither latents nor state are ever used with another one."""
        return weights_hash({key: value.half().cpu() for key, value in self.vae.state_dict().items()})

    def encode(self) -> Iterator[EncodeStep]:
        """Encode scenes of every picture into a file, unless they are there."""
        return encode_latents(self.vae, self.dataset, self.latents, self.folder, seed=self.loop.seed, vae=self.source, scale=SD_SCALE)

    @cached_property
    def task(self) -> DiffusionTask:
        cache = open_latents(self.folder, self.dataset, self.latents, seed=self.loop.seed, vae=self.source, scale=SD_SCALE)
        shown = SampleSettings(self.prompts or self.default_prompts(), self.vae, SD_SCALE, self.negative)
        task = DiffusionTask(cache, self.diffusion, start=self.start, seed=self.loop.seed, source=self.source, shown=shown)
        task.to(self.device)
        return task

    @cached_property
    def known_tokens(self) -> torch.Tensor | None:
        """(vocab,) bool: the words that the start had learnt."""
        return None if self.start is None else self.start.clip.state_dict()[TABLE].abs().amax(dim=1) > 0

    @property
    def negative(self) -> str:
        """The negative prompt that stands for no caption."""
        return next(iter(self.diffusion.captions.negative), "")

    def default_prompts(self) -> tuple[str, ...]:
        """Subjects in turn, each in the next style."""
        labels, styles = self.dataset.labels, self.dataset.styles or ("",)
        return tuple(prompt(label, styles[i % len(styles)]) for i, label in enumerate(labels[:SHOWN])) or ("",)

    def train(self) -> Iterator[TrainStep]:
        return train(self.task, self.loop, self.folder)

    def finish(self) -> tuple[Path, Pictures]:
        """Write the checkpoint; returns its path and a sheet of samples."""
        state = finished_state(self.folder, self.task.identity)
        samples = self.task.samples()
        assert samples is not None
        path, vae = self.folder / "checkpoint.safetensors", deepcopy(self.vae).cpu()
        self.task.to(torch.device("cpu"))
        pictures = to_signed(spread(self.dataset, self.latents.size))
        export_checkpoint(
            path,
            self.task.net,
            vae,
            card_of(self.dataset, self.title, self.licence, negative=self.negative),
            colours=latent_colours(vae, pictures, SD_SCALE),
            used=used_tokens(state, self.known_tokens),
        )
        return path, samples


def spread(dataset: Dataset, size: int, count: int = FITTED) -> Pictures:
    """Pictures spread over the data set, with all kinds of backgrounds: (B, size, size, 3), always the same."""
    chosen = np.linspace(0, len(dataset.entries) - 1, min(count, len(dataset.entries))).astype(np.int64)
    return paint_batch(PictureStore(dataset), chosen, SceneRecipe(), generator(0, Stream.SAMPLE), size)


def fitting_pictures(task: VaeTask) -> Pictures:
    """The pictures that a finished autoencoder is standardised on."""
    return spread(task.dataset, task.settings.size)
