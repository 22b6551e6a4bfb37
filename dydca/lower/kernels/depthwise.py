"""Depthwise convolution, any kernel, stride and dilation, with a fused epilogue: one vector of channels per pixel.

A register tile holds the sums of `tile` neighbouring pixels of one channel block. Each column of the picture that they
see is loaded once per row of taps and multiplied into all sums that want it, so loads stay behind the multiply-adds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dydca.lower.kernels.rows import ConvKernel, RowEmitter
from dydca.lower.tvm_api import T, divided, fma, natural, register


@dataclass(frozen=True)
class DepthwiseConv(ConvKernel):
    """Between pictures in blocks of `lanes`, as many channels out as in. A unit is a row of one block.

    Attributes:
        tile: Pixels of the register tile.
        unroll: Taps of a row per iteration, whose weights stay in registers; divides the kernel's width.
    """

    tile: int
    unroll: int

    @property
    def across(self) -> int:
        return self.layer.source.blocks(self.layer.target_shape[1])

    @property
    def padded_channels(self) -> int:
        return self.across * self.lanes

    @property
    def weights(self) -> tuple[int, ...]:
        return self.across, *self.layer.window, self.lanes

    def pack_weights(self, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        whole = np.zeros((self.padded_channels, *self.layer.window), np.float32)
        whole[: len(weight)] = weight[:, 0]
        return np.ascontiguousarray(whole.reshape(self.across, self.lanes, *self.layer.window).transpose(0, 2, 3, 1))

    def write(self, buffers: dict[str, Any], begin: Any, end: Any) -> None:
        _Emitter(self, buffers).rows(begin, end)


class _Emitter(RowEmitter[DepthwiseConv]):
    def rows(self, begin: Any, end: Any) -> None:
        """Rows of channel blocks: whole tiles, then a narrower last one."""
        height, (whole, rest) = self.k.layer.target_shape[2], divmod(self.k.layer.target_shape[3], self.k.tile)
        with T.serial(begin, end) as unit:
            row, block = divided(natural(unit), self.k.across)
            n, y = divided(row, height)
            place = n, block, y
            with T.serial(0, whole) as index:
                self.tile(place, T.bind(index * self.k.tile), self.k.tile)
            if rest:
                self.tile(place, whole * self.k.tile, rest)

    def tile(self, place: tuple[Any, Any, Any], x: Any, pixels: int) -> None:
        k, layer, (n, block, y) = self.k, self.k.layer, place
        sums = [register(k.lanes) for _ in range(pixels)]
        bias = T.bind(self.vector("b", block * k.lanes))
        for total in sums:
            T.buffer_store(total, bias, [0])
        with T.serial(0, layer.window[0]) as ky, T.serial(0, layer.window[1] // k.unroll) as run:
            row = T.bind(y * layer.stride[0] + ky * layer.dilation[0] - layer.padding[0])
            first = T.bind(x * layer.stride[1] + run * (k.unroll * layer.dilation[1]) - layer.padding[1])
            self.accumulate(sums, place, row, first, (ky, run))
        for t, total in enumerate(sums):
            value = self.through_epilogue(T.BufferLoad(total, [0]), n, block, y, x + t)
            self.y.store(value, n, block, y, x + t, k.lanes)

    def accumulate(self, sums: list[Any], place: tuple[Any, ...], row: Any, first: Any, tap: tuple[Any, Any]) -> None:
        """One run of taps of a row into all sums, column by column of the picture."""
        k, layer, (n, block, _), (ky, run) = self.k, self.k.layer, place, tap
        lanes = T.ramp(0, 1, k.lanes)
        weights = [
            T.bind(T.BufferLoad(self.buffers["w"], [block, ky, run * k.unroll + kx, lanes])) for kx in range(k.unroll)
        ]
        wanted: dict[int, list[tuple[int, int]]] = {}
        for t in range(len(sums)):
            for kx in range(k.unroll):
                wanted.setdefault(t * layer.stride[1] + kx * layer.dilation[1], []).append((t, kx))
        for column, pairs in sorted(wanted.items()):
            value = T.bind(self.x.load(n, block, row, first + column, k.lanes))
            for t, kx in pairs:
                total = sums[t]
                T.buffer_store(total, fma(value, weights[kx], T.BufferLoad(total, [0]), k.lanes), [0])
