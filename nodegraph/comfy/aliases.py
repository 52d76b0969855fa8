"""The one table between ComfyUI's node classes and ours: names of inputs in ComfyUI's order, and outputs by slot.

A line reads: ComfyUI's class, our id, its inputs as ComfyUI declares them (the order of `widgets_values`), our output names by slot.
An input is written `theirs:kind` or `theirs=ours:kind`; without a kind it takes links only and has no widget. After the kind may follow
what ComfyUI's editor stores behind the value: `+control` (what happens to a seed after a run) or `+upload` (a button).
An output written `@name` does not exist here: it hands on what came into our input `name`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Final, Literal, cast

Kind = Literal["link", "int", "float", "str", "bool", "choice", "file"]


@dataclass(frozen=True, slots=True)
class ForeignInput:
    """One input: its name there and here. `kind` other than "link" means that it has a widget there."""

    theirs: str
    ours: str
    kind: Kind = "link"
    follows: Literal["", "control", "upload"] = ""


@dataclass(frozen=True)
class Alias:
    """A node class of ComfyUI and the node type here that does the same."""

    theirs: str
    ours: str
    inputs: tuple[ForeignInput, ...]
    outputs: tuple[str, ...]
    only_ours: frozenset[str] = field(default_factory=frozenset)
    """inputs that only our node has; they are exported under their own name, which ComfyUI ignores"""
    shows: bool = False
    """its further stored widgets only show a result and carry no setting"""
    fixed: Mapping[str, str] = field(default_factory=dict)
    """inputs of ours that a node which comes from there is given, so that it does what it did there"""
    only_theirs: Mapping[str, str] = field(default_factory=dict)
    """inputs that only their node has, stored behind the others, and what is written for them: their node does not run without"""

    @cached_property
    def by_theirs(self) -> Mapping[str, ForeignInput]:
        return {entry.theirs: entry for entry in self.inputs}

    @cached_property
    def by_ours(self) -> Mapping[str, ForeignInput]:
        return {entry.ours: entry for entry in self.inputs}

    @cached_property
    def by_name(self) -> Mapping[str, ForeignInput]:
        """by the name there, else by the one here"""
        return {**self.by_ours, **self.by_theirs}

    def find(self, name: str) -> ForeignInput | None:
        """The input called `name` there, else the one called so here."""
        return self.by_name.get(name)


_INPUT = re.compile(r"(?P<theirs>\w+)(=(?P<ours>\w+))?(:(?P<kind>\w+)(\+(?P<follows>\w+))?)?")


def _input(text: str) -> ForeignInput:
    match = _INPUT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} does not describe an input")
    theirs, kind, follows = match["theirs"], cast(Kind, match["kind"] or "link"), match["follows"] or ""
    return ForeignInput(theirs, match["ours"] or theirs, kind, cast(Literal["", "control", "upload"], follows))


def _alias(
    theirs: str,
    ours: str,
    inputs: str,
    outputs: str,
    only_ours: str = "",
    shows: bool = False,
    fixed: Mapping[str, str] | None = None,
    only_theirs: Mapping[str, str] | None = None,
) -> Alias:
    own = frozenset([*only_ours.split(), *(fixed or {})])
    return Alias(theirs, ours, tuple(map(_input, inputs.split())), tuple(outputs.split()), own, shows, fixed or {}, only_theirs or {})


_SAMPLING = (
    "model seed:int+control steps:int cfg:float sampler_name=sampler:choice scheduler:choice"
    " positive negative latent_image=latent denoise:float"
)

_COMPOSITE = "destination=base source=overlay x:int y:int resize_source=resize:bool mask"

_TABLE: Final = (
    _alias("CheckpointLoaderSimple", "LoadCheckpoint", "ckpt_name=file:file", "model clip vae"),
    _alias("UNETLoader", "LoadDiffusionModel", "unet_name=file:file", "model", only_theirs={"weight_dtype": "default"}),
    _alias("CLIPLoader", "LoadTextEncoder", "clip_name=file:file", "clip", only_theirs={"type": "stable_diffusion", "device": "default"}),
    _alias(
        "DualCLIPLoader",
        "LoadDualTextEncoder",
        "clip_name1=first:file clip_name2=second:file",
        "clip",
        only_theirs={"type": "sdxl", "device": "default"},
    ),
    _alias("VAELoader", "LoadVAE", "vae_name=file:file", "vae"),
    _alias("ModelSamplingDiscrete", "SetPrediction", "model sampling=prediction:choice zsnr=zero_terminal_snr:bool", "model"),
    _alias("ModelSamplingSD3", "SetFlowShift", "model shift:float", "model"),
    _alias("ModelSamplingAuraFlow", "SetFlowShift", "model shift:float", "model"),
    _alias("CLIPTextEncode", "CLIPEncode", "text:str clip", "conditioning", fixed={"syntax": "comfyui"}),
    _alias(
        "ConditioningAverage",
        "BlendConditioning",
        "conditioning_to=base conditioning_from=overlay conditioning_to_strength=keep:float",
        "conditioning",
        fixed={"lengths": "base"},
    ),
    _alias("CLIPSetLastLayer", "CLIPSkip", "clip stop_at_clip_layer=stop_at:int", "clip"),
    _alias("EmptyLatentImage", "EmptyLatent", "width:int height:int batch_size=batch:int", "latent"),
    _alias("EmptySD3LatentImage", "EmptyLatent", "width:int height:int batch_size=batch:int", "latent"),
    _alias("KSampler", "KSampler", _SAMPLING, "latent", only_ours="eta variation_seed variation_strength"),
    _alias("VAEDecode", "VAEDecode", "samples=latent vae", "image"),
    _alias("VAEEncode", "VAEEncode", "pixels=image vae", "latent"),
    _alias("LoadImage", "LoadImage", "image=file:file+upload", "image mask"),
    _alias("LoadImageMask", "LoadMask", "image=file:file+upload channel:choice", "mask"),
    _alias("SaveImage", "SaveImage", "images=image filename_prefix=name:str", "@image", only_ours="format quality embed"),
    _alias(
        "SaveAnimatedWEBP",
        "SaveAnimation",
        "images filename_prefix=name:str fps:float lossless:bool quality:int method:choice",
        "",
        only_ours="loop boomerang compress_level embed",
        fixed={"format": "webp"},
    ),
    _alias(
        "SaveAnimatedPNG",
        "SaveAnimation",
        "images filename_prefix=name:str fps:float compress_level:int",
        "",
        only_ours="loop boomerang lossless quality method embed",
        fixed={"format": "apng"},
    ),
    _alias("PreviewImage", "PreviewImage", "images=image", "@image"),
    _alias("ImageScale", "ImageScale", "image upscale_method=method:choice width:int height:int crop:choice", "image"),
    _alias("ImageScaleBy", "ImageScaleBy", "image upscale_method=method:choice scale_by=factor:float", "image"),
    _alias("UpscaleModelLoader", "LoadUpscaler", "model_name=file:file", "upscaler"),
    _alias("ImageUpscaleWithModel", "UpscaleImage", "upscale_model=upscaler image", "image", only_ours="tile"),
    _alias("SetLatentNoiseMask", "SetLatentNoiseMask", "samples=latent mask", "latent"),
    _alias("LatentUpscale", "LatentUpscale", "samples=latent upscale_method=method:choice width:int height:int crop:choice", "latent"),
    _alias("LatentUpscaleBy", "LatentUpscaleBy", "samples=latent upscale_method=method:choice scale_by=factor:float", "latent"),
    _alias("LatentFlip", "LatentFlip", "samples=latent flip_method=direction:choice", "latent"),
    _alias("LatentRotate", "LatentRotate", "samples=latent rotation=angle:choice", "latent"),
    _alias("LatentCrop", "LatentCrop", "samples=latent width:int height:int x:int y:int", "latent"),
    _alias("LatentCompositeMasked", "LatentComposite", _COMPOSITE, "latent", only_ours="feather"),
    _alias(
        "LatentComposite",
        "LatentComposite",
        "samples_to=base samples_from=overlay x:int y:int feather:int",
        "latent",
        only_ours="mask resize",
    ),
    _alias("LatentBlend", "LatentBlend", "samples1=base samples2=overlay blend_factor=keep:float", "latent"),
    _alias("LatentInterpolate", "LatentInterpolate", "samples1=base samples2=overlay ratio=keep:float", "latent"),
    _alias("LatentBatch", "LatentBatch", "samples1=first samples2=second", "latent"),
    _alias("RepeatLatentBatch", "RepeatLatent", "samples=latent amount:int", "latent"),
    _alias("LatentFromBatch", "LatentFromBatch", "samples=latent batch_index=index:int length=count:int", "latent"),
    _alias("InvertMask", "InvertMask", "mask", "mask"),
    _alias("GrowMask", "GrowMask", "mask expand=amount:int tapered_corners:bool", "mask"),
    _alias("FeatherMask", "FeatherMask", "mask left:int top:int right:int bottom:int", "mask"),
    _alias("MaskComposite", "MaskComposite", "destination=base source=overlay x:int y:int operation:choice", "mask"),
    _alias("MaskToImage", "MaskToImage", "mask", "image"),
    _alias("ImageToMask", "ImageToMask", "image channel:choice", "mask"),
    _alias("SolidMask", "SolidMask", "value:float width:int height:int", "mask"),
    _alias("CropMask", "CropMask", "mask x:int y:int width:int height:int", "mask"),
    _alias("ThresholdMask", "ThresholdMask", "mask value:float", "mask"),
    _alias("ImageBlur", "ImageBlur", "image blur_radius=radius:int sigma:float", "image"),
    _alias("ImageSharpen", "ImageSharpen", "image sharpen_radius=radius:int sigma:float alpha=amount:float", "image"),
    _alias("ImagePadForOutpaint", "ImagePad", "image left:int top:int right:int bottom:int feathering=feather:int", "image mask"),
    _alias("ImageCrop", "ImageCrop", "image width:int height:int x:int y:int", "image"),
    _alias("ImageCompositeMasked", "ImageComposite", _COMPOSITE, "image"),
    _alias("ImageFlip", "ImageFlip", "image flip_method=direction:choice", "image"),
    _alias("ImageRotate", "ImageRotate", "image rotation=angle:choice", "image"),
    _alias(
        "ImageStitch",
        "ImageStitch",
        "image1=first direction:choice match_image_size=fit:bool spacing_width=gap:int spacing_color=color:choice image2=second",
        "image",
    ),
    _alias("EmptyImage", "EmptyImage", "width:int height:int batch_size=batch:int color:int", "image"),
    _alias("ImageFromBatch", "ImageFromBatch", "image batch_index=index:int length=count:int", "image"),
    _alias("RepeatImageBatch", "RepeatImage", "image amount:int", "image"),
    _alias("GetImageSize", "ImageSize", "image", "width height batch", shows=True),
    _alias("ImageInvert", "ImageInvert", "image", "image"),
    _alias("ImageBlend", "ImageBlend", "image1=base image2=overlay blend_factor=amount:float blend_mode=mode:choice", "image"),
    _alias("PrimitiveInt", "Integer", "value:int+control", "int"),
    _alias("PrimitiveFloat", "Float", "value:float", "float"),
    _alias("PrimitiveString", "String", "value:str", "str"),
    _alias("PrimitiveStringMultiline", "String", "value:str", "str"),
    _alias("PrimitiveBoolean", "Boolean", "value:bool", "bool"),
    _alias("StringConcatenate", "JoinText", "string_a=a:str string_b=b:str delimiter=separator:str", "str"),
    _alias("StringReplace", "ReplaceText", "string=text:str find:str replace:str", "str"),
    _alias("PreviewAny", "ShowText", "source=value", "str", shows=True),
    _alias("ComfySwitchNode", "Switch", "switch=on:bool on_false=when_false on_true=when_true", "value"),
)

BY_THEIRS: Final[Mapping[str, Alias]] = MappingProxyType({alias.theirs: alias for alias in _TABLE})
"""by ComfyUI's class name"""

