"""Modules from weights files: made without memory, then given the tensors of the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from nodegraph.diffusion.identify import CheckpointInfo, ClipPart, identify_dual_encoder, identify_upscaler, stripped, upscaler_prefix
from nodegraph.diffusion.models.clip_text import ClipText
from nodegraph.diffusion.models.diffusers_names import is_flat_convolution
from nodegraph.diffusion.models.dual_encoder import DualEncoder
from nodegraph.diffusion.models.dual_encoder_config import ROWS, TABLE, TOKENS
from nodegraph.diffusion.models.openclip import openclip_tensors
from nodegraph.diffusion.models.unet import UNet
from nodegraph.diffusion.models.upscaler import RRDBNet, SRVGGNetCompact
from nodegraph.diffusion.models.upscaler_config import CompactConfig, new_names
from nodegraph.diffusion.models.vae import AutoencoderKL
from nodegraph.diffusion.weights import WeightsFile
from nodegraph.errors import BrokenWeights, MissingPart, shorten

M = TypeVar("M", bound=nn.Module)


def build_unet(info: CheckpointInfo, weights: WeightsFile, dtype: torch.dtype = torch.float32) -> UNet:
    """The U-Net of a checkpoint, in eval mode on the CPU. Raises MissingPart, BrokenWeights."""
    part = info.unet
    if part is None:
        raise _missing("U-Net", info, weights)
    return fill(lambda: UNet(part.config), _by_our_names(part_tensors(weights, part.prefix), part.names), dtype)


def build_vae(info: CheckpointInfo, weights: WeightsFile, dtype: torch.dtype = torch.float32) -> AutoencoderKL:
    """The autoencoder of a checkpoint, in eval mode on the CPU. Raises MissingPart, BrokenWeights.

    Its kernels are laid out channels last, which makes decoding on a CPU about a fifth faster.
    """
    part = info.vae
    if part is None:
        raise _missing("autoencoder", info, weights)
    tensors = _by_our_names(part_tensors(weights, part.prefix), part.names)
    return fill(lambda: AutoencoderKL(part.config), tensors, dtype, torch.channels_last)


def _by_our_names(tensors: dict[str, Tensor], names: Mapping[str, str] | None) -> dict[str, Tensor]:
    """Tensors of a file in the layout of diffusers as they are called, and shaped, here."""
    if names is None:
        return tensors
    known = {names[key]: tensor for key, tensor in tensors.items() if key in names}
    return {name: tensor[:, :, None, None] if is_flat_convolution(name, tensor.shape) else tensor for name, tensor in known.items()}


def build_clip(info: CheckpointInfo, weights: WeightsFile, dtype: torch.dtype = torch.float32) -> tuple[ClipText, ...]:
    """The text encoders of a checkpoint in the order of `info.clips`, in eval mode on the CPU. Raises MissingPart, BrokenWeights."""
    if not info.clips:
        raise _missing("text encoder", info, weights)
    return tuple(_clip(part, weights, dtype) for part in info.clips)


def _clip(part: ClipPart, weights: WeightsFile, dtype: torch.dtype) -> ClipText:
    tensors = part_tensors(weights, part.prefix)
    return fill(lambda: ClipText(part.config), openclip_tensors(tensors) if part.layout == "openclip" else tensors, dtype)


def build_upscaler(weights: WeightsFile, dtype: torch.dtype = torch.float32) -> SRVGGNetCompact | RRDBNet:
    """An upscale model, in eval mode on the CPU; `.scale` says by how much. Raises UnknownModel, BrokenWeights."""
    config = identify_upscaler(weights.shapes)
    tensors = part_tensors(weights, upscaler_prefix(weights.shapes))
    if isinstance(config, CompactConfig):
        return fill(lambda: SRVGGNetCompact(config), tensors, dtype, torch.channels_last)
    names = new_names({key: tensor.shape for key, tensor in tensors.items()})
    return fill(lambda: RRDBNet(config), {names[key]: tensor for key, tensor in tensors.items()}, dtype, torch.channels_last)


def build_dual_encoder(weights: WeightsFile, dtype: torch.dtype = torch.float32) -> DualEncoder:
    """An image-text encoder, in eval mode on the CPU. Raises UnknownModel, BrokenWeights."""
    config = identify_dual_encoder(weights.shapes, weights.metadata)
    tensors = weights.load()
    tensors[TABLE] = _token_table(tensors, config.text.vocab)
    return fill(lambda: DualEncoder(config), tensors, dtype, torch.channels_last)


def _token_table(tensors: Mapping[str, Tensor], vocab: int) -> Tensor:
    """(vocab, width) from the rows that the file has; those of tokens that training never saw are zero."""
    if TOKENS not in tensors or tensors[TOKENS].shape != tensors[ROWS].shape[:1] or tensors[TOKENS].dtype.is_floating_point:
        raise BrokenWeights(f"{ROWS} has {len(tensors[ROWS])} rows, and {TOKENS} does not name as many", hint="fetch the file again")
    ids, rows = tensors[TOKENS].long(), tensors[ROWS]
    if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < vocab:
        raise BrokenWeights(f"{TOKENS} names tokens outside 0 to {vocab - 1}", hint="fetch the file again")
    return rows.new_zeros(vocab, rows.shape[1]).index_copy(0, ids, rows)


def part_tensors(weights: WeightsFile, prefix: str) -> dict[str, Tensor]:
    """Tensors under a prefix, mapped from the file, keys without the prefix."""
    return stripped(weights.load([key for key in weights.tensors if key.startswith(prefix)]), prefix)


def fill(
    make: Callable[[], M], tensors: Mapping[str, Tensor], dtype: torch.dtype, layout: torch.memory_format = torch.preserve_format
) -> M:
    """Make a module on the meta device and give it tensors, converted one by one; tensors it does not know are left out.

    A tensor that already has the type and layout is not copied: it stays mapped from its file.
    Raises BrokenWeights when a tensor is missing or of another shape.
    """
    with torch.device("meta"):
        module = make()
    wanted = module.state_dict()
    _check(wanted, tensors)
    state = {key: _converted(tensors[key], dtype, layout) for key in wanted}
    module.load_state_dict(state, strict=True, assign=True)
    return module.eval().requires_grad_(False)


def _converted(tensor: Tensor, dtype: torch.dtype, layout: torch.memory_format) -> Tensor:
    return tensor.to(dtype, memory_format=layout if tensor.ndim == 4 else torch.preserve_format)


def _check(wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    absent = [key for key in wanted if key not in tensors]
    if absent:
        raise BrokenWeights(f"{len(absent)} tensors are missing, the first is {shorten(absent[0])}", hint="fetch the file again")
    for key, tensor in wanted.items():
        if tensors[key].shape != tensor.shape:
            raise BrokenWeights(f"{shorten(key)} is {tuple(tensors[key].shape)}, but {tuple(tensor.shape)} is needed beside the others")


def _missing(what: str, info: CheckpointInfo, weights: WeightsFile) -> MissingPart:
    return MissingPart(f"{weights.path.name} has no {what}, only: {', '.join(info.parts)}", hint=f"load a {what} from another file")
