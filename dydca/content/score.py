"""How close an upscaled frame is to its original, whole and patch by patch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dydca.content.grid import Layout
from dydca.content.pixels import Frame
from dydca.errors import UsageError

Plane = NDArray[np.float64]
"""What PSNR compares: float64 ``[H, W]`` or ``[H, W, 3]``, on the scale whose peak is 255."""


def luma(frame: Frame) -> Plane:
    """Return the Y of ITU-R BT.601 (studio range 16..235, not rounded) of uint8 ``[H, W, 3]``, float64 ``[H, W]``."""
    weights = np.array([65.481, 128.553, 24.966]) / 255.0
    y: Plane = frame.astype(np.float64) @ weights + 16.0
    return y


def colours(frame: Frame) -> Plane:
    """Return R, G and B of uint8 ``[H, W, 3]`` as float64, unchanged."""
    return frame.astype(np.float64)


def decibels(mean_square: float) -> float:
    """``10 log10(255^2 / mean_square)``; infinity for 0."""
    return float(10.0 * np.log10(255.0**2 / mean_square)) if mean_square > 0.0 else float("inf")


def psnr(candidate: Frame, original: Frame, crop: int = 0, of: Callable[[Frame], Plane] = luma) -> float:
    """Peak signal-to-noise ratio in dB: ``10 log10(255^2 / mean squared error)``.

    Args:
        candidate: uint8 ``[H, W, 3]``.
        original: uint8 of the same shape.
        crop: Pixels left out at each of the four borders; super-resolution papers use the scale.
        of: `luma` (PSNR-Y) or `colours` (PSNR-RGB, one mean over the three).

    Returns:
        The ratio; infinity for equal frames.

    Raises:
        ValueError: The shapes differ, or the crop leaves nothing.
    """
    if candidate.shape != original.shape:
        raise ValueError(f"cannot compare a frame {candidate.shape} with one {original.shape}")
    inner = (slice(crop, candidate.shape[0] - crop), slice(crop, candidate.shape[1] - crop))
    if not candidate[inner].size:
        raise ValueError(f"a crop of {crop} leaves nothing of a frame {candidate.shape}")
    return decibels(float(np.mean((of(candidate[inner]) - of(original[inner])) ** 2)))


def patch_psnr(candidate: Frame, original: Frame, layout: Layout, scale: int) -> list[float]:
    """Return the PSNR-Y in dB of each patch of a layout, uncropped.

    Args:
        candidate: The upscaled frame, uint8 ``[scale * H, scale * W, 3]``.
        original: uint8 of the same shape.
        layout: The cutting of the low-resolution frame ``[H, W]``.
        scale: High resolution to low.
    """
    squared = (luma(candidate) - luma(original)) ** 2
    return [decibels(float(np.mean(squared[patch.window(scale)]))) for patch in layout.patches]


def hard_patches(candidate: Frame, original: Frame, layout: Layout, scale: int, threshold: float) -> frozenset[int]:
    """Return the positions of the coarse patches to split: those whose PSNR-Y is below `threshold` dB.

    `candidate` is the frame as a cheap upscaler made it, bicubic or a small network; see `patch_psnr` for the rest.
    """
    scores = patch_psnr(candidate, original, layout, scale)
    return frozenset(position for position, score in enumerate(scores) if score < threshold)


def ssim(candidate: Frame, original: Frame, of: Callable[[Frame], Plane] = luma) -> float:
    """Structural similarity (Wang et al. 2004): 11x11 Gaussian window, sigma 1.5, K1 0.01, K2 0.03, range 255.

    Args:
        candidate: uint8 ``[H, W, 3]``.
        original: uint8 of the same shape.
        of: `luma`, or `colours` for the mean over the three.

    Returns:
        The mean over the map where the window fits, -1..1. Frames of a side below 11 have none and give NaN.

    Raises:
        UsageError: DYD902, torchmetrics is not installed.
    """
    import torch

    try:
        from torchmetrics.functional.image import structural_similarity_index_measure
    except ImportError as error:
        raise UsageError("DYD902", "SSIM needs torchmetrics", fix="pip install 'dydca[report]'") from error
    if min(candidate.shape[:2]) < 11:
        return float("nan")
    planes = (np.atleast_3d(of(frame).astype(np.float32)) for frame in (candidate, original))
    ours, wanted = (torch.from_numpy(plane).permute(2, 0, 1)[None] for plane in planes)
    mean = structural_similarity_index_measure(ours, wanted, sigma=1.5, data_range=255.0)
    assert isinstance(mean, torch.Tensor)
    return mean.item()
