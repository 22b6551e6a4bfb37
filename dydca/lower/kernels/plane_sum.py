"""Sums over the whole plane of each channel: means, variances, deviations, with a fused epilogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dydca.lower.kernels.activations import splat
from dydca.lower.kernels.rows import Reach, RowEmitter, RowKernel
from dydca.lower.tvm_api import T, divided, fma, natural, register

RUNNING = 8
"""Sums of a row that are formed beside each other, so that none waits for its own last addition."""


@dataclass(frozen=True)
class PlaneSum(RowKernel):
    """``f(x) = sum(x) / divisor``, or ``sum((x - mean)^2) / divisor``, over H and W, between pictures in blocks.

    A unit is a block of channels of a picture, so the number of threads changes no bit. Rows are summed on their own
    before they are added up: the error grows with the longest row and the number of rows, not with their product.

    Attributes:
        divisor: 0 where PyTorch divides by nothing: the result is not a number.
        centred: Whether it is the squares of the differences from the mean that are summed.
    """

    divisor: float
    centred: bool

    @property
    def across(self) -> int:
        return self.layer.source.blocks(self.layer.source_shape[1])

    @property
    def padded_channels(self) -> int:
        return self.across * self.lanes

    @property
    def reaches(self) -> tuple[Reach | None, ...]:
        return (None, *super().reaches[1:])

    def write(self, buffers: dict[str, Any], begin: Any, end: Any) -> None:
        _Emitter(self, buffers).planes(begin, end)


class _Emitter(RowEmitter[PlaneSum]):
    def planes(self, begin: Any, end: Any) -> None:
        lanes, (_, _, height, width) = self.k.lanes, self.k.layer.source_shape
        with T.serial(begin, end) as unit:
            n, block = divided(natural(unit), self.k.across)

            def value(y: Any, x: Any) -> Any:
                return T.bind(self.x.load(n, block, y, x, lanes))

            total = self.sum(value, splat(1.0, lanes))
            if self.k.centred:
                mean = T.bind(total * splat(1 / (height * width), lanes))
                total = self.sum(lambda y, x: T.bind(value(y, x) - mean))
            factor = 1 / self.k.divisor if self.k.divisor else float("nan")
            result = T.bind(total * splat(factor, lanes))
            self.y.store(self.through_epilogue(result, n, block, 0, 0), n, block, 0, 0, lanes)

    def sum(self, term: Callable[[Any, Any], Any], factor: Any = None) -> Any:
        """The sum over a plane of a term times a factor, or times itself."""
        lanes, (_, _, height, width) = self.k.lanes, self.k.layer.source_shape
        total, sums = register(lanes), [register(lanes) for _ in range(min(RUNNING, width))]

        def add(y: Any, x: Any, into: Any) -> None:
            v = term(y, x)
            T.buffer_store(into, fma(v, v if factor is None else factor, T.BufferLoad(into, [0]), lanes), [0])

        T.buffer_store(total, splat(0.0, lanes), [0])
        whole, rest = divmod(width, len(sums))
        with T.serial(0, height) as y:
            for running in sums:
                T.buffer_store(running, splat(0.0, lanes), [0])
            with T.serial(0, whole) as index:
                for number, running in enumerate(sums):
                    add(y, index * len(sums) + number, running)
            for number in range(rest):
                add(y, whole * len(sums) + number, sums[number])
            T.buffer_store(total, T.BufferLoad(total, [0]) + _pairwise([T.BufferLoad(s, [0]) for s in sums]), [0])
        return T.bind(T.BufferLoad(total, [0]))


def _pairwise(terms: list[Any]) -> Any:
    if len(terms) == 1:
        return terms[0]
    middle = len(terms) // 2
    return T.bind(_pairwise(terms[:middle]) + _pairwise(terms[middle:]))
