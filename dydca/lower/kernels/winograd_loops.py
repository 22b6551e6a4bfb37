"""The loops of the Winograd kernel: transform a batch of tiles, multiply frequency by frequency, transform back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dydca.lower.kernels.epilogue import apply
from dydca.lower.kernels.winograd_points import TAPS
from dydca.lower.kernels.winograd_transform import (
    Vectors,
    Work,
    input_work,
    output_work,
    transform_input,
    transform_output,
)
from dydca.lower.tvm_api import T, fma, register

if TYPE_CHECKING:
    from dydca.lower.kernels.winograd import WinogradConv

UNROLL = 4
"""Input channels per iteration of the matrix products' inner loop."""

LINE = 16
"""Floats between the planes of two frequencies beyond their size, so that powers of two do not share cache sets."""


class Scratch:
    """Where V, M, halfway results, a turned tile and the coefficients lie in the kernel's scratch, in floats."""

    def __init__(self, k: WinogradConv) -> None:
        frequencies = k.points**2
        self.v_tile, self.m_tile = k.source.blocks(k.source_shape[1]) * k.lanes, k.padded_channels
        self.v_plane, self.m_plane = k.batch * self.v_tile + LINE, k.batch * self.m_tile + LINE
        self.m_start = frequencies * self.v_plane
        self.halfway_start = self.m_start + frequencies * self.m_plane
        self.stage_start = self.halfway_start + frequencies * k.lanes
        self.table_start = self.stage_start + (k.m * k.m * k.padded_channels if k.planar else 0)
        self.floats = self.table_start + len(k.coefficients)


