"""Depthwise convolution, any kernel, stride and dilation, with a fused epilogue: one vector of channels per pixel.

A register tile holds the sums of `tile` neighbouring pixels of one channel block. Each column of the picture that they
see is loaded once per row of taps and multiplied into all sums that want it, so loads stay behind the multiply-adds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dydca.lower.kernels.epilogue import Operand, Step, apply
from dydca.lower.kernels.kernel import ConvKernel, Parameter, aligned
from dydca.lower.layout import Layout
from dydca.lower.tvm_api import PrimFunc, T, fma, kernel, register


@dataclass(frozen=True)
class DepthwiseConv(ConvKernel):
    """``y = epilogue(conv2d(x, w, groups=C) + b)`` with as many channels out as in.

    Attributes:
        source: Layout of x, in blocks of `lanes`, its halo at least the padding.
        source_shape: x as [N, C, H, W].
        target: Layout of y, in blocks of `lanes`.
        target_shape: y as [N, C, H', W'].
        window: Kernel height and width.
        stride, padding, dilation: As in conv2d, (vertical, horizontal).
        steps, operands: The epilogue.
        lanes: Floats of a vector register.
        tile: Pixels of the register tile.
        unroll: Taps of a row per iteration, whose weights stay in registers; divides the kernel's width.
    """

    source: Layout
    source_shape: tuple[int, int, int, int]
    target: Layout
    target_shape: tuple[int, int, int, int]
    window: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    steps: tuple[Step, ...]
    operands: tuple[Operand, ...]
    lanes: int
    tile: int
    unroll: int

    @property
    def blocks(self) -> int:
        """Channel blocks, the last one filled up."""
        return -(-self.target_shape[1] // self.lanes)

    @property
    def padded_channels(self) -> int:
        """Channels computed, those beyond the network's own included."""
        return self.blocks * self.lanes

    @property
    def extent(self) -> int:
        return self.target_shape[0] * self.blocks * self.target_shape[2]

    @property
    def macs(self) -> int:
        n, c, h, w = self.target_shape
        return n * c * h * w * self.window[0] * self.window[1]

    def parameters(self) -> dict[str, Parameter]:
        named = {
            "x": aligned(*self.source.buffer(self.source_shape)),
            "w": aligned(self.blocks, *self.window, self.lanes),
            "b": aligned(self.blocks, self.lanes),
        }
        for number, operand in enumerate(self.operands):
            whole = Layout(self.lanes, operand.halo or 0).buffer(self.target_shape)
            named[f"operand{number}"] = aligned(*((self.blocks, self.lanes) if operand.halo is None else whole))
        return named | {"y": aligned(*self.target.buffer(self.target_shape))}

    def emit(self) -> PrimFunc:
        with kernel(**self.parameters()) as (arguments, begin, end, finished):
            _Emitter(self, dict(zip(self.parameters(), arguments, strict=True))).rows(begin, end)
        return finished[0]

    def pack_weights(self, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """[C, 1, KH, KW] in the order in which the kernel reads, [block, KH, KW, lanes], zeros beyond the last."""
        whole = np.zeros((self.padded_channels, *self.window), np.float32)
        whole[: len(weight)] = weight[:, 0]
        return np.ascontiguousarray(whole.reshape(self.blocks, self.lanes, *self.window).transpose(0, 2, 3, 1))


class _Emitter:
    """Writes the loops of one kernel; the builder is open."""

    def __init__(self, k: DepthwiseConv, buffers: dict[str, Any]) -> None:
        self.k, self.buffers = k, buffers

    def rows(self, begin: Any, end: Any) -> None:
        """Rows of channel blocks: whole tiles, then a narrower last one."""
        height, (whole, rest) = self.k.target_shape[2], divmod(self.k.target_shape[3], self.k.tile)
        with T.serial(begin, end) as unit:
            y = T.bind(unit % height)
            block = T.bind(unit // height % self.k.blocks)
            n = T.bind(unit // (height * self.k.blocks))
            with T.serial(0, whole) as index:
                self.tile((n, block, y), T.bind(index * self.k.tile), self.k.tile)
            if rest:
                self.tile((n, block, y), whole * self.k.tile, rest)

    def tile(self, place: tuple[Any, Any, Any], x: Any, pixels: int) -> None:
        k, (_, block, y) = self.k, place
        sums = [register(k.lanes) for _ in range(pixels)]
        bias = T.bind(T.BufferLoad(self.buffers["b"], [block, T.ramp(0, 1, k.lanes)]))
        for total in sums:
            T.buffer_store(total, bias, [0])
        with T.serial(0, k.window[0]) as ky, T.serial(0, k.window[1] // k.unroll) as run:
            row = T.bind(y * k.stride[0] + ky * k.dilation[0] + (k.source.halo - k.padding[0]))
            first = x * k.stride[1] + run * (k.unroll * k.dilation[1]) + (k.source.halo - k.padding[1])
            self.accumulate(sums, place, row, T.bind(first), (ky, run))
        for t, total in enumerate(sums):
            self.finish(T.BufferLoad(total, [0]), place, x + t)

    def accumulate(self, sums: list[Any], place: tuple[Any, ...], row: Any, first: Any, tap: tuple[Any, Any]) -> None:
        """One run of taps of a row into all sums, column by column of the picture."""
        k, (n, block, _), (ky, run) = self.k, place, tap
        lanes = T.ramp(0, 1, k.lanes)
        weights = [
            T.bind(T.BufferLoad(self.buffers["w"], [block, ky, run * k.unroll + kx, lanes])) for kx in range(k.unroll)
        ]
        wanted: dict[int, list[tuple[int, int]]] = {}
        for t in range(len(sums)):
            for kx in range(k.unroll):
                wanted.setdefault(t * k.stride[1] + kx * k.dilation[1], []).append((t, kx))
        for column, pairs in sorted(wanted.items()):
            value = T.bind(T.BufferLoad(self.buffers["x"], [n, block, row, self.pixel(first + column)]))
            for t, kx in pairs:
                total = sums[t]
                T.buffer_store(total, fma(value, weights[kx], T.BufferLoad(total, [0]), k.lanes), [0])

    def finish(self, total: Any, place: tuple[Any, Any, Any], x: Any) -> None:
        """Stores one vector through the epilogue."""
        k, (n, block, y) = self.k, place

        def load(operand: int) -> Any:
            halo = k.operands[operand].halo
            index = [block, T.ramp(0, 1, k.lanes)] if halo is None else [n, block, y + halo, self.pixel(x + halo)]
            return T.BufferLoad(self.buffers[f"operand{operand}"], index)

        value = apply(k.steps, total, load, k.lanes)
        halo = k.target.halo
        T.buffer_store(self.buffers["y"], value, [n, block, y + halo, self.pixel(x + halo)])

    def pixel(self, x: Any) -> Any:
        """The channels of one block at column x of a blocked row."""
        return T.ramp(x * self.k.lanes, 1, self.k.lanes)
