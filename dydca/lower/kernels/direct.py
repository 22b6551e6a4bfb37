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

from dydca.lower.kernels.epilogue import Operand, Step, apply
from dydca.lower.kernels.kernel import ConvKernel, Parameter, aligned, callers
from dydca.lower.layout import Layout
from dydca.lower.tvm_api import PrimFunc, T, fma, kernel, register

L1_WEIGHTS = 24 * 1024
"""Bytes of weights one pass may hold, half of a usual L1 data cache; the other half serves pixels and sums."""


@dataclass(frozen=True)
class DirectConv(ConvKernel):
    """``y = epilogue(conv2d(x, w) + b)``.

    Attributes:
        source: Layout of x, its halo at least the padding.
        source_shape: x as [N, C, H, W].
        target: Layout of y: blocks of `lanes`, or plain with pixel shuffle by `shuffle`.
        target_shape: The convolution's own result [N, O, H', W'], before any shuffle.
        window: Kernel height and width.
        stride, padding, dilation: As in conv2d, (vertical, horizontal).
        shuffle: Upscaling factor of the store; 1 stores plainly.
        steps, operands: The epilogue.
        lanes: Floats of a vector register.
        tile, vectors: The register tile.
        unroll: Input channels per iteration of the inner loop.
    """

    source: Layout
    source_shape: tuple[int, int, int, int]
    target: Layout
    target_shape: tuple[int, int, int, int]
    window: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    shuffle: int
    steps: tuple[Step, ...]
    operands: tuple[Operand, ...]
    lanes: int
    tile: int
    vectors: int
    unroll: int

    @property
    def extent(self) -> int:
        return self.target_shape[0] * self.target_shape[2]

    @property
    def macs(self) -> int:
        n, o, h, w = self.target_shape
        return n * o * h * w * self.source_shape[1] * self.window[0] * self.window[1]

    @property
    def groups(self) -> int:
        """Groups of output channels that share a register tile."""
        return -(-self.target_shape[1] // (self.lanes * self.vectors))

    @property
    def channels(self) -> int:
        """Input channels computed with, rounded up to whole iterations; the weights beyond are zero."""
        return -(-self.source_shape[1] // self.unroll) * self.unroll

    @property
    def padded_channels(self) -> int:
        """Output channels computed, those beyond the network's own included."""
        return self.groups * self.vectors * self.lanes

    @property
    def depth(self) -> int:
        """Input channels of one pass."""
        room = L1_WEIGHTS // (self.window[0] * self.window[1] * self.vectors * self.lanes * 4)
        fitting = [d for d in range(self.unroll, self.channels + 1, self.unroll) if self.channels % d == 0]
        return max([d for d in fitting if d <= room], default=self.unroll)

    @property
    def passes(self) -> int:
        """How often a row is visited to sum over all input channels."""
        return self.channels // self.depth

    @property
    def planar(self) -> bool:
        """Whether y has one channel a plane, so that a tile is turned before it is stored."""
        return self.target.block == 1

    @property
    def scratch(self) -> int:
        row = self.target_shape[3] * self.vectors * self.lanes if self.passes > 1 else 0
        return row + (self.tile * self.vectors * self.lanes if self.planar else 0)

    def parameters(self) -> dict[str, Parameter]:
        n, o, h, w = self.target_shape
        kh, kw = self.window
        blocks = self.groups * self.vectors
        named = {
            "x": callers(*self.source.buffer(self.source_shape)),
            "w": aligned(self.groups, self.passes, kh, kw, self.depth, self.vectors, self.lanes),
            "b": aligned(blocks, self.lanes),
        }
        for number, operand in enumerate(self.operands):
            whole = Layout(self.lanes, operand.halo or 0).buffer(self.target_shape)
            named[f"operand{number}"] = aligned(blocks, self.lanes) if operand.halo is None else aligned(*whole)
        stored = (n, o // self.shuffle**2, h * self.shuffle, w * self.shuffle)
        named["y"] = callers(*self.target.buffer(stored)) if self.planar else aligned(*self.target.buffer(stored))
        if self.scratch:
            named["scratch"] = aligned(self.scratch)
        return named

    def emit(self) -> PrimFunc:
        with kernel(**self.parameters()) as (arguments, begin, end, finished):
            _Emitter(self, dict(zip(self.parameters(), arguments, strict=True))).rows(begin, end)
        return finished[0]

    def pack_weights(self, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """[O, C, KH, KW] in the order in which the kernel reads, [group, pass, KH, KW, depth, vectors, lanes]."""
        o, c, kh, kw = weight.shape
        whole = np.zeros((self.padded_channels, self.channels, kh, kw), np.float32)
        whole[:o, :c] = weight
        split = whole.reshape(self.groups, self.vectors, self.lanes, self.passes, self.depth, kh, kw)
        return np.ascontiguousarray(split.transpose(0, 3, 5, 6, 4, 1, 2))


class _Emitter:
    """Writes the loops of one kernel; the builder is open."""

    def __init__(self, k: DirectConv, buffers: dict[str, Any]) -> None:
        self.k, self.buffers = k, buffers
        self.row_floats = k.scratch - (k.tile * k.vectors * k.lanes if k.planar else 0)

    def rows(self, begin: Any, end: Any) -> None:
        height = self.k.target_shape[2]
        with T.serial(begin, end) as unit:
            n, y = T.bind(unit // height), T.bind(unit % height)
            with T.serial(0, self.k.groups) as group:
                for number in range(self.k.passes):
                    self.row(n, y, group, number)

    def row(self, n: Any, y: Any, group: Any, number: int) -> None:
        """One row of one output group, over one pass of input channels: whole tiles, then a narrower last one."""
        whole, rest = divmod(self.k.target_shape[3], self.k.tile)
        with T.serial(0, whole) as index:
            self.tile(n, y, T.bind(index * self.k.tile), self.k.tile, group, number)
        if rest:
            self.tile(n, y, whole * self.k.tile, rest, group, number)

    def tile(self, n: Any, y: Any, x: Any, pixels: int, group: Any, number: int) -> None:
        k = self.k
        sums = [[register(k.lanes) for _ in range(k.vectors)] for _ in range(pixels)]
        for t in range(pixels):
            for v in range(k.vectors):
                T.buffer_store(sums[t][v], self.start(x + t, v, group, number), [0])
        with T.serial(0, k.window[0]) as ky, T.serial(0, k.window[1]) as kx:
            row = T.bind(y * k.stride[0] + ky * k.dilation[0] + (k.source.halo - k.padding[0]))
            column = T.bind(x * k.stride[1] + kx * k.dilation[1] + (k.source.halo - k.padding[1]))
            with T.serial(0, k.depth // k.unroll) as step:
                for inner in range(k.unroll):
                    self.accumulate(sums, n, row, column, (group, number, ky, kx), step * k.unroll + inner)
        for t in range(pixels):
            for v in range(k.vectors):
                self.finish(T.BufferLoad(sums[t][v], [0]), n, y, x, t, v, group, number)
        if k.planar and number == k.passes - 1:
            self.turn(n, y, x, pixels, group)

    def start(self, x: Any, v: int, group: Any, number: int) -> Any:
        if number == 0:
            return T.BufferLoad(self.buffers["b"], [group * self.k.vectors + v, T.ramp(0, 1, self.k.lanes)])
        return T.BufferLoad(self.buffers["scratch"], [self.waiting(x, v)])

    def waiting(self, x: Any, v: int) -> Any:
        """Where the partial sum of a pixel waits between passes."""
        return T.ramp((x * self.k.vectors + v) * self.k.lanes, 1, self.k.lanes)

    def accumulate(self, sums: list[list[Any]], n: Any, row: Any, column: Any, tap: tuple[Any, ...], c: Any) -> None:
        k, (group, number, ky, kx) = self.k, tap
        lanes = T.ramp(0, 1, k.lanes)
        weights = [
            T.bind(T.BufferLoad(self.buffers["w"], [group, number, ky, kx, c, v, lanes])) for v in range(k.vectors)
        ]
        channel = c + number * k.depth
        for t, pixel in enumerate(sums):
            place = (column + t * k.stride[1]) * k.source.block + channel % k.source.block
            index = [n, channel // k.source.block, row, place]
            value = T.bind(T.Broadcast(T.BufferLoad(self.buffers["x"], index), k.lanes))
            for v, total in enumerate(pixel):
                T.buffer_store(total, fma(value, weights[v], T.BufferLoad(total, [0]), k.lanes), [0])

    def finish(self, total: Any, n: Any, y: Any, x: Any, t: int, v: int, group: Any, number: int) -> None:
        """Stores one vector: as a partial sum, or through the epilogue to the stage or to y."""
        k = self.k
        if number < k.passes - 1:
            T.buffer_store(self.buffers["scratch"], total, [self.waiting(x + t, v)])
            return
        block = group * k.vectors + v

        def load(operand: int) -> Any:
            halo = k.operands[operand].halo
            index = [block, T.ramp(0, 1, k.lanes)] if halo is None else [n, block, y + halo, self.pixel(x + t + halo)]
            return T.BufferLoad(self.buffers[f"operand{operand}"], index)

        value = apply(k.steps, total, load, k.lanes)
        if k.planar:
            stage = T.ramp(self.row_floats + (t * k.vectors + v) * k.lanes, 1, k.lanes)
            T.buffer_store(self.buffers["scratch"], value, [stage])
        else:
            T.buffer_store(self.buffers["y"], value, [n, block, y + k.target.halo, self.pixel(x + t + k.target.halo)])

    def pixel(self, x: Any) -> Any:
        """The channels of one block at column x of a blocked row."""
        return T.ramp(x * self.k.lanes, 1, self.k.lanes)

    def turn(self, n: Any, y: Any, x: Any, pixels: int, group: Any) -> None:
        """Moves a staged tile [pixel, channel] to planes; `shuffle` channels in a row become neighbouring pixels."""
        k, r, halo = self.k, self.k.shuffle, self.k.target.halo
        for run in range(k.target_shape[1] // r):
            plane, dy = divmod(run, r)
            for t in range(pixels):
                staged = self.row_floats + t * k.vectors * k.lanes + run * r
                source = staged if r == 1 else T.ramp(staged, 1, r)
                column = (x + t) * r + halo
                target = [n, plane, y * r + dy + halo, column if r == 1 else T.ramp(column, 1, r)]
                T.buffer_store(self.buffers["y"], T.BufferLoad(self.buffers["scratch"], [source]), target)