class Emitter:
    """Writes the loops of one kernel; the builder is open."""

    def __init__(self, k: WinogradConv, buffers: dict[str, Any]) -> None:
        self.k, self.buffers, self.at = k, buffers, Scratch(k)
        self.coefficients = k.coefficients
        # A picture lower or narrower than a tile computes outputs beyond its edge, which are not stored.
        self.height, self.width = (min(k.m, size) for size in k.target_shape[2:])

    def batches(self, begin: Any, end: Any) -> None:
        k = self.k
        for number, coefficient in enumerate(self.coefficients):
            T.buffer_store(self.buffers["scratch"], T.float32(float(coefficient)), [self.at.table_start + number])
        with T.serial(begin, end) as unit:
            first = T.bind(unit * k.batch)
            filled = k.batch if k.count % k.batch == 0 else T.bind(T.min(k.batch, k.count - first))
            on = self.arithmetic(input_work(k.m))
            with T.serial(0, filled) as slot:
                self.input_tile(first, slot, on)
            with T.serial(0, k.points**2) as frequency, T.serial(0, k.groups) as group:
                self.multiply(frequency, group)
            on = self.arithmetic(output_work(k.m))
            with T.serial(0, filled) as slot:
                self.output_tile(first, slot, on)

    def arithmetic(self, work: Work) -> Vectors:
        """The coefficients of one transform in registers.

        As constants they would be hoisted out of all loops, and displace the sums of the products between.
        """
        splats = {}
        for coefficient in work.coefficients:
            place = self.at.table_start + self.coefficients.index(coefficient)
            one = T.BufferLoad(self.buffers["scratch"], [place])
            splats[coefficient] = T.bind(T.Broadcast(one, self.k.lanes))
        return Vectors(self.k.lanes, splats)

    def place(self, tile: Any) -> tuple[Any, Any, Any]:
        """The picture of a tile, and its row and column of tiles."""
        rows, columns = self.k.tiles
        row = T.bind(tile // columns)
        return (0 if self.k.target_shape[0] == 1 else T.bind(row // rows)), T.bind(row % rows), T.bind(tile % columns)

    def origin(self, index: Any, axis: int) -> Any:
        """The first output row (axis 0) or column (1) of a tile; the last tile is moved in from the edge."""
        size, m = self.k.target_shape[2 + axis], self.k.m
        return T.bind(index * m if size % m == 0 else T.min(index * m, max(size - m, 0)))

    def input_tile(self, first: Any, slot: Any, on: Vectors) -> None:
        """``V = B^T d B`` of one tile, channel block by channel block."""
        k = self.k
        n, tile_row, tile_column = self.place(T.bind(first + slot))
        row = T.bind(self.origin(tile_row, 0) + (k.source.halo - k.padding[0]))
        column = T.bind(self.origin(tile_column, 1) + (k.source.halo - k.padding[1]))
        # A picture lower or narrower than a tile ends within it: there its last row or column is read again.
        low, narrow = (size < k.m for size in k.target_shape[2:])
        last = [size + TAPS - 2 + k.source.halo - p for size, p in zip(k.target_shape[2:], k.padding, strict=True)]
        with T.serial(0, k.source.blocks(k.source_shape[1])) as block:
            with T.serial(0, k.points) as i:
                y = T.min(row + i, last[0]) if low else row + i
                xs = [T.min(column + j, last[1]) if narrow else column + j for j in range(k.points)]
                d = [T.bind(T.BufferLoad(self.buffers["x"], [n, block, y, self.vector(x * k.lanes)])) for x in xs]
                for j, value in enumerate(transform_input(k.m, d, on)):
                    self.keep(value, self.halfway(i, j))
            with T.serial(0, k.points) as j:
                d = [self.kept(self.halfway(i, j)) for i in range(k.points)]
                start = T.bind(j * self.at.v_plane + slot * self.at.v_tile + block * k.lanes)
                for i, value in enumerate(transform_input(k.m, d, on)):
                    self.keep(value, start + i * k.points * self.at.v_plane)

    def multiply(self, frequency: Any, group: Any) -> None:
        """``M = V U`` of one frequency and output group."""
        k = self.k
        sums = [[register(k.lanes) for _ in range(k.vectors)] for _ in range(k.batch)]
        for total in (total for tile in sums for total in tile):
            T.buffer_store(total, T.Broadcast(T.float32(0), k.lanes), [0])
        start = T.bind(frequency * self.at.v_plane)
        with T.serial(0, k.channels // UNROLL) as step:
            first = T.bind(step * UNROLL)
            loaded = [self.kept(start + t * self.at.v_tile + first) for t in range(k.batch)] if k.by_lane else []
            for inner in range(UNROLL):
                index = [frequency, group, first + inner]
                weights = [
                    T.bind(T.BufferLoad(self.buffers["u"], [*index, v, self.vector(0)])) for v in range(k.vectors)
                ]
                for t, tile in enumerate(sums):
                    if k.by_lane:
                        one = T.Shuffle([loaded[t]], [inner])
                    else:
                        one = T.BufferLoad(self.buffers["scratch"], [start + t * self.at.v_tile + (first + inner)])
                    value = T.bind(T.Broadcast(one, k.lanes))
                    for total, w in zip(tile, weights, strict=True):
                        T.buffer_store(total, fma(value, w, T.BufferLoad(total, [0]), k.lanes), [0])
        start = T.bind(self.at.m_start + frequency * self.at.m_plane + group * k.vectors * k.lanes)
        for t, tile in enumerate(sums):
            for v, total in enumerate(tile):
                self.keep(T.BufferLoad(total, [0]), start + (t * self.at.m_tile + v * k.lanes))

    def output_tile(self, first: Any, slot: Any, on: Vectors) -> None:
        """``Y = A^T M A`` of one tile, through the epilogue to y.

        A tile moved in from the edge shares outputs with its neighbour, which alone stores them: two threads may
        be at the two tiles, and the two results differ in rounding.
        """
        k = self.k
        n, tile_row, tile_column = self.place(T.bind(first + slot))
        origin = self.origin(tile_row, 0), self.origin(tile_column, 1)
        own = T.bind(tile_row * k.m - origin[0]), T.bind(tile_column * k.m - origin[1])
        with T.serial(0, k.groups * k.vectors) as block:
            with T.serial(0, k.points) as j:
                start = T.bind(self.at.m_start + j * self.at.m_plane + slot * self.at.m_tile + block * k.lanes)
                x = [self.kept(start + i * k.points * self.at.m_plane) for i in range(k.points)]
                for i, value in enumerate(transform_output(k.m, x, None, on)):
                    self.keep(value, self.halfway(i, j))
            bias = T.bind(T.BufferLoad(self.buffers["b"], [block, self.vector(0)]))
            with T.serial(own[0], self.height) as i:
                x = [self.kept(self.halfway(i, j)) for j in range(k.points)]
                row = transform_output(k.m, x, bias, on)[: self.width]
                self.finish_row(row, n, block, T.bind(origin[0] + i), origin[1], own[1], i)
        if k.planar:
            self.turn(n, origin, own)

    def finish_row(self, row: list[Any], n: Any, block: Any, y: Any, column: Any, own: Any, i: Any) -> None:
        """Puts one row of a tile through the epilogue and stores it, or stages it if y is plain."""
        k = self.k
        for j, total in enumerate(row):
            # A column of the neighbour's goes where the first own one is stored next.
            x = T.bind(column + self.owned(j, own))

            def load(operand: int, x: Any = x) -> Any:
                halo = k.operands[operand].halo
                index = [block, self.vector(0)] if halo is None else [n, block, *self.pixel(y, x, halo)]
                return T.BufferLoad(self.buffers[f"operand{operand}"], index)

            value = apply(k.steps, total, load, k.lanes)
            if k.planar:
                self.keep(value, self.at.stage_start + (i * k.m + j) * k.padded_channels + block * k.lanes)
            else:
                T.buffer_store(self.buffers["y"], value, [n, block, *self.pixel(y, x, k.target.halo)])

    def owned(self, j: int, own: Any) -> Any:
        """Column j of a tile, or its first own column if that is further right."""
        width, m = self.k.target_shape[3], self.k.m
        return j if width % m == 0 or width < m or j >= m - width % m else T.max(own, j)

    def turn(self, n: Any, origin: tuple[Any, Any], own: tuple[Any, Any]) -> None:
        """Moves a staged tile [pixel, channel] to planes; `shuffle` channels in a row become neighbouring pixels."""
        k, r, halo = self.k, self.k.shuffle, self.k.target.halo
        with T.serial(0, k.target_shape[1] // r) as run, T.serial(own[0], self.height) as i:
            y = T.bind((origin[0] + i) * r + run % r + halo)
            for j in range(self.width):
                staged = self.at.stage_start + (i * k.m + j) * k.padded_channels + run * r
                x = (origin[1] + self.owned(j, own[1])) * r + halo
                source, target = (staged, x) if r == 1 else (T.ramp(staged, 1, r), T.ramp(x, 1, r))
                value = T.BufferLoad(self.buffers["scratch"], [source])
                T.buffer_store(self.buffers["y"], value, [n, run // r, y, target])

    def vector(self, start: Any) -> Any:
        return T.ramp(start, 1, self.k.lanes)

    def pixel(self, y: Any, x: Any, halo: int) -> tuple[Any, Any]:
        """Row and channels of one pixel in a blocked layout."""
        return y + halo, self.vector((x + halo) * self.k.lanes)

    def halfway(self, i: Any, j: Any) -> Any:
        """Where element (i, j) of a tile lies between the transforms of its two directions."""
        return self.at.halfway_start + (i * self.k.points + j) * self.k.lanes

    def keep(self, value: Any, start: Any) -> None:
        T.buffer_store(self.buffers["scratch"], value, [self.vector(start)])

    def kept(self, start: Any) -> Any:
        return T.bind(T.BufferLoad(self.buffers["scratch"], [self.vector(start)]))
