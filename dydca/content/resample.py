"""The documented bicubic: how the low-resolution stream is made, and the baseline a network has to beat."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from dydca.content.pixels import Frame, Planes, to_frame, to_planes


def pad_to_multiple(frame: Frame, scale: int) -> Frame:
    """Repeat the last row and column until both sizes are multiples of `scale`; the frame itself if they are."""
    missing = [(0, -size % scale) for size in frame.shape[:2]]
    return np.pad(frame, (*missing, (0, 0)), mode="edge") if any(map(any, missing)) else frame


def downscale(frame: Frame, scale: int) -> Frame:
    """Shrink a frame by an integer factor with the antialiased bicubic filter (a = -0.5, half-pixel centres).

    Args:
        frame: uint8 ``[H, W, 3]``; padded to multiples of `scale` first, see `pad_to_multiple`.
        scale: 1 or more.

    Returns:
        uint8 ``[ceil(H / scale), ceil(W / scale), 3]``: computed in float32 on 0..1, clamped, rounded half to even.
    """
    source = to_planes(pad_to_multiple(frame, scale))
    return to_frame(_resize(source, source.shape[2] // scale, source.shape[3] // scale))


def upscale(frame: Frame, scale: int) -> Frame:
    """Enlarge a frame by an integer factor with the same bicubic filter; the baseline of every comparison.

    Args:
        frame: uint8 ``[H, W, 3]``.
        scale: 1 or more.

    Returns:
        uint8 ``[scale * H, scale * W, 3]``, clamped and rounded half to even.
    """
    source = to_planes(frame)
    return to_frame(_resize(source, source.shape[2] * scale, source.shape[3] * scale))


def _resize(planes: Planes, height: int, width: int) -> Planes:
    # antialias=True also chooses the Keys filter with a = -0.5; without it torch uses -0.75.
    resized = functional.interpolate(
        torch.from_numpy(planes), (height, width), mode="bicubic", antialias=True, align_corners=False
    )
    array: Planes = resized.numpy()
    return array
