"""How a picture tensor lies in memory: channels in blocks of one vector, a halo around every plane.

A tensor [N, C, H, W] becomes a buffer [N, ceil(C / block), H + 2 halo, (W + 2 halo) * block], the channels of a
block innermost. Channels beyond C are finite and ignored; the halo holds zeros wherever a convolution reads it.
``Layout(1, 0)`` is PyTorch's own.

A *ring* holds only some rows, of one picture at a time: row y, counted from the top of the halo, lies at y modulo
`rows`. It is enough where rows are read soon after they are written.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PictureShape = tuple[int, int, int, int]
"""[N, C, H, W]."""


class Layout(NamedTuple):
    """How a picture lies.

    Attributes:
        block: Channels per block.
        halo: Pixels around it on each side.
        rows: Of a ring; 0 holds all rows.
        first: The block at which it begins in a buffer that holds more channels.
        whole: Blocks of that buffer; 0 if it is the picture's own.
    """

    block: int
    halo: int
    rows: int = 0
    first: int = 0
    whole: int = 0

    def blocks(self, channels: int) -> int:
        """How many channel blocks hold `channels`."""
        return -(-channels // self.block)

    def buffer(self, shape: PictureShape) -> tuple[int, int, int, int]:
        """The buffer's shape for a picture."""
        n, c, h, w = shape
        held = (1, self.rows) if self.rows else (n, h + 2 * self.halo)
        return held[0], self.whole or self.blocks(c), held[1], (w + 2 * self.halo) * self.block

    def packed(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """The buffer that holds a picture, zeros around it and in the channels beyond its last."""
        n, c, h, w = array.shape
        count, halo = self.blocks(c), self.halo
        whole = np.zeros((n, count * self.block, h + 2 * halo, w + 2 * halo), np.float32)
        whole[:, :c, halo : halo + h, halo : halo + w] = array
        blocks = whole.reshape(n, count, self.block, *whole.shape[2:]).transpose(0, 1, 3, 4, 2)
        return np.ascontiguousarray(blocks).reshape(self.buffer((n, c, h, w)))


PLAIN = Layout(1, 0)


def picture(shape: tuple[int, ...]) -> PictureShape:
    """Any shape as [N, C, H, W]: leading axes of 1 added, or surplus leading axes joined into N."""
    if len(shape) > 4:
        shape = (prod(shape[:-3]), *shape[-3:])
    n, c, h, w = (1,) * (4 - len(shape)) + tuple(shape)
    return n, c, h, w
