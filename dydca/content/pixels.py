"""Between the uint8 frames of a video and the float tensors of a network."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Frame: TypeAlias = NDArray[np.uint8]
"""An RGB picture, uint8 ``[H, W, 3]``, values in 0..255."""


def to_tensor(frame: Frame) -> Tensor:
    """Turn a frame, uint8 ``[H, W, 3]``, into a new contiguous float32 ``[1, 3, H, W]`` with values in 0..1."""
    planes = np.ascontiguousarray(frame.transpose(2, 0, 1))
    return torch.from_numpy(planes).float().div_(255.0)[None]


def to_frame(tensor: Tensor) -> Frame:
    """Turn float ``[1, 3, H, W]`` into a frame, uint8 ``[H, W, 3]``.

    Values are clamped to 0..1, scaled by 255 and rounded to the nearest integer, halves to the even one.
    """
    levels = tensor.detach()[0].clamp(0.0, 1.0).mul(255.0).round().to(torch.uint8)
    frame: Frame = levels.permute(1, 2, 0).contiguous().numpy()
    return frame
