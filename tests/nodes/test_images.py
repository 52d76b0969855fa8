"""Reading, saving and arranging pictures, called as plain functions."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from nodegraph import media
from nodegraph.context import Context
from nodegraph.diffusion import Image
from nodegraph.diffusion.pictures import eight_bits
from nodegraph.errors import InputRefused, NodegraphError
from nodegraph.events import ignore
from nodegraph.files import Files
from nodegraph.registry import builtin_registry

builtin_registry()
images: Any = sys.modules["nodegraph_pack_core.images"]
lists: Any = importlib.import_module("nodegraph_pack_core.lists")
text: Any = importlib.import_module("nodegraph_pack_core.text")

WORKFLOW = {"nodegraph": 1, "nodes": {"7": {"type": "KSampler", "title": "my sampler", "inputs": {"seed": 42}}}}


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    (tmp_path / "in").mkdir()
    files = Files(tmp_path / "in", tmp_path / "out", tmp_path / "temp")
    return Context("1", files=files, emit=ignore, workflow=WORKFLOW)


def picture(height: int = 8, width: int = 12, batch: int = 1) -> Image:
    return Image(np.random.default_rng(0).random((batch, height, width, 3), np.float32))


def shown(ctx: Context) -> list[Path]:
    return [Path(item["file"]["path"]) for item in ctx.shown]


def test_a_png_keeps_every_level_and_the_workflow(ctx: Context) -> None:
    levels = Image(np.linspace(0, 1, 256, dtype=np.float32).reshape(1, 1, 256, 1).repeat(3, axis=3))
    images.save_image(ctx, levels)
    (path,) = shown(ctx)
    with Pillow.open(path) as saved:
        assert np.array_equal(np.asarray(saved)[0, :, 0], np.arange(256))
    assert json.loads(media.read_texts(path)["nodegraph"])["nodes"] == WORKFLOW["nodes"]


@pytest.mark.parametrize("format", ["png", "webp", "jpeg"])
def test_a_batch_gives_numbered_files_and_nothing_is_overwritten(ctx: Context, format: str) -> None:
    for _ in range(2):
        images.save_image(ctx, picture(batch=2), name="a/b", format=format)
    names = [path.name for path in shown(ctx)]
    suffix = "jpg" if format == "jpeg" else format
    assert names == [f"b_{i:05d}.{suffix}" for i in range(1, 5)]
    assert all(path.parent == ctx.files.output / "a" for path in shown(ctx))


def test_without_embed_the_file_carries_nothing(ctx: Context) -> None:
    images.save_image(ctx, picture(), embed=False)
    assert media.read_texts(shown(ctx)[0]) == {}


def test_what_was_read_from_eight_bits_is_written_as_it_was_and_all_else_is_cut_off() -> None:
    steps = np.arange(256, dtype=np.float32)
    assert np.array_equal(eight_bits(steps / np.float32(255)), steps)
    between = np.linspace(0, 1, 100_001)
    far = np.abs(between * 255 - np.rint(between * 255)) > 0.002
    assert np.array_equal(eight_bits(between.astype(np.float32))[far], np.floor(between * 255)[far])
    assert eight_bits(np.array([-1, 0.5, 1, 7], np.float32)).tolist() == [0, 127, 255, 255]


def test_webp_at_quality_100_is_lossless_and_carries_the_workflow(ctx: Context) -> None:
    images.save_image(ctx, picture(), format="webp", quality=100)
    (path,) = shown(ctx)
    with Pillow.open(path) as saved:
        assert np.array_equal(np.asarray(saved.convert("RGB")), eight_bits(picture().data[0]))
    assert "nodegraph" in media.read_texts(path)


def test_names_take_values_of_the_workflow(ctx: Context) -> None:
    images.save_image(ctx, picture(), name="%KSampler.seed%_%my sampler.seed%_%7.seed%_%width%x%height%_%unknown%")
    assert shown(ctx)[0].name == "42_42_42_12x8_%unknown%_00001.png"


def test_a_value_cannot_add_a_folder_to_a_name(ctx: Context) -> None:
    ctx.workflow = {"nodes": {"1": {"type": "String", "inputs": {"value": "../../etc/x"}}}}
    images.save_image(ctx, picture(), name="%String.value%")
    assert shown(ctx)[0].parent == ctx.files.output


def test_previews_go_to_the_temporary_folder(ctx: Context) -> None:
    images.preview_image(ctx, picture())
    assert shown(ctx)[0].parent == ctx.files.temp
    assert ctx.shown[0]["file"]["root"] == "temp"


def test_transparency_becomes_the_mask(ctx: Context) -> None:
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[..., 0] = 255
    rgba[:2, :, 3] = 255
    Pillow.fromarray(rgba).save(ctx.files.input / "x.png")
    image, mask = images.load_image(ctx, "x.png")
    assert image.data[0, 0, 0].tolist() == [1, 0, 0]
    assert mask.data[0].mean(axis=1).tolist() == [0, 0, 1, 1]
    assert images.load_mask(ctx, "x.png", "red").data.min() == 1


def test_an_animation_is_a_batch(ctx: Context) -> None:
    frames = [Pillow.new("RGB", (5, 3), (i * 50, 0, 0)) for i in range(4)]
    frames[0].save(ctx.files.input / "x.gif", save_all=True, append_images=frames[1:])
    image, mask = images.load_image(ctx, "x.gif")
    assert image.data.shape == (4, 3, 5, 3)
    assert mask.data.shape == (4, 3, 5)


def test_sixteen_bit_grey_is_scaled_not_clipped(ctx: Context) -> None:
    Pillow.fromarray(np.array([[0, 32768, 65535]], np.uint16)).save(ctx.files.input / "x.png")
    image, _ = images.load_image(ctx, "x.png")
    assert np.allclose(image.data[0, 0, :, 0], [0, 0.5, 1], atol=0.01)


def test_a_photo_is_turned_upright(ctx: Context) -> None:
    photo = Pillow.new("RGB", (6, 4))
    exif = photo.getexif()
    exif[0x0112] = 6
    photo.save(ctx.files.input / "x.jpg", exif=exif)
    assert images.load_image(ctx, "x.jpg")[0].data.shape == (1, 6, 4, 3)


def test_a_grid_places_row_by_row_and_labels_do_not_cover() -> None:
    tiles = [Image(np.full((1, 32, 32, 3), i / 8, np.float32)) for i in range(6)]
    plain = images.image_grid(tiles, columns=3, gap=2)
    assert plain.data.shape == (1, 2 * 32 + 3 * 2, 3 * 32 + 4 * 2, 3)
    assert plain.data[0, 2 + 16, 2 + 32 + 2 + 16, 0] == pytest.approx(1 / 8)
    assert plain.data[0, 2 + 34 + 16, 2 + 16, 0] == pytest.approx(3 / 8)
    labelled = images.image_grid(tiles, columns=3, gap=2, row_labels=["cats", "dogs"], column_labels=["a", "b", "c"])
    assert labelled.data.shape[1] > plain.data.shape[1]
    assert labelled.data.shape[2] > plain.data.shape[2]
    assert np.array_equal(labelled.data[:, -plain.data.shape[1] :, -plain.data.shape[2] :] < 0.99, plain.data < 0.99)


def test_a_picture_on_a_sheet_is_saved_as_it_is_alone(ctx: Context) -> None:
    alone = picture(24, 40)
    images.save_image(ctx, alone)
    images.save_image(ctx, images.image_grid([alone], gap=0, row_labels=["a"], column_labels=["b"]))
    one, sheet = (np.asarray(Pillow.open(path).convert("RGB")) for path in shown(ctx))
    assert np.array_equal(sheet[-24:, -40:], one)


def test_a_grid_without_columns_is_about_square() -> None:
    assert images.image_grid([picture(10, 10)] * 9, gap=0).data.shape[1:3] == (30, 30)


def test_pictures_of_different_sizes_share_a_grid() -> None:
    assert images.image_grid([picture(10, 20), picture(30, 5)], columns=2, gap=0).data.shape[1:3] == (30, 40)


def test_an_empty_grid_is_refused_with_the_way_out() -> None:
    with pytest.raises(InputRefused, match="no pictures"):
        images.image_grid([])


def test_combinations_pair_each_with_each() -> None:
    pairs = lists.combinations(["a", "b"], [1, 2, 3])
    assert pairs.texts == ["a", "a", "a", "b", "b", "b"]
    assert pairs.numbers == [1, 2, 3, 1, 2, 3]


def test_seeds_wrap_around() -> None:
    assert lists.seeds(2**64 - 1, 2) == [2**64 - 1, 0]


def test_an_item_outside_the_list_is_refused() -> None:
    with pytest.raises(NodegraphError, match="the list has 2"):
        lists.list_item([1, 2], 2)
    assert lists.list_item([1, 2], -1) == 2


def test_lines_leave_out_remarks_and_blanks() -> None:
    assert text.lines("a cat\n\n# not this\n  a dog ") == ["a cat", "a dog"]


def test_values_cannot_be_changed_or_be_of_a_wrong_shape() -> None:
    image = picture()
    with pytest.raises(ValueError, match="read-only"):
        image.data[0] = 0
    with pytest.raises(InputRefused, match=r"float32 array of shape \(B, H, W, 3\), not float64"):
        Image(np.zeros((1, 2, 2, 3)))
    with pytest.raises(InputRefused, match="3 channels, not 4"):
        Image(np.zeros((1, 2, 2, 4), np.float32))
    with pytest.raises(InputRefused, match="empty"):
        Image(np.zeros((0, 2, 2, 3), np.float32))


def test_captions_stand_below_their_pictures_and_cover_nothing() -> None:
    tiles = [Image(np.full((1, 40, 60, 3), 0.5, np.float32)) for _ in range(5)]
    plain = images.image_grid(tiles, columns=3, gap=4)
    short = images.image_grid(tiles, columns=3, gap=4, captions=list("abcde"))
    long = images.image_grid(tiles, columns=3, gap=4, captions=["a", "two words of some length", "", "d", "e"])
    extra = [(sheet.data.shape[1] - plain.data.shape[1]) / 2 for sheet in (short, long)]
    assert 12 < extra[0] < extra[1] <= 60, "one line, then up to three"
    for sheet, below in zip((short, long), extra, strict=True):
        for index in range(5):
            y, x = 4 + (index // 3) * (44 + int(below)), 4 + (index % 3) * 64
            assert np.allclose(sheet.data[0, y : y + 40, x : x + 60], 0.5, atol=0.01)
        assert (sheet.data[0, 44 : 44 + int(below), 4:64] < 0.6).any(), "the first caption is there"


def test_long_column_labels_are_broken_into_lines() -> None:
    tiles = [Image(np.full((1, 40, 60, 3), 0.5, np.float32)) for _ in range(2)]
    short, long = (
        images.image_grid(tiles, columns=2, gap=4, column_labels=["a", label]) for label in ("b", "several words that need room")
    )
    extra = long.data.shape[1] - short.data.shape[1]
    assert extra in (15, 31), "one line or two more"
    assert np.allclose(long.data[0, -44:-4, 4:64], 0.5, atol=0.01)


def test_captions_that_do_not_fit_the_pictures_are_refused() -> None:
    with pytest.raises(InputRefused, match="2 captions for 3 pictures") as caught:
        images.image_grid([picture()] * 3, captions=["a", "b"])
    assert caught.value.input == "captions"


def test_texts_are_combined_row_by_row() -> None:
    assert lists.combine_texts(["fox", "a {column}"], ["3d", "flat"], "{row}, {column} style") == [
        "fox, 3d style", "fox, flat style", "a {column}, 3d style", "a {column}, flat style",
    ]  # fmt: skip
    assert lists.combine_texts(["a"], [], "{row}") == []


def test_lists_are_joined_in_order() -> None:
    assert lists.join_lists([1, 2], [3]) == [1, 2, 3]
