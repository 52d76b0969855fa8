"""Nodes by which a client can see how a run goes: what was worked out, what was not, and what came in the place of a node."""

from __future__ import annotations

import asyncio
import itertools
from typing import NamedTuple, TypeVar

import numpy as np

from nodegraph import Blocked, Call, Each, Expand, Lazy, Ref, Result, node
from nodegraph.diffusion import Image, Mask

T = TypeVar("T")
_clock = itertools.count()


class Both(NamedTuple):
    made: Image
    given: Image


@node("execution/Mix", category="execution")
def mix(mask: Each[Mask], first: Lazy[Image], second: Lazy[Image]) -> Image:
    """Mix two pictures; one that does not show is not worked out."""
    share = mask.data[..., None]
    if not share.any():
        return first.get()
    if share.min() == 1:
        return second.get()
    return Image(first.get().data * (1 - share) + second.get().data * share)


@node("execution/Average", category="execution")
def average(images: list[Image]) -> Image:
    """The mean of pictures."""
    return Image(np.mean([image.data for image in images], axis=0, dtype=np.float32))


@node("execution/Watched", category="execution", fingerprint=lambda image, changes: next(_clock) if changes else None)
def watched(image: Image, changes: bool = False) -> Image:
    """Pass a picture on; run again every time if something outside changes."""
    return image


@node("execution/Sleep", category="execution")
async def sleep(value: T, seconds: float) -> T:
    """Wait beside others."""
    await asyncio.sleep(seconds)
    return value


@node("execution/SleepThenFail", category="execution")
async def sleep_then_fail(value: T, seconds: float) -> T:
    """Wait, and then not succeed."""
    await asyncio.sleep(seconds)
    raise RuntimeError("it was not to be")


@node("execution/SleepTogether", category="execution", output=True)
def sleep_together(first: Ref[Image], second: Ref[Image], third: Ref[Image], seconds: float) -> Image | Expand:
    """Three waits at once, and the mean of what came through them."""
    waits = {f"wait{i}": Call("execution/Sleep", {"value": value, "seconds": seconds}) for i, value in enumerate((first, second, third))}
    listed = Call("execution/Three", {"a": Result("wait0", "value"), "b": Result("wait1", "value"), "c": Result("wait2", "value")})
    mean = Call("execution/Average", {"images": Result("list", "values")})
    return Expand({**waits, "list": listed, "mean": mean}, {"image": Result("mean", "image")})


@node("execution/Three", category="execution")
def three(a: T, b: T, c: T) -> list[T]:
    """A list of three."""
    return [a, b, c]


@node("execution/BlockIf", category="execution")
def block_if(value: Each[T], block: Each[bool]) -> T | Blocked:
    """Let nothing through where `block` is on."""
    return Blocked() if block else value


@node("execution/Equal", category="execution")
def equal(a: Each[int], b: int) -> bool:
    """Whether two numbers are the same."""
    return a == b


@node("execution/Grey", category="execution")
def grey(value: Each[float]) -> Both | Expand:
    """A grey picture, from 0.25 on made by other nodes, and a white one."""
    white = Image(np.ones((1, 8, 8, 3), np.float32))
    if value < 0.25:
        return Both(Image(np.full((1, 8, 8, 3), value, np.float32)), white)
    nodes = {
        "mask": Call("SolidMask", {"value": value, "width": 8, "height": 8}),
        "black": Call("EmptyImage", {"width": 8, "height": 8}),
        "white": Call("EmptyImage", {"width": 8, "height": 8, "color": 0xFFFFFF}),
        "mix": Call(
            "execution/Mix", {"mask": Result("mask", "mask"), "first": Result("black", "image"), "second": Result("white", "image")}
        ),
    }
    return Expand(nodes, {"made": Result("mix", "image"), "given": white})


@node("execution/Circle", category="execution")
def circle(image: Ref[Image]) -> Image | Expand:
    """Ask for two nodes that wait for each other."""
    nodes = {
        "one": Call("execution/Sleep", {"value": Result("two", "value"), "seconds": 0.0}),
        "two": Call("execution/Sleep", {"value": Result("one", "value"), "seconds": 0.0}),
    }
    return Expand(nodes, {"image": Result("two", "value")})


@node("execution/Halve", category="execution")
def halve(image: Ref[Image], times: int) -> Image | Expand:
    """A loop: halve the light of a picture, then itself again."""
    if times == 0:
        return Expand({}, {"image": image})
    nodes = {
        "half": Call("execution/Dim", {"image": image}),
        "rest": Call("execution/Halve", {"image": Result("half", "image"), "times": times - 1}),
    }
    return Expand(nodes, {"image": Result("rest", "image")})


@node("execution/Dim", category="execution")
def dim(image: Image) -> Image:
    """Half the light."""
    return Image(image.data / 2)


@node("execution/Output", category="execution", output=True)
def output(image: Image, value: float = 1.0) -> Image:
    """Something to see that others can go on with."""
    return Image((image.data * value).astype(np.float32))
