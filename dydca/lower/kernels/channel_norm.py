"""Normalisation over the channels at each pixel, with a fused epilogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dydca.lower.kernels.activations import splat, square_root
from dydca.lower.kernels.lanes import across
from dydca.lower.kernels.rows import RowEmitter, RowKernel
from dydca.lower.tvm_api import T, divided, fma, natural, register


@dataclass(frozen=True)
class ChannelNorm(RowKernel):
    """``f(x) = (x - mean) / sqrt(var + eps)``, mean and biased variance over channels, between pictures in blocks.

    As many neighbouring pixels as a vector has lanes are worked on together: their sums come to lie in one vector. The
    variance is the mean square of differences from the mean. A unit is a row.
    """

    eps: float

    @property
    def across(self) -> int:
        return 1

    @property
    def stores_once(self) -> bool:
        return self.layer.target_shape[3] % self.lanes == 0

    @property
    def padded_channels(self) -> int:
        return self.layer.source.blocks(self.layer.source_shape[1]) * self.lanes

    @property
    def scratch(self) -> int:
        return 2 * self.lanes

    def write(self, buffers: dict[str, Any], begin: Any, end: Any) -> None:
        _Emitter(self, buffers).rows(begin, end)


class _Emitter(RowEmitter[ChannelNorm]):
    def __init__(self, k: ChannelNorm, buffers: dict[str, Any]) -> None:
        super().__init__(k, buffers)
        self.lanes = k.lanes
        _, self.channels, self.height, self.width = k.layer.source_shape

    def rows(self, begin: Any, end: Any) -> None:
        """Rows of tiles of a vector's length; the last one is moved in from the edge, or narrower than a vector."""
        with T.serial(begin, end) as unit:
            n, y = divided(natural(unit), self.height)
            with T.serial(0, self.width // self.lanes) as index:
                self.tile(n, y, T.bind(index * self.lanes), self.lanes)
            if self.width % self.lanes:
                start = max(self.width - self.lanes, 0)
                self.tile(n, y, start, self.width - start)

    def tile(self, n: Any, y: Any, x: Any, pixels: int) -> None:
        one, count = splat(1.0, self.lanes), splat(1 / self.channels, self.lanes)

        def value(block: Any, t: int) -> Any:
            return self.x.load(n, block, y, x + t, self.lanes)

        self.keep(self.sums(pixels, value, one) * count, 0)
        means = [self.kept_splat(t) for t in range(pixels)]
        variance = T.bind(self.sums(pixels, lambda block, t: value(block, t) - means[t]) * count)
        spread = square_root(T.bind(variance + splat(self.k.eps, self.lanes)), self.lanes)
        self.keep(one / spread, self.lanes)
        factors = [self.kept_splat(self.lanes + t) for t in range(pixels)]
        with T.serial(0, -(-self.channels // self.lanes)) as block:
            for t in range(pixels):
                normal = T.bind(T.bind(value(block, t) - means[t]) * factors[t])
                self.y.store(self.through_epilogue(normal, n, block, y, x + t), n, block, y, x + t, self.lanes)

    def sums(self, pixels: int, term: Callable[[Any, int], Any], factor: Any = None) -> Any:
        """By pixel, the sum over channels of a term times a factor, or times itself."""
        zero, (whole, rest) = splat(0.0, self.lanes), divmod(self.channels, self.lanes)
        totals = [register(self.lanes) for _ in range(pixels)]

        def add(block: Any, inside: Any) -> None:
            for t, total in enumerate(totals):
                v = T.bind(term(block, t))
                v = v if inside is None else T.bind(T.Select(inside, v, zero))
                T.buffer_store(
                    total, fma(v, v if factor is None else factor, T.BufferLoad(total, [0]), self.lanes), [0]
                )

        for total in totals:
            T.buffer_store(total, zero, [0])
        with T.serial(0, whole) as block:
            add(block, None)
        if rest:  # lanes beyond the channels hold anything
            add(whole, T.ramp(0, 1, self.lanes) < T.Broadcast(rest, self.lanes))
        found = [T.bind(T.BufferLoad(total, [0])) for total in totals]
        return across([*found, *[zero] * (self.lanes - pixels)], lambda a, b: a + b)

    def kept_splat(self, start: int) -> Any:
        """A vector of equal lanes from one float of scratch."""
        return T.bind(T.Broadcast(T.BufferLoad(self.buffers["scratch"], [start]), self.lanes))
