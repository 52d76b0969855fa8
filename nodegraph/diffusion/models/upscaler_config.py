"""The shape of an upscale network, read from the keys and shapes of its file in any of the common layouts. No torch here."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Shapes = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class CompactConfig:
    """Sizes of a SRVGGNetCompact. convs: hidden convolutions between the first and the last."""

    width: int = 64
    convs: int = 16
    scale: int = 4
    channels: int = 3

    @classmethod
    def from_state_dict(cls, shapes: Shapes) -> CompactConfig:
        """Read the sizes from keys and shapes alone. Raises KeyError where a layer is missing."""
        width, channels = shapes["body.0.weight"][:2]
        last = sum(re.fullmatch(r"body\.\d+\.weight", key) is not None for key in shapes) - 1
        scale = math.isqrt(shapes[f"body.{last}.weight"][0] // channels)
        return cls(width=width, convs=last // 2 - 1, scale=scale, channels=channels)


@dataclass(frozen=True)
class RrdbConfig:
    """Sizes of a RRDBNet.

    unshuffle: pixels along a side that are folded into channels before the first convolution (2 in the x2 Real-ESRGAN)
    doublings: how often the features are doubled in size; the scale is 2 ** doublings / unshuffle
    """

    width: int = 64
    growth: int = 32
    blocks: int = 23
    doublings: int = 2
    unshuffle: int = 1
    channels: int = 3

    @property
    def scale(self) -> int:
        """How much larger the picture becomes, along each side."""
        return int(2**self.doublings) // self.unshuffle

    @classmethod
    def from_state_dict(cls, shapes: Shapes) -> RrdbConfig:
        """Read the sizes from keys (Real-ESRGAN's names) and shapes alone. Raises KeyError where a layer is missing."""
        channels = shapes["conv_last.weight"][0]
        width, folded = shapes["conv_first.weight"][:2]
        return cls(
            width=width,
            growth=shapes["body.0.rdb1.conv1.weight"][0],
            blocks=len({key.split(".")[1] for key in shapes if key.startswith("body.")}),
            doublings=sum(re.fullmatch(r"conv_up\d\.weight", key) is not None for key in shapes),
            unshuffle=math.isqrt(folded // channels),
            channels=channels,
        )


def new_names(shapes: Shapes) -> dict[str, str]:
    """For each key of a RRDBNet file, its name in Real-ESRGAN's layout, also from the two older layouts."""
    if "model.0.weight" in shapes:
        return {key: _from_sequential(key, _sequential_tail(shapes)) for key in shapes}
    return {key: _from_trunk(key) for key in shapes}


def is_compact(shapes: Shapes) -> bool:
    """Whether these are the keys of a SRVGGNetCompact with PReLU."""
    return {"body.0.weight", "body.1.weight", "body.2.weight"} <= shapes.keys() and len(shapes["body.1.weight"]) == 1


def _sequential_tail(shapes: Shapes) -> dict[str, str]:
    """Names of the numbered layers after the trunk in ESRGAN's first layout: the ups, the high-resolution one, the last."""
    numbers = sorted({int(match[1]) for match in (re.match(r"model\.(\d+)\.weight$", key) for key in shapes) if match} - {0})
    names = [f"conv_up{i}" for i in range(1, len(numbers) - 1)] + ["conv_hr", "conv_last"]
    return {f"model.{number}.": f"{name}." for number, name in zip(numbers, names, strict=False)}


def _from_sequential(key: str, tail: Mapping[str, str]) -> str:
    if match := re.match(r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.(.+)", key):
        return f"body.{match[1]}.rdb{match[2]}.conv{match[3]}.{match[4]}"
    if match := re.match(r"model\.1\.sub\.\d+\.(weight|bias)", key):
        return f"conv_body.{match[1]}"
    prefix, _, leaf = key.rpartition(".")
    return "conv_first." + leaf if prefix == "model.0" else tail.get(prefix + ".", prefix + ".") + leaf


def _from_trunk(key: str) -> str:
    """From BasicSR's older names: RRDB_trunk.N.RDB1, trunk_conv, upconv1, HRconv."""
    pairs = (("RRDB_trunk.", "body."), (".RDB", ".rdb"), ("trunk_conv.", "conv_body."), ("HRconv.", "conv_hr."), ("upconv", "conv_up"))
    for old, new in pairs:
        key = key.replace(old, new)
    return key
