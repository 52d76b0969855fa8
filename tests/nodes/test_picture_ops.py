from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import BATCH, IMAGES, MASKS, SIDE, arrays, furthest, picture

from nodegraph.diffusion import Image, Mask
from nodegraph.errors import InputRefused
from nodes.mask_ops import feather_mask
from nodes.picture_ops import (
    empty_image,
    image_blend,
    image_blur,
    image_composite,
    image_crop,
    image_flip,
    image_from_batch,
    image_invert,
    image_pad,
    image_rotate,
    image_scale,
    image_scale_by,
    image_sharpen,
    image_size,
    image_stitch,
    repeat_image,
)

METHODS = ("nearest-exact", "bilinear", "area", "bicubic", "lanczos")
BLENDS = ("normal", "multiply", "screen", "overlay", "soft_light", "difference")


def recorded(key: str) -> np.ndarray:
    return arrays("picture_ops.npz")[key]


@pytest.mark.parametrize("crop", ["disabled", "center"])
@pytest.mark.parametrize("method", METHODS)
def test_scale_agrees_with_record(method, crop):
    got = image_scale(picture("s_small.png"), 96, 80, method, crop)
    assert furthest(got.data[:, ::3], recorded(f"scale/{method}/{crop}")) < (1.01 / 255 if method == "lanczos" else 1e-5)


def test_lanczos_is_off_by_a_step_in_few_places():
    got = image_scale(picture("s_small.png"), 96, 80, "lanczos").data[:, ::3]
    assert (np.abs(got - recorded("scale/lanczos/disabled")) > 1e-5).mean() < 0.01


@pytest.mark.parametrize("mode", BLENDS)
def test_blend_agrees_with_record(mode):
    base = picture("s_small.png")
    overlay = image_scale(base, 96, 80, "bilinear", "center")
    assert furthest(image_blend(base, overlay, 0.3, mode).data[:, ::3], recorded(f"blend/{mode}")) < 1e-5


def test_blur_sharpen_and_invert_agree_with_record():
    image = picture("s_small.png")
    assert furthest(image_blur(image, 3, 1.3).data[:, ::2], recorded("blur")) < 1e-5
    assert furthest(image_sharpen(image, 2, 0.8, 1.5).data[:, ::2], recorded("sharpen")) < 1e-5
    assert furthest(image_invert(image).data[:, ::8], recorded("invert")) < 1e-5


def test_pad_agrees_with_record():
    image, mask = image_pad(picture("s_small.png"), 16, 8, 24, 0, 12)
    assert furthest(image.data[:, ::2], recorded("pad")) < 1e-5
    assert furthest(mask.data, recorded("pad_mask")) < 1e-5


def test_composite_agrees_with_record():
    mask = feather_mask(Mask(arrays("mask_ops.npz")["mask"]), 5, 3, 9, 11)
    whole = image_composite(picture("s_image.png"), picture("s_small.png"), mask, 170, 180)
    assert furthest(image_crop(whole, 96, 96, 150, 160).data[:, ::2], recorded("composite")) < 1e-5


# ------------------------------------------------------------------------------------------- laws


@given(IMAGES, st.sampled_from(METHODS), st.sampled_from(["disabled", "center"]))
def test_scaling_to_the_own_size_changes_nothing(image, method, crop):
    assert image_scale(image, image.width, image.height, method, crop) is image
    assert image_scale_by(image, 1.0, method) is image
    assert image_scale(image, 0, 0, method, crop) is image


@given(IMAGES, SIDE, SIDE, st.sampled_from(METHODS), st.sampled_from(["disabled", "center"]))
def test_scaling_gives_the_size_asked_for_and_stays_in_range(image, width, height, method, crop):
    got = image_scale(image, width, height, method, crop).data
    assert got.shape == (len(image), height, width, 3)
    assert got.min() >= 0
    assert got.max() <= 1


@given(SIDE, SIDE, SIDE, SIDE, st.sampled_from(METHODS))
def test_scaling_keeps_one_colour(width, height, new_width, new_height, method):
    grey = Image(np.full((1, height, width, 3), 51 / 255, np.float32))
    assert np.allclose(image_scale(grey, new_width, new_height, method).data, 51 / 255, atol=1e-6)


def test_a_side_of_0_follows_the_other():
    image = empty_image(30, 20)
    assert image_scale(image, 60, 0).data.shape == (1, 40, 60, 3)
    assert image_scale(image, 0, 5).data.shape == (1, 5, 8, 3)


def test_center_crop_keeps_the_middle():
    image = Image(np.linspace(0, 1, 8, dtype=np.float32)[None, None, :, None].repeat(2, 1).repeat(3, 3))
    assert np.array_equal(image_scale(image, 4, 2, "bilinear", "center").data, image.data[:, :, 2:6])


