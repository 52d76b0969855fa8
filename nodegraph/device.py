"""Which device and number format results are made with. They belong to every key, and must be known without importing torch."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """device: torch's name for it; dtype: of the arithmetic in networks; key: what enters the cache keys."""

    device: str
    dtype: str

    @property
    def key(self) -> str:
        return f"{self.device.split(':')[0]}/{self.dtype}/sdpa"


def numeric_policy(device: str, dtype: str) -> Policy:
    """Settle "auto". Only a machine that shows signs of an accelerator pays for asking torch."""
    if device == "auto":
        device = _accelerator() if _may_have_accelerator() else "cpu"
    return Policy(device, dtype)


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
