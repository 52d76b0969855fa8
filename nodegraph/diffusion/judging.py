"""Judge pictures that were made for words: does an image-text encoder find in them what was asked for? No torch here.

Everything is decided by cosines, as CLIP classifies without training for it (Radford et al. 2021, section 3.1): a picture is judged to show
the subject whose name is nearest to it, in the style whose "... style" is nearest, on the background whose "on a ... background" is.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nodegraph.diffusion.training.captions import prompt
from nodegraph.errors import BrokenWeights, InputRefused, did_you_mean, shorten

Vectors = NDArray[np.float32]
TOLD = 12


@dataclass(frozen=True)
class Vocabulary:
    """The words that an encoder has learnt: what it can tell apart. Colours are those of backgrounds."""

    subjects: tuple[str, ...]
    styles: tuple[str, ...]
    colours: tuple[str, ...]

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> Vocabulary:
        """From the metadata of a weights file. Raises BrokenWeights."""
        return cls(*(_words(metadata, f"nodegraph.{key}") for key in ("subjects", "styles", "colours")))

    def metadata(self) -> dict[str, str]:
        """As a weights file keeps it."""
        return {f"nodegraph.{key}": json.dumps(list(words), ensure_ascii=False) for key, words in vars(self).items()}

    def texts(self) -> Vocabulary:
        """Every word in the phrase that stands for it in captions."""
        styles, colours = (prompt("", style) for style in self.styles), (prompt("", "", colour) for colour in self.colours)
        return Vocabulary(self.subjects, tuple(styles), tuple(colours))


def _words(metadata: Mapping[str, str], key: str) -> tuple[str, ...]:
    try:
        found = json.loads(metadata.get(key, "[]"))
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise BrokenWeights(f"the metadata {key} should be a JSON list of words, but is {shorten(metadata[key])!r}")
    return tuple(found)


# ------------------------------------------------------------------------------------------------ what is asked for


@dataclass(frozen=True)
class Wanted:
    """What a picture was asked to show; an empty style or colour was left open."""

    subject: str
    style: str = ""
    colour: str = ""

    @property
    def text(self) -> str:
        return prompt(self.subject, self.style, self.colour)


def draw_prompts(words: Vocabulary, count: int, seed: int = 0) -> list[Wanted]:
    """A fixed list: every subject once in an order that the seed gives, then again; styles in turn, and colours after each round of them.

    Between one pass over the subjects and the next some turns are skipped, so that in the end every subject meets every style and colour.
    Raises InputRefused for an encoder that knows no subjects.
    """
    if not words.subjects:
        raise InputRefused("this encoder was trained without subjects, so there is nothing to ask for", hint="write the prompts yourself")
    order = np.random.default_rng(seed).permutation(len(words.subjects))
    styles, colours = words.styles or ("",), words.colours or ("",)
    skipped = next(n for n in itertools.count() if math.gcd(len(order) + n, len(styles) * len(colours)) == 1)
    turns = [i + i // len(order) * skipped for i in range(count)]
    return [
        Wanted(words.subjects[order[i % len(order)]], styles[turn % len(styles)], colours[turn // len(styles) % len(colours)])
        for i, turn in enumerate(turns)
    ]


def wanted_of(subjects: Sequence[str], styles: Sequence[str], colours: Sequence[str]) -> list[Wanted]:
    """Three lists side by side. Raises InputRefused if they are empty or differ in length."""
    sizes = {"subjects": len(subjects), "styles": len(styles), "colours": len(colours)}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{count} {name}" for name, count in sizes.items())
        raise InputRefused(f"the lists differ in length: {told}", hint="connect all three to the same `JudgePrompts`")
    if not subjects:
        raise InputRefused("nothing is asked for: the list of subjects is empty", input="subjects", hint="connect `JudgePrompts`")
    return [Wanted(*words) for words in zip(subjects, styles, colours, strict=True)]


# ------------------------------------------------------------------------------------------------ judging


@dataclass(frozen=True)
class Verdict:
    """What one picture was judged to show. place: of the wanted subject among all, 1 the nearest; score: cosine with the whole prompt."""

    wanted: Wanted
    subject: str
    place: int
    style: str
    colour: str
    score: float

    @property
    def is_right(self) -> bool:
        """Whether everything that was asked for was found."""
        style, colour = self.wanted.style in ("", self.style), self.wanted.colour in ("", self.colour)
        return self.place == 1 and style and colour

    def lines(self) -> list[str]:
        """What was wanted and what was judged, where they differ: three parts, each in a line or two."""
        pairs = [
            (self.wanted.subject, self.subject if self.place > 1 else self.wanted.subject),
            (prompt("", self.wanted.style), prompt("", self.style)),
            (prompt("", "", self.wanted.colour), prompt("", "", self.colour)),
        ]
        found = [[f"+ {wanted}", f"- {judged}"] if wanted and wanted != judged else [wanted, ""] for wanted, judged in pairs]
        return [line for pair in found for line in pair]


def judge(seen: Vectors, wanted: Sequence[Wanted], words: Vocabulary, read: Callable[[Sequence[str]], Vectors]) -> list[Verdict]:
    """A verdict on each picture.

    seen: (N, width) pictures as unit vectors; read: texts to unit vectors of the same width
    Raises InputRefused if there are not as many pictures as prompts, or for a word that the encoder has not learnt.
    """
    if len(seen) != len(wanted):
        raise InputRefused(f"there are {len(seen)} pictures for {len(wanted)} prompts", hint="make one picture of each prompt")
    _check_words(wanted, words)
    texts = words.texts()
    subjects, styles, colours = (seen @ read(part).T if part else None for part in (texts.subjects, texts.styles, texts.colours))
    assert subjects is not None  # some subject was wanted, and is known
    scores = (seen * read([each.text for each in wanted])).sum(axis=1)
    return [
        Verdict(
            each,
            words.subjects[int(subjects[i].argmax())],
            1 + int((subjects[i] > subjects[i, words.subjects.index(each.subject)]).sum()),
            "" if styles is None else words.styles[int(styles[i].argmax())],
            "" if colours is None else words.colours[int(colours[i].argmax())],
            float(scores[i]),
        )
        for i, each in enumerate(wanted)
    ]


def _check_words(wanted: Sequence[Wanted], words: Vocabulary) -> None:
    for name, known in (("subject", words.subjects), ("style", ("", *words.styles)), ("colour", ("", *words.colours))):
        for word in (getattr(each, name) for each in wanted):
            if word not in known:
                hint = did_you_mean(word, known, f"it knows {len(known)} such words, those that it was trained with")
                raise InputRefused(f"this encoder has not learnt the {name} {shorten(word)!r}", input=f"{name}s", hint=hint)


@dataclass(frozen=True)
class Report:
    """Verdicts in numbers: shares from 0 to 1, of those pictures for which something was asked; None where nothing was."""

    verdicts: tuple[Verdict, ...]

    @property
    def top1(self) -> float:
        return self.within(1)

    @property
    def top5(self) -> float:
        return self.within(5)

    def within(self, places: int) -> float:
        """Share of pictures whose wanted subject is among the nearest."""
        return _share(verdict.place <= places for verdict in self.verdicts) or 0.0

    @property
    def style(self) -> float | None:
        return _share(verdict.style == verdict.wanted.style for verdict in self.verdicts if verdict.wanted.style)

    @property
    def background(self) -> float | None:
        return _share(verdict.colour == verdict.wanted.colour for verdict in self.verdicts if verdict.wanted.colour)

    @property
    def score(self) -> float:
        """Mean cosine with the whole prompts."""
        return float(np.mean([verdict.score for verdict in self.verdicts]))

    @property
    def failures(self) -> list[int]:
        """Numbers of the pictures in which something was not found, the worst first."""
        wrong = [i for i, verdict in enumerate(self.verdicts) if not verdict.is_right]
        return sorted(wrong, key=lambda i: (-self.verdicts[i].place, self.verdicts[i].score))

    def table(self) -> str:
        """For people: a line for each number, then what was taken for what most often."""
        shares = [
            ("subject nearest", self.top1),
            ("subject among the 5 nearest", self.top5),
            ("style", self.style),
            ("background", self.background),
        ]
        lines = [f"{name:<28}{'not asked for' if share is None else f'{share:7.1%}'}" for name, share in shares]
        return "\n".join([f"{len(self.verdicts)} pictures", *lines, f"{'mean CLIP score':<28}{self.score:7.3f}", *self._mistaken()])

    def _mistaken(self) -> list[str]:
        pairs = Counter((verdict.wanted.subject, verdict.subject) for verdict in self.verdicts if verdict.place > 1)
        told = [f"{wanted} as {judged}" + (f" ({times} times)" if times > 1 else "") for (wanted, judged), times in pairs.most_common(TOLD)]
        more = [f"and {len(pairs) - TOLD} more"] if len(pairs) > TOLD else []
        return [f"judged wrongly: {', '.join([*told, *more])}"] if told else []


def _share(hits: Any) -> float | None:
    found = list(hits)
    return sum(found) / len(found) if found else None
