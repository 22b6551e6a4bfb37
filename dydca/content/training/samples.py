"""Batches of patches out of the frames of a clip, which lie as uint8 in a file that is mapped, not read."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dydca.content.files import refuse_writing
from dydca.content.grid import Patch
from dydca.content.training.clip import Pair

CACHE_BYTES = 2 << 30


class Place(NamedTuple):
    """A patch of one of the cached frames."""

    slot: int
    patch: Patch


class FrameCache:
    """Evenly spaced frames of a clip in a file: all of them where `CACHE_BYTES` hold them.

    Args:
        path: The file; what is there is replaced.
        pairs: The frames; their sizes must be one scale apart.
        count: How many there are.
        device: Of torch, for the batches.

    Attributes:
        numbers: Which frames are held, by slot.
        scale: High resolution to low.

    Raises:
        FileError: DYD705, the file cannot be written.
    """

    def __init__(self, path: Path, pairs: Iterable[Pair], count: int, device: str = "cpu") -> None:
        self.device = device
        self.numbers: list[int] = []
        with refuse_writing(path), path.open("wb") as file:
            for number, pair in enumerate(pairs):
                stride = -(-count * (pair.low.size + pair.high.size) // CACHE_BYTES)
                if number % stride == 0:
                    self.numbers.append(number)
                    file.write(pair.low.tobytes())
                    file.write(pair.high.tobytes())
                    shapes = pair.low.shape, pair.high.shape
        low, high = shapes
        self.scale = high[0] // low[0]
        record = np.dtype([("low", np.uint8, low), ("high", np.uint8, high)])
        self._frames = np.memmap(path, record, "r", shape=(len(self.numbers),))

    def window(self, slot: int, patch: Patch) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The pixels of a patch in both resolutions, uint8 ``[h, w, 3]`` and ``[scale * h, scale * w, 3]``, mapped."""
        frame = self._frames[slot]
        return frame["low"][patch.window()], frame["high"][patch.window(self.scale)]


class Batch(NamedTuple):
    """Windows of one size, float32 in 0..1."""

    low: Tensor
    """``[N, 3, h, w]``, channels last; networks may write to it."""
    high: Tensor
    """``[N, 3, scale * h, scale * w]``."""


def draw(
    cache: FrameCache, places: Sequence[Place], size: tuple[int, int], count: int, generator: random.Random
) -> Batch:
    """Draw windows of `size` out of random places, all of which are at least as large."""
    windows = [_window(cache, generator.choice(places), size, generator) for _ in range(count)]
    low, high = (_tensor(np.stack(pixels), cache.device) for pixels in zip(*windows, strict=True))
    return Batch(low, high)


def _window(
    cache: FrameCache, place: Place, size: tuple[int, int], generator: random.Random
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    top = place.patch.top + generator.randint(0, place.patch.height - size[0])
    left = place.patch.left + generator.randint(0, place.patch.width - size[1])
    return cache.window(place.slot, Patch(top, left, *size))


def _tensor(pixels: NDArray[np.uint8], device: str) -> Tensor:
    # [N, H, W, 3] seen as [N, 3, H, W] is what torch calls channels last, in which convolutions train faster on a CPU.
    return torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).to(torch.float32).div_(255.0)
