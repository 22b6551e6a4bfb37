"""Direct convolution, any kernel, stride and dilation, with a fused epilogue and pixel-shuffle store.

A register tile holds `tile` neighbouring pixels times `vectors` vectors of output channels; for each tap and input
channel one pixel value is broadcast and multiplied into all of them. The rows of weights of one pass stay in L1:
with many input channels, partial sums of a row wait in scratch between passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dydca.lower.kernels.rows import ConvKernel, RowEmitter
from dydca.lower.tvm_api import T, divided, fma, natural, register

L1_WEIGHTS = 24 * 1024
"""Bytes of weights one pass may hold, half of a usual L1 data cache; the other half serves pixels and sums."""


@dataclass(frozen=True)
class DirectConv(ConvKernel):
    """Blocked or plain on either side; groups of 1. A unit is a row.

    Attributes:
        tile, vectors: The register tile.
        unroll: Input channels per iteration of the inner loop.
        by_lane: Whether these are loaded as one vector and multiplied by its lanes, as ARM does in one instruction,
            instead of one by one; for a block of `unroll` = `lanes` only.
    """

    tile: int
    vectors: int
    unroll: int
    by_lane: bool = False

    @property
    def across(self) -> int:
        return 1

    @property
    def blocks(self) -> int:
        """Groups of output channels that share a register tile."""
        return -(-self.layer.target_shape[1] // (self.lanes * self.vectors))

    @property
    def channels(self) -> int:
        """Input channels computed with, rounded up to whole iterations; the weights beyond are zero."""
        return -(-self.layer.source_shape[1] // self.unroll) * self.unroll

    @property
    def padded_channels(self) -> int:
        return self.blocks * self.vectors * self.lanes

    @property
    def depth(self) -> int:
        """Input channels of one pass."""
        room = L1_WEIGHTS // (self.layer.window[0] * self.layer.window[1] * self.vectors * self.lanes * 4)
        fitting = [d for d in range(self.unroll, self.channels + 1, self.unroll) if self.channels % d == 0]
        return max([d for d in fitting if d <= room], default=self.unroll)

    @property
    def passes(self) -> int:
        """How often a row is visited to sum over all input channels."""
        return self.channels // self.depth

    @property
    def partial(self) -> int:
        """Floats of a row of partial sums."""
        return self.layer.target_shape[3] * self.vectors * self.lanes if self.passes > 1 else 0

    @property
    def scratch(self) -> int:
        return self.partial + (self.tile * self.vectors * self.lanes if self.planar else 0)

    @property
    def weights(self) -> tuple[int, ...]:
        return self.blocks, self.passes, *self.layer.window, self.depth, self.vectors, self.lanes

    def pack_weights(self, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        o, c, kh, kw = weight.shape
        whole = np.zeros((self.padded_channels, self.channels, kh, kw), np.float32)
        whole[:o, :c] = weight
        split = whole.reshape(self.blocks, self.vectors, self.lanes, self.passes, self.depth, kh, kw)
        return np.ascontiguousarray(split.transpose(0, 3, 5, 6, 4, 1, 2))

    def write(self, buffers: dict[str, Any], begin: Any, end: Any) -> None:
        _Emitter(self, buffers).rows(begin, end)


class _Emitter(RowEmitter[DirectConv]):
    def rows(self, begin: Any, end: Any) -> None:
        height = self.k.layer.target_shape[2]
        with T.serial(begin, end) as unit:
            n, y = divided(natural(unit), height)
            with T.serial(0, self.k.blocks) as block:
                for number in range(self.k.passes):
                    self.row((n, block, y), number)

    def row(self, place: tuple[Any, Any, Any], number: int) -> None:
        """One row of one group of outputs, over one pass of input channels: whole tiles, then a narrower last one."""
        whole, rest = divmod(self.k.layer.target_shape[3], self.k.tile)
        with T.serial(0, whole) as index:
            self.tile(place, T.bind(index * self.k.tile), self.k.tile, number)
        if rest:
            self.tile(place, whole * self.k.tile, rest, number)

    def tile(self, place: tuple[Any, Any, Any], x: Any, pixels: int, number: int) -> None:
        k, layer, (n, block, y) = self.k, self.k.layer, place
        sums = [[register(k.lanes) for _ in range(k.vectors)] for _ in range(pixels)]
        for t in range(pixels):
            for v in range(k.vectors):
                T.buffer_store(sums[t][v], self.start(block, x + t, v, number), [0])
        with T.serial(0, layer.window[0]) as ky, T.serial(0, layer.window[1]) as kx:
            row = T.bind(y * layer.stride[0] + ky * layer.dilation[0] - layer.padding[0])
            column = T.bind(x * layer.stride[1] + kx * layer.dilation[1] - layer.padding[1])
            with T.serial(0, k.depth // k.unroll) as step:
                self.accumulate(sums, n, row, column, (block, number, ky, kx), T.bind(step * k.unroll))
        for t in range(pixels):
            for v in range(k.vectors):
                self.finish(T.BufferLoad(sums[t][v], [0]), place, x, t, v, number)
        if k.planar and number == k.passes - 1:
            for run in range(layer.target_shape[1] // layer.shuffle):
                for t in range(pixels):
                    self.scatter(n, run, y, x + t, k.partial + t * k.vectors * k.lanes + run * layer.shuffle)

    def start(self, block: Any, x: Any, v: int, number: int) -> Any:
        """What a sum begins with: the bias, or what the passes before have come to."""
        return self.vector("scratch", self.waiting(x, v)) if number else self.vector("b", self.channel(block, v))

    def channel(self, block: Any, v: int) -> Any:
        """The first channel of a vector."""
        return (block * self.k.vectors + v) * self.k.lanes

    def waiting(self, x: Any, v: int) -> Any:
        """Where the partial sum of a pixel waits between passes."""
        return (x * self.k.vectors + v) * self.k.lanes

    def accumulate(
        self, sums: list[list[Any]], n: Any, row: Any, column: Any, tap: tuple[Any, ...], first: Any
    ) -> None:
        """The input channels of one iteration under one tap into all sums."""
        k, (block, number, ky, kx) = self.k, tap
        columns = [column + t * k.layer.stride[1] for t in range(len(sums))]
        loaded = [T.bind(self.given(n, row, x, number, first, k.lanes)) for x in columns] if k.by_lane else []
        for inner in range(k.unroll):
            index = [block, number, ky, kx, first + inner]
            weights = [
                T.bind(T.BufferLoad(self.buffers["w"], [*index, v, T.ramp(0, 1, k.lanes)])) for v in range(k.vectors)
            ]
            for t, (pixel, x) in enumerate(zip(sums, columns, strict=True)):
                one = T.Shuffle([loaded[t]], [inner]) if k.by_lane else self.given(n, row, x, number, first + inner, 1)
                value = T.bind(T.Broadcast(one, k.lanes))
                for v, total in enumerate(pixel):
                    T.buffer_store(total, fma(value, weights[v], T.BufferLoad(total, [0]), k.lanes), [0])

    def given(self, n: Any, row: Any, column: Any, number: int, first: Any, count: int) -> Any:
        """So many neighbouring channels of an input pixel, counted within a pass."""
        channel, size = first + number * self.k.depth, self.k.layer.source.block
        return self.x.load(n, channel // size, row, column, count, channel % size)

    def finish(self, total: Any, place: tuple[Any, Any, Any], x: Any, t: int, v: int, number: int) -> None:
        """Stores one vector: as a partial sum, or through the epilogue to the stage or to y."""
        k, (n, block, y) = self.k, place
        if number < k.passes - 1:
            self.keep(total, self.waiting(x + t, v))
            return
        value = self.through_epilogue(total, n, block * k.vectors + v, y, x + t)
        if k.planar:
            self.keep(value, k.partial + (t * k.vectors + v) * k.lanes)
        else:
            self.y.store(value, n, block * k.vectors + v, y, x + t, k.lanes)
