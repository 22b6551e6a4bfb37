"""Arithmetic and comparisons on sizes: exact on integers, symbolic on sympy expressions.

The integer branch of every function never touches sympy, which keeps the analysis of a concrete patch fast.
A comparison answers True or False where it is decided, else the sympy condition under which it holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import sympy

from dydca.analysis.facts import Scalar, Size
from dydca.analysis.sizes import Condition


def floordiv(a: Scalar, b: Scalar) -> Size:
    """``a // b``, rounded towards minus infinity as Python does."""
    if b == 1 and isinstance(a, sympy.Basic) and not a.has(sympy.Float):
        return a  # H / 2 after a step that needs an even H is whole, which sympy cannot know
    if isinstance(a, sympy.Basic) or isinstance(b, sympy.Basic):
        return sympy.floor(sympy.sympify(a) / b)
    return a // b


def ceildiv(a: Scalar, b: Scalar) -> Size:
    """``a / b`` rounded up."""
    if isinstance(a, sympy.Basic) or isinstance(b, sympy.Basic):
        return sympy.ceiling(sympy.sympify(a) / b)
    return -floordiv(-a, b)


def modulo(a: Scalar, b: Scalar) -> Size:
    """``a % b`` with the sign of `b`."""
    if isinstance(a, sympy.Basic) or isinstance(b, sympy.Basic):
        return sympy.Mod(sympy.sympify(a), b)
    return a % b


def quotient(a: Size, b: Size) -> Size:
    """``a / b`` where `b` is known to divide `a`; so ``quotient(H, 2) * 2`` is ``H`` again."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b
    return sympy.sympify(a) / b if isinstance(b, int) else sympy.cancel(sympy.sympify(a) / b)


def largest(a: Scalar, b: Scalar) -> Size:
    """The larger of two sizes."""
    if isinstance(a, sympy.Basic) or isinstance(b, sympy.Basic):
        return sympy.Max(a, b)
    return max(a, b)


def smallest(a: Scalar, b: Scalar) -> Size:
    """The smaller of two sizes."""
    if isinstance(a, sympy.Basic) or isinstance(b, sympy.Basic):
        return sympy.Min(a, b)
    return min(a, b)


def product(sizes: Iterable[Size]) -> Size:
    """The number of elements of a shape."""
    return math.prod(sizes)


def scaled(size: Size, scale: float) -> Size:
    """``int(size * scale)`` in double precision, as interpolation computes its output size."""
    if isinstance(size, int):
        return int(size * scale)
    return sympy.floor(size * (int(scale) if scale == int(scale) else sympy.Float(scale)))


def equal(a: Scalar, b: Scalar) -> Condition:
    """Whether two sizes are the same."""
    if not (isinstance(a, sympy.Basic) or isinstance(b, sympy.Basic)):
        return a == b
    return True if a == b else decided(sympy.Eq(sympy.sympify(a), b))


def at_least(a: Scalar, b: Scalar) -> Condition:
    """Whether ``a >= b``."""
    if not (isinstance(a, sympy.Basic) or isinstance(b, sympy.Basic)):
        return a >= b
    return decided(sympy.Ge(sympy.sympify(a), b))


def divides(divisor: Size, size: Size) -> Condition:
    """Whether `size` is a multiple of `divisor`."""
    return divisor == 1 or equal(modulo(size, divisor), 0)


def either(*conditions: Condition) -> Condition:
    """Whether at least one condition holds."""
    return decided(sympy.Or(*conditions)) if not any(condition is True for condition in conditions) else True


def decided(condition: sympy.Basic) -> Condition:
    """Turns sympy's own true and false into Python's."""
    if condition == sympy.true:
        return True
    return False if condition == sympy.false else condition
