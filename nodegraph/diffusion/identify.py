"""What a weights file holds, told from its keys, shapes and metadata alone. No torch here.

Facts that leave no trace in shapes are read from the metadata of the file, where they are strings:

    modelspec.prediction_type      "epsilon", "v" or "flow"
    nodegraph.scale_factor         latents are multiplied by it after encoding
    nodegraph.shift_factor         and this is subtracted before
    nodegraph.zero_terminal_snr    "true" if the noise schedule was rescaled to end in pure noise
    nodegraph.unet_heads           attention heads of the U-Net at every level, or
    nodegraph.unet_head_dim        the width of one head
    nodegraph.vae_norm_groups      groups of the norms of the autoencoder
    nodegraph.clip_heads           attention heads of the text encoder
    nodegraph.clip_activation      "quick_gelu" or "gelu"
    nodegraph.architecture         "dual-encoder-1" for an image-text encoder; of such a file also
    nodegraph.image_size           the edge in pixels that pictures are brought to
    nodegraph.image_norm_groups    groups of the norms of its image tower
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, TypeVar, cast

from nodegraph.diffusion.models.clip_config import Activation, ClipTextConfig
from nodegraph.diffusion.models.diffusers_names import UNET_MARKS, VAE_MARKS, is_flat_convolution, unet_names, vae_names
from nodegraph.diffusion.models.dual_encoder_config import ARCHITECTURE, DUAL_ENCODER, DualEncoderConfig
from nodegraph.diffusion.models.openclip import openclip_shapes
from nodegraph.diffusion.models.unet_config import UNetConfig
from nodegraph.diffusion.models.upscaler_config import CompactConfig, RrdbConfig, is_compact, new_names
from nodegraph.diffusion.models.vae_config import VaeConfig
from nodegraph.diffusion.weights import WeightsFile
from nodegraph.errors import BrokenWeights, UnknownModel, shorten

Shapes = Mapping[str, tuple[int, ...]]
Family = Literal["sd1", "sd2", "sdxl", "generic"]
Prediction = Literal["eps", "v", "flow"]
ClipLayout = Literal["transformers", "openclip"]
T = TypeVar("T")

Part = Literal["unet", "vae", "clip"]
PART_NAMES: Mapping[Part, str] = MappingProxyType({"unet": "a denoising network", "vae": "a VAE", "clip": "a text encoder"})
_LOADERS: Mapping[Part, str] = MappingProxyType({"unet": "LoadDiffusionModel", "vae": "LoadVAE", "clip": "LoadTextEncoder"})
OPENCLIP_WIDTHS = (1024, 1280)
SD_SCALE, SDXL_SCALE = 0.18215, 0.13025
SD2_V_SPREAD = 0.09  # spread of one bias that parts the v-prediction files of SD 2 from the others, as ComfyUI found
_UNET_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "")
_FOREIGN_UNET_PREFIXES = ("", "unet.")
_VAE_PREFIXES = ("first_stage_model.", "vae.", "")
_CLIP_TABLE = "text_model.embeddings.token_embedding.weight"
_OPENCLIP_TABLE = "token_embedding.weight"


@dataclass(frozen=True)
class UNetPart:
    """A U-Net under `prefix`. names: what its keys are called here, by key, if they are those of diffusers."""

    prefix: str
    config: UNetConfig
    names: Mapping[str, str] | None = None


@dataclass(frozen=True)
class VaePart:
    """An autoencoder under `prefix`. names: what its keys are called here, by key, if they are those of diffusers."""

    prefix: str
    config: VaeConfig
    names: Mapping[str, str] | None = None


@dataclass(frozen=True)
class ClipPart:
    """A text encoder under `prefix`, in the key names of the transformers library or of OpenCLIP."""

    prefix: str
    layout: ClipLayout
    config: ClipTextConfig

    @property
    def pad(self) -> int:
        """The token that fills a chunk: OpenAI's CLIP repeats the end, OpenCLIP's H and bigG use 0, whatever their keys are called."""
        return 0 if self.layout == "openclip" or self.config.width in OPENCLIP_WIDTHS else self.config.eos


@dataclass(frozen=True)
class CheckpointInfo:
    """The models of a checkpoint and how they are to be used.

    clips: in the order in which their states are concatenated; one for SD 1 and 2, two for SDXL
    prediction: what the U-Net predicts
    scale_factor, shift_factor: a latent in model space is (encoded - shift_factor) * scale_factor
    """

    family: Family
    unet: UNetPart | None
    vae: VaePart | None
    clips: tuple[ClipPart, ...]
    prediction: Prediction
    scale_factor: float
    shift_factor: float = 0.0
    zero_terminal_snr: bool = False

    @property
    def parts(self) -> tuple[Part, ...]:
        """What is in the file."""
        there: dict[Part, object] = {"unet": self.unet, "vae": self.vae, "clip": self.clips}
        return tuple(name for name, part in there.items() if part)

    @property
    def inpainting(self) -> bool:
        """Whether the U-Net also reads a mask and a masked picture."""
        return self.unet is not None and self.unet.config.in_channels == 9


def identify(shapes: Shapes, metadata: Mapping[str, str] = MappingProxyType({})) -> CheckpointInfo:
    """Tell what a file holds. Raises UnknownModel, saying what it looks like, and BrokenWeights for metadata that lies."""
    facts = _Facts(metadata)
    unet, vae, clips = _find_unet(shapes, facts), _find_vae(shapes, facts), _find_clips(shapes, facts)
    if unet is None and vae is None and not clips:
        raise UnknownModel(f"the file holds {looks_like(shapes)}", hint="choose a checkpoint in the layout of Stable Diffusion")
    family = _family(unet, clips)
    default_scale = SDXL_SCALE if family == "sdxl" else SD_SCALE
    return CheckpointInfo(
        family=family,
        unet=unet,
        vae=vae,
        clips=clips,
        prediction=_prediction(shapes, facts),
        scale_factor=facts.scale("nodegraph.scale_factor", default_scale),
        shift_factor=facts.number("nodegraph.shift_factor") or 0.0,
        zero_terminal_snr="ztsnr" in shapes or facts.get("nodegraph.zero_terminal_snr") == "true",
    )


def identify_part(shapes: Shapes, metadata: Mapping[str, str], part: Part) -> CheckpointInfo:
    """`identify` for a file that must hold this part. Raises UnknownModel, saying what it holds, and BrokenWeights."""
    info = identify(shapes, metadata)
    if part not in info.parts:
        holds = " and ".join(PART_NAMES[there] for there in info.parts)
        nodes = " or ".join(f"`{_LOADERS[there]}`" for there in info.parts)
        raise UnknownModel(f"the file holds {holds}, and no {PART_NAMES[part].split(' ', 1)[1]}", hint=f"load it with {nodes}")
    return info


def identify_file(weights: WeightsFile) -> CheckpointInfo:
    """`identify`, and for a Stable Diffusion 2 file without metadata a look at one small tensor, which tells v from eps."""
    info = identify(weights.shapes, weights.metadata)
    if info.family == "sd2" and info.unet is not None and "modelspec.prediction_type" not in weights.metadata:
        block = "up_blocks.3.attentions.2" if info.unet.names is not None else "output_blocks.11.1"
        bias = weights.floats(f"{info.unet.prefix}{block}.transformer_blocks.0.norm1.bias")
        return replace(info, prediction="v" if statistics.pstdev(bias) > SD2_V_SPREAD else "eps")
    return info


def identify_upscaler(shapes: Shapes) -> CompactConfig | RrdbConfig:
    """The network of an upscale model. Raises UnknownModel, saying what the file looks like, and BrokenWeights."""
    own = stripped(shapes, upscaler_prefix(shapes))
    if is_compact(own):
        return read_config("upscale model", lambda: CompactConfig.from_state_dict(own))
    names = new_names(own)
    if "conv_first.weight" not in names.values():
        raise UnknownModel(f"the file holds {looks_like(shapes)}", hint="choose an ESRGAN or Real-ESRGAN model")
    return read_config("upscale model", lambda: RrdbConfig.from_state_dict({names[key]: shape for key, shape in own.items()}))


def identify_dual_encoder(shapes: Shapes, metadata: Mapping[str, str] = MappingProxyType({})) -> DualEncoderConfig:
    """The shape of an image-text encoder. Raises UnknownModel, saying what the file looks like, and BrokenWeights."""
    facts = _Facts(metadata)
    if facts.get(ARCHITECTURE) != DUAL_ENCODER:
        raise UnknownModel(f"the file holds {looks_like(shapes)}", hint="choose a file that TrainImageTextEncoder made")
    size, groups, heads = (facts.count(f"nodegraph.{key}") for key in ("image_size", "image_norm_groups", "clip_heads"))
    if size is None or groups is None or heads is None:
        raise BrokenWeights("the image-text encoder does not say its image_size, image_norm_groups and clip_heads", hint="fetch it again")
    return read_config("image-text encoder", lambda: DualEncoderConfig.from_state_dict(shapes, size=size, groups=groups, heads=heads))


def upscaler_prefix(shapes: Shapes) -> str:
    """Training scripts put the weights under a name of their own; the averaged ones are the better ones."""
    first = {key.split(".", 1)[0] for key in shapes}
    return next((f"{name}." for name in ("params_ema", "params") if name in first), "")


def looks_like(shapes: Shapes) -> str:
    """In words, what a file without any part of a checkpoint seems to be."""
    for pattern, what in _OTHERS:
        if any(re.search(pattern, key) for key in shapes):
            return what
    if not shapes:
        return "no tensors at all"
    some = ", ".join(shorten(key) for key in list(shapes)[:3])
    return f"{len(shapes)} tensors of no known model ({some}, ...)"


_OTHERS = (
    (r"^image\.stem\.weight$", "an image-text encoder: load it with LoadImageTextEncoder"),
    (r"^lora_|\.lora_(up|down|A|B)\.|\.hada_w1_a$|\.lokr_w1", "a LoRA: load it with LoadLoRA"),
    (r"^(control_model\.)?(input_hint_block|zero_convs)\.", "a ControlNet: load it with LoadControlNet"),
    (r"^controlnet_cond_embedding\.", "a ControlNet in the layout of diffusers"),
    (r"^(emb_params|string_to_param|clip_[lg])$", "a textual inversion embedding: name it in a prompt as embedding:name"),
    (r"^(conv_first|body\.0\.|model\.0)\.?(weight|rdb1)|^body\.0\.weight$", "an upscale model: load it with LoadUpscaleModel"),
    (r"^(down_blocks|unet\.down_blocks)\.", "a part of a U-Net in the layout of diffusers"),
    (r"^(model\.diffusion_model\.)?(double_blocks|joint_blocks|single_transformer_blocks)\.", "a transformer of the Flux or SD 3 family"),
    (r"^(model\.diffusion_model\.)?(double_layers|single_layers)\.", "a transformer of the AuraFlow family"),
    (r"^(model\.diffusion_model\.)?(blocks|transformer_blocks)\.\d+\.", "a diffusion transformer of a family that is not supported"),
    (r"^encoder\.block\.0\.layer\.0\.SelfAttention\.", "a T5 text encoder"),
    (r"^(model\.)?layers\.0\.self_attn\.", "a language model used as a text encoder"),
    (r"^(vision_model|visual)\.", "a CLIP encoder of pictures"),
    (r"^(taesd_|encoder\.layers\.|decoder\.layers\.)|^(\d+)\.weight$", "a tiny autoencoder for previews"),
    (r"^(model\.diffusion_model|first_stage_model|cond_stage_model|conditioner)\.", "a checkpoint: load it with LoadCheckpoint"),
)


# ---------------------------------------------------------------------------------------------- facts and parts


@dataclass(frozen=True)
class _Facts:
    """Metadata, read as numbers where numbers are meant."""

    table: Mapping[str, str]

    def get(self, key: str) -> str | None:
        return self.table.get(key)

    def number(self, key: str) -> float | None:
        text = self.table.get(key)
        try:
            value = None if text is None else float(text)
        except ValueError:
            value = math.nan
        if value is not None and not (math.isfinite(value) and abs(value) < 1e6):
            raise BrokenWeights(f"the metadata {key} should be a number, but is {shorten(str(text))!r}")
        return value

    def scale(self, key: str, default: float) -> float:
        value = self.number(key)
        if value == 0:
            raise BrokenWeights(f"the metadata {key} should not be 0")
        return default if value is None else value

    def count(self, key: str) -> int | None:
        value = self.number(key)
        if value is not None and (value != int(value) or value < 1):
            raise BrokenWeights(f"the metadata {key} should be a whole number above 0, but is {value:g}")
        return None if value is None else int(value)


def _find_unet(shapes: Shapes, facts: _Facts) -> UNetPart | None:
    prefix = _prefix(shapes, _UNET_PREFIXES, ("input_blocks.0.0.weight", "out.2.weight"))
    found = prefix if prefix is not None else _prefix(shapes, _FOREIGN_UNET_PREFIXES, UNET_MARKS)
    if found is None:
        return None
    own = stripped(shapes, found)
    names = unet_names(own) if prefix is None else None
    table = _by_our_names(own, names) if names is not None else own
    heads, head_dim = facts.count("nodegraph.unet_heads"), facts.count("nodegraph.unet_head_dim")
    config = read_config("U-Net", lambda: UNetConfig.from_state_dict(table, num_heads=heads, head_dim=head_dim))
    return UNetPart(found, config, names)


def _find_vae(shapes: Shapes, facts: _Facts) -> VaePart | None:
    prefix = _prefix(shapes, _VAE_PREFIXES, ("encoder.conv_in.weight", "decoder.conv_in.weight"))
    if prefix is None:
        return None
    own = stripped(shapes, prefix)
    names = vae_names(own) if own.keys() >= VAE_MARKS else None
    table = _by_our_names(own, names) if names is not None else own
    config = read_config("autoencoder", lambda: VaeConfig.from_state_dict(table))
    return VaePart(prefix, replace(config, norm_groups=facts.count("nodegraph.vae_norm_groups") or config.norm_groups), names)


def _prefix(shapes: Shapes, prefixes: Iterable[str], keys: Iterable[str]) -> str | None:
    """The first prefix under which all these keys are."""
    wanted = tuple(keys)
    return next((prefix for prefix in prefixes if all(prefix + key in shapes for key in wanted)), None)


def _by_our_names(shapes: Shapes, names: Mapping[str, str]) -> Shapes:
    return {
        names[key]: (*shape, 1, 1) if is_flat_convolution(names[key], shape) else shape for key, shape in shapes.items() if key in names
    }


def _find_clips(shapes: Shapes, facts: _Facts) -> tuple[ClipPart, ...]:
    parts = []
    for key in shapes:
        if key.endswith(_CLIP_TABLE):
            parts.append(_clip(shapes, key.removesuffix(_CLIP_TABLE), "transformers", facts))
        elif key.endswith(_OPENCLIP_TABLE) and f"{key.removesuffix(_OPENCLIP_TABLE)}transformer.resblocks.0.ln_1.weight" in shapes:
            parts.append(_clip(shapes, key.removesuffix(_OPENCLIP_TABLE), "openclip", facts))
    return tuple(sorted(parts, key=lambda part: part.prefix))


def _clip(shapes: Shapes, prefix: str, layout: ClipLayout, facts: _Facts) -> ClipPart:
    heads, activation = facts.count("nodegraph.clip_heads"), facts.get("nodegraph.clip_activation")
    if activation not in (None, "quick_gelu", "gelu"):
        raise BrokenWeights(f"the metadata nodegraph.clip_activation should be quick_gelu or gelu, but is {shorten(str(activation))!r}")
    own = stripped(shapes, prefix)
    names = openclip_shapes(own) if layout == "openclip" else own
    known = cast("Activation | None", activation)
    config = read_config("text encoder", lambda: ClipTextConfig.from_state_dict(names, heads=heads, activation=known))
    return ClipPart(prefix, layout, config)


def read_config(what: str, config: Callable[[], T]) -> T:
    """Turn the ways in which a torn set of keys breaks the reading of a config into one error."""
    try:
        return config()
    except KeyError as error:
        raise BrokenWeights(f"the {what} is incomplete: {error.args[0]} is missing", hint="fetch the file again") from error
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise BrokenWeights(f"the {what} has impossible shapes: {error}", hint="fetch the file again") from error


def _family(unet: UNetPart | None, clips: Sequence[ClipPart]) -> Family:
    if unet is None and len(clips) == 1 and (clips[0].config.width, clips[0].config.layers) == (1024, 24):
        return "sd2"  # the whole text encoder alone; without its last layer, as diffusers writes it, nothing has to be skipped
    if unet is None or unet.config.model_channels != 320:
        return "generic"
    known: dict[tuple[int, int | None], Family] = {(768, None): "sd1", (1024, None): "sd2", (2048, 2816): "sdxl"}
    return known.get((unet.config.context_dim, unet.config.adm_in_channels), "generic")


def _prediction(shapes: Shapes, facts: _Facts) -> Prediction:
    stated = facts.get("modelspec.prediction_type")
    names: dict[str | None, Prediction] = {"epsilon": "eps", "eps": "eps", "v": "v", "v_prediction": "v", "flow": "flow"}
    if stated is not None and stated not in names:
        raise BrokenWeights(f"the metadata modelspec.prediction_type should be epsilon, v or flow, but is {shorten(stated)!r}")
    return names.get(stated, "v" if "v_pred" in shapes else "eps")


def stripped(shapes: Mapping[str, T], prefix: str) -> dict[str, T]:
    """The entries under a prefix, without it."""
    return {key[len(prefix) :]: value for key, value in shapes.items() if key.startswith(prefix)}
