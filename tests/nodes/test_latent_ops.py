from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import LATENTS, SIDE, arrays, furthest

from nodegraph.diffusion import Latent, Mask
from nodegraph.errors import InputRefused
from nodes.latent_ops import (
    latent_batch,
    latent_blend,
    latent_composite,
    latent_crop,
    latent_flip,
    latent_from_batch,
    latent_interpolate,
    latent_rotate,
    latent_upscale_by,
    repeat_latent,
)
from nodes.latents import latent_upscale

METHODS = ("nearest-exact", "bilinear", "area", "bicubic", "bislerp")


def recorded(key: str) -> Latent:
    return Latent(arrays("latent_ops.npz")[key])


def same(one: Latent, other: Latent) -> bool:
    masks = (one.mask is None) == (other.mask is None) and (one.mask is None or np.array_equal(one.mask, other.mask))
    return masks and np.array_equal(one.data, other.data) and one.batch_index == other.batch_index


@pytest.mark.parametrize("method", METHODS)
def test_upscale_agrees_with_record(method):
    got = latent_upscale(recorded("encoded"), method, 96, 64)
    assert furthest(got.data, recorded(f"upscale/{method}").data) < 1e-5


def test_flip_rotate_and_mixing_agree_with_record():
    wide = recorded("upscale/bilinear")
    flipped = latent_flip(wide, "x-axis: vertically")
    assert furthest(flipped.data, recorded("flip").data) < 1e-5
    assert furthest(latent_rotate(wide, "90 degrees").data, recorded("rotate").data) < 1e-5
    assert furthest(latent_blend(wide, flipped, 0.3).data, recorded("blend").data) < 1e-5
    assert furthest(latent_interpolate(wide, flipped, 0.7).data, recorded("interpolate").data) < 1e-5


def test_composite_agrees_with_record():
    got = latent_composite(recorded("upscale/bilinear"), recorded("encoded"), None, 24, 8, 16)
    assert furthest(got.data, recorded("composite").data) < 1e-5


# ------------------------------------------------------------------------------------------- laws


@given(LATENTS, st.sampled_from(METHODS))
def test_resizing_to_the_own_size_changes_nothing(latent, method):
    assert latent_upscale_by(latent, 1.0, method) is latent
    assert latent_upscale(latent, method, latent.data.shape[3] * 8, latent.data.shape[2] * 8, "center") is latent


@given(LATENTS, SIDE, SIDE, st.sampled_from(METHODS), st.sampled_from(["disabled", "center"]))
def test_resizing_gives_the_size_asked_for(latent, width, height, method, crop):
    got = latent_upscale(latent, method, width * 8, height * 8, crop)
    assert got.data.shape == (*latent.data.shape[:2], height, width)
    assert np.isfinite(got.data).all()
    assert crop == "center" or got.mask is latent.mask


@given(st.integers(2, 9))
def test_center_crop_cuts_the_mask_too(side):
    mask = np.zeros((1, 16, 16 * side), np.float32)
    mask[:, :, 16 : 16 * (side - 1)] = 1
    latent = Latent(np.zeros((1, 4, 2, 2 * side), np.float32), mask)
    got = latent_upscale(latent, "bilinear", 16 * (side - 2) if side > 2 else 16, 16, "center")
    assert got.mask is not None
    assert got.mask.shape[1:] == (16, got.data.shape[3] * 8)
    assert side == 2 or got.mask.all()


@given(LATENTS)
def test_bislerp_keeps_the_lengths_of_turned_vectors(latent):
    """Vectors of length 1 stay so: plain mixing would shorten them."""
    unit = Latent(latent.data / np.linalg.norm(latent.data, axis=1, keepdims=True))
    got = np.linalg.norm(latent_upscale_by(unit, 2.0, "bislerp").data, axis=1)
    assert np.allclose(got, 1, atol=1e-3)


def test_bislerp_of_special_vectors():
    flat = np.zeros((1, 4, 1, 2), np.float32)
    flat[0, 0] = [[1, 3]]
    assert np.allclose(latent_upscale(Latent(flat), "bislerp", 32, 8).data[0, 0], [[1, 1.5, 2.5, 3]])
    flat = np.zeros((1, 4, 1, 2), np.float32)
    flat[0, 0] = [[1, -1]]
    assert np.allclose(latent_upscale(Latent(flat), "bislerp", 32, 8).data[0, 0], [[1, 0.5, -0.5, -1]])


@given(LATENTS)
def test_flips_and_turns_come_back_with_their_masks(latent):
    for direction in ("x-axis: vertically", "y-axis: horizontally"):
        assert same(latent_flip(latent_flip(latent, direction), direction), latent)
    assert same(latent_rotate(latent_rotate(latent, "90 degrees"), "270 degrees"), latent)
    assert same(latent_rotate(latent, "none"), latent)
    turned = latent_rotate(latent, "90 degrees")
    assert turned.mask is None or turned.mask.shape[1:] == (turned.data.shape[2] * 8, turned.data.shape[3] * 8)


@given(LATENTS, SIDE, SIDE, st.integers(0, 12), st.integers(0, 12))
def test_crop_is_a_slice_or_refused(latent, width, height, x, y):
    sizes = (width * 8, height * 8, x * 8, y * 8)
    if x >= latent.data.shape[3] or y >= latent.data.shape[2]:
        with pytest.raises(InputRefused, match=f"x {x}, y {y}"):
            latent_crop(latent, *sizes)
        return
    got = latent_crop(latent, *sizes)
    assert np.array_equal(got.data, latent.data[:, :, y : y + height, x : x + width])
    if latent.mask is not None:
        assert np.array_equal(got.mask, latent.mask[:, 8 * y : 8 * (y + height), 8 * x : 8 * (x + width)])


