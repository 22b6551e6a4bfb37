"""Winograd convolution F(m x m, 3 x 3) with a fused epilogue and pixel-shuffle store.

Lavin and Gray, 2016, arXiv 1509.09308: a tile of m x m outputs needs (m + 2)^2 multiplications per pair of channels
instead of 9 m^2. The tiles of all pictures are numbered row by row and worked off in batches: the inputs of a batch are
transformed to V, for each of the (m + 2)^2 frequencies one small matrix product with the weights U gives M, and M is
transformed back. V, M and the halfway results of the two-dimensional transforms stay in cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from dydca.lower.kernels.epilogue import Operand, Step
from dydca.lower.kernels.kernel import ConvKernel, Parameter, aligned, callers
from dydca.lower.kernels.winograd_loops import UNROLL, Emitter, Scratch
from dydca.lower.kernels.winograd_points import TAPS, transforms
from dydca.lower.kernels.winograd_transform import input_work, output_work
from dydca.lower.layout import Layout
from dydca.lower.tvm_api import PrimFunc, kernel


@dataclass(frozen=True)
class WinogradConv(ConvKernel):
    """``y = epilogue(conv2d(x, w) + b)`` for 3 x 3 windows with stride and dilation 1.

    Attributes:
        source: Layout of x, in blocks of `lanes`, its halo at least the padding.
        source_shape: x as [N, C, H, W].
        target: Layout of y: blocks of `lanes`, or plain with pixel shuffle by `shuffle`.
        target_shape: The convolution's own result [N, O, H', W'], before any shuffle.
        padding: As in conv2d, (vertical, horizontal).
        shuffle: Upscaling factor of the store; 1 stores plainly.
        steps, operands: The epilogue.
        lanes: Floats of a vector register.
        m: Outputs of a tile in each direction: 2, 4 or 6.
        batch, vectors: The register tile of the matrix products: tiles times vectors of output channels, of which
            there is a whole number. A batch is a unit of work, too: with more, V and M would leave fast caches.
        by_lane: Whether they load `UNROLL` inputs as one vector and multiply by its lanes, as ARM does in one
            instruction, instead of loading and broadcasting single floats; for `lanes` = `UNROLL` only.
    """

    source: Layout
    source_shape: tuple[int, int, int, int]
    target: Layout
    target_shape: tuple[int, int, int, int]
    padding: tuple[int, int]
    shuffle: int
    steps: tuple[Step, ...]
    operands: tuple[Operand, ...]
    lanes: int
    m: int
    batch: int
    vectors: int
    by_lane: bool

    @property
    def tiles(self) -> tuple[int, int]:
        """Rows and columns of tiles of one picture."""
        return -(-self.target_shape[2] // self.m), -(-self.target_shape[3] // self.m)

    @property
    def count(self) -> int:
        """Tiles of the whole batch."""
        return self.target_shape[0] * self.tiles[0] * self.tiles[1]

    @property
    def extent(self) -> int:
        return -(-self.count // self.batch)

    @property
    def macs(self) -> int:
        n, o, h, w = self.target_shape
        return n * o * h * w * self.source_shape[1] * TAPS * TAPS

    @property
    def points(self) -> int:
        """Interpolation points in each direction; inputs of a tile too."""
        return self.m + TAPS - 1

    @property
    def coefficients(self) -> tuple[Fraction, ...]:
        """Those of both transforms other than 1 and -1."""
        return tuple(sorted({*input_work(self.m).coefficients, *output_work(self.m).coefficients}))

    @property
    def channels(self) -> int:
        """Input channels computed with, rounded up to whole iterations; the weights beyond are zero."""
        return -(-self.source_shape[1] // UNROLL) * UNROLL

    @property
    def groups(self) -> int:
        """Groups of output channels that share a register tile."""
        return -(-self.target_shape[1] // (self.lanes * self.vectors))

    @property
    def padded_channels(self) -> int:
        """Output channels computed, those beyond the network's own included."""
        return self.groups * self.vectors * self.lanes

    @property
    def planar(self) -> bool:
        """Whether y has one channel a plane, so that a tile is turned before it is stored."""
        return self.target.block == 1

    @property
    def scratch(self) -> int:
        return Scratch(self).floats

    def parameters(self) -> dict[str, Parameter]:
        n, o, h, w = self.target_shape
        blocks = self.groups * self.vectors
        named = {
            "x": aligned(*self.source.buffer(self.source_shape)),
            "u": aligned(self.points**2, self.groups, self.channels, self.vectors, self.lanes),
            "b": aligned(blocks, self.lanes),
        }
        for number, operand in enumerate(self.operands):
            whole = Layout(self.lanes, operand.halo or 0).buffer(self.target_shape)
            named[f"operand{number}"] = aligned(blocks, self.lanes) if operand.halo is None else aligned(*whole)
        stored = (n, o // self.shuffle**2, h * self.shuffle, w * self.shuffle)
        named["y"] = callers(*self.target.buffer(stored)) if self.planar else aligned(*self.target.buffer(stored))
        named["scratch"] = aligned(self.scratch)
        return named

    def emit(self) -> PrimFunc:
        with kernel(**self.parameters()) as (arguments, begin, end, finished):
            Emitter(self, dict(zip(self.parameters(), arguments, strict=True))).batches(begin, end)
        return finished[0]

    def pack_weights(self, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """[O, C, 3, 3] transformed to ``U = G g G^T``, as [frequency, group, channel, vectors, lanes].

        Computed in float64 and rounded once.
        """
        o, c = weight.shape[:2]
        g = np.array(transforms(self.m).g, np.float64)
        whole = np.zeros((self.points, self.points, self.padded_channels, self.channels))
        whole[:, :, :o, :c] = np.einsum("ij,ocjk,lk->iloc", g, weight.astype(np.float64), g)
        split = whole.reshape(self.points**2, self.groups, self.vectors, self.lanes, self.channels)
        return np.ascontiguousarray(split.transpose(0, 1, 4, 2, 3), np.float32)
