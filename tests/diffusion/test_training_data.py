"""Reading captioned pictures, scenes around them, and the words for a scene."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures_with_words import SHAPES, draw_shape, write_shapes
from PIL import Image

from nodegraph.diffusion.training.captions import CaptionRecipe, describe, prompt
from nodegraph.diffusion.training.dataset import Entry, read_dataset
from nodegraph.diffusion.training.scenes import COLOURS, Background, Scene, SceneRecipe, paint
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
    assert read_dataset(tmp_path).entries == (Entry(file="one.png", caption="a red ball"),)


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
    scene = recipe.draw(np.random.default_rng(seed))
    assert 0.6 <= scene.scale <= 0.9
    assert all(abs(place - 0.5) <= min(0.3, (1 - scene.scale) / 2) + 1e-9 for place in (scene.x, scene.y))


def test_backgrounds_come_as_often_as_asked() -> None:
    rng, recipe = np.random.default_rng(0), SceneRecipe(white=0.5, plain=0.35)
    kinds = [recipe.draw(rng).background.kind for _ in range(4000)]
    shares = [kinds.count(kind) / len(kinds) for kind in ("white", "plain", "two-tone")]
    assert shares == pytest.approx([0.5, 0.35, 0.15], abs=0.03)


def test_a_scene_is_painted_where_it_says() -> None:
    picture = draw_shape("green box")
    pixels = paint(picture, Scene(Background("blue", "blue"), scale=0.5, x=0.5, y=0.5), 64)
    assert pixels.shape == (64, 64, 3)
    assert pixels.dtype == np.uint8
    assert tuple(pixels[0, 0]) == COLOURS["blue"]
    assert tuple(pixels[32, 32]) == SHAPES["green box"]
    assert (pixels[14] == COLOURS["blue"]).all()
    assert (pixels[49] == COLOURS["blue"]).all()
    assert (pixels[18:46, 18:46] == SHAPES["green box"]).all()


def test_two_tone_backgrounds_run_from_top_to_bottom() -> None:
    pixels = paint(Image.new("RGBA", (8, 8)), Scene(Background("red", "yellow")), 32)
    assert tuple(pixels[0, 0]) == COLOURS["red"]
    assert tuple(pixels[-1, 0]) == COLOURS["yellow"]


def test_mirroring_swaps_left_and_right() -> None:
    picture = draw_shape("red ball")
    picture.paste((0, 0, 0, 255), (4, 20, 24, 28))
    straight, mirrored = (paint(picture, Scene(WHITE, scale=0.875, flip=flip), 32) for flip in (False, True))
    assert not np.array_equal(straight, mirrored)
    assert np.abs(straight[:, ::-1].astype(int) - mirrored).mean() < 3


# ------------------------------------------------------------------------------------------------ captions

FOX = Entry(file="fox.png", label="fox", style="3d", name="red fox")
ALL = CaptionRecipe(empty=0, drop_style=0, drop_background=0, drop_white=0, article=0, alias=0)


def caption(entry: Entry, background: Background, recipe: CaptionRecipe, seed: int = 0) -> str:
    return describe(entry, Scene(background), recipe, np.random.default_rng(seed))


def test_the_full_caption_is_the_advised_prompt() -> None:
    assert caption(FOX, Background("blue", "blue"), ALL) == "fox, 3d style, on a blue background" == prompt("fox", "3d", "blue")
    assert caption(FOX, Background("orange", "blue"), ALL) == "fox, 3d style, on an orange and blue background"


def test_parts_can_be_left_out() -> None:
    only = CaptionRecipe(empty=0, drop_style=1, drop_background=1, drop_white=1, article=1, alias=0)
    assert caption(FOX, WHITE, only) == "a fox"
    assert caption(Entry(file="owl.png", label="owl"), WHITE, only) == "an owl"
    assert caption(Entry(file="u.png", label="unicorn"), WHITE, only) == "a unicorn"
    assert caption(FOX, WHITE, CaptionRecipe(empty=1)) == ""


def test_the_formal_name_may_stand_for_the_label() -> None:
    assert caption(FOX, WHITE, CaptionRecipe(empty=0, drop_style=1, drop_white=1, article=0, alias=1)) == "red fox"


def test_a_written_caption_is_kept_word_for_word() -> None:
    entry = Entry(file="x.png", caption="Grandma's cat at noon")
    assert caption(entry, WHITE, CaptionRecipe(empty=0, drop_white=1)) == "Grandma's cat at noon"


def test_one_in_ten_captions_is_empty() -> None:
    rng = np.random.default_rng(3)
    texts = [describe(FOX, Scene(WHITE), CaptionRecipe(), rng) for _ in range(3000)]
    assert texts.count("") / len(texts) == pytest.approx(0.1, abs=0.02)
