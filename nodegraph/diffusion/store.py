"""Weights as resources: handles are made real here, kept under a byte budget per device, and given up least valuable first.

Base weights are shared by every handle that names the same part of the same file; patches are put on for the time of a lease and
taken off again on exit, also after an error.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from nodegraph.diffusion.handles import ImageTextEncoder, Model, Patch, TextEncoder, Upscaler, Vae, WeightsRef
from nodegraph.diffusion.identify import CheckpointInfo, ClipPart, identify_file
from nodegraph.diffusion.loaded import LoadedImageText, LoadedModel, LoadedText, LoadedUpscaler, LoadedVae, preview_factors, sampling_of
from nodegraph.diffusion.loading import build_clip, build_dual_encoder, build_unet, build_upscaler, build_vae
from nodegraph.diffusion.models.unet import UNet, hooked
from nodegraph.diffusion.noise import NoiseSource
from nodegraph.diffusion.weights import WeightsFile, open_weights
from nodegraph.errors import MissingPart, ModelMismatch, OutOfMemory
from nodegraph.spans import span

Key = tuple[WeightsRef, str]


@dataclass
class Resident:
    """One part of one file in memory. `parts`: the modules; `leases`: how many use it now."""

    parts: tuple[nn.Module, ...]
    nbytes: int
    seconds: float
    leases: int = 0
    used: float = field(default_factory=time.monotonic)


def module_bytes(module: nn.Module) -> int:
    tensors = [*module.parameters(), *module.buffers()]
    return sum(t.numel() * t.element_size() for t in tensors)


class WeightStore:
    """What is loaded, for one device. Thread-safe: a lease counts, so nothing in use is given up."""

    def __init__(self, device: str = "cpu", dtype: str = "float32", budget: int | None = None) -> None:
        self.device: torch.device = torch.device(device)
        self.dtype = getattr(torch, dtype)
        self.budget = budget if budget is not None else default_budget(self.device)
        self.residents: dict[Key, Resident] = {}
        self._files: dict[WeightsRef, tuple[WeightsFile, CheckpointInfo]] = {}
        self._lock = threading.RLock()

    # ------------------------------------------------------------------------- the public side

    def lease(self, handle: Any, **options: Any) -> contextlib.AbstractContextManager[Any]:
        """Make a handle real for the time of a `with` block. Raises MissingPart, BrokenWeights, OutOfMemory ..."""
        if isinstance(handle, Model):
            return self._model(handle)
        if isinstance(handle, TextEncoder):
            return self._text(handle)
        if isinstance(handle, Vae):
            return self._vae(handle)
        if isinstance(handle, Upscaler):
            return self._upscaler(handle)
        if isinstance(handle, ImageTextEncoder):
            return self._dual_encoder(handle)
        raise ModelMismatch(f"a {type(handle).__name__} is no handle to weights")

    def noise(self, seed: int, like: Any) -> torch.Tensor:
        return NoiseSource(seed).initial(tuple(like.shape))

    def free(self) -> int:
        """Give up everything that is not in use. Returns the bytes."""
        with self._lock:
            return self._evict(self.used_bytes())

    def used_bytes(self) -> int:
        return sum(resident.nbytes for resident in self.residents.values())

    # ------------------------------------------------------------------------- the kinds

    @contextlib.contextmanager
    def _model(self, handle: Model) -> Iterator[LoadedModel]:
        weights, info = self._info(handle.weights)
        with self._resident(handle.weights, "unet", lambda: (build_unet(info, weights, self.dtype),)) as (net,):
            assert isinstance(net, UNet)
            by_kind: dict[str, list[Any]] = {"attention": [], "block": []}
            for patch in handle.patches:
                by_kind[_kind(patch)].append(patch.call)
            factors = preview_factors(info, weights.metadata)
            with hooked(net, attention=by_kind["attention"], blocks=by_kind["block"]), torch.inference_mode():
                yield LoadedModel(net, info, sampling_of(info, handle.sampling), factors, self.device, self.dtype)

    @contextlib.contextmanager
    def _text(self, handle: TextEncoder) -> Iterator[LoadedText]:
        """Encoders of several files come in the order of their widths, which is that of SDXL's two."""
        found: list[tuple[nn.Module, ClipPart]] = []
        with contextlib.ExitStack() as leases:
            for ref in (handle.weights, *handle.more):
                weights, info = self._info(ref)
                build = partial(build_clip, info, weights, self.dtype)
                found += zip(leases.enter_context(self._resident(ref, "clip", build)), info.clips, strict=True)
            if handle.more:
                found.sort(key=lambda pair: pair[1].config.width)
            nets, clips = zip(*found, strict=True)
            yield LoadedText(nets, replace(info, clips=clips), handle.layer)

    @contextlib.contextmanager
    def _vae(self, handle: Vae) -> Iterator[LoadedVae]:
        weights, info = self._info(handle.weights)
        with self._resident(handle.weights, "vae", lambda: (build_vae(info, weights, self.dtype),)) as (net,):
            yield LoadedVae(net, self.device, self.dtype)  # type: ignore[arg-type]

    @contextlib.contextmanager
    def _upscaler(self, handle: Upscaler) -> Iterator[LoadedUpscaler]:
        def build() -> tuple[nn.Module, ...]:
            return (build_upscaler(open_weights(handle.weights.path), self.dtype),)

        with self._resident(handle.weights, "upscaler", build) as (net,):
            scale: Any = net.scale
            yield LoadedUpscaler(net, int(scale), self.device, self.dtype)

    @contextlib.contextmanager
    def _dual_encoder(self, handle: ImageTextEncoder) -> Iterator[LoadedImageText]:
        def build() -> tuple[nn.Module, ...]:
            return (build_dual_encoder(open_weights(handle.weights.path), self.dtype),)

        with self._resident(handle.weights, "dual_encoder", build) as (net,):
            yield LoadedImageText(net, self.device)  # type: ignore[arg-type]

    # ------------------------------------------------------------------------- residents

    def _info(self, ref: WeightsRef) -> tuple[WeightsFile, CheckpointInfo]:
        """The file's header and what it holds; the file must not have changed since the handle was made."""
        with self._lock:
            known = self._files.get(ref)
            if known is None:
                weights = open_weights(ref.path)
                known = self._files[ref] = (weights, identify_file(weights))
            return known

    @contextlib.contextmanager
    def _resident(self, ref: WeightsRef, part: str, build: Callable[[], tuple[nn.Module, ...]]) -> Iterator[tuple[nn.Module, ...]]:
        key = (ref, part)
        with self._lock:
            resident = self.residents.get(key)
            if resident is None:
                resident = self._build(ref, part, build)
                self.residents[key] = resident
            resident.leases += 1
        try:
            yield resident.parts
        finally:
            with self._lock:
                resident.leases -= 1
                resident.used = time.monotonic()
                if self.used_bytes() > self.budget:
                    self._evict(self.used_bytes() - self.budget)

    def _build(self, ref: WeightsRef, part: str, build: Callable[[], tuple[nn.Module, ...]]) -> Resident:
        if part in CHECKPOINT_PARTS:
            _, info = self._info(ref)
            if part not in info.parts:
                raise MissingPart(
                    f"{ref.name} has no {_PART_NAMES[part]}; it holds: {', '.join(_PART_NAMES[p] for p in info.parts)}",
                    hint="load that part from another file",
                )
        begin = time.perf_counter()
        with span("load"):
            modules = tuple(module.eval().requires_grad_(False) for module in build())
        need = sum(map(module_bytes, modules))
        if self.used_bytes() + need > self.budget:
            self._evict(self.used_bytes() + need - self.budget)
        with span("move"):
            modules = tuple(self._place(module, ref, part, need) for module in modules)
        return Resident(modules, need, time.perf_counter() - begin)

    def _place(self, module: nn.Module, ref: WeightsRef, part: str, need: int) -> nn.Module:
        """Onto the device; if that fails for want of memory, once more after giving up everything idle."""
        try:
            return module.to(self.device)
        except (torch.OutOfMemoryError, MemoryError):
            self._evict(self.used_bytes())
            try:
                return module.to(self.device)
            except (torch.OutOfMemoryError, MemoryError) as error:
                raise OutOfMemory(
                    f"{_PART_NAMES.get(part, part)} of {ref.name} needs {need / 2**20:.0f} MiB on {self.device}. Loaded: {self.report()}",
                    hint="free memory, or run on another device",
                ) from error

    def _evict(self, need: int) -> int:
        """Give up idle residents, the one longest unused first, until `need` bytes are free."""
        freed = 0
        for key in sorted((k for k, r in self.residents.items() if not r.leases), key=lambda k: self.residents[k].used):
            if freed >= need:
                break
            freed += self.residents.pop(key).nbytes
        return freed

    def report(self) -> str:
        """What is loaded, with bytes and whether it is in use."""
        rows = [
            f"{_PART_NAMES.get(part, part)} of {ref.name} {resident.nbytes / 2**20:.0f} MiB{' (in use)' if resident.leases else ''}"
            for (ref, part), resident in self.residents.items()
        ]
        return ", ".join(rows) or "nothing"


_PART_NAMES = {
    "unet": "denoising network",
    "clip": "text encoder",
    "vae": "VAE",
    "upscaler": "upscaler",
    "dual_encoder": "image-text encoder",
}
CHECKPOINT_PARTS = ("unet", "clip", "vae")


def _kind(patch: Patch) -> str:
    if patch.kind not in ("attention", "block"):
        raise ModelMismatch(f"a patch of kind {patch.kind!r} cannot be applied to this network", hint="kinds: attention, block")
    return patch.kind


def default_budget(device: torch.device) -> int:
    """Bytes for weights: four fifths of the device's memory, half of the machine's for the CPU."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory * 0.8)
    return physical_memory() // 2


def physical_memory() -> int:
    """Bytes of memory of the machine; 8 GiB where it cannot be asked."""
    import os

    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return _windows_memory() or 8 * 2**30


def _windows_memory() -> int:
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "free", "page_total", "page_free", "v_total", "v_free", "extended")),
        )

    kernel = getattr(ctypes, "windll", None)
    if kernel is None:
        return 0
    status = Status()
    status.length = ctypes.sizeof(Status)
    kernel.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
    return int(status.total)
