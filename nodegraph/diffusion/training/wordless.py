"""What is shown where no words say what to show: with an empty caption, and with words that the data set never uses.

All subjects at once blur together when nothing names one. A few can be learnt whole, so that an empty prompt, or a word never met,
draws one of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nodegraph.diffusion.tokenizer import clip_tokenizer
from nodegraph.diffusion.training.batches import Stream, generator
from nodegraph.diffusion.training.captions import FRAME
from nodegraph.diffusion.training.dataset import Dataset
from nodegraph.diffusion.training.latents import LatentCache
from nodegraph.diffusion.training.scenes import COLOURS
from nodegraph.errors import BadValue, did_you_mean

_WORD = re.compile(r"[a-z]+")
MANY = (0.5, 0.3, 0.2)
"""how often one, two and three unknown words are said"""
_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"


@dataclass(frozen=True)
class WordlessRecipe:
    """labels: subjects that are shown without words, () for no such rule; share: of all pictures that are shown so.

    unknown: of these, the part that is called by one to three words from outside the data set, style and background said as usual; the
        rest has no caption at all. `invented` of those words are made up of syllables, the others are words of CLIP's vocabulary
    """

    labels: tuple[str, ...] = ()
    share: float = 0.25
    unknown: float = 0.5
    invented: float = 0.3


class Wordless:
    """Exchanges some rows of a batch for pictures of the chosen subjects, alone and at their usual size."""

    def __init__(self, cache: LatentCache, recipe: WordlessRecipe, seed: int, said: Sequence[str] = ()) -> None:
        """said: more words that are not unknown. Raises `BadValue` for labels that the data set does not have."""
        strange = sorted(set(recipe.labels) - set(cache.dataset.labels))
        if strange:
            hint = did_you_mean(strange[0], cache.dataset.labels) or "name subjects by their labels in its metadata.jsonl"
            raise BadValue(f"the data set shows no {', '.join(strange)}", input="wordless", hint=hint)
        self.cache, self.recipe, self.seed = cache, recipe, seed
        self._rows = _rows_by_bucket(cache, recipe.labels)
        self._unknown = unknown_words(cache.dataset, said) if recipe.labels else ()

    def shows(self, rows: NDArray[np.int64]) -> bool:
        """Whether there are any pictures of the chosen subjects in the shape of these."""
        return self._bucket(rows) in self._rows

    def at(self, step: int, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[str | None]]:
        """The rows of a step, and of each the words it is called by: None for its own, "" for no caption at all."""
        if not self.shows(rows):
            return rows, [None] * len(rows)
        few = self._rows[self._bucket(rows)]
        rng = generator(self.seed, Stream.WORDLESS, step)
        exchanged = rng.random(len(rows)) < self.recipe.share
        return np.where(exchanged, rng.choice(few, len(rows)), rows), [self._word(rng) if each else None for each in exchanged]

    def _bucket(self, rows: NDArray[np.int64]) -> int:
        """The shape of a batch; all of its pictures have the same."""
        return int(self.cache.places[rows[0], 0])

    def _word(self, rng: np.random.Generator) -> str:
        if rng.random() >= self.recipe.unknown:
            return ""
        return " ".join(self._strange(rng) for _ in range(rng.choice((1, 2, 3), p=MANY)))

    def _strange(self, rng: np.random.Generator) -> str:
        if rng.random() < self.recipe.invented:
            return _invented(rng)
        return self._unknown[int(rng.integers(len(self._unknown)))]


def unknown_words(dataset: Dataset, said: Sequence[str] = ()) -> tuple[str, ...]:
    """Whole words of CLIP's vocabulary that no caption of the data set can hold, nor as plurals of one that it holds; nor those `said`."""
    known = {*FRAME, *COLOURS, *said}
    for entry in dataset.entries:
        known |= {entry.label, entry.name, entry.style, entry.caption, *entry.tags}
    used = set(_WORD.findall(" ".join(known).lower()))
    words = (token.removesuffix("</w>") for token in clip_tokenizer().get_vocab() if token.endswith("</w>"))
    fresh = (word for word in words if used.isdisjoint((word, word.removesuffix("s"), word.removesuffix("es"))))
    return tuple(sorted(word for word in fresh if len(word) > 2 and _WORD.fullmatch(word)))


def _invented(rng: np.random.Generator) -> str:
    syllables = (f"{_CONSONANTS[rng.integers(len(_CONSONANTS))]}{_VOWELS[rng.integers(len(_VOWELS))]}" for _ in range(rng.integers(1, 4)))
    return "".join(syllables) + _CONSONANTS[rng.integers(len(_CONSONANTS))]


def _rows_by_bucket(cache: LatentCache, labels: tuple[str, ...]) -> dict[int, NDArray[np.int64]]:
    entries = cache.dataset.entries
    named = [row for row in range(len(cache)) if entries[cache.picture(row)].label in labels]
    alone = np.array([row for row in named if len((shot := cache.shot(row)).cast) == 1 and not shot.scene.place], np.int64)
    buckets = cache.places[alone, 0]
    return {int(bucket): alone[buckets == bucket] for bucket in np.unique(buckets)}
