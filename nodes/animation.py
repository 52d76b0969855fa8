"""Nodes for moving pictures: a way through several prompts, and files that move."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from nodegraph import Context, InputRefused, Number, node
from nodegraph.diffusion import Conditioning, Image


class Journey(NamedTuple):
    conditioning: list[Conditioning]
    seed: list[int]
    variation_seed: list[int]
    variation_strength: list[float]


@node("PromptTravel", category="animation")
def prompt_travel(
    stops: list[Conditioning],
    seeds: list[int] | None = None,
    frames: Annotated[int, Number(1, 1000)] = 12,
    loop: bool = True,
    ease: Literal["even", "smooth"] = "even",
) -> Journey:
    """Travel from prompt to prompt, and from seed to seed: lists with one item a frame, to connect to `KSampler`.

    stops: encoded prompts to pass through, two or more; between two the text is mixed (linearly)
    seeds: one for all frames, or one for each stop; between two the noise is led along the arc from one to the other (slerp). Without it, 0
    frames: from one stop to the next
    loop: travel from the last stop back to the first, so that the animation can be repeated without a jump
    ease: "smooth" slows down around the stops
    conditioning: for `positive`
    seed: for `seed`
    variation_seed: for `variation_seed`
    variation_strength: for `variation_strength`
    """
    from nodegraph.diffusion.conditionings import blend
    from nodegraph.diffusion.travel import way

    if len(stops) < 2:
        raise InputRefused(f"there is only {len(stops)} prompt to travel through", input="stops", hint="connect a list of two or more")
    each = _seed_of_each_stop(seeds or [0], len(stops))
    places = list(way(len(stops), frames, loop, ease))
    return Journey(
        [blend(stops[place.start], stops[place.end], 1 - place.share) for place in places],
        [each[place.start] for place in places],
        [each[place.end] for place in places],
        [place.share if each[place.start] != each[place.end] else 0.0 for place in places],
    )


def _seed_of_each_stop(seeds: list[int], stops: int) -> list[int]:
    if len(seeds) not in (1, stops):
        raise InputRefused(f"there are {len(seeds)} seeds for {stops} stops", input="seeds", hint=f"give one, or {stops}")
    return seeds * stops if len(seeds) == 1 else seeds


@node("SaveAnimation", category="animation", output=True)
def save_animation(
    ctx: Context,
    images: list[Image],
    name: str = "animation",
    fps: Annotated[float, Number(0.01, 100)] = 12.0,
    format: Literal["webp", "gif", "apng"] = "webp",
    loop: bool = True,
    boomerang: bool = False,
    quality: Annotated[int, Number(0, 100)] = 90,
    lossless: bool = False,
    method: Literal["default", "fastest", "slowest"] = "default",
    compress_level: Annotated[int, Number(0, 9)] = 4,
    embed: bool = True,
) -> None:
    """Save pictures as one that moves, to the output folder. Never overwrites: it gets the next free number.

    images: the frames, all of one size: a list, a batch, or a list of batches
    name: may have folders and %date%, %time%, %width%, %height%, %KSampler.seed% and the like
    fps: frames a second; a gif can show at most 50
    format: "webp" is small and exact, "gif" is shown everywhere but has 256 colours a frame, "apng" is exact and large
    loop: repeat for ever
    boomerang: play forwards and then backwards
    quality: of webp
    lossless: of webp: keep every pixel as it is
    method: how much time webp takes to make the file smaller
    compress_level: of apng: 0 is fastest, 9 smallest
    embed: put the workflow into webp and apng, so that dropping the file brings it back; a gif has no place for it
    """
    from nodegraph.diffusion.animations import SUFFIXES, check, encode_animation, frames_of
    from nodegraph.diffusion.pictures import name_values

    frames = frames_of(images)
    width, height = images[0].width, images[0].height
    check(format, fps, width, height)
    if boomerang:
        frames += frames[-2:0:-1]
    ctx.preview(frames[0])
    data = encode_animation(
        frames,
        fps,
        format,
        loop=loop,
        quality=quality,
        lossless=lossless,
        method=method,
        compress_level=compress_level,
        workflow=ctx.workflow if embed else None,
        foreign=ctx.foreign,
    )
    values = name_values(ctx.workflow, images[0]) if "%" in name else {}
    saved = ctx.files.save("output", name.strip() or "animation", SUFFIXES[format], lambda stream: stream.write(data), values)
    ctx.show("image", file=saved, width=width, height=height, frames=len(frames), fps=fps)