BY_OURS: Final[Mapping[str, Alias]] = MappingProxyType({alias.ours: alias for alias in reversed(_TABLE)})
"""by our id; where several of their classes are one of ours, the first of the table"""

SAME_CHOICES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "sampler_name": {
            "dpmpp_sde_gpu": "dpmpp_sde",
            "dpmpp_2m_sde_gpu": "dpmpp_2m_sde",
            "dpmpp_2m_sde_heun_gpu": "dpmpp_2m_sde_heun",
            "dpmpp_3m_sde_gpu": "dpmpp_3m_sde",
        }
    }
)
"""choices by their input's name that are one here: noise always comes from the CPU, so that a seed means one picture everywhere"""

NOTE: Final = "Note"
NOTES: Final = frozenset({"Note", "MarkdownNote"})
"""remarks on the canvas: never part of what runs"""


def alias_for(type_: str, given: Iterable[str]) -> Alias | None:
    """The line to write a node of ours with: of several, the one that has the most of the inputs `given`.

    given: names, or values by name; then a line that fixes one of them to another value comes last
    """
    names = set(given)
    values = given if isinstance(given, Mapping) else {}

    def rank(alias: Alias) -> tuple[bool, int]:
        return all(values.get(name, value) == value for name, value in alias.fixed.items()), len(names & alias.by_ours.keys())

    return max((alias for alias in _TABLE if alias.ours == type_), key=rank, default=None)


def find_alias(class_type: str) -> Alias | None:
    """The line for a `class_type`, which may also be an id of ours."""
    return BY_THEIRS.get(class_type) or BY_OURS.get(class_type)
