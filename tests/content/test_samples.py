"""The cache of frames and the batches drawn from it."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from dydca.content.grid import lay_out
from dydca.content.resample import downscale
from dydca.content.training import samples
from dydca.content.training.clip import Pair
from dydca.content.training.samples import FrameCache, Place, draw
from tests.content.clips import moving


def pairs(count: int) -> list[Pair]:
    return [Pair(downscale(frame, 2), frame) for frame in moving(count, 48, 64)]


def test_batches_are_of_one_size_and_match_their_originals(tmp_path: Path) -> None:
    cache = FrameCache(tmp_path / "frames", pairs(3), 3)
    places = [Place(slot, patch) for slot in range(3) for patch in lay_out((24, 32), (12, 16)).patches]
    batch = draw(cache, places, (10, 16), 5, random.Random(0))
    assert batch.low.shape == (5, 3, 10, 16)
    assert batch.high.shape == (5, 3, 20, 32)
    assert batch.low.is_contiguous(memory_format=torch.channels_last)
    smooth = batch.low[:, :, 2:-2, 2:-2] - torch.nn.functional.avg_pool2d(batch.high, 2)[:, :, 2:-2, 2:-2]
    assert float(smooth.abs().mean()) < 0.04


def test_windows_are_the_pixels_of_their_frame(tmp_path: Path) -> None:
    frames = pairs(4)
    cache = FrameCache(tmp_path / "frames", frames, 4)
    assert cache.numbers == [0, 1, 2, 3]
    for slot, pair in enumerate(frames):
        for patch in lay_out((24, 32), (12, 16), {1}).patches:
            low, high = cache.window(slot, patch)
            np.testing.assert_array_equal(low, pair.low[patch.window()])
            np.testing.assert_array_equal(high, pair.high[patch.window(2)])


def test_the_same_generator_draws_the_same(tmp_path: Path) -> None:
    cache = FrameCache(tmp_path / "frames", pairs(2), 2)
    places = [Place(slot, patch) for slot in range(2) for patch in lay_out((24, 32), (12, 16)).patches]
    once, again = (draw(cache, places, (6, 6), 4, random.Random("1 2")) for _ in range(2))
    assert torch.equal(once.low, again.low)
    other = draw(cache, places, (6, 6), 4, random.Random("1 3"))
    assert not torch.equal(once.low, other.low)


def test_a_long_clip_is_thinned_out_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "CACHE_BYTES", 3 * (24 * 32 + 48 * 64) * 3)
    cache = FrameCache(tmp_path / "frames", pairs(8), 8)
    assert cache.numbers == [0, 3, 6]
    assert (tmp_path / "frames").stat().st_size <= samples.CACHE_BYTES
