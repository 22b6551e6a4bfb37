"""The matrices of Winograd's minimal filtering F(m, r) from interpolation points (Toom-Cook), exact in fractions.

``y = A^T [(G g) * (B^T d)]`` computes m outputs of an r-tap filter g over a = m + r - 1 inputs d with a
multiplications: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016, arXiv 1509.09308, section 4.
A set of points is 0, pairs +p and -p, and infinity.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import NamedTuple

PAIRS: dict[int, tuple[Fraction, ...]] = {
    4: (Fraction(1),),
    # The usual pairs 1 and 2 make two to four times the rounding error, with hardly fewer operations.
    6: (Fraction(2, 3), Fraction(3, 2)),
    8: (Fraction(1), Fraction(2), Fraction(1, 2)),
}
"""The positive point of every pair, by a. Points and their reciprocals keep the powers in A^T and B^T small."""

Matrix = tuple[tuple[Fraction, ...], ...]


class Transforms(NamedTuple):
    """B^T [a, a], G [a, r] and A^T [m, a] with a = m + r - 1; rows of B^T are monic, G carries the divisors.

    Row (column of A^T) 0 belongs to the point 0, the last to infinity, 2k + 1 and 2k + 2 to +p and -p of pair k.
    """

    bt: Matrix
    g: Matrix
    at: Matrix


@cache
def transforms(m: int, taps: int) -> Transforms:
    """The matrices of F(m, taps), for as many points as `PAIRS` knows."""
    size = m + taps - 1
    points = [Fraction(0), *(sign * p for p in PAIRS[size] for sign in (1, -1))]
    others = [[q for q in points if q != p] for p in points]
    bt = [_polynomial(roots, size) for roots in (*others, points)]
    g = [tuple(p**j / _value(roots, p) for j in range(taps)) for p, roots in zip(points, others, strict=True)]
    g.append((*[Fraction(0)] * (taps - 1), Fraction(1)))
    at = [(*(p**i for p in points), Fraction(i == m - 1)) for i in range(m)]
    return Transforms(tuple(bt), tuple(g), tuple(at))


def _polynomial(roots: Sequence[Fraction], size: int) -> tuple[Fraction, ...]:
    """Coefficients of the product of (x - root), lowest power first, padded with zeros."""
    product = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *product], [*(root * c for c in product), Fraction(0)]
        product = [s - r for s, r in zip(shifted, scaled, strict=True)]
    return tuple(product + [Fraction(0)] * (size - len(product)))


def _value(roots: Sequence[Fraction], x: Fraction) -> Fraction:
    product = Fraction(1)
    for root in roots:
        product *= x - root
    return product
