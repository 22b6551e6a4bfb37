"""Between the uint8 frames of a video and the float32 arrays a network computes with."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Frame: TypeAlias = NDArray[np.uint8]
"""An RGB picture, uint8 ``[H, W, 3]``, values in 0..255."""

Planes: TypeAlias = NDArray[np.float32]
"""What networks take and give, float32 ``[1, 3, H, W]``, about 0..1."""


def to_planes(frame: Frame) -> Planes:
    """Turn a frame, uint8 ``[H, W, 3]``, into a new contiguous float32 ``[1, 3, H, W]`` with values in 0..1."""
    planes: Planes = np.empty((1, 3, *frame.shape[:2]), np.float32)
    np.divide(frame.transpose(2, 0, 1)[None], np.float32(255.0), out=planes)
    return planes


def to_levels(planes: Planes) -> NDArray[np.uint8]:
    """Quantise float32 of any shape to new uint8 of that shape.

    Values are scaled by 255, rounded to the nearest integer, halves to the even one, and clamped to 0..255.
    """
    levels = planes * np.float32(255.0)
    np.rint(levels, out=levels)
    np.clip(levels, 0.0, 255.0, out=levels)
    return levels.astype(np.uint8)


def to_frame(planes: Planes) -> Frame:
    """Turn float32 ``[1, 3, H, W]`` into a frame, uint8 ``[H, W, 3]``, quantised as by `to_levels`."""
    return np.ascontiguousarray(to_levels(planes)[0].transpose(1, 2, 0))
