"""Winograd convolution F(m x m, r x r) with a fused epilogue and pixel-shuffle store.

Lavin and Gray, 2016, arXiv 1509.09308: a tile of m x m outputs needs a^2 multiplications per pair of channels, with
a = m + r - 1, instead of r^2 m^2. Tiles are worked off in batches: the inputs of a batch are transformed to V, for each
of the a^2 frequencies one small matrix product with the weights U gives M, and M is transformed back. V, M and the
halfway results of the two-dimensional transforms stay in cache.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dydca.lower.kernels.rows import ConvKernel
from dydca.lower.kernels.winograd_loops import UNROLL, Emitter, Scratch
from dydca.lower.kernels.winograd_points import transforms
from dydca.lower.kernels.winograd_transform import input_work, output_work


@dataclass(frozen=True)
class WinogradConv(ConvKernel):
    """For 3 x 3 and 5 x 5 windows with stride and dilation 1, from blocks of `lanes` to the same or to planes.

    A unit is a tile; a call takes its tiles in batches, the last one smaller. The first row of tiles may begin above
    the picture and the last one end below it: what they compute outside is not stored.

    Attributes:
        m: Outputs of a tile in each direction, even; see `winograd_points.PAIRS`.
        batch, vectors: The register tile of the matrix products: tiles times vectors of output channels, of which
            there is a whole number. So many are transformed at a time, too: with more, V and M would leave fast caches.
        by_lane: Whether they load `UNROLL` inputs as one vector and multiply by its lanes, as ARM does in one
            instruction, instead of loading and broadcasting single floats; for `lanes` = `UNROLL` only.
        offset: Rows by which the first row of tiles begins above the picture.
    """

    m: int
    batch: int
    vectors: int
    by_lane: bool
    offset: int = 0

    @property
    def band(self) -> int:
        return self.m

    @property
    def first(self) -> int:
        return -self.offset

    @property
    def across(self) -> int:
        return -(-self.layer.target_shape[3] // self.m)

    def as_link(self, rows: int, lead: int) -> Self:
        return replace(self, offset=-lead % self.m).suited(rows // self.m * self.across)

    def suited(self, tiles: int) -> Self:
        """With the batch, no larger than this one's, that leaves least of a call for so many tiles empty."""
        return replace(self, batch=min(range(self.batch, self.half - 1, -1), key=lambda b: _computed(tiles, b)))

    @property
    def half(self) -> int:
        """The size of the smaller batch that a call may end with."""
        return -(-self.batch // 2)

    @property
    def taps(self) -> int:
        """Rows and columns of the window."""
        return self.layer.window[0]

    @property
    def points(self) -> int:
        """Interpolation points in each direction; inputs of a tile too."""
        return self.m + self.taps - 1

    @property
    def coefficients(self) -> tuple[Fraction, ...]:
        """Those of both transforms other than 1 and -1."""
        return tuple(
            sorted({*input_work(self.m, self.taps).coefficients, *output_work(self.m, self.taps).coefficients})
        )

    @property
    def channels(self) -> int:
        """Input channels computed with, rounded up to whole iterations; the weights beyond are zero."""
        return -(-self.layer.source_shape[1] // UNROLL) * UNROLL

    @property
    def groups(self) -> int:
        """Groups of output channels that share a register tile."""
        return -(-self.layer.target_shape[1] // (self.lanes * self.vectors))

    @property
    def padded_channels(self) -> int:
        return self.groups * self.vectors * self.lanes

    @property
    def scratch(self) -> int:
        return Scratch(self).floats

    @property
    def weights(self) -> tuple[int, ...]:
        return self.points**2, self.groups, self.channels, self.vectors, self.lanes

    def pack_weights(self, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """``U = G g G^T``, as [frequency, group, channel, vectors, lanes]; in float64, rounded once."""
        o, c = weight.shape[:2]
        g = np.array(transforms(self.m, self.taps).g, np.float64)
        whole = np.zeros((self.points, self.points, self.padded_channels, self.channels))
        whole[:, :, :o, :c] = np.einsum("ij,ocjk,lk->iloc", g, weight.astype(np.float64), g)
        split = whole.reshape(self.points**2, self.groups, self.vectors, self.lanes, self.channels)
        return np.ascontiguousarray(split.transpose(0, 1, 4, 2, 3), np.float32)

    def write(self, buffers: dict[str, Any], begin: Any, end: Any) -> None:
        Emitter(self, buffers).batches(begin, end)


def _computed(tiles: int, batch: int) -> int:
    """Tiles computed in a call for so many: whole batches, and the last one whole or by half."""
    whole, rest = divmod(tiles, batch)
    return whole * batch + (0 if not rest else -(-batch // 2) if rest <= -(-batch // 2) else batch)