@given(LATENTS, LATENTS, st.integers(-9, 9), st.integers(-9, 9), st.integers(0, 5))
def test_composite_where_the_mask_is_0_is_the_base(base, overlay, x, y, feather):
    overlay = latent_from_batch(overlay)
    nothing = Mask(np.zeros((1, 3, 5), np.float32))
    got = latent_composite(base, overlay, nothing, 8 * x, 8 * y, 8 * feather)
    assert same(got, base)


@given(LATENTS, LATENTS, st.integers(-9, 9), st.integers(-9, 9))
def test_composite_without_feather_covers_exactly(base, overlay, x, y):
    overlay = latent_from_batch(overlay)
    got = latent_composite(base, overlay, None, 8 * x, 8 * y).data
    _, _, height, width = overlay.data.shape
    rows, columns = np.indices(base.data.shape[2:])
    inside = (rows >= y) & (rows < y + height) & (columns >= x) & (columns < x + width)
    assert np.array_equal(got[:, :, ~inside], base.data[:, :, ~inside])
    wanted = overlay.data[:, :, rows[inside] - y, columns[inside] - x]
    assert np.array_equal(got[:, :, inside], np.broadcast_to(wanted, got[:, :, inside].shape))


def test_composite_does_not_fade_at_the_edges_of_the_base():
    base, overlay = (Latent(np.full((1, 4, 6, 6), value, np.float32)) for value in (0, 1))
    got = latent_composite(base, latent_crop(overlay, 48, 24), None, 0, 24, 16).data[0, 0]
    assert np.allclose(got[:, 0], [0, 0, 0, 0.5, 1, 1])
    assert np.allclose(got, got[:, :1])


@given(LATENTS, st.floats(0, 1))
def test_mixing_with_itself_is_itself(latent, keep):
    assert np.allclose(latent_blend(latent, latent, keep).data, latent.data, atol=1e-6)
    assert np.allclose(latent_interpolate(latent, latent, keep).data, latent.data, atol=1e-6)
    other = latent_flip(latent)
    assert np.array_equal(latent_blend(latent, other, 1.0).data, latent.data)
    assert np.array_equal(latent_blend(latent, other, 0.0).data, other.data)


def test_interpolating_nothing_with_something_is_finite():
    nothing, something = (Latent(np.full((1, 4, 2, 2), value, np.float32)) for value in (0, 1))
    assert np.allclose(latent_interpolate(nothing, something, 0.5).data, 0.5)
    assert not latent_interpolate(nothing, nothing, 0.5).data.any()


def test_latents_that_do_not_fit_are_refused_with_both_sides():
    four, sixteen = (Latent(np.zeros((1, channels, 2, 2), np.float32)) for channels in (4, 16))
    for mix in (latent_blend, latent_interpolate, latent_composite, latent_batch):
        with pytest.raises(InputRefused, match="4 and 16 channels"):
            mix(four, sixteen)
    with pytest.raises(InputRefused, match="16x16 and 24x16"):
        latent_batch(four, Latent(np.zeros((1, 4, 2, 3), np.float32)))
    with pytest.raises(InputRefused, match="batches of 2 and 3"):
        latent_blend(repeat_latent(four, 2), repeat_latent(four, 3))


# ------------------------------------------------------------------------------------------- batches


@given(LATENTS, st.integers(1, 3))
def test_parts_of_a_batch_make_the_batch_again(latent, amount):
    many = repeat_latent(latent, amount)
    rows = [latent_from_batch(many, index) for index in range(len(many))]
    whole = rows[0]
    for row in rows[1:]:
        whole = latent_batch(whole, row)
    assert np.array_equal(whole.data, many.data)
    assert whole.batch_index == tuple(range(len(many)))
    if many.mask is not None:
        assert np.array_equal(whole.mask, np.resize(many.mask, whole.mask.shape))


def test_rows_remember_where_they_were():
    five = Latent(np.arange(5, dtype=np.float32).reshape(5, 1, 1, 1).repeat(4, 1))
    middle = latent_from_batch(five, 1, 3)
    assert middle.batch_index == (1, 2, 3)
    assert latent_from_batch(middle, 1, 9).batch_index == (2, 3)
    assert latent_batch(middle, five).batch_index == (1, 2, 3, 0, 1, 2, 3, 4)
    assert repeat_latent(middle, 2).batch_index == (1, 2, 3, 4, 5, 6)
    assert repeat_latent(five, 2).batch_index is None
    with pytest.raises(InputRefused, match=r"latent 5 .* has 5"):
        latent_from_batch(five, 5)


def test_masks_are_joined_row_by_row():
    data = np.zeros((2, 4, 2, 2), np.float32)
    half = Latent(data, np.full((1, 16, 16), 0.5, np.float32))
    joined = latent_batch(Latent(data), half)
    assert joined.mask is not None
    assert joined.mask[:, 0, 0].tolist() == [1, 1, 0.5, 0.5]
    other = Latent(data, np.full((2, 4, 4), 0.25, np.float32))
    assert latent_batch(half, other).mask.shape == (4, 16, 16)
    assert latent_from_batch(joined, 2).mask[:, 0, 0].tolist() == [0.5]
    assert len(repeat_latent(half, 3).mask) == 1
    assert repeat_latent(joined, 2).mask[:, 0, 0].tolist() == [1, 1, 0.5, 0.5] * 2
