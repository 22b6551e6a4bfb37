"""Resizing: each row and column of the result is a weighted sum of a few of the picture's, with a fused epilogue."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from dydca.lower.kernels.activations import splat
from dydca.lower.kernels.epilogue import apply
from dydca.lower.kernels.kernel import Parameter, aligned
from dydca.lower.kernels.lanes import interleaved
from dydca.lower.kernels.rows import Reach, RowEmitter, RowKernel
from dydca.lower.tvm_api import T, divided, fma, natural

SAME = 1e-5
"""Weights that differ by less are equal: PyTorch computes them in float32, from places that grow along the axis."""


class Taps(NamedTuple):
    """What the places along one axis of the result are made of.

    Attributes:
        size: Of the axis of the source.
        starts: By place, the first one of the source that is read.
        weights: By place, those of the sources from there on.
    """

    size: int
    starts: tuple[int, ...]
    weights: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, matrix: NDArray[np.float32]) -> Self:
        """The taps that a matrix [places, size] has other than 0."""
        size = matrix.shape[1]
        used = [np.flatnonzero(row) if row.any() else np.zeros(1, int) for row in matrix]
        count = max(int(places[-1] - places[0]) + 1 for places in used)
        starts = [min(int(places[0]), size - count) for places in used]
        rows = zip(matrix, starts, strict=True)
        return cls(size, tuple(starts), tuple(tuple(map(float, row[start : start + count])) for row, start in rows))

    @property
    def span(self) -> int:
        """How many sources a place has."""
        return len(self.weights[0])

    @property
    def table(self) -> NDArray[np.float32]:
        """Starts, then the weights of every tap, each over all places."""
        return np.column_stack([self.starts, self.weights]).T.astype(np.float32)

    @property
    def matrix(self) -> NDArray[np.float32]:
        """[places, size]."""
        whole = np.zeros((len(self.starts), self.size), np.float32)
        for row, start, weights in zip(whole, self.starts, self.weights, strict=True):
            row[start : start + len(weights)] = weights
        return whole

    @property
    def phases(self) -> tuple[dict[int, float], ...]:
        """Weights by distance for each place beside a source's own, if they are the same everywhere, else none.

        Beyond its ends the axis goes on with its first and last source.
        """
        return _phases(self)


@lru_cache(64)
def _phases(taps: Taps) -> tuple[dict[int, float], ...]:
    factor, rest = divmod(len(taps.starts), taps.size)
    if rest or taps.size <= 2 * taps.span:
        return ()
    middle = taps.size // 2
    found = tuple(
        {taps.starts[place] - middle + tap: weight for tap, weight in enumerate(taps.weights[place])}
        for place in range(middle * factor, (middle + 1) * factor)
    )
    repeated = np.zeros_like(taps.matrix)
    for place in range(len(taps.starts)):
        for distance, weight in found[place % factor].items():
            repeated[place, min(max(place // factor + distance, 0), taps.size - 1)] += weight
    return found if np.allclose(repeated, taps.matrix, rtol=0, atol=SAME) else ()


@dataclass(frozen=True)
class Resize(RowKernel):
    """``f(x)[y, x] = sum rows[y, i] columns[x, j] x[i, j]``, planes to planes or blocks to blocks.

    A unit is a row of a block of channels, or of one plane: rows are mixed into one in scratch, then its columns.
    """

    rows: Taps
    columns: Taps

    @property
    def across(self) -> int:
        return self.layer.source.blocks(self.layer.source_shape[1])

    @property
    def padded_channels(self) -> int:
        return self.across * self.layer.source.block

    @property
    def reaches(self) -> tuple[Reach | None, ...]:
        return (None, *super().reaches[1:])

    @property
    def margin(self) -> int:
        """Pixels of scratch on each side of the row."""
        return max((abs(distance) for phase in self.columns.phases for distance in phase), default=0)

    @property
    def scratch(self) -> int:
        return (self.columns.size + 2 * self.margin) * self.layer.source.block

    def constants(self) -> dict[str, Parameter]:
        return {name: aligned(values.size) for name, values in self.tables().items()}

    def tables(self) -> dict[str, NDArray[np.float32]]:
        return {"rows": self.rows.table, "columns": self.columns.table}

    def write(self, buffers: dict[str, Any], begin: Any, end: Any) -> None:
        _Emitter(self, buffers).units(begin, end)


class _Emitter(RowEmitter[Resize]):
    def __init__(self, k: Resize, buffers: dict[str, Any]) -> None:
        super().__init__(k, buffers)
        self.block, self.phases, self.margin = k.layer.source.block, k.columns.phases, k.margin
        self.width, self.stored = k.layer.source_shape[3], k.layer.target_shape[3]

    def units(self, begin: Any, end: Any) -> None:
        with T.serial(begin, end) as unit:
            row, part = divided(natural(unit), self.k.across)
            n, y = divided(row, self.k.layer.target_shape[2])
            self.mix_rows(n, part, y)
            if self.phases:
                self.extend()
            mix = self.mix_phases if self.phases else self.mix_columns
            self.along(self.width if self.phases else self.stored, lambda x, pixels: mix(n, part, y, x, pixels))

    def along(self, width: int, emit: Any) -> None:
        """Pixel by pixel in blocks; in planes as many as a vector has lanes, the last ones moved in from the edge."""
        pixels = 1 if self.block > 1 or width < self.k.lanes else self.k.lanes
        with T.serial(0, width // pixels) as index:
            emit(T.bind(index * pixels), pixels)
        if width % pixels:
            emit(width - pixels, pixels)

    def mix_rows(self, n: Any, part: Any, y: Any) -> None:
        count, places = self.k.rows.span, len(self.k.rows.starts)
        table = self.buffers["rows"]
        start = T.bind(T.cast(T.BufferLoad(table, [y]), "int32"))
        factors = [T.bind(T.BufferLoad(table, [y + (1 + tap) * places])) for tap in range(count)]

        def mix(x: Any, pixels: int) -> None:
            lanes = self.block * pixels
            terms = [self.x.load(n, part, start + tap, x, lanes) for tap in range(count)]
            self.put(self.sum(terms, [_wide(factor, lanes) for factor in factors], lanes), x, lanes)

        self.along(self.width, mix)

    def extend(self) -> None:
        """Repeats the first and the last pixel of scratch in its margins."""
        for side in range(1, self.margin + 1):
            self.put(self.at(0, 0, self.block), -side, self.block)
            self.put(self.at(self.width - 1, 0, self.block), self.width - 1 + side, self.block)

    def mix_phases(self, n: Any, part: Any, y: Any, x: Any, pixels: int) -> None:
        """All pixels of the result that lie beside some of the source's."""
        lanes, factor = self.block * pixels, len(self.phases)
        sums = [
            self.sum([self.at(x, d, lanes) for d in phase], [splat(w, lanes) for w in phase.values()], lanes)
            for phase in self.phases
        ]
        for number, value in enumerate(interleaved(sums, lanes) if pixels > 1 else sums):
            self.store(value, n, part, y, x * factor + number * pixels, pixels)

    def mix_columns(self, n: Any, part: Any, y: Any, x: Any, pixels: int) -> None:
        """Pixels of the result one after the other, each with its own start and weights."""
        lanes, table = self.block * pixels, self.buffers["columns"]

        def listed(row: int) -> Any:
            place = T.bind(x + row * self.stored)
            return T.bind(T.BufferLoad(table, [place if pixels == 1 else T.ramp(place, 1, pixels)]))

        start = T.bind(T.cast(listed(0), "int32" if pixels == 1 else f"int32x{pixels}"))
        terms, factors = [], []
        for tap in range(self.k.columns.span):
            if pixels == 1:
                terms.append(self.at(start, tap, lanes))
            else:
                terms.append(T.bind(T.BufferLoad(self.buffers["scratch"], [start + T.Broadcast(tap, pixels)])))
            factors.append(_wide(listed(1 + tap), lanes) if pixels == 1 else listed(1 + tap))
        self.store(self.sum(terms, factors, lanes), n, part, y, x, pixels)

    def sum(self, terms: list[Any], factors: list[Any], lanes: int) -> Any:
        total = T.bind(terms[0] * factors[0])
        for term, factor in zip(terms[1:], factors[1:], strict=True):
            total = T.bind(fma(term, factor, total, lanes))
        return total

    def at(self, x: Any, distance: int, lanes: int) -> Any:
        """Floats of scratch from a pixel on."""
        place = T.bind((x + (distance + self.margin)) * self.block)
        return T.bind(T.BufferLoad(self.buffers["scratch"], [place if lanes == 1 else T.ramp(place, 1, lanes)]))

    def put(self, value: Any, x: Any, lanes: int) -> None:
        """Stores floats in scratch from a pixel on."""
        place = T.bind((x + self.margin) * self.block)
        T.buffer_store(self.buffers["scratch"], value, [place if lanes == 1 else T.ramp(place, 1, lanes)])

    def store(self, value: Any, n: Any, part: Any, y: Any, x: Any, pixels: int) -> None:
        """Stores pixels of the result, through the epilogue."""
        lanes = self.block * pixels

        def load(number: int) -> Any:
            shape = self.k.layer.operands[number].shape
            return self.beside(number, n, part, y, x, lanes, varies=shape[1 if self.block > 1 else 3] > 1)

        self.y.store(apply(self.k.layer.steps, value, load, lanes), n, part, y, x, lanes)


def _wide(number: Any, lanes: int) -> Any:
    return number if lanes == 1 else T.Broadcast(number, lanes)
