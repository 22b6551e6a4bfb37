"""What the demo runs on: frames of the bundled clip, made small, and cut by how hard they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from dydca.content.grid import Layout, lay_out
from dydca.content.pixels import Frame
from dydca.content.resample import downscale, pad_to_multiple, upscale
from dydca.content.score import hard_patches
from dydca.content.video import read_frames

HERE = Path(__file__).parent
CLIP = HERE / "data" / "bigbuckbunny.mp4"
CLIP_FRAMES = 132
WEIGHTS = HERE / "weights" / "dydca_x2.safetensors"
SCALE = 2
COARSE = (108, 96)
QUADRANT = (54, 48)
THRESHOLD = 39.0
"""Coarse patches that bicubic restores to less than this PSNR-Y in dB are hard: cut in four, sent the deep way."""


class Scene(NamedTuple):
    """One frame of the clip and how it is cut."""

    original: Frame
    """uint8 ``[720, 1280, 3]``."""
    small: Frame
    """The original, bicubic, at half the size."""
    bicubic: Frame
    """`small` enlarged again without a network."""
    coarse: Layout
    """The grid before any patch is split."""
    hard: frozenset[int]
    """The positions of `coarse` that are split."""
    layout: Layout
    """The cutting of `small` into patches of `COARSE` and `QUADRANT`."""


def prepare(original: Frame) -> Scene:
    """Make the low-resolution frame and decide its layout."""
    original = pad_to_multiple(original, SCALE)
    small = downscale(original, SCALE)
    bicubic = upscale(small, SCALE)
    size = (small.shape[0], small.shape[1])
    coarse = lay_out(size, COARSE)
    hard = hard_patches(bicubic, original, coarse, SCALE, THRESHOLD)
    return Scene(original, small, bicubic, coarse, hard, lay_out(size, COARSE, hard))


def pick(count: int) -> list[int]:
    """Return `count` frame numbers spread over the clip, the middles of equal stretches of it.

    Raises:
        ValueError: `count` is not between 1 and the clip's frames.
    """
    if not 1 <= count <= CLIP_FRAMES:
        raise ValueError(f"the clip has {CLIP_FRAMES} frames; cannot take {count}")
    return [(2 * i + 1) * CLIP_FRAMES // (2 * count) for i in range(count)]


def scenes(numbers: Iterable[int]) -> Iterator[Scene]:
    """Decode the clip and prepare the frames of these numbers, in rising order."""
    wanted = set(numbers)
    for number, frame in enumerate(read_frames(CLIP, limit=max(wanted) + 1)):
        if number in wanted:
            yield prepare(frame)
