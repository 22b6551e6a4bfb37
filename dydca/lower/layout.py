"""How a picture tensor lies in memory: channels in blocks of one vector, a halo around every plane.

A tensor [N, C, H, W] becomes a buffer [N, ceil(C / block), H + 2 halo, (W + 2 halo) * block], the channels of a
block innermost. Channels beyond C are finite and ignored; the halo holds zeros wherever a convolution reads it.
``Layout(1, 0)`` is PyTorch's own.
"""

from __future__ import annotations

from typing import NamedTuple


class Layout(NamedTuple):
    """Channels per block, and pixels of halo on each side."""

    block: int
    halo: int

    def blocks(self, channels: int) -> int:
        """How many channel blocks hold `channels`."""
        return -(-channels // self.block)

    def buffer(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """The buffer's shape for a picture [N, C, H, W]."""
        n, c, h, w = shape
        return n, self.blocks(c), h + 2 * self.halo, (w + 2 * self.halo) * self.block


PLAIN = Layout(1, 0)


def picture(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Any shape as [N, C, H, W]: leading axes of 1 added, or surplus leading axes joined into N."""
    if len(shape) > 4:
        joined = 1
        for size in shape[:-3]:
            joined *= size
        shape = (joined, *shape[-3:])
    n, c, h, w = (1,) * (4 - len(shape)) + tuple(shape)
    return n, c, h, w
