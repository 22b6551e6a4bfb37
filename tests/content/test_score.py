"""Pixels, bicubic and PSNR against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dydca.content.grid import lay_out
from dydca.content.pixels import to_frame, to_tensor
from dydca.content.resample import downscale, upscale
from dydca.content.score import colours, hard_patches, luma, patch_psnr, psnr
from dydca.errors import ContentError

RANDOM = np.random.default_rng(0)


def test_pixels_go_to_tensors_and_back() -> None:
    frame = RANDOM.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    tensor = to_tensor(frame)
    assert tensor.shape == (1, 3, 5, 7)
    assert float(tensor[0, 2, 4, 1]) == pytest.approx(frame[4, 1, 2] / 255)
    np.testing.assert_array_equal(to_frame(tensor), frame)


def test_pixels_are_clamped_and_rounded() -> None:
    values = torch.tensor([-0.1, 1.7, 100.4 / 255, 100.6 / 255]).expand(1, 3, 1, 4)
    assert to_frame(values)[0, :, 0].tolist() == [0, 255, 100, 101]


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_bicubic_keeps_a_ramp_and_crops_to_multiples(scale: int) -> None:
    ramp = np.broadcast_to(np.arange(0, 64, dtype=np.uint8)[None, :, None], (25, 64, 3))
    small = downscale(ramp, scale)
    assert small.shape == (25 // scale, 64 // scale, 3)
    want = np.arange(64 // scale) * scale + (scale - 1) / 2
    # The kernel's border handling bends the ends of the ramp; half a level is the rounding.
    assert np.abs(small[0, 2:-2, 0] - want[2:-2]).max() <= 0.5
    assert upscale(small, scale).shape == (25 // scale * scale, 64 // scale * scale, 3)


def test_bicubic_refuses_a_frame_smaller_than_the_scale() -> None:
    with pytest.raises(ContentError, match="too small to be downscaled") as caught:
        downscale(np.zeros((1, 9, 3), np.uint8), 2)
    assert caught.value.code == "DYD802"


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
