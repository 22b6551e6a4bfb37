"""Pixels, bicubic and PSNR against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dydca.content.grid import lay_out
from dydca.content.pixels import to_frame, to_levels, to_planes
from dydca.content.resample import downscale, pad_to_multiple, upscale
from dydca.content.score import colours, hard_patches, luma, patch_psnr, psnr, ssim

RANDOM = np.random.default_rng(0)


def test_pixels_go_to_planes_and_back() -> None:
    frame = RANDOM.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    planes = to_planes(frame)
    assert planes.shape == (1, 3, 5, 7)
    assert planes.flags.c_contiguous
    assert float(planes[0, 2, 4, 1]) == pytest.approx(frame[4, 1, 2] / 255)
    np.testing.assert_array_equal(to_frame(planes), frame)


def test_pixels_are_clamped_and_rounded() -> None:
    values = np.array([-0.1, 1.7, 100.4 / 255, 100.6 / 255], np.float32)
    assert to_levels(values).tolist() == [0, 255, 100, 101]


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_bicubic_keeps_a_ramp_and_crops_to_multiples(scale: int) -> None:
    ramp = np.broadcast_to(np.arange(0, 64, dtype=np.uint8)[None, :, None], (25, 64, 3))
    small = downscale(ramp, scale)
    height, width = -(-25 // scale), -(-64 // scale)
    assert small.shape == (height, width, 3)
    want = np.arange(width) * scale + (scale - 1) / 2
    # The kernel's border handling bends the ends of the ramp; half a level is the rounding.
    assert np.abs(small[0, 2:-2, 0] - want[2:-2]).max() <= 0.5
    assert upscale(small, scale).shape == (height * scale, width * scale, 3)


def test_padding_repeats_the_border_only_where_it_must() -> None:
    frame = RANDOM.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    padded = pad_to_multiple(frame, 3)
    assert padded.shape == (6, 6, 3)
    np.testing.assert_array_equal(padded[:5], frame)
    np.testing.assert_array_equal(padded[5], frame[4])
    assert pad_to_multiple(padded, 3) is padded


def test_ssim_of_what_is_known() -> None:
    frame = RANDOM.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    assert ssim(frame, frame) == pytest.approx(1.0)
    flat, lighter = np.full((20, 20, 3), 100, np.uint8), np.full((20, 20, 3), 110, np.uint8)
    # Without variance only the luminance term is left.
    constant = (0.01 * 255) ** 2
    want = (2 * 100 * 110 + constant) / (100**2 + 110**2 + constant)
    assert ssim(flat, lighter, of=colours) == pytest.approx(
        want, abs=5e-4
    )  # float32: variances are differences of squares
    assert ssim(frame, 255 - frame) < 0
    assert math.isnan(ssim(frame[:8], frame[:8]))


def test_luma_spans_the_studio_range() -> None:
    corners = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0]]], np.uint8)
    np.testing.assert_allclose(luma(corners), [[16.0, 235.0, 81.481]], rtol=0, atol=0.01)


def test_psnr_by_hand() -> None:
    dark, light = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 10, np.uint8)
    assert psnr(light, dark, of=colours) == pytest.approx(20 * math.log10(255 / 10))
    assert psnr(light, dark) == pytest.approx(20 * math.log10(255 / (10 * 219 / 255)), abs=1e-4)
    assert psnr(dark, dark) == math.inf


def test_psnr_leaves_the_border_out() -> None:
    frame, spoiled = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)
    spoiled[0] = 255
    assert psnr(spoiled, frame) < 20
    assert psnr(spoiled, frame, crop=1) == math.inf
    with pytest.raises(ValueError, match="leaves nothing"):
        psnr(frame, frame, crop=4)
    with pytest.raises(ValueError, match="cannot compare"):
        psnr(frame, frame[1:])


def test_the_hard_patches_are_those_below_the_threshold() -> None:
    original = np.zeros((16, 16, 3), np.uint8)
    candidate = original.copy()
    candidate[:8, 8:] = 40
    candidate[8:, :8] = 2
    layout = lay_out((8, 8), (4, 4))
    scores = patch_psnr(candidate, original, layout, scale=2)
    assert scores[0] == scores[3] == math.inf
    assert scores[1] < 20 < 40 < scores[2]
    assert hard_patches(candidate, original, layout, 2, 40.0) == {1}
    assert hard_patches(candidate, original, layout, 2, 50.0) == {1, 2}
