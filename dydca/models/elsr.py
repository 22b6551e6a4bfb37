"""ELSR: the smallest network of the MAI and AIM 2022 challenge on mobile video super-resolution.

Paper: "ELSR: Extreme Low-Power Super Resolution Network For Mobile Devices", 2022. Written from the description in the
specification sheet, which follows a third-party PyTorch version and its architecture figure.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from dydca.models.blocks import conv
from dydca.models.registry import Entry, Facts


class ELSR(nn.Module):
    """Six channels and one residual block whose PReLU has one slope for all channels.

    Args:
        scale: Upscaling factor.
        channels: Width.
    """

    def __init__(self, scale: int, channels: int = 6) -> None:
        super().__init__()
        self.first = conv(3, channels)
        self.block = nn.Sequential(conv(channels, channels), nn.PReLU(), conv(channels, channels))
        self.last = conv(channels, 3 * scale * scale)
        self.shuffle = nn.PixelShuffle(scale)
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        for layer in (self.first, *self.block, self.last):
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=(2 / (layer.out_channels * 9)) ** 0.5)
                if layer.bias is not None:
                    layer.bias.zero_()
        if self.last.out_channels == 48:  # scale 4 alone starts its last layer small
            nn.init.normal_(self.last.weight, std=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, 3, H, W]`` in 0..1 to float ``[N, 3, scale * H, scale * W]``, about 0..1, not clamped."""
        y = self.first(x)
        picture: Tensor = self.shuffle(self.last(y + self.block(y)))
        return picture


def _entries() -> Iterator[Entry]:
    for scale, parameters, gmacs in ((2, 1_489, 0.0840), (4, 3_469, 0.1960)):
        facts = Facts("elsr", scale, "ELSR, 2022", parameters, gmacs=gmacs, lr_size=(180, 320))
        yield Entry(facts, partial(ELSR, scale))


ENTRIES = tuple(_entries())
