"""Train a U-Net and its text encoder together on cached latents: exactly the computation that sampling will do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from nodegraph.diffusion.entries import Prompt
from nodegraph.diffusion.guidance import NetCall
from nodegraph.diffusion.models.clip_config import ClipTextConfig
from nodegraph.diffusion.models.clip_text import ClipText
from nodegraph.diffusion.models.unet import UNet, zero_output_layers
from nodegraph.diffusion.models.unet_config import UNetConfig
from nodegraph.diffusion.models.vae import AutoencoderKL
from nodegraph.diffusion.predictions import ModelSampling, Prediction
from nodegraph.diffusion.sampling import sample
from nodegraph.diffusion.tokenizer import BOS, EOS, tokenize
from nodegraph.diffusion.training.batches import Shot, Stream, generator, to_pixels, torch_generator
from nodegraph.diffusion.training.captions import CaptionRecipe, describe
from nodegraph.diffusion.training.latents import LatentCache
from nodegraph.diffusion.training.loop import Pictures, Task
from nodegraph.diffusion.training.state import as_identity, weights_hash
from nodegraph.diffusion.training.wordless import Wordless, WordlessRecipe

SMALL_UNET = UNetConfig(
    model_channels=64,
    channel_mult=(1, 2, 3),
    num_res_blocks=1,
    transformer_depth=(1, 1, 0),
    transformer_depth_middle=1,
    context_dim=128,
    num_heads=None,
    head_dim=32,
)
SMALL_CLIP = ClipTextConfig(width=128, layers=4, heads=4, intermediate=512)
CONTEXT = 77  # tokens that a prompt is padded to with the end token when sampling, so in training too


@dataclass(frozen=True)
class DiffusionSettings:
    """What the denoiser is trained on.

    batch: latents a step; captions: what may be left out of them
    min_snr: the loss of a step is weighted by min(SNR, min_snr) / SNR in terms of x0 (Hang et al. 2023, eq. 5 and section 3.4 for v);
        0 weights the v loss equally at all times
    wordless: what is shown without a caption; without labels, anything, as often as `captions` says
    """

    batch: int = 32
    captions: CaptionRecipe = field(default_factory=CaptionRecipe)
    min_snr: float = 5.0
    wordless: WordlessRecipe = field(default_factory=WordlessRecipe)


@dataclass(frozen=True, eq=False)
class SampleSettings:
    """Pictures made while training. prompts: one picture each, with noise of seed + its place; decoder: None leaves latents unshown."""

    prompts: tuple[str, ...]
    decoder: AutoencoderKL
    scale: float
    negative: str = ""
    steps: int = 12
    cfg: float = 3.0
    seed: int = 1


class TextToLatent(nn.Module):
    """The two networks that are trained together."""

    def __init__(self, unet: UNetConfig, clip: ClipTextConfig) -> None:
        super().__init__()
        self.unet = zero_output_layers(UNet(unet))
        self.clip = ClipText(clip)

    @classmethod
    def of(cls, unet: UNet, clip: ClipText) -> Self:
        """Trainable copies of two networks that were trained before, in float32."""
        with torch.inference_mode(False):
            copy = cls(unet.config, clip.config)
            copy.unet.load_state_dict(unet.state_dict())
            copy.clip.load_state_dict(clip.state_dict())
        return copy

    def context(self, texts: Sequence[str]) -> Tensor:
        """(B, 77, width): every text encoded as a sampler would, equal texts once."""
        unique = sorted(set(texts))
        ids = torch.tensor([token_ids(text) for text in unique], device=next(self.clip.parameters()).device)
        states: Tensor = self.clip(ids).last
        return states[torch.tensor([unique.index(text) for text in texts])]


def token_ids(text: str) -> list[int]:
    """Begin, text, end, and ends up to 77; too long texts are cut."""
    inner = tokenize(text)[: CONTEXT - 2]
    return [BOS, *inner, *[EOS] * (CONTEXT - 1 - len(inner))]


class DiffusionTask(Task):
    """Predict v from noisy latents and captions. Scaled-linear schedule of Stable Diffusion, v-prediction (Salimans & Ho 2022)."""

    settings: DiffusionSettings

    def __init__(
        self,
        cache: LatentCache,
        settings: DiffusionSettings,
        *,
        unet: UNetConfig = SMALL_UNET,
        clip: ClipTextConfig = SMALL_CLIP,
        start: TextToLatent | None = None,
        seed: int = 0,
        source: str = "",
        shown: SampleSettings | None = None,
    ) -> None:
        """source: hash of the latents' autoencoder, so that a state is never continued with another one.

        start: what to train on from, instead of random weights of `unet` and `clip`
        """
        self.cache, self.settings, self.seed, self.shown = cache, settings, seed, shown
        self.batches = cache.batches(settings.batch, seed)
        self.wordless = Wordless(cache, settings.wordless, seed, settings.captions.negative)
        self.sampling = ModelSampling(prediction=Prediction("v"))
        with torch.random.fork_rng():
            torch.manual_seed(int(generator(seed, Stream.WEIGHTS).integers(2**31)))
            self.net: TextToLatent = start or TextToLatent(unet, clip)
        begun = {"start": weights_hash(self.net.state_dict())} if start else {}
        parts = {"unet": self.net.unet.config, "clip": self.net.clip.config, "settings": settings, "latents": cache.settings}
        self.identity = as_identity(kind="diffusion", **parts, seed=seed, data=cache.dataset.fingerprint(), source=source, **begun)

    def with_batch(self, count: int) -> Self:
        other = super().with_batch(count)
        other.batches = self.cache.batches(count, self.seed)
        return other

    def loss(self, step: int) -> Tensor:
        rows, texts = self.captioned(step)
        x0 = self.cache.take(rows)  # (B, C, h, w)
        draws = torch_generator(self.seed, Stream.NOISE, step)
        noise = torch.randn(x0.shape, generator=draws)
        times = torch.randint(self.sampling.schedule.sigmas.numel(), (len(rows),), generator=draws)
        sigma = self.sampling.training_sigma(times)
        noisy = self.sampling.scale_input(self.sampling.add_noise(x0, noise, sigma), sigma)
        context = self.net.context(texts)
        predicted = self.net.unet(noisy.to(self.device), times.float().to(self.device), context).float()
        target = self.sampling.target(x0, noise, sigma).to(self.device)
        errors = F.mse_loss(predicted, target, reduction="none").mean(dim=(1, 2, 3))
        return (errors * self._weights(sigma).to(self.device)).mean()

    def captioned(self, step: int) -> tuple[NDArray[np.int64], list[str]]:
        """The rows of a step, and what is said of each; "" of some."""
        rows, words = self.wordless.at(step, self.batches.at(step))
        captions, rng = self.settings.captions, generator(self.seed, Stream.CAPTION, step)
        if self.wordless.shows(rows):  # then nothing is said of the chosen few alone
            captions = replace(captions, silent=0.0) if captions.negative else replace(captions, empty=0.0)
        return rows, [self._said(self.cache.shot(int(row)), word, captions, rng) for row, word in zip(rows, words, strict=True)]

    def _said(self, shot: Shot, word: str | None, recipe: CaptionRecipe, rng: np.random.Generator) -> str:
        first, *others = (self.cache.dataset.entries[index] for index in shot.cast)
        if word is None:
            return describe(first, shot.scene, recipe, rng, *others)
        text = describe(replace(first, label=word, name="", tags=()), shot.scene, replace(recipe, empty=0.0), rng, *others)
        return text if word else ""

    def _weights(self, sigma: Tensor) -> Tensor:
        if not self.settings.min_snr:
            return torch.ones_like(sigma)
        snr = self.sampling.prediction.snr(sigma)
        return snr.clamp(max=self.settings.min_snr) / (snr + 1)

    def samples(self) -> Pictures | None:
        """One picture of every sample prompt: (B, H, W, 3)."""
        shown = self.shown
        if shown is None:
            return None
        return draw_pictures(self.net, self.sampling, shown, self.cache.shape)


def draw_pictures(net: TextToLatent, sampling: ModelSampling, shown: SampleSettings, shape: tuple[int, ...]) -> Pictures:
    """Sample every prompt of `shown` and decode it: (B, H, W, 3)."""
    with torch.no_grad():
        latent = torch.zeros(len(shown.prompts), *shape, device=next(net.parameters()).device)
        positive, negative = Prompt(net.context(shown.prompts)), Prompt(net.context([shown.negative]))

        def call(given: NetCall) -> Tensor:
            out: Tensor = net.unet(given.x, given.t, given.context)
            return out.float()

        options = {"seed": shown.seed, "steps": shown.steps, "cfg": shown.cfg, "sampler": "dpmpp_2m", "schedule": "karras"}
        run = sample(call, sampling, latent, [positive], [negative], **options)  # type: ignore[arg-type]
        latents = run.result() / shown.scale
        return to_pixels(torch.cat([shown.decoder.decode(latents[i : i + 16]).float() for i in range(0, len(latents), 16)]))
