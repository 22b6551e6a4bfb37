"""The loops of the Winograd kernel: transform a batch of tiles, multiply frequency by frequency, transform back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dydca.lower.kernels.rows import RowEmitter
from dydca.lower.kernels.winograd_transform import (
    Vectors,
    Work,
    input_work,
    output_work,
    transform_input,
    transform_output,
)
from dydca.lower.tvm_api import T, divided, fma, natural, register

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
        self.v_tile, self.m_tile = k.layer.source.blocks(k.layer.source_shape[1]) * k.lanes, k.padded_channels
        self.v_plane, self.m_plane = k.batch * self.v_tile + LINE, k.batch * self.m_tile + LINE
        self.m_start = frequencies * self.v_plane
        self.halfway_start = self.m_start + frequencies * self.m_plane
        self.stage_start = self.halfway_start + frequencies * k.lanes
        self.table_start = self.stage_start + (k.m * k.m * k.padded_channels if k.planar else 0)
        self.floats = self.table_start + len(k.coefficients)


class Emitter(RowEmitter["WinogradConv"]):
    """Batch by batch."""

    def __init__(self, k: WinogradConv, buffers: dict[str, Any]) -> None:
        super().__init__(k, buffers)
        self.at = Scratch(k)
        self.coefficients = k.coefficients

    def batches(self, begin: Any, end: Any) -> None:
        k = self.k
        for number, coefficient in enumerate(self.coefficients):
            T.buffer_store(self.buffers["scratch"], T.float32(float(coefficient)), [self.at.table_start + number])
        with T.serial(0, (end - begin + k.batch - 1) // k.batch) as index:
            first = T.bind(begin + index * k.batch)
            filled = T.bind(T.min(k.batch, end - first))
            on = self.arithmetic(input_work(k.m, k.taps))
            with T.serial(0, filled) as slot:
                self.input_tile(natural(first + slot), slot, on)
            with T.If(filled <= k.half):
                with T.Then():
                    self.multiply(k.half)
                with T.Else():
                    self.multiply(k.batch)
            on = self.arithmetic(output_work(k.m, k.taps))
            with T.serial(0, filled) as slot:
                self.output_tile(natural(first + slot), slot, on)

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
        """The picture of a tile, and its first output row and column.

        The first and the last row of tiles may stick out, but the last column is moved in from the edge.
        """
        k, width = self.k, self.k.layer.target_shape[3]
        row, column = divided(tile, k.across)
        n, band = divided(row, k.bands)
        x = T.bind(column * k.m if width % k.m == 0 else T.min(column * k.m, max(width - k.m, 0)))
        return n, T.bind(band * k.m - k.offset), x

    def input_tile(self, tile: Any, slot: Any, on: Vectors) -> None:
        """``V = B^T d B`` of one tile, channel block by channel block."""
        k = self.k
        n, y, x = self.place(tile)
        with T.serial(0, self.k.layer.source.blocks(self.k.layer.source_shape[1])) as block:
            with T.serial(0, k.points) as i:
                row = T.bind(self.inside(y + i, 0))
                columns = (self.inside(x + j, 1) for j in range(k.points))
                d = [T.bind(self.x.load(n, block, row, column, k.lanes)) for column in columns]
                for j, value in enumerate(transform_input(k.m, k.taps, d, on)):
                    self.keep(value, self.halfway(i, j))
            with T.serial(0, k.points) as j:
                d = [self.kept(self.halfway(i, j)) for i in range(k.points)]
                start = T.bind(j * self.at.v_plane + slot * self.at.v_tile + block * k.lanes)
                for i, value in enumerate(transform_input(k.m, k.taps, d, on)):
                    self.keep(value, start + i * k.points * self.at.v_plane)

    def inside(self, place: Any, axis: int) -> Any:
        """An input row (axis 0) or column (1) of a tile; where a tile sticks out, the outermost that there is."""
        k, size = self.k, self.k.layer.target_shape[2 + axis]
        begin, end = (-k.offset, k.bands * k.m - k.offset) if axis == 0 else (0, max(size, k.m))
        if begin < 0:
            place = T.max(place, 0)
        if end > size:
            place = T.min(place, size + k.taps - 2)
        return place - self.k.layer.padding[axis]

    def multiply(self, tiles: int) -> None:
        """``M = V U`` of so many tiles."""
        with T.serial(0, self.k.points**2) as frequency, T.serial(0, self.k.groups) as group:
            self.product(frequency, group, tiles)

    def product(self, frequency: Any, group: Any, tiles: int) -> None:
        """One frequency of one group of outputs."""
        k = self.k
        sums = [[register(k.lanes) for _ in range(k.vectors)] for _ in range(tiles)]
        for total in (total for tile in sums for total in tile):
            T.buffer_store(total, T.Broadcast(T.float32(0), k.lanes), [0])
        start = T.bind(frequency * self.at.v_plane)
        with T.serial(0, k.channels // UNROLL) as step:
            first = T.bind(step * UNROLL)
            loaded = [self.kept(start + t * self.at.v_tile + first) for t in range(tiles)] if k.by_lane else []
            for inner in range(UNROLL):
                index = [frequency, group, first + inner]
                weights = [
                    T.bind(T.BufferLoad(self.buffers["w"], [*index, v, T.ramp(0, 1, k.lanes)]))
                    for v in range(k.vectors)
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

    def output_tile(self, tile: Any, slot: Any, on: Vectors) -> None:
        """``Y = A^T M A`` of one tile, through the epilogue to y."""
        k, height = self.k, self.k.layer.target_shape[2]
        n, y, x = self.place(tile)
        columns = self.own_columns(tile, x)
        last = k.m if (height + k.offset) % k.m == 0 else T.bind(T.min(height - y, k.m))
        rows = T.bind(T.max(-y, 0)) if k.offset else 0, last
        with T.serial(0, k.groups * k.vectors) as block:
            with T.serial(0, k.points) as j:
                start = T.bind(self.at.m_start + j * self.at.m_plane + slot * self.at.m_tile + block * k.lanes)
                m = [self.kept(start + i * k.points * self.at.m_plane) for i in range(k.points)]
                for i, value in enumerate(transform_output(k.m, k.taps, m, None, on)):
                    self.keep(value, self.halfway(i, j))
            bias = T.bind(self.vector("b", block * k.lanes))
            with T.serial(*rows) as i:
                m = [self.kept(self.halfway(i, j)) for j in range(k.points)]
                totals = zip(transform_output(k.m, k.taps, m, bias, on), columns, strict=False)
                # A column that is not its own would be read, if y lies over an operand, after it has been stored.
                values = [T.bind(self.through_epilogue(total, n, block, y + i, column)) for total, column in totals]
                for j, (value, column) in enumerate(zip(values, columns, strict=True)):
                    if k.planar:
                        self.keep(value, self.staged(i, j) + block * k.lanes)
                    else:
                        self.y.store(value, n, block, y + i, column, k.lanes)
        if k.planar:
            with T.serial(0, self.k.layer.target_shape[1] // self.k.layer.shuffle) as run, T.serial(*rows) as i:
                for j, column in enumerate(columns):
                    self.scatter(n, run, y + i, column, self.staged(i, j) + run * self.k.layer.shuffle)

    def own_columns(self, tile: Any, x: Any) -> list[Any]:
        """Where the columns of a tile go, as many as the picture has.

        A tile moved in from the edge shares some with its neighbour, which alone stores them: two threads may be at
        the two tiles, and the two results differ in rounding. It puts them where its own first one is stored next.
        """
        m, width = self.k.m, self.k.layer.target_shape[3]
        if width % m == 0 or width < m:
            return [x + j for j in range(min(m, width))]
        own = T.bind(T.truncmod(tile, self.k.across) * m)
        return [T.bind(T.max(x + j, own)) if j < m - width % m else x + j for j in range(m)]

    def staged(self, i: Any, j: int) -> Any:
        """Where pixel (i, j) of a tile waits until all its channels are there."""
        return self.at.stage_start + (i * self.k.m + j) * self.k.padded_channels

    def halfway(self, i: Any, j: Any) -> Any:
        """Where element (i, j) of a tile lies between the transforms of its two directions."""
        return self.at.halfway_start + (i * self.k.points + j) * self.k.lanes
