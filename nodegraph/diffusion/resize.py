"""Resize pictures, latents and masks. Where a size is (width, height) it counts pixels of the array itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from nodegraph.diffusion.pictures import eight_bits
from nodegraph.diffusion.placing import centre_window, scaled_window
from nodegraph.diffusion.slerp import slerp
from nodegraph.diffusion.tensors import to_array, to_tensor
from nodegraph.diffusion.values import Image, Latent, Mask
from nodegraph.errors import InputRefused, shorten


def resize_image(image: Image, method: str, width: int, height: int, crop: str = "disabled") -> Image:
    """A picture at another size; itself if the size is the same.

    method: "nearest-exact", "bilinear", "area", "bicubic" (no low-pass filter before making smaller, except "area", which averages)
        or "lanczos" (three lobes, filtered, by way of 8-bit pictures)
    crop: "center" first cuts the middle out in the new shape, "disabled" stretches

    Values are clipped to 0..1, which bicubic and lanczos may overshoot. Raises InputRefused for a size below 1 or an unknown method.
    """
    _check_size(width, height)
    rows, columns = centre_window((image.height, image.width), width, height, crop)
    data = image.data[:, rows, columns]
    if data.shape[1:3] == (height, width):
        return image if data.shape == image.data.shape else Image(data.copy())
    if method == "lanczos":
        return Image(np.stack([_lanczos(picture, width, height) for picture in data]))
    planes = to_tensor(data).permute(0, 3, 1, 2)  # (B, 3, H, W)
    return Image(to_array(_interpolate(planes, method, width, height).clamp(0, 1).permute(0, 2, 3, 1)))


def resize_latent(latent: Latent, method: str, width: int, height: int, crop: str = "disabled") -> Latent:
    """A latent at another size in latent pixels; itself if the size is the same.

    method: "nearest-exact", "bilinear", "area", "bicubic" or "bislerp", see `bislerp`
    crop: "center" first cuts the middle out in the new shape (of the mask too), "disabled" stretches

    The mask is else kept at its own size: it is brought to the size of the latent when it is sampled.
    Raises InputRefused for a size below 1 or an unknown method.
    """
    _check_size(width, height)
    size = latent.data.shape[2:]
    window = centre_window(size, width, height, crop)
    data = latent.data[:, :, *window]
    mask = latent.mask
    if data.shape[2:] != size:
        mask = None if mask is None else mask[:, *scaled_window(window, size, mask.shape[1:])].copy()
    elif size == (height, width):
        return latent
    return replace(latent, data=to_array(_interpolate(to_tensor(data), method, width, height)), mask=mask)


def resize_mask(mask: Mask, width: int, height: int) -> Mask:
    """A mask at another size, bilinear; itself if the size is the same."""
    _check_size(width, height)
    if mask.data.shape[1:] == (height, width):
        return mask
    return Mask(to_array(_interpolate(to_tensor(mask.data)[:, None], "bilinear", width, height)[:, 0]))


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise InputRefused(f"nothing can be made {width}x{height} large", hint="width and height must be 1 or more")


def _interpolate(planes: Tensor, method: str, width: int, height: int) -> Tensor:
    """(B, C, H, W) -> (B, C, height, width)."""
    if method == "bislerp":
        return bislerp(planes, width, height)
    if method not in ("nearest-exact", "bilinear", "area", "bicubic"):
        raise InputRefused(f"there is no way to resize called {shorten(method)!r}", hint="use nearest-exact, bilinear, area or bicubic")
    return interpolate(planes, size=(height, width), mode=method)


def _lanczos(picture: Any, width: int, height: int) -> Any:
    """(H, W, 3) -> (height, width, 3), in 8 bits before and after."""
    from PIL import Image as Pillow

    small = Pillow.fromarray(eight_bits(picture)).resize((width, height), Pillow.Resampling.LANCZOS)
    return np.asarray(small, dtype=np.float32) / np.float32(255.0)


def bislerp(latent: Tensor, width: int, height: int) -> Tensor:
    """Bilinear, but what is mixed are directions and lengths of the channel vectors: (B, C, h, w) -> (B, C, height, width).

    Plain mixing shortens vectors that point apart, which blurs a latent; here the direction moves along the great circle and the length
    linearly. First along the width, then along the height.
    """
    wider = _slerp_axis(latent.movedim(1, -1), 2, width)  # (B, h, width, C)
    return _slerp_axis(wider, 1, height).movedim(-1, 1).contiguous()


def _slerp_axis(vectors: Tensor, axis: int, length: int) -> Tensor:
    """Resample one axis of (..., C) vectors, pixel centres at i + 1/2, ends held."""
    old = vectors.shape[axis]
    place = ((torch.arange(length, dtype=torch.float64) + 0.5) * old / length - 0.5).clamp(0, old - 1)
    before = place.floor().long()
    after = (before + 1).clamp(max=old - 1)
    shape = [1] * vectors.ndim
    shape[axis] = length
    part = (place - before).to(vectors).reshape(shape)
    return slerp(vectors.index_select(axis, before), vectors.index_select(axis, after), part)
