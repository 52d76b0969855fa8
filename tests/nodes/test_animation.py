"""Moving pictures: files that play as they should, ways through prompts that begin and end where they should."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from nodegraph import media
from nodegraph.context import Context
from nodegraph.diffusion import Image
from nodegraph.diffusion.animations import durations
from nodegraph.diffusion.conditionings import blend
from nodegraph.diffusion.pictures import read_image
from nodegraph.diffusion.travel import way
from nodegraph.diffusion.values import Cond, Conditioning
from nodegraph.errors import InputRefused, NodegraphError, WriteFailed
from nodegraph.events import ignore
from nodegraph.files import Files
from nodegraph.registry import builtin_registry

REGISTRY = builtin_registry()
animation: Any = sys.modules["nodegraph_pack_core.animation"]

WORKFLOW = {"nodegraph": 1, "nodes": {"7": {"type": "KSampler", "inputs": {"seed": 42}}}}
FORMATS = ("webp", "gif", "apng")


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return Context("1", files=Files(tmp_path / "in", tmp_path / "out", tmp_path / "temp"), emit=ignore, workflow=WORKFLOW)


def frames(count: int = 5, height: int = 12, width: int = 16) -> list[Image]:
    """A bright bar that wanders over grey."""
    data = np.full((count, height, width, 3), 0.25, np.float32)
    for i in range(count):
        data[i, :, 2 * i : 2 * i + 2] = 1
    return [Image(data[i : i + 1].copy()) for i in range(count)]


def saved(ctx: Context) -> Path:
    (item,) = ctx.shown
    return Path(item["file"]["path"])


def played(path: Path) -> tuple[list[int], int | None]:
    """(milliseconds of each frame, how often: 0 for ever) as Pillow reads them."""
    with Pillow.open(path) as file:
        times = []
        for i in range(file.n_frames):
            file.seek(i)
            file.load()
            times.append(int(file.info["duration"]))
        return times, file.info.get("loop")


# ---- files


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_has_every_frame_its_time_and_its_place(ctx: Context, format: str) -> None:
    animation.save_animation(ctx, frames(), name="a/walk", fps=10, format=format, quality=100, lossless=True)
    path = saved(ctx)
    assert path == ctx.files.output / "a" / f"walk_00001{'.png' if format == 'apng' else '.' + format}"
    assert played(path) == ([100] * 5, 0)
    pictures = read_image(path)[0].data
    assert np.abs(pictures - np.concatenate([frame.data for frame in frames()])).max() < 1 / 128
    assert {key: ctx.shown[0][key] for key in ("kind", "width", "height", "frames", "fps")} == {
        "kind": "image", "width": 16, "height": 12, "frames": 5, "fps": 10,
    }  # fmt: skip


@pytest.mark.parametrize("format", FORMATS)
def test_once_is_once_and_back_is_back(ctx: Context, format: str) -> None:
    animation.save_animation(ctx, frames(4), fps=5, format=format, loop=False, boomerang=True, lossless=True)
    times, loop = played(saved(ctx))
    assert times == [200] * 6, "0 1 2 3 2 1: the ends are not shown twice"
    assert loop == (None if format == "gif" else 1)
    shown = read_image(saved(ctx))[0].data
    assert np.abs(shown[4] - shown[2]).max() < 1 / 128
    assert np.abs(shown[5] - shown[1]).max() < 1 / 128


def test_a_list_a_batch_and_a_list_of_batches_are_the_same(ctx: Context) -> None:
    whole = Image(np.concatenate([frame.data for frame in frames(4)]))
    halves = [Image(whole.data[:2].copy()), Image(whole.data[2:].copy())]
    for images in (frames(4), [whole], halves):
        animation.save_animation(ctx, images)
    contents = {Path(item["file"]["path"]).read_bytes() for item in ctx.shown}
    assert len(ctx.shown) == 3
    assert len(contents) == 1


@pytest.mark.parametrize("format", ["webp", "apng"])
def test_the_workflow_is_in_the_file_and_can_be_taken_out(ctx: Context, format: str) -> None:
    animation.save_animation(ctx, frames(), format=format)
    path = saved(ctx)
    assert json.loads(media.read_texts(path)["nodegraph"])["nodes"] == WORKFLOW["nodes"]
    media.strip(path)
    assert media.read_texts(path) == {}
    assert len(played(path)[0]) == 5


@pytest.mark.parametrize("format", FORMATS)
def test_without_embed_nothing_of_the_workflow_is_in_the_file(ctx: Context, format: str) -> None:
    animation.save_animation(ctx, frames(), format=format, embed=False)
    assert b"KSampler" not in saved(ctx).read_bytes()


@given(count=st.integers(1, 200), fps=st.floats(0.5, 50), format=st.sampled_from(FORMATS))
def test_times_never_drift(count: int, fps: float, format: Any) -> None:
    times = durations(count, fps, format)
    tick = 10 if format == "gif" else 1
    assert all(time > 0 and time % tick == 0 for time in times)
    for done in range(1, count + 1):
        assert abs(sum(times[:done]) - done * 1000 / fps) <= tick


def test_a_still_of_equal_frames_plays_as_long(ctx: Context) -> None:
    for format in FORMATS:
        animation.save_animation(ctx, [frames(1)[0]] * 3 + frames(3)[2:], fps=4, format=format)
        assert sum(played(Path(ctx.shown[-1]["file"]["path"]))[0]) == 1000


@pytest.mark.parametrize(
    ("images", "changes", "input", "message"),
    [
        (frames(1), {}, "images", "two frames or more, 1 came"),
        ([], {}, "images", "two frames or more, 0 came"),
        ([*frames(2), *frames(1, 8)], {}, "images", "first is 16x12, number 3 of the list is 16x8"),
        (frames(2), {"fps": 0.0}, "fps", "fps is 0"),
        (frames(2), {"fps": 60.0, "format": "gif"}, "fps", "a gif can show more than 0 up to 50"),
        (frames(2, 2, 16384), {}, "format", "16383 pixels"),
        ([frames(1)[0]] * 8 + frames(2)[1:], {"fps": 0.01, "format": "gif"}, "fps", "stand for longer than gif can say"),
    ],
)
def test_what_cannot_be_saved_is_refused_with_the_way_out(
    ctx: Context, images: list[Image], changes: dict[str, Any], input: str, message: str
) -> None:
    with pytest.raises(InputRefused, match=message) as caught:
        animation.save_animation(ctx, images, **changes)
    assert caught.value.input == input
    assert caught.value.hint
    assert not list(ctx.files.output.rglob("*")) if ctx.files.output.exists() else True


@pytest.mark.parametrize("value", [0, -3, 101, "fast"])
def test_an_impossible_speed_is_told_before_anything_runs(value: object) -> None:
    from nodegraph.engine import Engine
    from nodegraph.settings import Settings

    nodes = {
        "picture": {"type": "EmptyImage", "inputs": {}},
        "save": {"type": "SaveAnimation", "inputs": {"images": {"link": ["picture", "image"]}, "fps": value}},
    }
    with pytest.raises(NodegraphError) as caught:
        Engine(Settings(Path("in"), Path("out"), Path("temp"), ()), REGISTRY).check({"nodegraph": 1, "nodes": nodes})
    assert "fps" in str(caught.value)


def test_a_folder_that_is_a_file_leaves_nothing_behind(ctx: Context) -> None:
    ctx.files.output.parent.mkdir(exist_ok=True)
    ctx.files.output.write_text("in the way")
    with pytest.raises(WriteFailed):
        animation.save_animation(ctx, frames())
    assert ctx.files.output.read_text() == "in the way"


# ---- mixing prompts


def encoded(seed: int, tokens: int = 4, entries: int = 1, width: int = 3) -> Conditioning:
    random = np.random.default_rng(seed)
    return Conditioning(
        tuple(
            Cond(random.normal(size=(1, tokens, width)).astype(np.float32), random.normal(size=(1, 2)).astype(np.float32), start=0.1 * i)
            for i in range(entries)
        )
    )


@given(keep=st.floats(0, 1), lengths=st.sampled_from(["repeat", "base"]))
def test_between_two_prompts(keep: float, lengths: Any) -> None:
    one, other = encoded(1), encoded(2)
    (mixed,) = blend(one, other, keep, lengths).entries
    np.testing.assert_allclose(mixed.context, one.entries[0].context * keep + other.entries[0].context * (1 - keep), atol=1e-6)
    assert mixed.pooled is not None
    np.testing.assert_allclose(mixed.pooled, one.entries[0].pooled * keep + other.entries[0].pooled * (1 - keep), atol=1e-6)  # type: ignore[operator]


@pytest.mark.parametrize("lengths", ["repeat", "base"])
def test_the_ends_are_the_prompts_to_the_bit(lengths: Any) -> None:
    one, other = encoded(1), encoded(2)
    assert blend(one, other, 1, lengths) is one
    assert np.array_equal(blend(one, other, 0, lengths).entries[0].context, other.entries[0].context)


def test_a_longer_prompt_is_repeated_to_or_cut() -> None:
    short, long = encoded(1, 4), encoded(2, 6)
    assert blend(short, long, 0.5).entries[0].context.shape == (1, 12, 3)
    a, b = short.entries[0].context, long.entries[0].context
    np.testing.assert_allclose(blend(short, long, 0.5, "base").entries[0].context, (a + b[:, :4]) / 2, atol=1e-6)
    filled = np.concatenate([a, np.zeros((1, 2, 3), np.float32)], axis=1)
    np.testing.assert_allclose(blend(long, short, 0.5, "base").entries[0].context, (b + filled) / 2, atol=1e-6)
    with pytest.raises(InputRefused, match="255 and 256 tokens"):
        blend(encoded(1, 255), encoded(2, 256), 0.5)


def test_entries_are_mixed_in_pairs_or_with_the_first_and_keep_their_times() -> None:
    two, pair, one = encoded(1, entries=2), encoded(2, entries=2), encoded(3)
    paired, single = blend(two, pair, 0.5).entries, blend(two, one, 0.5).entries
    assert [entry.start for entry in paired] == [0.0, 0.1]
    for i in range(2):
        np.testing.assert_allclose(paired[i].context, (two.entries[i].context + pair.entries[i].context) / 2, atol=1e-6)
        np.testing.assert_allclose(single[i].context, (two.entries[i].context + one.entries[0].context) / 2, atol=1e-6)
    assert len(blend(one, two, 0.5).entries) == 1


def test_prompts_of_different_encoders_are_refused() -> None:
    with pytest.raises(InputRefused, match="3 and 5 wide"):
        blend(encoded(1), encoded(2, width=5), 0.5)


# ---- travelling

STOPS = [encoded(i) for i in range(4)]


@pytest.mark.parametrize("ease", ["even", "smooth"])
@pytest.mark.parametrize("loop", [True, False])
def test_every_stop_is_passed_exactly(loop: bool, ease: str) -> None:
    journey = animation.prompt_travel(STOPS, [10, 11, 12, 13], frames=5, loop=loop, ease=ease)
    assert {len(values) for values in journey} == {20 if loop else 16}
    for number, stop in enumerate(STOPS):
        frame = number * 5
        assert np.array_equal(journey.conditioning[frame].entries[0].context, stop.entries[0].context)
        assert (journey.seed[frame], journey.variation_strength[frame]) == (10 + number, 0.0)
    assert journey.variation_seed[-1] == (10 if loop else 13)


def test_one_seed_stays_and_none_is_0() -> None:
    for seeds, wanted in (([7], 7), (None, 0), ([], 0)):
        journey = animation.prompt_travel(STOPS, seeds, frames=3)
        assert set(journey.seed) == set(journey.variation_seed) == {wanted}
        assert set(journey.variation_strength) == {0.0}


@given(stops=st.integers(2, 6), frames=st.integers(1, 20), loop=st.booleans(), ease=st.sampled_from(["even", "smooth"]))
def test_the_way_goes_forward_from_stop_to_stop(stops: int, frames: int, loop: bool, ease: Any) -> None:
    places = list(way(stops, frames, loop, ease))
    assert len(places) == (stops * frames if loop else (stops - 1) * frames + 1)
    reached = [place.start + place.share for place in places]
    assert reached == sorted(reached)
    assert all(0 <= place.share < 1 and place.end in (place.start, (place.start + 1) % stops) for place in places)
    if ease == "even":
        np.testing.assert_allclose(np.diff(reached), 1 / frames)


def test_a_way_needs_stops_and_fitting_seeds() -> None:
    with pytest.raises(InputRefused, match="only 1 prompt") as caught:
        animation.prompt_travel(STOPS[:1])
    assert caught.value.input == "stops"
    with pytest.raises(InputRefused, match="3 seeds for 4 stops") as caught:
        animation.prompt_travel(STOPS, [1, 2, 3])
    assert caught.value.input == "seeds"
