"""Networks while they are loaded: what `with ctx.load(handle) as net:` gives a node to work with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nodegraph.diffusion.guidance import NetCall
from nodegraph.diffusion.handles import SamplingChange
from nodegraph.diffusion.identify import CheckpointInfo
from nodegraph.diffusion.models.attention import StepInfo
from nodegraph.diffusion.models.clip_text import ClipText
from nodegraph.diffusion.models.dual_encoder import DualEncoder
from nodegraph.diffusion.models.unet import UNet, timestep_embedding
from nodegraph.diffusion.models.vae import AutoencoderKL
from nodegraph.diffusion.predictions import DiscreteSchedule, FlowSchedule, ModelSampling, Prediction
from nodegraph.diffusion.preview import SD15, SDXL, LatentToRgb, latent_to_rgb
from nodegraph.diffusion.prompt import Dialect, chunk_prompt
from nodegraph.diffusion.tensors import image_from_tensor, image_tensor, latent_tensor, to_array
from nodegraph.diffusion.text import encode_chunks, whole_ids
from nodegraph.diffusion.values import Cond, Conditioning, Image, Latent
from nodegraph.errors import InputRefused, ModelMismatch


def sampling_of(info: CheckpointInfo, change: SamplingChange = SamplingChange()) -> ModelSampling:  # noqa: B008 - a frozen value
    """Noise schedule and prediction kind of a checkpoint."""
    prediction = change.prediction or info.prediction
    if prediction == "flow":
        return ModelSampling(FlowSchedule(shift=change.shift or 1.0), Prediction("flow"))
    ends_in_noise = info.zero_terminal_snr if change.zero_terminal_snr is None else change.zero_terminal_snr
    return ModelSampling(DiscreteSchedule(zero_terminal_snr=ends_in_noise), Prediction(prediction))


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A denoising network on its device, patched. Call it with a `NetCall`."""

    net: UNet
    info: CheckpointInfo
    sampling: ModelSampling
    preview_factors: LatentToRgb | None
    device: torch.device
    dtype: torch.dtype

    def __call__(self, call: NetCall) -> Tensor:
        step = StepInfo(sigma=float(call.sigma[0]), rows=call.rows)
        extra = [call.x, *([call.extras["concat"]] if "concat" in call.extras else [])]
        x = torch.cat(extra, dim=1).to(self.dtype)  # (N, C + extra, h, w)
        out: Tensor = self.net(x, call.t, call.context.to(self.dtype), self.vector(call), info=step)
        return out.float()

    def vector(self, call: NetCall) -> Tensor | None:
        """The vector input of SDXL: pooled text and the six sizes, the picture taken as uncropped (Podell et al. 2023, section 2.2)."""
        width = self.net.config.adm_in_channels
        if width is None:
            return None
        if call.pooled is None:
            raise InputRefused(
                "this model wants a pooled text vector, and the conditioning has none", hint="encode it with the model's own `clip`"
            )
        height, wide = call.x.shape[2] * 8, call.x.shape[3] * 8
        sizes = torch.tensor([height, wide, 0, 0, height, wide], dtype=torch.float32, device=call.x.device)
        codes = timestep_embedding(sizes, 256).reshape(1, -1).expand(call.pooled.shape[0], -1)
        vector = torch.cat([call.pooled, codes.to(call.pooled)], dim=1)
        if vector.shape[1] != width:
            raise ModelMismatch(f"the model wants a vector of {width} numbers, text and sizes give {vector.shape[1]}")
        return vector.to(self.dtype)

    # ----------------------------------------------------------------------- latents

    def latent_in(self, latent: Latent) -> Tensor:
        """A latent in model space on the device. Raises ModelMismatch if its channels are not the model's.

        An empty latent stays empty, whatever the model's channels and shift are: there is nothing in it to convert.
        """
        channels = self.net.config.out_channels
        if not np.any(latent.data):
            return torch.zeros((latent.data.shape[0], channels, *latent.data.shape[2:]), device=self.device)
        if latent.data.shape[1] != channels:
            raise ModelMismatch(
                f"the latent has {latent.data.shape[1]} channels, the model works with {channels}",
                hint="encode the picture with the VAE of the same checkpoint",
            )
        return (latent_tensor(latent, self.device) - self.info.shift_factor) * self.info.scale_factor

    def latent_out(self, x: Tensor) -> Any:
        """From model space back to what travels along links, as an array."""
        return to_array(x / self.info.scale_factor + self.info.shift_factor)

    def require_context(self, conditioning: Conditioning, name: str) -> None:
        """Raises ModelMismatch if the text states are not as wide as the model reads."""
        width = self.net.config.context_dim
        for entry in conditioning.entries:
            if entry.context.shape[-1] != width:
                raise ModelMismatch(
                    f"the text is encoded {entry.context.shape[-1]} wide, the model reads {width}",
                    input=name,
                    hint="encode it with the `clip` of the same checkpoint",
                )

    def preview(self, x0: Tensor) -> Any:
        """A small uint8 (H, W, 3) picture of the first latent, or None if the model's latents are unknown."""
        if self.preview_factors is None or x0.shape[1] != len(self.preview_factors.weights):
            return None
        return np.kron(latent_to_rgb(x0[:1], self.preview_factors)[0], np.ones((8, 8, 1), np.uint8))


