"""What sizes lie between, and which conditions on them that decides.

Two domains answer where sympy alone cannot: intervals, by which a sum or a product of bounded sizes is bounded, and,
for symbols that take a few values only, all of these values. Congruence needs no domain of its own: a size that is
known to be even is written ``2 * h`` before, and sympy divides it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, reduce
from typing import TypeAlias

import numpy as np
import sympy
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._sympy.functions import FloorDiv, Where
from torch.utils._sympy.interp import sympy_interp
from torch.utils._sympy.reference import TensorReferenceAnalysis

from dydca.analysis.facts import Size

Sizes: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]
Condition: TypeAlias = bool | sympy.Basic
End: TypeAlias = int | sympy.Expr
Span: TypeAlias = tuple[End, End]
"""The least and the largest value, both included; infinite where there is none, an expression where it depends."""

Ranges: TypeAlias = Mapping[sympy.Symbol, Span]
"""What symbols lie between; a symbol that is not named stands for itself."""

MOST_POINTS = 1 << 12
"""Combinations of values that are tried to decide a condition."""

_EVERYTHING: Span = (-sympy.oo, sympy.oo)


def span(size: Size, ranges: Ranges) -> Span:
    """What a size lies between when its symbols lie in their ranges."""
    if isinstance(size, int) or size.is_number:
        return size, size
    if size.is_Symbol:
        return ranges.get(size, (size, size))
    parts = [span(part, ranges) for part in size.args if not isinstance(part, tuple | sympy.Tuple)]
    if size.is_Add:
        return sum(low for low, _ in parts), sum(high for _, high in parts)
    if size.is_Mul:
        return reduce(_product, parts)
    if isinstance(size, sympy.floor | sympy.ceiling | sympy.Max | sympy.Min):
        return size.func(*(low for low, _ in parts)), size.func(*(high for _, high in parts))
    if isinstance(size, sympy.Pow) and _is_nonnegative(parts[0][0]) and size.exp.is_Integer and size.exp > 0:
        return parts[0][0] ** size.exp, parts[0][1] ** size.exp
    if isinstance(size, sympy.Mod) and _is_nonnegative(parts[1][0]):
        return 0, parts[1][1] - 1
    return _EVERYTHING


def _product(a: Span, b: Span) -> Span:
    """Of two sizes that are both not negative, or of numbers."""
    if _is_nonnegative(a[0]) and _is_nonnegative(b[0]):
        return a[0] * b[0], _times(a[1], b[1])
    ends = [_times(m, n) for m in a for n in b]
    if all(sympy.sympify(end).is_extended_real and sympy.sympify(end).is_number for end in ends):
        return min(ends), max(ends)
    for one, other in ((a, b), (b, a)):
        if one[0] == one[1] and sympy.sympify(one[0]).is_negative and _is_nonnegative(other[0]):
            return _times(one[0], other[1]), _times(one[0], other[0])
    return _EVERYTHING


def _times(a: End, b: End) -> End:
    """0 times an unbounded size is 0."""
    return 0 if a == 0 or b == 0 else a * b


def _is_nonnegative(end: End) -> bool:
    return bool(sympy.sympify(end).is_extended_nonnegative)


def decide(condition: Condition, ranges: Ranges) -> Condition:
    """True or False where the ranges decide, else the condition."""
    if isinstance(condition, bool) or not condition.free_symbols & ranges.keys():
        return condition
    found = _by_intervals(condition, ranges)
    return _by_trial(condition, ranges) if found is None else found


def _by_intervals(condition: sympy.Basic, ranges: Ranges) -> bool | None:
    if isinstance(condition, sympy.And | sympy.Or):
        answers = [_by_intervals(part, ranges) for part in condition.args]
        settling = isinstance(condition, sympy.Or)  # one true part settles an or, one false part an and
        return settling if settling in answers else None if None in answers else not settling
    if isinstance(condition, sympy.Not):
        answer = _by_intervals(condition.args[0], ranges)
        return None if answer is None else not answer
    if not isinstance(condition, sympy.core.relational.Relational):
        return {sympy.true: True, sympy.false: False}.get(condition)
    low, high = (sympy.sympify(end) for end in span(sympy.expand(condition.lhs - condition.rhs), ranges))
    return _by_sign(condition.func, low, high)


def _by_sign(relation: type[sympy.Basic], low: sympy.Expr, high: sympy.Expr) -> bool | None:
    """Whether a difference in ``low..high`` stands in the relation to 0."""
    apart = bool(low.is_extended_positive or high.is_extended_negative)
    if relation in (sympy.Eq, sympy.Ne):
        return (relation is sympy.Ne) if apart else None
    if relation in (sympy.Le, sympy.Lt):
        low, high = -high, -low
    if relation in (sympy.Ge, sympy.Le):
        return True if low.is_extended_nonnegative else False if high.is_extended_negative else None
    return True if low.is_extended_positive else False if high.is_extended_nonpositive else None


def _by_trial(condition: sympy.Basic, ranges: Ranges) -> Condition:
    """Every combination of values, if they are few."""
    symbols = sorted(condition.free_symbols, key=str)
    lists = [_values(ranges.get(symbol)) for symbol in symbols]
    known = [values for values in lists if values is not None]
    if len(known) < len(lists) or np.prod([float(len(values)) for values in known]) > MOST_POINTS:
        return condition
    holds = truth(condition, dict(zip(symbols, np.meshgrid(*known, indexing="ij", sparse=True), strict=True)))
    return True if holds.all() else condition if holds.any() else False


def _values(ends: Span | None) -> Sequence[int] | None:
    if ends is None or not all(isinstance(end, int) or end.is_Integer for end in ends):
        return None
    low, high = map(int, ends)
    return range(low, high + 1) if high - low < MOST_POINTS else None


def truth(condition: sympy.Basic, sizes: Mapping[sympy.Symbol, Sizes]) -> Flags:
    """The condition at all sizes at once; arrays of sizes broadcast."""
    values = {symbol: torch.from_numpy(numbers) for symbol, numbers in sizes.items()}
    holds: Flags = sympy_interp(_Pointwise, values, _whole(condition)).numpy()
    return holds


@cache
def _whole(condition: sympy.Basic) -> sympy.Basic:
    """With divisions that are rounded as divisions of integers, for floats would round first; cases as choices."""
    exact = condition.replace(sympy.floor, lambda size: FloorDiv(*size.as_numer_denom()))
    exact = exact.replace(sympy.ceiling, lambda size: -FloorDiv(*(-size).as_numer_denom()))
    return exact.replace(sympy.Piecewise, _choice)


def _choice(*cases: tuple[sympy.Expr, sympy.Basic]) -> sympy.Expr:
    """The value of the first case that holds; -1, which is no size, where none does."""
    return reduce(lambda others, case: Where(case[1], case[0], others), reversed(cases), sympy.Integer(-1))


class _Pointwise(TensorReferenceAnalysis):
    """PyTorch's own evaluation of size expressions on tensors, with what it leaves out; sizes are not negative.

    Divided by 0 is what no condition on sizes holds for, so that a region does not take a patch by it.
    """

    @staticmethod
    def mod(a: Tensor, b: Tensor) -> Tensor:  # type: ignore[override]  # PyTorch has it raise
        return torch.where(b == 0, 1, a % torch.where(b == 0, 1, b))  # nothing is a multiple of 0

    python_mod = mod

    @staticmethod
    def floordiv(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(b == 0, -1, a // torch.where(b == 0, 1, b))  # -1 is no size

    @staticmethod
    def int_truediv(a: Tensor, b: Tensor) -> Tensor:
        return a.double() / b.double()

    @staticmethod
    def where(holds: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return torch.where(holds, a, b)

    @staticmethod
    def modular_indexing(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        return _Pointwise.mod(_Pointwise.floordiv(a, b), c)