def test_sizes_below_1_are_refused():
    with pytest.raises(InputRefused, match="-3x5"):
        image_scale(empty_image(4, 4), -3, 5)


@given(IMAGES)
def test_invert_flip_and_turns_come_back(image):
    assert np.allclose(image_invert(image_invert(image)).data, image.data, atol=1e-6)
    for direction in ("x-axis: vertically", "y-axis: horizontally"):
        assert np.array_equal(image_flip(image_flip(image, direction), direction).data, image.data)
    assert np.array_equal(image_rotate(image_rotate(image, "90 degrees"), "270 degrees").data, image.data)
    assert np.array_equal(image_rotate(image, "none").data, image.data)
    both = image_flip(image_flip(image, "x-axis: vertically"), "y-axis: horizontally")
    assert np.array_equal(image_rotate(image, "180 degrees").data, both.data)


def test_turning_is_clockwise():
    image = Image(np.zeros((1, 2, 3, 3), np.float32) + np.float32([[[0.1], [0.2], [0.3]], [[0.4], [0.5], [0.6]]]))
    assert np.allclose(image_rotate(image, "90 degrees").data[0, ..., 0], [[0.4, 0.1], [0.5, 0.2], [0.6, 0.3]])
    assert np.allclose(image_flip(image, "x-axis: vertically").data[0, ..., 0], [[0.4, 0.5, 0.6], [0.1, 0.2, 0.3]])


@given(IMAGES, st.tuples(SIDE, SIDE, SIDE, SIDE), st.integers(0, 6))
def test_cropping_what_was_padded_gives_the_original(image, borders, feather):
    left, top, right, bottom = borders
    padded, mask = image_pad(image, left, top, right, bottom, feather)
    assert np.array_equal(image_crop(padded, image.width, image.height, left, top).data, image.data)
    assert mask.data.shape[1:] == padded.data.shape[1:3]
    outside = np.ones(mask.data.shape[1:], bool)
    outside[top : top + image.height, left : left + image.width] = False
    assert (mask.data[0][outside] == 1).all()
    assert (padded.data[:, outside] == 0.5).all()


def test_padding_fades_only_into_pictures_twice_as_large():
    for height, width, fades in ((9, 9, True), (9, 8, False), (8, 9, False)):
        inside = image_pad(empty_image(width, height), left=2, feather=4).mask.data[0, :, 2:]
        assert bool(inside.any()) is fades
    assert np.allclose(image_pad(empty_image(9, 9), left=2, feather=4).mask.data[0, 0], [1, 1, 1, 9 / 16, 1 / 4, 1 / 16, 0, 0, 0, 0, 0])


@given(IMAGES, IMAGES, st.integers(-9, 9), st.integers(-9, 9))
def test_composite_where_the_mask_is_0_is_the_base(base, overlay, x, y):
    overlay = image_from_batch(overlay)
    nothing = Mask(np.zeros((1, 2, 3), np.float32))
    assert np.array_equal(image_composite(base, overlay, nothing, x, y).data, base.data)


@given(IMAGES, IMAGES, st.integers(-9, 9), st.integers(-9, 9))
def test_composite_covers_exactly_where_the_overlay_lies(base, overlay, x, y):
    overlay = image_from_batch(overlay)
    got = image_composite(base, overlay, None, x, y).data
    for row in range(base.height):
        for column in range(base.width):
            inside = 0 <= row - y < overlay.height and 0 <= column - x < overlay.width
            wanted = overlay.data[0, row - y, column - x] if inside else base.data[:, row, column]
            assert np.array_equal(got[:, row, column], np.broadcast_to(wanted, (len(base), 3)))


@given(IMAGES, IMAGES)
def test_composite_with_resize_covers_everything(base, overlay):
    overlay = image_from_batch(overlay)
    got = image_composite(base, overlay, None, 0, 0, True).data
    assert np.array_equal(got, np.broadcast_to(image_scale(overlay, base.width, base.height, "bilinear").data, got.shape))


@given(IMAGES, MASKS)
def test_composite_with_itself_is_itself(image, mask):
    mask = Mask(mask.data[:1].copy())
    assert np.allclose(image_composite(image, image, mask).data, image.data, atol=1e-6)


@given(IMAGES, st.sampled_from(BLENDS))
def test_blend_of_nothing_is_the_base_and_of_all_the_overlay(image, mode):
    other = image_invert(image)
    assert np.allclose(image_blend(image, other, 0.0, mode).data, image.data)
    assert np.allclose(image_blend(image, other, 1.0, "normal").data, other.data)
    got = image_blend(image, other, 0.7, mode).data
    assert got.min() >= 0
    assert got.max() <= 1