def preview_factors(info: CheckpointInfo, metadata: Any) -> LatentToRgb | None:
    """Factors the file brings (`nodegraph.latent_rgb`), else those known for its family."""
    import json

    try:
        rows = json.loads(metadata["nodegraph.latent_rgb"])
        return LatentToRgb(tuple(_triple(row) for row in rows["weights"]), _triple(rows["bias"]))
    except (KeyError, ValueError, TypeError):
        return {"sd1": SD15, "sd2": SD15, "sdxl": SDXL}.get(info.family)


def _triple(row: Any) -> tuple[float, float, float]:
    red, green, blue = map(float, row)
    return red, green, blue


@dataclass(frozen=True, eq=False)
class LoadedText:
    """One or two text encoders on their device."""

    nets: Sequence[ClipText]
    info: CheckpointInfo
    layer: int | None

    def encode(self, text: str, dialect: Dialect = "extended") -> Conditioning:
        """A prompt, weights applied. SDXL's two encoders are joined along the width, each at its last layer but one."""
        states, pooled = [], None
        two = len(self.nets) > 1
        for net, part in zip(self.nets, self.info.clips, strict=True):
            chunks = chunk_prompt(text, pad=part.pad, dialect=dialect)
            default = -2 if two or self.info.family == "sd2" else -1
            layer = default if self.layer is None else self.layer
            self.require_layer(net, layer)
            encoded = encode_chunks(net, chunks, layer=layer, normed=not two, pad=part.pad)
            states.append(encoded.tokens)
            pooled = encoded.pooled
        tokens = min(state.shape[1] for state in states)
        context = torch.cat([state[:, :tokens] for state in states], dim=-1)  # (1, tokens, D)
        return Conditioning((Cond(to_array(context), None if pooled is None else to_array(pooled)),))

    def require_layer(self, net: ClipText, layer: int) -> None:
        count = net.config.layers
        if not -count <= layer <= -1:
            raise ModelMismatch(
                f"layer {layer} was asked for; this text encoder has layers -{count} to -1", hint="change `stop_at` of `CLIPSkip`"
            )


@dataclass(frozen=True, eq=False)
class LoadedVae:
    """An autoencoder on its device."""

    net: AutoencoderKL
    device: torch.device
    dtype: torch.dtype

    @torch.inference_mode()
    def decode(self, latent: Latent, track: Callable[[Any], Any] = iter) -> Image:
        """Pictures of a batch of latents, one at a time: memory stays that of one picture."""
        wanted = self.net.config.embed_dim
        if latent.data.shape[1] != wanted:
            raise ModelMismatch(
                f"the latent has {latent.data.shape[1]} channels, this VAE decodes {wanted}", hint="use the VAE of its model"
            )
        z = latent_tensor(latent, self.device).to(self.dtype)
        rows = [self.net.decode(z[i : i + 1]).float().cpu() for i in track(range(len(latent)))]
        return image_from_tensor((torch.cat(rows) + 1) / 2)

    @torch.inference_mode()
    def encode(self, image: Image, track: Callable[[Any], Any] = iter) -> Latent:
        """Means of the latents of a batch of pictures; a border that does not fill a latent pixel is cut off, equally on both sides."""
        factor = self.net.config.factor
        height, width = image.height // factor * factor, image.width // factor * factor
        if not height or not width:
            raise InputRefused(f"a picture of {image.width}x{image.height} is smaller than one latent pixel ({factor}x{factor})")
        top, left = (image.height - height) // 2, (image.width - width) // 2
        x = image_tensor(image, self.device)[:, :, top : top + height, left : left + width].to(self.dtype) * 2 - 1
        rows = [self.net.encode(x[i : i + 1]).mean.float() for i in track(range(len(image)))]
        return Latent(to_array(torch.cat(rows)))


@dataclass(frozen=True, eq=False)
class LoadedUpscaler:
    """A super-resolution network on its device."""

    net: torch.nn.Module
    scale: int
    device: torch.device
    dtype: torch.dtype

    @torch.inference_mode()
    def enlarge(self, image: Image, tile: int = 512, overlap: int = 32, track: Callable[[Any], Any] = iter) -> Image:
        """Pictures `scale` times as large, worked on in overlapping tiles so that memory does not grow with the picture."""
        from nodegraph.diffusion.tiles import in_tiles

        x = image_tensor(image, self.device).to(self.dtype)
        return image_from_tensor(in_tiles(lambda part: self.net(part), x, self.scale, tile, overlap, track))


@dataclass(frozen=True, eq=False)
class LoadedImageText:
    """An image-text encoder on its device. Vectors have length 1: the product of two is their cosine."""

    net: DualEncoder
    device: torch.device

    @torch.inference_mode()
    def see(self, images: Sequence[Image], track: Callable[[Any], Any] = iter) -> Any:
        """(N, width) float32: every picture of every batch, in order; sizes may differ."""
        return np.concatenate([to_array(self.net.pictures(image_tensor(image, self.device))) for image in track(images)])

    @torch.inference_mode()
    def read(self, texts: Sequence[str], part: int = 256) -> Any:
        """(N, width) float32; texts are cut after 75 tokens."""
        rows = [self.net.words(whole_ids(texts[i : i + part]).to(self.device)) for i in range(0, len(texts), part)]
        return to_array(torch.cat(rows)) if rows else np.zeros((0, self.net.config.width), np.float32)
