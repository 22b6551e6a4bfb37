"""Products of matrices that are both computed at run time, as attention has them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from dydca.lower.kernels.activations import splat
from dydca.lower.kernels.kernel import Kernel, Parameter, callers
from dydca.lower.tvm_api import PrimFunc, T, divided, fma, kernel, natural, register

ROWS = 4
"""Rows of a register tile."""


@dataclass(frozen=True)
class Product(Kernel):
    """``y = a @ b`` for plain a ``[..., M, K]`` and b ``[..., K, N]``, leading sizes broadcast as NumPy does.

    A tile of four rows by up to `vectors` vectors of columns stays in registers over all of K. The last tile of either
    side is moved in from the edge, or narrower than a vector. A unit is a row of tiles.

    Attributes:
        left: Shape of a, at least two sizes.
        right: Shape of b, as many sizes.
        lanes: Floats of a vector.
        vectors: Vectors of a tile's row.
    """

    left: tuple[int, ...]
    right: tuple[int, ...]
    lanes: int
    vectors: int = 4

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of y."""
        leading = (max(sizes) if 0 not in sizes else 0 for sizes in zip(self.left[:-2], self.right[:-2], strict=True))
        return *leading, self.left[-2], self.right[-1]

    @property
    def bands(self) -> int:
        """Rows of tiles in one matrix."""
        return -(-self.left[-2] // ROWS)

    @property
    def extent(self) -> int:
        return prod(self.shape[:-2]) * self.bands if prod(self.shape) else 0

    @property
    def macs(self) -> int:
        return prod(self.shape) * self.left[-1]

    def parameters(self) -> dict[str, Parameter]:
        return {"a": callers(*self.left), "b": callers(*self.right), "y": callers(*self.shape)}

    def emit(self) -> PrimFunc:
        with kernel(**self.parameters()) as ((a, b, y), begin, end, finished), T.serial(begin, end) as unit:
            matrix, band = divided(natural(unit), self.bands)
            rows = min(ROWS, self.left[-2])
            row = T.bind(T.min(band * ROWS, self.left[-2] - rows))
            _Emitter(self, a, b, y, self._leading(matrix), rows).across(row)
        return finished[0]

    def _leading(self, matrix: Any) -> list[Any]:
        """The place of a matrix in the leading sizes."""
        place = list[Any]()
        for size in reversed(self.shape[:-2]):
            matrix, index = divided(matrix, size)
            place.insert(0, index)
        return place


class _Emitter:
    def __init__(self, k: Product, a: Any, b: Any, y: Any, place: list[Any], rows: int) -> None:
        self.k, self.a, self.b, self.y, self.rows = k, a, b, y, rows
        self.place = place
        self.of_a, self.of_b = (
            [index if size > 1 else 0 for index, size in zip(place, shape, strict=False)] for shape in (k.left, k.right)
        )

    def across(self, row: Any) -> None:
        """The whole row of tiles from this row of y on: whole tiles, whole vectors, and a last one."""
        columns, lanes = self.k.right[-1], self.k.lanes
        width = self.k.vectors * lanes
        with T.serial(0, columns // width) as tile:
            self.tile(row, T.bind(tile * width), lanes, self.k.vectors)
        start = columns // width * width
        if vectors := (columns - start) // lanes:
            self.tile(row, start, lanes, vectors)
        if columns % lanes:
            narrow = min(lanes, columns)
            self.tile(row, columns - narrow, narrow, 1)

    def tile(self, row: Any, column: Any, lanes: int, vectors: int) -> None:
        """A tile of y, summed over all of K."""
        sums = [[register(lanes) for _ in range(vectors)] for _ in range(self.rows)]
        for total in (total for line in sums for total in line):
            T.buffer_store(total, splat(0.0, lanes), [0])

        def columns(v: int) -> Any:
            return column if lanes == 1 else T.ramp(column + v * lanes, 1, lanes)

        with T.serial(0, self.k.left[-1]) as k:
            factors = [T.bind(T.BufferLoad(self.b, [*self.of_b, k, columns(v)])) for v in range(vectors)]
            for i, line in enumerate(sums):
                one = T.BufferLoad(self.a, [*self.of_a, row + i, k])
                one = T.bind(one if lanes == 1 else T.Broadcast(one, lanes))
                for factor, total in zip(factors, line, strict=True):
                    T.buffer_store(total, fma(one, factor, T.BufferLoad(total, [0]), lanes), [0])
        for i, line in enumerate(sums):
            for v, total in enumerate(line):
                T.buffer_store(self.y, T.BufferLoad(total, [0]), [*self.place, row + i, columns(v)])