def test_blend_modes_at_their_fixed_points():
    image = picture("s_small.png")
    black, white, grey = (Image(np.full_like(image.data, value)) for value in (0, 1, 0.5))
    for mode, neutral in (("multiply", white), ("screen", black), ("soft_light", grey), ("difference", black)):
        assert np.allclose(image_blend(image, neutral, 1.0, mode).data, image.data, atol=1e-6)
    assert np.allclose(image_blend(grey, image, 1.0, "overlay").data, image.data, atol=1e-6)


def test_batches_that_do_not_fit_are_refused_with_both_sides():
    two, three = empty_image(4, 4, 2), empty_image(4, 4, 3)
    with pytest.raises(InputRefused, match="batches of 2 and 3"):
        image_blend(two, three)
    with pytest.raises(InputRefused, match="batches of 2 and 3"):
        image_composite(two, three)
    assert len(image_blend(empty_image(4, 4), three)) == 3


@given(IMAGES, st.integers(1, 12), st.floats(0.1, 10))
def test_blur_keeps_one_colour_and_never_adds_contrast(image, radius, sigma):
    got = image_blur(image, radius, sigma).data
    assert got.min() >= image.data.min() - 1e-6
    assert got.max() <= image.data.max() + 1e-6
    assert np.allclose(image_blur(Image(np.full_like(image.data, 0.3)), radius, sigma).data, 0.3, atol=1e-6)


@given(IMAGES, st.integers(1, 5), st.floats(0.1, 10))
def test_sharpening_by_0_changes_nothing(image, radius, sigma):
    assert np.array_equal(image_sharpen(image, radius, sigma, 0.0).data, image.data)


def test_crop_leaves_out_what_is_outside_and_refuses_nothing_at_all():
    image = picture("s_small.png")
    assert np.array_equal(image_crop(image, 100, 10, 60, 40).data, image.data[:, 40:, 60:])
    with pytest.raises(InputRefused, match=r"10x10 at x 64, y 0 .* 64x48"):
        image_crop(image, 10, 10, 64, 0)


@given(IMAGES, IMAGES, st.booleans(), st.integers(0, 3))
def test_stitched_pictures_can_be_cut_out_again(first, second, fit, gap):
    second = image_from_batch(second)
    right, left = (image_stitch(first, second, direction, fit, gap) for direction in ("right", "left"))
    if fit:
        second = image_crop(right, 16384, 16384, first.width + gap, 0)
        assert right.height == first.height
        assert np.array_equal(image_crop(right, first.width, first.height).data, first.data)
        assert np.array_equal(image_crop(left, first.width, first.height, left.width - first.width).data, first.data)
    else:
        assert right.height == max(first.height, second.height)
        assert right.width == first.width + gap + second.width
    assert left.data.shape == right.data.shape


def test_stitching_without_fit_centres_the_smaller_one_in_the_colour():
    got = image_stitch(empty_image(2, 5), empty_image(1, 2, color=0xFFFFFF), "right", False, 1, "blue").data[0]
    assert np.allclose(got[:, 3], [[0, 0, 1], [1, 1, 1], [1, 1, 1], [0, 0, 1], [0, 0, 1]])
    assert np.allclose(got[:, 2], [0, 0, 1])


def test_stitching_downwards_is_stitching_to_the_right_turned():
    image = picture("s_small.png")
    down = image_stitch(image_rotate(image), image_rotate(image_invert(image)), "down", True, 2, "red")
    assert np.array_equal(down.data, image_rotate(image_stitch(image, image_invert(image), "right", True, 2, "red")).data)


@given(IMAGES, BATCH)
def test_batches_are_repeated_and_taken_apart(image, amount):
    many = repeat_image(image, amount)
    assert image_size(many) == (image.width, image.height, amount * len(image))
    assert np.array_equal(image_from_batch(many, len(image) * (amount - 1), 99).data, image.data)
    with pytest.raises(InputRefused, match=f"picture {len(image)} .* has {len(image)}"):
        image_from_batch(image, len(image))


def test_empty_image_has_the_colour():
    assert np.allclose(empty_image(2, 3, 2, 0xFF8000).data, np.broadcast_to([1, 128 / 255, 0], (2, 3, 2, 3)))


def test_results_are_read_only_and_no_view_of_the_input():
    image = picture("s_small.png")
    for got in (image_crop(image, 8, 8), image_from_batch(image), image_flip(image), image_scale(image, 64, 24, "area", "center")):
        assert not got.data.flags.writeable
        assert not np.shares_memory(got.data, image.data)
