from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import IMAGES, MASKS, SIDE, arrays, furthest, picture

from nodegraph.diffusion import Mask
from nodegraph.errors import InputRefused
from nodes.mask_ops import (
    crop_mask,
    feather_mask,
    grow_mask,
    image_to_mask,
    invert_mask,
    mask_composite,
    mask_to_image,
    solid_mask,
    threshold_mask,
)
from nodes.picture_ops import image_scale

OPERATIONS = ("multiply", "add", "subtract", "and", "or", "xor")


def recorded(key: str) -> np.ndarray:
    return arrays("mask_ops.npz")[key]


def test_a_mask_made_smaller_as_a_picture_agrees_with_record():
    mask = image_to_mask(picture("s_mask.png"), "red")
    small = image_scale(mask_to_image(mask), 64, 48, "area")
    assert furthest(image_to_mask(small, "green").data, recorded("mask")) < 1e-5


def test_grow_and_feather_agree_with_record():
    mask = Mask(recorded("mask"))
    assert furthest(grow_mask(mask, 4, True).data, recorded("grow")) < 1e-5
    assert furthest(feather_mask(mask, 5, 3, 9, 11).data, recorded("feather")) < 1e-5


@pytest.mark.parametrize("operation", OPERATIONS)
def test_composite_agrees_with_record(operation):
    got = mask_composite(Mask(recorded("mask")), solid_mask(0.7, 30, 20), 20, 15, operation)
    assert furthest(got.data, recorded(f"composite/{operation}")) < 1e-5


# ------------------------------------------------------------------------------------------- laws


@given(MASKS)
def test_invert_twice_and_pictures_and_back(mask):
    assert np.allclose(invert_mask(invert_mask(mask)).data, mask.data, atol=1e-6)
    for channel in ("red", "green", "blue"):
        assert np.array_equal(image_to_mask(mask_to_image(mask), channel).data, mask.data)


@given(IMAGES)
def test_channels_are_taken_in_order(image):
    taken = [image_to_mask(image, channel).data for channel in ("red", "green", "blue")]
    assert np.array_equal(np.stack(taken, -1), image.data)


def grown_slowly(data: np.ndarray, amount: int, tapered: bool) -> np.ndarray:
    """Straight from the definition: the largest value within a distance, |dx| + |dy| or max(|dx|, |dy|)."""
    _, height, width = data.shape
    result = np.empty_like(data)
    for y in range(height):
        for x in range(width):
            dy, dx = np.abs(np.arange(height) - y)[:, None], np.abs(np.arange(width) - x)[None, :]
            near = (dx + dy if tapered else np.maximum(dx, dy)) <= amount
            result[:, y, x] = data[:, near].max(1)
    return result


@given(MASKS, st.integers(0, 10), st.booleans())
def test_grow_takes_the_largest_value_around(mask, amount, tapered):
    assert np.array_equal(grow_mask(mask, amount, tapered).data, grown_slowly(mask.data, amount, tapered))


@given(MASKS, st.integers(0, 10), st.booleans())
def test_shrinking_is_growing_what_is_outside(mask, amount, tapered):
    other = invert_mask(grow_mask(invert_mask(mask), amount, tapered))
    assert np.allclose(grow_mask(mask, -amount, tapered).data, other.data, atol=1e-6)


def test_growing_by_a_huge_amount_ends():
    mask = Mask(np.eye(5, dtype=np.float32)[None])
    assert (grow_mask(mask, 16384).data == 1).all()
    assert (grow_mask(mask, -16384).data == 0).all()


@given(MASKS, st.tuples(*[st.integers(0, 12)] * 4))
def test_feather_only_fades_and_keeps_the_middle(mask, borders):
    left, top, right, bottom = borders
    got = feather_mask(mask, *borders).data
    assert (got <= mask.data).all()
    _, height, width = mask.data.shape
    middle = (slice(None), slice(top, max(height - bottom, 0)), slice(left, max(width - right, 0)))
    assert np.array_equal(got[middle], mask.data[middle])


def test_feather_is_a_straight_ramp():
    assert np.allclose(feather_mask(solid_mask(1, 6, 1), left=4).data, [[[0.25, 0.5, 0.75, 1, 1, 1]]])
    assert np.allclose(feather_mask(solid_mask(1, 1, 6), bottom=4).data[0, :, 0], [1, 1, 1, 1, 0.75, 0.5])


@given(MASKS, SIDE, SIDE, st.integers(-9, 9), st.integers(-9, 9), st.sampled_from(OPERATIONS))
def test_composite_stays_in_range_and_leaves_the_rest(mask, width, height, x, y, operation):
    got = mask_composite(mask, solid_mask(0.7, width, height), x, y, operation).data
    assert got.min() >= 0
    assert got.max() <= 1
    rows, columns = np.indices(mask.data.shape[1:])
    outside = (rows < y) | (rows >= y + height) | (columns < x) | (columns >= x + width)
    assert np.array_equal(got[:, outside], mask.data[:, outside])


@given(MASKS)
def test_composite_with_fixed_points(mask):
    height, width = mask.data.shape[1:]
    ones, zeros = solid_mask(1.0, width, height), solid_mask(0.0, width, height)
    for other, operation in ((ones, "multiply"), (zeros, "add"), (zeros, "subtract")):
        assert np.array_equal(mask_composite(mask, other, 0, 0, operation).data, mask.data)
    hard = threshold_mask(mask)
    for other, operation in ((ones, "and"), (zeros, "or"), (zeros, "xor")):
        assert np.array_equal(mask_composite(hard, other, 0, 0, operation).data, hard.data)
    assert (mask_composite(hard, hard, 0, 0, "xor").data == 0).all()


def test_batches_that_do_not_fit_are_refused():
    two, three = (Mask(np.ones((count, 2, 2), np.float32)) for count in (2, 3))
    with pytest.raises(InputRefused, match="batches of 2 and 3"):
        mask_composite(two, three)


@given(MASKS, SIDE, SIDE, st.integers(0, 12), st.integers(0, 12))
def test_crop_is_a_slice_or_refused(mask, width, height, x, y):
    if x >= mask.data.shape[2] or y >= mask.data.shape[1]:
        with pytest.raises(InputRefused, match=f"x {x}, y {y}"):
            crop_mask(mask, x, y, width, height)
    else:
        assert np.array_equal(crop_mask(mask, x, y, width, height).data, mask.data[:, y : y + height, x : x + width])


@given(MASKS, st.floats(0, 1))
def test_threshold_is_hard_and_done_once(mask, value):
    got = threshold_mask(mask, value)
    assert set(np.unique(got.data)) <= {0.0, 1.0}
    assert np.array_equal(got.data == 1, mask.data > np.float32(value))
    assert np.array_equal(threshold_mask(got).data, got.data)
