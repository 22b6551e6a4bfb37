"""A first guess for the networks of a movie: what they compute before training is bicubic enlargement.

From random weights most of a short training goes into finding that out. The 5x5 skip of `WDSR` can hold the bicubic
filter exactly, since no pixel of the result lies further than half a pixel from the centre of its window.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dydca.models.dydca_wdsr import WDSR

TAIL_GAIN = 0.02
"""Of the other path: small, so that it adds little at first; not zero, or nothing before it would learn."""


def start_from_bicubic(model: nn.Module) -> None:
    """Set the skip and the tail of every `WDSR` in a network."""
    for route in model.modules():
        if isinstance(route, WDSR):
            kernel = _bicubic(route.shuffle.upscale_factor)
            with torch.no_grad():
                route.skip.weight_v.copy_(kernel)
                route.skip.weight_g.copy_(kernel.flatten(1).norm(dim=1)[:, None, None, None])
                route.tail.weight_g.fill_(TAIL_GAIN)


def _bicubic(scale: int) -> Tensor:
    """``[3 * scale * scale, 3, 5, 5]``: before the sub-pixel shuffle, from colour to the same colour."""
    # Each of the 25 pictures below has one bright pixel; what it becomes around the middle is one tap of all filters.
    impulses = torch.eye(25).reshape(25, 1, 5, 5)
    padded = functional.pad(impulses, (4, 4, 4, 4))  # away from the borders, where the filter changes
    large = functional.interpolate(padded, scale_factor=scale, mode="bicubic", antialias=True)
    middle = large[:, 0, 6 * scale : 7 * scale, 6 * scale : 7 * scale]
    taps = middle.reshape(25, -1).T.reshape(scale * scale, 5, 5)
    kernel = torch.zeros(3, scale * scale, 3, 5, 5)
    for colour in range(3):
        kernel[colour, :, colour] = taps
    return kernel.flatten(0, 1)
