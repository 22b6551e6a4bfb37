"""Winograd's one-dimensional transforms as straight-line vector code.

Points come in pairs +p, -p: the rows of B^T of a pair share an even and an odd half, and so do the columns of A^T.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from dydca.lower.kernels.epilogue import splat
from dydca.lower.kernels.winograd_points import transforms
from dydca.lower.tvm_api import T, fma

Terms = Sequence[tuple[Fraction, Any]]


def transform_input(m: int, d: Sequence[Any], lanes: int) -> list[Any]:
    """``B^T d`` for m + 2 vectors."""
    bt = transforms(m).bt
    out = [_combine(list(zip(bt[0], d, strict=True)), lanes)]
    for plus in bt[1:-1:2]:
        terms = list(zip(plus, d, strict=True))
        # Rows are monic of even degree, so the odd half alone may need a factor.
        factor = next(c for c, _ in reversed(terms[1::2]) if c)
        even = _combine(terms[::2], lanes)
        odd = _combine([(c / factor, x) for c, x in terms[1::2]], lanes)
        out += [_add(even, factor, odd, lanes), _add(even, -factor, odd, lanes)]
    return [*out, _combine(list(zip(bt[-1], d, strict=True)), lanes)]


def transform_output(m: int, x: Sequence[Any], bias: Any | None, lanes: int) -> list[Any]:
    """``A^T x + bias`` for m + 2 vectors; the bias may be None."""
    pairs = [(x[k], x[k + 1]) for k in range(1, m + 1, 2)]
    halves = ([T.bind(p + q) for p, q in pairs], [T.bind(p - q) for p, q in pairs])
    constant = [] if bias is None else [(Fraction(1), bias)]
    out = []
    for power, row in enumerate(transforms(m).at):
        terms = [(row[0], x[0]), (row[-1], x[-1]), *zip(row[1:-1:2], halves[power % 2], strict=True)]
        out.append(_combine([*constant, *terms], lanes))
    return out


def _combine(terms: Terms, lanes: int) -> Any:
    """The sum of coefficient times vector, beginning with a coefficient of 1 if there is one."""
    (first, start), *rest = sorted(((c, x) for c, x in terms if c), key=lambda term: term[0] != 1)
    total = start if first == 1 else T.bind(start * splat(float(first), lanes))
    for coefficient, x in rest:
        total = _add(total, coefficient, x, lanes)
    return total


def _add(total: Any, coefficient: Fraction, x: Any, lanes: int) -> Any:
    if abs(coefficient) == 1:
        return T.bind(total + x if coefficient > 0 else total - x)
    return T.bind(fma(splat(float(coefficient), lanes), x, total, lanes))
