"""Winograd's one-dimensional transforms as straight-line vector code.

Points come in pairs +p, -p: the rows of B^T of a pair share an even and an odd half, and so do the columns of A^T.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple, Protocol

from dydca.lower.kernels.winograd_points import transforms
from dydca.lower.tvm_api import T, fma

Terms = Sequence[tuple[Fraction, Any]]


class Arithmetic(Protocol):
    """The two operations of which the transforms consist."""

    def scale(self, coefficient: Fraction, x: Any) -> Any:
        """``coefficient * x``."""

    def add(self, total: Any, coefficient: Fraction, x: Any) -> Any:
        """``total + coefficient * x``."""


def transform_input(m: int, taps: int, d: Sequence[Any], on: Arithmetic) -> list[Any]:
    """``B^T d`` for m + taps - 1 vectors."""
    bt = transforms(m, taps).bt
    out = [_combine(list(zip(bt[0], d, strict=True)), on)]
    for plus in bt[1:-1:2]:
        terms = list(zip(plus, d, strict=True))
        # Rows are monic of even degree, so the odd half alone may need a factor.
        factor = next(c for c, _ in reversed(terms[1::2]) if c)
        even = _combine(terms[::2], on)
        odd = _combine([(c / factor, x) for c, x in terms[1::2]], on)
        out += [on.add(even, factor, odd), on.add(even, -factor, odd)]
    return [*out, _combine(list(zip(bt[-1], d, strict=True)), on)]


def transform_output(m: int, taps: int, x: Sequence[Any], bias: Any | None, on: Arithmetic) -> list[Any]:
    """``A^T x + bias`` for m + taps - 1 vectors; the bias may be None."""
    one = Fraction(1)
    pairs = [(x[k], x[k + 1]) for k in range(1, len(x) - 1, 2)]
    halves = [on.add(p, one, q) for p, q in pairs], [on.add(p, -one, q) for p, q in pairs]
    constant = [] if bias is None else [(one, bias)]
    out = []
    for power, row in enumerate(transforms(m, taps).at):
        terms = [(row[0], x[0]), (row[-1], x[-1]), *zip(row[1:-1:2], halves[power % 2], strict=True)]
        out.append(_combine([*constant, *terms], on))
    return out


def _combine(terms: Terms, on: Arithmetic) -> Any:
    """The sum of coefficient times vector: what has the same coefficient but for its sign is added up first."""
    by_size: dict[Fraction, list[tuple[Fraction, Any]]] = {}
    for coefficient, x in terms:
        if coefficient:
            by_size.setdefault(abs(coefficient), []).append((coefficient, x))
    parts = []
    for size in sorted(by_size, key=lambda size: size != 1):
        (factor, part), *others = sorted(by_size[size], key=lambda term: term[0] < 0)
        for other, x in others:
            part = on.add(part, other / factor, x)
        parts.append((factor, part))
    (factor, part), *others = parts
    total = part if factor == 1 else on.scale(factor, part)
    for factor, part in others:
        total = on.add(total, factor, part)
    return total


class Work(NamedTuple):
    """What one application of a transform takes: vector operations, and the coefficients other than 1 and -1."""

    operations: int
    coefficients: tuple[Fraction, ...]


@cache
def input_work(m: int, taps: int) -> Work:
    """The work of `transform_input`."""
    count = _Count()
    transform_input(m, taps, [None] * (m + taps - 1), count)
    return Work(count.operations, tuple(sorted(count.coefficients)))


@cache
def output_work(m: int, taps: int) -> Work:
    """The work of `transform_output` with a bias."""
    count = _Count()
    transform_output(m, taps, [None] * (m + taps - 1), 0, count)
    return Work(count.operations, tuple(sorted(count.coefficients)))


@dataclass
class _Count:
    """Arithmetic that only takes note."""

    operations: int = 0
    coefficients: set[Fraction] = field(default_factory=set)

    def scale(self, coefficient: Fraction, x: Any) -> Any:
        return self.add(x, coefficient, x)

    def add(self, total: Any, coefficient: Fraction, _x: Any) -> Any:
        self.operations += 1
        if abs(coefficient) != 1:
            self.coefficients.add(coefficient)
        return total


@dataclass(frozen=True)
class Vectors:
    """Arithmetic that emits vector code; `splats` holds a vector of each coefficient other than 1 and -1."""

    lanes: int
    splats: Mapping[Fraction, Any]

    def scale(self, coefficient: Fraction, x: Any) -> Any:
        return T.bind(x * self.splats[coefficient])

    def add(self, total: Any, coefficient: Fraction, x: Any) -> Any:
        if abs(coefficient) == 1:
            return T.bind(total + x if coefficient > 0 else total - x)
        return T.bind(fma(self.splats[coefficient], x, total, self.lanes))
