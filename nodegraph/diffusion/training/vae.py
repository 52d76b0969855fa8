"""Train the autoencoder: pictures in scenes, reconstructed under a loss that cares for edges."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nodegraph.diffusion.identify import SD_SCALE
from nodegraph.diffusion.models.vae import AutoencoderKL
from nodegraph.diffusion.models.vae_config import VaeConfig
from nodegraph.diffusion.training.batches import (
    PictureStore,
    Stream,
    generator,
    indices,
    paint_batch,
    to_pixels,
    to_signed,
    torch_generator,
)
from nodegraph.diffusion.training.dataset import Dataset
from nodegraph.diffusion.training.loop import Pictures, Task
from nodegraph.diffusion.training.scenes import Pixels, SceneRecipe
from nodegraph.diffusion.training.state import as_identity
from nodegraph.diffusion.training.vae_start import biases, fit_ends, start_linear
from nodegraph.errors import BadValue

SMALL_VAE = VaeConfig(ch=32, ch_mult=(1, 2, 3, 4), num_res_blocks=1, norm_groups=8)
SAMPLES = 15
FITTED, FITTED_SIZE = 32, 128


@dataclass(frozen=True)
class VaeSettings:
    """What the autoencoder is trained on.

    size: edge of the pictures in pixels; the first `early_steps` see crops of `crop` pixels only, so that steps are cheap while much is to
        learn; batch, early_batch: pictures a step
    edges: weight of the Laplacian pyramid loss; kl: weight of the KL divergence per latent value (Rombach et al. 2022 use about 1e-6
        per picture; a larger one keeps latents smooth enough for a small U-Net)
    """

    size: int = 128
    batch: int = 8
    crop: int = 64
    early_batch: int = 8
    early_steps: int = 0
    edges: float = 1.0
    kl: float = 2e-4
    scenes: SceneRecipe = field(default_factory=lambda: SceneRecipe(smallest=0.5, shift=0.1, pair=0.2))


class VaeTask(Task):
    """Reconstruct scenes of a data set."""

    settings: VaeSettings

    def __init__(self, dataset: Dataset, settings: VaeSettings, config: VaeConfig = SMALL_VAE, seed: int = 0) -> None:
        self.dataset, self.settings, self.seed = dataset, settings, seed
        self.heaviest_step = settings.early_steps
        self.store = PictureStore(dataset)
        with torch.random.fork_rng():
            torch.manual_seed(int(generator(seed, Stream.WEIGHTS).integers(2**31)))
            self.net: AutoencoderKL = start_linear(AutoencoderKL(config))
            fit_ends(self.net, self._first_pictures())
        self.identity = as_identity(kind="vae", config=config, settings=settings, seed=seed, data=dataset.fingerprint())

    def batch(self, step: int) -> Tensor:
        """(B, 3, size, size) in -1..1 for a step."""
        rng, config = generator(self.seed, Stream.SCENE, step), self.settings
        early = step < config.early_steps
        chosen = indices(self.seed, step, config.early_batch if early else config.batch, len(self.dataset.entries))
        pixels = paint_batch(self.store, chosen, config.scenes, rng, config.size)
        return to_signed(random_crops(pixels, config.crop, rng) if early else pixels)

    def _first_pictures(self) -> Tensor:
        """(B, 3, h, w): what the initial weights are fitted to."""
        rng = generator(self.seed, Stream.WEIGHTS, 1)
        chosen = rng.integers(len(self.dataset.entries), size=FITTED)
        return to_signed(paint_batch(self.store, chosen, self.settings.scenes, rng, min(self.settings.size, FITTED_SIZE)))

    def loss(self, step: int) -> Tensor:
        images = self.batch(step).to(self.device)
        moments = self.net.encode(images)
        noise = torch.randn(moments.mean.shape, generator=torch_generator(self.seed, Stream.NOISE, step)).to(self.device)
        restored = self.net.decode(moments.sample(noise)).float()
        values = moments.mean[0].numel()
        with torch.autocast(self.device.type, enabled=False):
            return reconstruction_loss(restored, images, self.settings.edges) + self.settings.kl * moments.kl().float().mean() / values

    def samples(self) -> Pictures:
        """Originals, reconstructions beside them: (B, size, 2 * size, 3)."""
        count = min(SAMPLES, len(self.dataset.entries))
        chosen = np.linspace(0, len(self.dataset.entries) - 1, count).astype(np.int64)
        originals = paint_batch(self.store, chosen, SceneRecipe(), generator(self.seed, Stream.SAMPLE), self.settings.size)
        restored = [to_pixels(self.net(to_signed(picture[None]).to(self.device))) for picture in originals]
        return np.concatenate([originals, np.concatenate(restored)], axis=2)


def random_crops(pixels: Pixels, edge: int, rng: np.random.Generator) -> Pixels:
    """(B, H, W, 3) -> (B, edge, edge, 3), each picture cut at a place of its own."""
    if edge > min(pixels.shape[1:3]):
        raise BadValue(f"a crop of {edge} pixels does not fit pictures of {pixels.shape[1]} pixels")
    corners = rng.integers(0, np.array(pixels.shape[1:3]) - edge + 1, size=(len(pixels), 2))
    return np.stack([picture[y : y + edge, x : x + edge] for picture, (y, x) in zip(pixels, corners, strict=True)])


def reconstruction_loss(restored: Tensor, images: Tensor, edges: float) -> Tensor:
    """Mean absolute error plus `edges` times that of the bands of a Laplacian pyramid (Bojanowski et al. 2018, eq. 3, equally weighted).

    Both (B, 3, H, W). Coarse bands have few pixels but count as much as fine ones: thin lines and colours are both seen.
    """
    difference = restored - images
    total = difference.abs().mean()
    bands = laplacian(difference, 4)
    return total + edges * torch.stack([band.abs().mean() for band in bands]).mean()


def laplacian(image: Tensor, levels: int) -> list[Tensor]:
    """Band-pass pictures of falling resolution, the low-pass rest last. Linear: the pyramid of a difference is the difference."""
    bands = []
    for _ in range(levels):
        if min(image.shape[-2:]) < 4:
            break
        low = F.avg_pool2d(image, 2)
        bands.append(image - F.interpolate(low, scale_factor=2.0, mode="bilinear", align_corners=False))
        image = low
    return [*bands, image]


def psnr(restored: Tensor, images: Tensor) -> float:
    """Mean over the batch of the peak signal-to-noise ratio in dB; both (B, 3, H, W) in -1..1."""
    error = ((restored.clamp(-1, 1) - images) / 2).square().mean(dim=(1, 2, 3))
    return float((-10 * error.clamp_min(1e-10).log10()).mean())


# ------------------------------------------------------------------------------------------------ the finished autoencoder


def standardise(net: AutoencoderKL, images: Tensor, scale_factor: float = SD_SCALE) -> None:
    """Fold the mean and deviation of every latent channel over `images` (B, 3, H, W) into the 1x1 convolutions around the latent.

    Pictures come out as before; latents times `scale_factor` get mean 0 and deviation 1 in every channel, so that a picture's colours do
    not shift what a denoiser takes for noise, and the factor that Stable Diffusion's files use is right for this one too.
    """
    outer, inner = net.quant_conv, net.post_quant_conv
    if not (isinstance(outer, nn.Conv2d) and isinstance(inner, nn.Conv2d)):
        raise BadValue("this autoencoder has no convolutions around its latent to fold a scale into")
    with torch.no_grad():
        latents = encode_in_parts(net, images)
        mean = latents.mean(dim=(0, 2, 3))
        gain = 1 / (latents.std(dim=(0, 2, 3)).clamp_min(1e-6) * scale_factor)  # (C,)
        count = len(gain)
        outer_bias, inner_bias = biases(outer), biases(inner)
        outer.weight[:count] *= gain[:, None, None, None]
        outer_bias[:count] = (outer_bias[:count] - mean) * gain
        outer_bias[count:] += 2 * gain.log()  # log variance
        inner_bias += inner.weight[:, :, 0, 0] @ mean
        inner.weight /= gain[None, :, None, None]


def encode_in_parts(net: AutoencoderKL, images: Tensor, part: int = 16) -> Tensor:
    """The means of (B, 3, H, W) pictures, (B, C, h, w) float32, a few at a time."""
    with torch.no_grad():
        return torch.cat([net.encode(images[start : start + part]).mean.float() for start in range(0, len(images), part)])
