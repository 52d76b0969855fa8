"""Put the trained parts into one file in the layout of Stable Diffusion checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from torch.nn import functional as F

from nodegraph.diffusion.identify import SD_SCALE
from nodegraph.diffusion.models.vae import AutoencoderKL
from nodegraph.diffusion.preview import LatentToRgb, fit_factors
from nodegraph.diffusion.training.dataset import Dataset
from nodegraph.diffusion.training.diffusion import TextToLatent
from nodegraph.diffusion.training.state import TrainState, weights_hash
from nodegraph.diffusion.training.vae import encode_in_parts
from nodegraph.diffusion.weights import save_weights

UNET, VAE, CLIP = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."
TABLE = "text_model.embeddings.token_embedding.weight"


@dataclass(frozen=True)
class Card:
    """What people are told about a checkpoint: title, licence of the weights, and whose pictures it has learnt from.

    negative: the negative prompt that it is used with
    """

    title: str
    licence: str
    attribution: str
    subjects: tuple[str, ...]
    styles: tuple[str, ...]
    description: str = ""
    author: str = ""
    negative: str = ""

    def metadata(self) -> dict[str, str]:
        """As strings under the names of the modelspec convention, and our own."""
        known = {
            "modelspec.sai_model_spec": "1.0.0",
            "modelspec.architecture": "stable-diffusion-v1",
            "modelspec.title": self.title,
            "modelspec.author": self.author,
            "modelspec.license": self.licence,
            "modelspec.description": self.description,
            "modelspec.usage_hint": f"negative prompt: {self.negative}" if self.negative else "",
            "modelspec.trigger_phrase": ", ".join([*self.subjects, *(f"{style} style" for style in self.styles)]),
            "nodegraph.attribution": self.attribution,
            "nodegraph.subjects": json.dumps(list(self.subjects), ensure_ascii=False),
            "nodegraph.styles": json.dumps(list(self.styles), ensure_ascii=False),
        }
        return {key: value for key, value in known.items() if value}


def card_of(dataset: Dataset, title: str, licence: str, description: str = "", author: str = "", negative: str = "") -> Card:
    """The card of a model trained on `dataset`: its subjects and styles, and the authors and licences of its pictures."""
    sources = sorted({(entry.style, entry.author, entry.licence) for entry in dataset.entries if entry.author or entry.licence})
    attribution = "; ".join(f"{style} pictures: {who} ({terms})" for style, who, terms in sources)
    return Card(title, licence, attribution, dataset.labels, dataset.styles, description, author, negative)


def export_vae(path: Path, net: AutoencoderKL, images: Tensor, card: Card) -> str:
    """Write the autoencoder alone, float16. images: (B, 3, H, W) to fit the preview factors on. Returns the hash of its weights."""
    facts = {**card.metadata(), **_vae_facts(net, latent_colours(net, images, SD_SCALE), SD_SCALE)}
    tensors = {key: value.half() for key, value in net.state_dict().items()}
    save_weights(path, tensors, {**facts, "nodegraph.weights_hash": weights_hash(tensors)})
    return weights_hash(tensors)


def export_checkpoint(
    path: Path,
    net: TextToLatent,
    vae: AutoencoderKL,
    card: Card,
    *,
    colours: LatentToRgb,
    scale: float = SD_SCALE,
    used: Tensor | None = None,
) -> None:
    """Write U-Net, autoencoder and text encoder, float16, in one go.

    colours: factors for latent previews; used: (vocab,) bool, tokens that training has seen: rows of the others are written as zeros,
    which compresses well and leaves unknown words without effect
    """
    clip = {key: value.clone() for key, value in net.clip.state_dict().items()}
    if used is not None:
        clip[TABLE][~used] = 0
    parts: dict[str, Mapping[str, Tensor]] = {UNET: net.unet.state_dict(), VAE: vae.state_dict(), CLIP: clip}
    tensors = {prefix + key: value.half().contiguous() for prefix, part in parts.items() for key, value in part.items()}
    facts = {**card.metadata(), **_vae_facts(vae, colours, scale), **_network_facts(net)}
    save_weights(path, tensors, {**facts, "modelspec.prediction_type": "v", "nodegraph.weights_hash": weights_hash(tensors)})


def _vae_facts(net: AutoencoderKL, colours: LatentToRgb, scale: float) -> dict[str, str]:
    return {
        "nodegraph.scale_factor": repr(scale),
        "nodegraph.vae_norm_groups": str(net.config.norm_groups),
        "nodegraph.latent_rgb": json.dumps({"weights": colours.weights, "bias": colours.bias}),
    }


def _network_facts(net: TextToLatent) -> dict[str, str]:
    unet, clip = net.unet.config, net.clip.config
    heads = {"nodegraph.unet_heads": unet.num_heads, "nodegraph.unet_head_dim": unet.head_dim, "nodegraph.clip_heads": clip.heads}
    return {**{key: str(value) for key, value in heads.items() if value is not None}, "nodegraph.clip_activation": clip.activation}


def used_tokens(state: TrainState, known: Tensor | None = None) -> Tensor:
    """(vocab,) bool: the rows of the token table that ever had a gradient, from Adam's second moments, or that were `known` before."""
    moments = next(value for name, value in state.moment2.items() if name.endswith(TABLE))
    used = moments.abs().amax(dim=1) > 0
    return used if known is None else used | known


def latent_colours(net: AutoencoderKL, images: Tensor, scale: float) -> LatentToRgb:
    """Factors that turn latents in model space into small pictures, fitted to `images` (B, 3, H, W) in -1..1."""
    small = F.avg_pool2d(images, net.config.factor)
    return fit_factors(encode_in_parts(net, images) * scale, small)
