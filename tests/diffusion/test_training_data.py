"""Reading captioned pictures, scenes around them, and the words for a scene."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures_with_words import SHAPES, draw_shape, write_shapes
from PIL import Image

from nodegraph.diffusion.training.batches import shoot
from nodegraph.diffusion.training.captions import CaptionRecipe, describe, prompt
from nodegraph.diffusion.training.dataset import Entry, read_dataset
from nodegraph.diffusion.training.scenes import COLOURS, Background, Figure, Scene, SceneRecipe, paint
from nodegraph.errors import BadDataset, FileMissing, Problems

WHITE = Background("white", "white")


def test_a_table_is_read_with_labels_and_styles(tmp_path: Path) -> None:
    data = read_dataset(write_shapes(tmp_path / "data", ("plain", "neon")))
    assert len(data.entries) == 8
    assert data.labels == tuple(sorted(SHAPES))
    assert data.styles == ("neon", "plain")
    assert data.open(0).mode == "RGBA"


def test_captions_beside_pictures_are_read(tmp_path: Path) -> None:
    draw_shape("red ball").save(tmp_path / "one.png")
    (tmp_path / "one.txt").write_text("  a red\nball ", encoding="utf-8")
    assert read_dataset(tmp_path).entries == (Entry(file="one.png", caption="a red ball", width=48, height=48),)


def test_tables_of_other_tools_are_understood(tmp_path: Path) -> None:
    draw_shape("red ball").save(tmp_path / "one.png")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "one.png", "text": "a red ball"}\n', encoding="utf-8")
    assert read_dataset(tmp_path).entries[0].caption == "a red ball"


def test_every_fault_is_reported_at_once(tmp_path: Path) -> None:
    for name in ("good", "silent", "empty", "broken"):
        draw_shape("red ball").save(tmp_path / f"{name}.png")
    for name in ("good", "broken"):
        (tmp_path / f"{name}.txt").write_text("a ball", encoding="utf-8")
    (tmp_path / "empty.txt").write_text(" \n", encoding="utf-8")
    (tmp_path / "broken.png").write_bytes((tmp_path / "broken.png").read_bytes()[:60])
    with pytest.raises(Problems) as caught:
        read_dataset(tmp_path)
    text = str(caught.value)
    assert len(caught.value.errors) == 3
    assert "silent.png has no readable caption" in text
    assert "caption of empty.png is empty" in text
    assert "broken.png cannot be opened" in text


def test_faults_of_a_table_name_their_lines(tmp_path: Path) -> None:
    folder = write_shapes(tmp_path / "data")
    with (folder / "metadata.jsonl").open("a", encoding="utf-8") as table:
        table.write('{"file": "../secret.png", "label": "x"}\n{"file": "images/gone.png", "label": "x"}\nnonsense\n{"file": "a.png"}\n')
    with pytest.raises(Problems) as caught:
        read_dataset(folder)
    text = str(caught.value)
    assert "line 5" in text
    assert "not a path inside" in text
    assert "gone.png cannot be opened: it is not there" in text
    assert "line 7" in text
    assert "line 8: a.png has neither a label nor a caption" in text


@pytest.mark.parametrize("name", ["/etc/passwd", "C:/x.png", "a/../../b.png", "..\\b.png", ""])
def test_paths_out_of_the_data_set_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file": name, "label": "x"}), encoding="utf-8")
    with pytest.raises(BadDataset, match="not a path inside"):
        read_dataset(tmp_path)


def test_a_missing_and_an_empty_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match="no data set folder"):
        read_dataset(tmp_path / "nowhere")
    with pytest.raises(BadDataset, match="holds no pictures"):
        read_dataset(tmp_path)


def test_the_fingerprint_follows_words_and_pixels(tmp_path: Path) -> None:
    first, second = write_shapes(tmp_path / "a"), write_shapes(tmp_path / "b")
    assert read_dataset(first).fingerprint() == read_dataset(second).fingerprint()
    draw_shape("blue ball").save(second / "images/red-ball-plain.png")
    assert read_dataset(first).fingerprint() != read_dataset(second).fingerprint()


# ------------------------------------------------------------------------------------------------ scenes


@given(st.integers(0, 2**32 - 1))
def test_a_recipe_stays_in_its_bounds_and_keeps_the_subject_inside(seed: int) -> None:
    recipe = SceneRecipe(smallest=0.6, largest=0.9, shift=0.3)
    (figure,) = recipe.draw(np.random.default_rng(seed), forms=False).figures
    assert 0.6 <= figure.scale <= 0.9
    assert all(abs(place - 0.5) <= min(0.3, (1 - figure.scale) / 2) + 1e-9 for place in (figure.x, figure.y))


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_every_figure_of_a_scene_lies_inside_and_two_do_not_cover_each_other(seed: int, pair: bool) -> None:
    scene = SceneRecipe(pair=float(pair), small=1.0).draw(np.random.default_rng(seed))
    assert len(scene.figures) == (2 if pair else 1)
    assert bool(scene.place) != pair
    for figure in scene.figures:
        assert all(figure.scale / 2 - 0.02 <= place <= 1 - figure.scale / 2 + 0.02 for place in (figure.x, figure.y))
    if pair:
        left, right = scene.figures
        assert right.x - left.x >= 0.8 * (left.scale + right.scale) / 2


def test_backgrounds_and_forms_come_as_often_as_asked() -> None:
    rng, recipe = np.random.default_rng(0), SceneRecipe(white=0.5, plain=0.35, pair=0.2, small=0.1)
    scenes = [recipe.draw(rng) for _ in range(4000)]
    kinds = [scene.background.kind for scene in scenes]
    shares = [kinds.count(kind) / len(kinds) for kind in ("white", "plain", "two-tone")]
    assert shares == pytest.approx([0.5, 0.35, 0.15], abs=0.03)
    forms = [len(scene.figures) == 2 for scene in scenes].count(True), [bool(scene.place) for scene in scenes].count(True)
    assert [count / len(scenes) for count in forms] == pytest.approx([0.2, 0.1], abs=0.03)


def test_a_scene_is_painted_where_it_says() -> None:
    picture = draw_shape("green box")
    pixels = paint([picture], Scene(Background("blue", "blue"), (Figure(scale=0.5),)), (64, 64))
    assert pixels.shape == (64, 64, 3)
    assert pixels.dtype == np.uint8
    assert tuple(pixels[0, 0]) == COLOURS["blue"]
    assert tuple(pixels[32, 32]) == SHAPES["green box"]
    assert (pixels[14] == COLOURS["blue"]).all()
    assert (pixels[49] == COLOURS["blue"]).all()
    assert (pixels[18:46, 18:46] == SHAPES["green box"]).all()


def test_two_figures_stand_side_by_side() -> None:
    scene = Scene(WHITE, (Figure(0.4, 0.25, 0.5), Figure(0.4, 0.75, 0.5)))
    pixels = paint([draw_shape("green box"), draw_shape("green box")], scene, (128, 64))
    assert pixels.shape == (64, 128, 3)
    assert tuple(pixels[32, 32]) == SHAPES["green box"]
    assert tuple(pixels[32, 96]) == SHAPES["green box"]
    assert tuple(pixels[32, 64]) == COLOURS["white"]


def test_two_tone_backgrounds_run_from_top_to_bottom() -> None:
    pixels = paint([Image.new("RGBA", (8, 8))], Scene(Background("red", "yellow")), (32, 32))
    assert tuple(pixels[0, 0]) == COLOURS["red"]
    assert tuple(pixels[-1, 0]) == COLOURS["yellow"]


def test_mirroring_swaps_left_and_right() -> None:
    picture = draw_shape("red ball")
    picture.paste((0, 0, 0, 255), (4, 20, 24, 28))
    straight, mirrored = (paint([picture], Scene(WHITE, (Figure(0.875, flip=flip),)), (32, 32)) for flip in (False, True))
    assert not np.array_equal(straight, mirrored)
    assert np.abs(straight[:, ::-1].astype(int) - mirrored).mean() < 3


def test_a_photo_fills_the_canvas_and_is_cropped_not_squeezed() -> None:
    photo = Image.new("RGBA", (80, 40), (10, 200, 30, 255))
    photo.paste((200, 0, 0, 255), (0, 0, 10, 40))
    middle, left = (paint([photo], Scene(WHITE, (Figure(x=x),)), (40, 40)) for x in (0.5, 0.0))
    assert (middle == (10, 200, 30)).all()
    assert tuple(left[20, 2]) == (200, 0, 0)


# ------------------------------------------------------------------------------------------------ who plays in a scene


def test_companions_share_the_style_and_differ_in_the_subject(tmp_path: Path) -> None:
    data = read_dataset(write_shapes(tmp_path / "data", ("plain", "neon")))
    for index, entry in enumerate(data.entries):
        others = {data.companion(index, place) for place in np.linspace(0, 0.999, 12)}
        assert {data.entries[other].style for other in others} == {entry.style}
        assert entry.label not in {data.entries[other].label for other in others}
        assert len(others) == len(SHAPES) - 1


def test_a_subject_that_is_alone_stays_alone(tmp_path: Path) -> None:
    draw_shape("red ball").save(tmp_path / "one.png")
    (tmp_path / "metadata.jsonl").write_text('{"file": "one.png", "label": "ball"}')
    data, rng = read_dataset(tmp_path), np.random.default_rng(0)
    assert all(shoot(data, 0, SceneRecipe(pair=1.0), rng).cast == (0,) for _ in range(5))


def test_writing_is_never_mirrored(tmp_path: Path) -> None:
    folder = write_shapes(tmp_path / "data")
    lines = [json.loads(line) | {"mirror": False} for line in (folder / "metadata.jsonl").read_text().splitlines()]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    data, rng = read_dataset(folder), np.random.default_rng(0)
    shots = [shoot(data, 0, SceneRecipe(flip=1.0, pair=0.5), rng) for _ in range(20)]
    assert not any(figure.flip for shot in shots for figure in shot.scene.figures)


def test_photos_and_written_captions_get_no_company(tmp_path: Path) -> None:
    draw_shape("red ball").save(tmp_path / "one.png")
    Image.new("RGB", (32, 20), (1, 2, 3)).save(tmp_path / "two.png")
    table = [{"file": "one.png", "caption": "a ball"}, {"file": "two.png", "label": "night"}]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, table)))
    data, rng = read_dataset(tmp_path), np.random.default_rng(0)
    assert [entry.cutout for entry in data.entries] == [True, False]
    assert (data.entries[1].width, data.entries[1].height) == (32, 20)
    shots = [shoot(data, index, SceneRecipe(pair=0.5, small=0.5), rng) for index in (0, 1) for _ in range(10)]
    assert all(len(shot.cast) == 1 and not shot.scene.place for shot in shots)


# ------------------------------------------------------------------------------------------------ captions

FOX = Entry(file="fox.png", label="fox", style="3d", name="red fox")
ALL = CaptionRecipe(empty=0, drop_style=0, drop_background=0, drop_white=0, article=0, alias=0, tags=0)


def caption(entry: Entry, background: Background, recipe: CaptionRecipe, seed: int = 0) -> str:
    return describe(entry, Scene(background), recipe, np.random.default_rng(seed))


def test_the_full_caption_is_the_advised_prompt() -> None:
    assert caption(FOX, Background("blue", "blue"), ALL) == "fox, 3d style, on a blue background" == prompt("fox", "3d", "blue")
    assert caption(FOX, Background("orange", "blue"), ALL) == "fox, 3d style, on an orange and blue background"


def test_parts_can_be_left_out() -> None:
    only = CaptionRecipe(empty=0, drop_style=1, drop_background=1, drop_white=1, article=1, alias=0, tags=0)
    assert caption(FOX, WHITE, only) == "a fox"
    assert caption(Entry(file="owl.png", label="owl"), WHITE, only) == "an owl"
    assert caption(Entry(file="u.png", label="unicorn"), WHITE, only) == "a unicorn"
    assert caption(FOX, WHITE, CaptionRecipe(empty=1)) == ""


def test_the_formal_name_may_stand_for_the_label() -> None:
    assert caption(FOX, WHITE, CaptionRecipe(empty=0, drop_style=1, drop_white=1, article=0, alias=1, tags=0)) == "red fox"


def test_two_subjects_and_a_small_one_are_named() -> None:
    pair, small = Scene(WHITE, (Figure(), Figure())), Scene(WHITE, place="on the left")
    owl, rng = Entry(file="owl.png", label="owl", style="3d"), np.random.default_rng(0)
    assert describe(FOX, pair, replace(ALL, drop_white=1), rng, owl) == "fox and owl, 3d style"
    assert describe(FOX, pair, replace(ALL, drop_white=1, article=1), rng, owl) == "a fox and an owl, 3d style"
    assert describe(FOX, small, replace(ALL, drop_white=1, article=1), rng) == "a small fox on the left, 3d style"


def test_tags_follow_the_label_and_say_something_new() -> None:
    entry = Entry(file="fox.png", label="red fox", style="3d", tags=("fox", "wild"))
    assert caption(entry, WHITE, replace(ALL, drop_white=1, tags=1)) == "red fox, wild, 3d style"


def test_a_picture_that_fills_the_frame_has_no_background_to_name() -> None:
    photo = Entry(file="x.png", caption="night", cutout=False)
    assert caption(photo, WHITE, ALL) == "night"


def test_a_written_caption_is_kept_word_for_word() -> None:
    entry = Entry(file="x.png", caption="Grandma's cat at noon")
    assert caption(entry, WHITE, CaptionRecipe(empty=0, drop_white=1)) == "Grandma's cat at noon"


def test_words_of_negative_prompts_stand_for_half_of_the_missing_captions() -> None:
    rng, words = np.random.default_rng(3), ("blurry", "ugly", "low quality", "text", "grainy", "noisy")
    texts = [describe(FOX, Scene(WHITE), CaptionRecipe(negative=words), rng) for _ in range(3000)]
    missing = [text for text in texts if "fox" not in text]
    said = [text.split(", ") for text in missing if text]
    assert len(missing) / len(texts) == pytest.approx(0.1, abs=0.02)
    assert len(said) / len(missing) == pytest.approx(0.5, abs=0.08)
    assert {word for text in said for word in text} == set(words)
    assert {len(text) for text in said} == {1, 2, 3, 4}
    assert all(len(set(text)) == len(text) for text in said)


def test_one_in_ten_captions_is_empty() -> None:
    rng = np.random.default_rng(3)
    texts = [describe(FOX, Scene(WHITE), CaptionRecipe(), rng) for _ in range(3000)]
    assert texts.count("") / len(texts) == pytest.approx(0.1, abs=0.02)
