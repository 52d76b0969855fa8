"""Which device and number format results are made with. They belong to every key, and must be known without importing torch."""

from __future__ import annotations

import os
import platform
import re
import sys
from dataclasses import dataclass
from typing import Any

from nodegraph.errors import NoDevice, shorten


@dataclass(frozen=True, slots=True)
class Policy:
    """device: torch's name for it; dtype: of the arithmetic in networks; key: what enters the cache keys."""

    device: str
    dtype: str

    @property
    def key(self) -> str:
        return f"{self.device.split(':')[0]}/{self.dtype}/sdpa"


def numeric_policy(device: str, dtype: str) -> Policy:
    """Settle "auto". Only a machine that shows signs of an accelerator pays for asking torch. Raises NoDevice for a name that is none."""
    if not re.fullmatch(r"auto|cpu|mps|(cuda|xpu)(:\d{1,3})?", device):
        raise NoDevice(f"{shorten(device)!r} is not a device", hint="use auto, cpu, cuda, cuda:1, mps or xpu")
    if device == "auto":
        device = _accelerator() if _may_have_accelerator() else "cpu"
    elif device != "cpu":
        _require(device)
    return Policy(device, dtype)


def _require(device: str) -> None:
    """Raises NoDevice if the installed torch cannot use a device that was asked for by name."""
    import torch

    kind, _, number = device.partition(":")
    module = getattr(torch, kind, None) if kind != "mps" else torch.backends.mps
    if module is None or not module.is_available():
        hint = "install the build of torch for it, or use another device"
        raise NoDevice(f"{device} was asked for, and torch {torch.__version__} finds none", hint=hint)
    count = module.device_count() if number else 1
    if number and int(number) >= count:
        raise NoDevice(f"{device} was asked for; there {'is' if count == 1 else 'are'} {count} of that kind", hint="count from 0")


def _may_have_accelerator() -> bool:
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if sys.platform == "win32":
        return os.path.exists(os.path.join(os.environ.get("SYSTEMROOT", "C:\\Windows"), "System32", "nvcuda.dll"))
    return os.path.exists("/dev/nvidiactl") or os.path.exists("/dev/kfd")


def _accelerator() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def device_state(device: str) -> dict[str, Any]:
    """Name and kind of a device and the installed torch's version; of an accelerator its title and bytes: all, free, and held by torch.

    Never imports torch for a CPU.
    """
    kind = device.partition(":")[0]
    state: dict[str, Any] = {"name": device, "kind": kind, "torch": _torch_version()}
    if kind == "cuda":
        import torch

        free, total = torch.cuda.mem_get_info(device)
        held = torch.cuda.memory_reserved(device)
        unused = held - torch.cuda.memory_allocated(device)
        state |= {"title": torch.cuda.get_device_name(device), "total": total, "free": free, "torch_total": held, "torch_free": unused}
    return state


def _torch_version() -> str | None:
    """Of the torch that is installed, or None; it is not imported for that."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return str(torch.__version__)
    from importlib import metadata

    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return None
