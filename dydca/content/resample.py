"""The documented bicubic: how the low-resolution stream is made, and the baseline a network has to beat."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from dydca.content.pixels import Frame, to_frame, to_tensor
from dydca.errors import ContentError


def crop_to_multiple(frame: Frame, scale: int) -> Frame:
    """Drop the rows at the bottom and the columns at the right that exceed a multiple of `scale` (a view).

    Raises:
        ContentError: DYD802, the frame has fewer rows or columns than `scale`.
    """
    height, width = (size // scale * scale for size in frame.shape[:2])
    if not height or not width:
        got = f"{frame.shape[0]}x{frame.shape[1]}"
        raise ContentError("DYD802", "a frame is too small to be downscaled", got=got, want=f"{scale}x{scale} or more")
    return frame[:height, :width]


def downscale(frame: Frame, scale: int) -> Frame:
    """Shrink a frame by an integer factor with the antialiased bicubic filter (a = -0.5, half-pixel centres).

    Args:
        frame: uint8 ``[H, W, 3]``; cropped to multiples of `scale` first, see `crop_to_multiple`.
        scale: 1 or more.

    Returns:
        uint8 ``[H // scale, W // scale, 3]``: computed in float32 on 0..1, clamped, rounded half to even.

    Raises:
        ContentError: DYD802, the frame is smaller than `scale`.
    """
    source = to_tensor(crop_to_multiple(frame, scale))
    return to_frame(_resize(source, source.shape[2] // scale, source.shape[3] // scale))


def upscale(frame: Frame, scale: int) -> Frame:
    """Enlarge a frame by an integer factor with the same bicubic filter; the baseline of every comparison.

    Args:
        frame: uint8 ``[H, W, 3]``.
        scale: 1 or more.

    Returns:
        uint8 ``[scale * H, scale * W, 3]``, clamped and rounded half to even.
    """
    source = to_tensor(frame)
    return to_frame(_resize(source, source.shape[2] * scale, source.shape[3] * scale))


def _resize(x: Tensor, height: int, width: int) -> Tensor:
    # antialias=True also chooses the Keys filter with a = -0.5; without it torch uses -0.75.
    return functional.interpolate(x, (height, width), mode="bicubic", antialias=True, align_corners=False)
