"""Say in words what a scene shows, with parts left out at random, so that short and long prompts both work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nodegraph.diffusion.training.dataset import Entry
from nodegraph.diffusion.training.scenes import PLACES, Scene

FRAME = ("a", "an", "and", "small", "style", "on", "background", *PLACES)  # the words of captions that name neither subject nor look


@dataclass(frozen=True)
class CaptionRecipe:
    """Chances of leaving parts out. The full form is "{label}, {style} style, on a {colour} background".

    empty: no caption at all, for classifier-free guidance (Ho & Salimans 2022)
    negative: where there is no caption, one to four of these words are said, as people do in negative prompts; () says nothing
    silent: part of the missing captions that says nothing even so
    drop_style, drop_background: that part is left out; drop_white: the same for white backgrounds, which go without saying
    article: "a {label}" or "an {label}"; alias: the formal name instead of the label; tags: one or two loose words after the label
    """

    empty: float = 0.1
    negative: tuple[str, ...] = ()
    silent: float = 0.5
    drop_style: float = 0.1
    drop_background: float = 0.1
    drop_white: float = 0.5
    article: float = 0.3
    alias: float = 0.05
    tags: float = 0.1


def describe(entry: Entry, scene: Scene, recipe: CaptionRecipe, rng: np.random.Generator, other: Entry | None = None) -> str:
    """A caption for `entry`, with `other` at its right, shown as `scene`; always takes the same number of draws."""
    empty, style, background, article, alias, tags, first, second = rng.random(8)
    if empty < recipe.empty:
        draws = (style, background, first, second)[: 1 + int(4 * tags)]
        return "" if article < recipe.silent else ", ".join(_picked(recipe.negative, draws))
    if entry.caption:
        parts = [entry.caption]
    else:
        words = [_named(each, scene.place, bool(article < recipe.article), bool(alias < recipe.alias)) for each in (entry, other) if each]
        parts = [" and ".join(words)]
        if tags < recipe.tags and other is None:
            parts += _tags(entry, first, second)
        if entry.style and style >= recipe.drop_style:
            parts.append(f"{entry.style} style")
    drop = recipe.drop_white if scene.background.kind == "white" else recipe.drop_background
    if entry.cutout and background >= drop:
        parts.append(background_phrase(scene))
    return ", ".join(parts)


def prompt(label: str, style: str = "", colour: str = "") -> str:
    """The full form that the recipe's captions are cut from: what a user is advised to type."""
    parts = [label, f"{style} style" if style else "", f"on {_with_article(colour)} background" if colour else ""]
    return ", ".join(part for part in parts if part)


def background_phrase(scene: Scene) -> str:
    top, bottom = scene.background.top, scene.background.bottom
    return f"on {_with_article(top if top == bottom else f'{top} and {bottom}')} background"


def _named(entry: Entry, place: str, article: bool, alias: bool) -> str:
    word = entry.name if alias and entry.name else entry.label
    word = f"small {word} {place}" if place else word
    return _with_article(word) if article else word


def _tags(entry: Entry, first: float, second: float) -> list[str]:
    """One or two of the entry's tags that its label does not hold already."""
    fresh = [tag for tag in entry.tags if tag not in entry.label]
    return sorted(_picked(fresh, (first, second)))


def _picked(words: Sequence[str], draws: Sequence[float]) -> list[str]:
    """A word for each draw from 0 to 1, in their order, none twice."""
    return list(dict.fromkeys(words[int(draw * len(words))] for draw in draws)) if words else []


def _with_article(words: str) -> str:
    return f"{'an' if words[:1].lower() in tuple('aeiou') and not words.lower().startswith('uni') else 'a'} {words}"
