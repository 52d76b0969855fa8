"""Say in words what a scene shows, with parts left out at random, so that short and long prompts both work."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nodegraph.diffusion.training.dataset import Entry
from nodegraph.diffusion.training.scenes import Scene


@dataclass(frozen=True)
class CaptionRecipe:
    """Chances of leaving parts out. The full form is "{label}, {style} style, on a {colour} background".

    empty: no caption at all, for classifier-free guidance (Ho & Salimans 2022)
    drop_style, drop_background: that part is left out; drop_white: the same for white backgrounds, which go without saying
    article: "a {label}" or "an {label}"; alias: the formal name instead of the label
    """

    empty: float = 0.1
    drop_style: float = 0.1
    drop_background: float = 0.1
    drop_white: float = 0.5
    article: float = 0.2
    alias: float = 0.1


def describe(entry: Entry, scene: Scene, recipe: CaptionRecipe, rng: np.random.Generator) -> str:
    """A caption for `entry` shown as `scene`; always takes the same number of draws."""
    empty, style, background, article, alias = rng.random(5)
    if empty < recipe.empty:
        return ""
    subject = entry.caption or _subject(entry, bool(article < recipe.article), bool(alias < recipe.alias))
    parts = [subject]
    if entry.style and not entry.caption and style >= recipe.drop_style:
        parts.append(f"{entry.style} style")
    drop = recipe.drop_white if scene.background.kind == "white" else recipe.drop_background
    if background >= drop:
        parts.append(background_phrase(scene))
    return ", ".join(parts)


def prompt(label: str, style: str = "", colour: str = "") -> str:
    """The full form that the recipe's captions are cut from: what a user is advised to type."""
    parts = [label, f"{style} style" if style else "", f"on {_with_article(colour)} background" if colour else ""]
    return ", ".join(part for part in parts if part)


def background_phrase(scene: Scene) -> str:
    top, bottom = scene.background.top, scene.background.bottom
    return f"on {_with_article(top if top == bottom else f'{top} and {bottom}')} background"


def _subject(entry: Entry, article: bool, alias: bool) -> str:
    word = entry.name if alias and entry.name else entry.label
    return _with_article(word) if article else word


def _with_article(words: str) -> str:
    return f"{'an' if words[:1].lower() in tuple('aeiou') and not words.lower().startswith('uni') else 'a'} {words}"
