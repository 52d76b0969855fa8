"""Prompts to judge by, and verdicts on vectors made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodegraph.diffusion.judging import Report, Vectors, Verdict, Vocabulary, Wanted, draw_prompts, judge, wanted_of
from nodegraph.errors import BrokenWeights, InputRefused

WORDS = Vocabulary(("cat", "dog", "owl"), ("flat", "3d"), ("white", "red"))
AXES = ["cat", "dog", "owl", "flat style", "3d style", "on a white background", "on a red background"]
COUNTS = st.integers(1, 9)


def read(texts: Sequence[str]) -> Vectors:
    """A perfect encoder: a prompt is the sum of its parts, each of them a direction of its own."""
    return np.stack([unit(*text.split(", ")) for text in texts])


def unit(*parts: str) -> Vectors:
    vector = np.array([float(axis in parts) for axis in AXES], np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def report(pictures: Sequence[Vectors], wanted: Sequence[Wanted]) -> Report:
    return Report(tuple(judge(np.stack(pictures), wanted, WORDS, read)))


def test_a_picture_that_shows_what_was_asked_for_is_right_in_everything() -> None:
    wanted = [Wanted("cat", "3d", "red"), Wanted("owl", "flat", "white")]
    found = report([read([each.text])[0] for each in wanted], wanted)
    assert (found.top1, found.top5, found.style, found.background) == (1, 1, 1, 1)
    assert found.score == pytest.approx(1)
    assert found.failures == []
    assert "judged wrongly" not in found.table()


def test_the_numbers_are_shares_of_pictures_in_which_each_part_was_found() -> None:
    wanted = [Wanted("cat", "3d", "red")] * 4
    shown = [("cat", "3d", "red"), ("dog", "3d", "red"), ("cat", "flat", "red"), ("cat", "3d", "white")]
    found = report([read([Wanted(*parts).text])[0] for parts in shown], wanted)
    assert (found.top1, found.style, found.background) == (0.75, 0.75, 0.75)
    assert found.score == pytest.approx((1 + 3 * 2 / 3) / 4, abs=1e-6)  # two of three directions agree
    assert found.failures == [1, 2, 3]
    assert "cat as dog" in found.table()
    assert found.verdicts[1].lines() == ["+ cat", "- dog", "3d style", "", "on a red background", ""]


def test_the_place_counts_the_subjects_that_are_nearer() -> None:
    picture = (3 * unit("owl") + 2 * unit("dog") + unit("cat")).astype(np.float32)
    places = [report([picture], [Wanted(subject)]).verdicts[0].place for subject in WORDS.subjects]
    assert places == [3, 2, 1]
    found = report([picture] * 3, [Wanted(subject) for subject in WORDS.subjects])
    assert found.top1 == pytest.approx(1 / 3)
    assert found.within(2) == pytest.approx(2 / 3)
    assert found.top5 == 1
    assert found.failures == [0, 1], "the worst first"


def test_what_was_not_asked_for_is_not_judged() -> None:
    found = report([read(["cat, 3d style"])[0]], [Wanted("cat")])
    assert found.style is None
    assert found.background is None
    assert found.failures == []
    assert found.table().count("not asked for") == 2


def test_a_share_counts_only_those_who_were_asked() -> None:
    wanted = [Wanted("cat", "3d"), Wanted("cat"), Wanted("cat", "flat")]
    found = report([read(["cat, 3d style"])[0]] * 3, wanted)
    assert found.style == 0.5


def test_as_many_pictures_as_prompts_are_needed() -> None:
    with pytest.raises(InputRefused, match="there are 1 pictures for 2 prompts"):
        report([unit("cat")], [Wanted("cat"), Wanted("dog")])


@pytest.mark.parametrize(
    ("wanted", "told"),
    [(Wanted("cta"), "subject 'cta'"), (Wanted("cat", "noto"), "style 'noto'"), (Wanted("cat", "flat", "blue"), "colour 'blue'")],
)
def test_a_word_that_the_encoder_has_not_learnt_is_refused(wanted: Wanted, told: str) -> None:
    with pytest.raises(InputRefused, match=told) as caught:
        report([unit("cat")], [wanted])
    assert caught.value.hint
    if wanted.subject == "cta":
        assert "`cat`" in caught.value.hint


def test_lists_side_by_side_must_be_of_one_length_and_not_empty() -> None:
    assert wanted_of(["cat"], ["3d"], [""]) == [Wanted("cat", "3d")]
    with pytest.raises(InputRefused, match="2 subjects, 1 styles, 2 colours"):
        wanted_of(["cat", "dog"], ["3d"], ["red", "red"])
    with pytest.raises(InputRefused, match="list of subjects is empty"):
        wanted_of([], [], [])


# ------------------------------------------------------------------------------------------------ prompts


def vocabulary(subjects: int, styles: int, colours: int) -> Vocabulary:
    return Vocabulary(*(tuple(f"{kind}{i}" for i in range(count)) for kind, count in zip("abc", (subjects, styles, colours), strict=True)))


@given(COUNTS, COUNTS, COUNTS, st.integers(1, 60), st.integers(0, 2**64 - 1))
def test_every_subject_comes_once_before_any_comes_again(subjects: int, styles: int, colours: int, count: int, seed: int) -> None:
    words = vocabulary(subjects, styles, colours)
    drawn = draw_prompts(words, count, seed)
    assert len(drawn) == count
    assert drawn == draw_prompts(words, count, seed)
    assert draw_prompts(words, count + 7, seed)[:count] == drawn, "a longer list begins with the shorter one"
    used = [each.subject for each in drawn]
    for start in range(0, count, subjects):
        assert len(set(used[start : start + subjects])) == len(used[start : start + subjects])


@given(COUNTS, COUNTS, COUNTS)
def test_in_the_end_every_prompt_there_is_has_come_once(subjects: int, styles: int, colours: int) -> None:
    drawn = draw_prompts(vocabulary(subjects, styles, colours), subjects * styles * colours)
    assert len(set(drawn)) == subjects * styles * colours


def test_a_short_list_has_every_style_on_every_colour() -> None:
    assert len({(each.style, each.colour) for each in draw_prompts(vocabulary(281, 4, 12), 48)}) == 48


def test_an_encoder_without_styles_or_colours_is_asked_for_subjects_alone() -> None:
    assert {each.text for each in draw_prompts(Vocabulary(("cat", "dog"), (), ()), 2)} == {"cat", "dog"}
    with pytest.raises(InputRefused, match="without subjects"):
        draw_prompts(Vocabulary((), ("3d",), ()), 2)


def test_words_survive_a_file_and_lies_are_refused() -> None:
    assert Vocabulary.of(WORDS.metadata()) == WORDS
    assert Vocabulary.of({}) == Vocabulary((), (), ())
    for lie in ("cat, dog", '{"cat": 1}', "[1, 2]"):
        with pytest.raises(BrokenWeights, match=r"nodegraph\.styles should be a JSON list"):
            Vocabulary.of({"nodegraph.styles": lie})


def test_a_verdict_is_right_only_if_all_that_was_asked_for_is_there() -> None:
    verdict = Verdict(Wanted("cat", "3d", ""), "cat", 1, "3d", "red", 0.9)
    assert verdict.is_right
    assert not Verdict(Wanted("cat", "flat"), "cat", 1, "3d", "red", 0.9).is_right
    assert not Verdict(Wanted("cat", "3d"), "dog", 2, "3d", "red", 0.9).is_right
