"""Intervals of values: what the elements of a tensor lie between, for each entry of one axis apart.

An interval is sound: no element that the network computes in its own precision lies outside. Arithmetic here is that of
the real numbers in float64; `rounded` widens its result outward to the numbers of an element type, and what rounds more
than once (sums, approximations of functions) is widened by `stretched` first. An infinite end says that nothing is
known on that side, and that the element may be infinite.

Source of the error of sums: Higham, Accuracy and Stability of Numerical Algorithms, section 3.1.
"""

from __future__ import annotations

import math
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.weak import WeakIdKeyDictionary

Ends: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]

LONGEST_AXIS = 4096
"""Entries of an axis that are told apart; a longer axis has one interval."""

LARGEST_COUNT = 1 << 24
"""Elements that a mean is taken to have at most while their number is a symbol."""

_UNITS = {torch.float32: 2.0**-24, torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8, torch.float64: 2.0**-53}
_GRIDS: dict[torch.dtype | None, Any] = {torch.float32: np.float32, torch.float16: np.float16}


@dataclass(frozen=True, eq=False, slots=True)
class Interval:
    """``ends[0] <= element <= ends[1]`` for every element that is a number.

    Attributes:
        ends: Float64 ``[2, n]``, the lower and the upper ends, one pair per entry of `axis`; n is 1 without an axis.
        axis: The axis whose entries are told apart, counted from the back (-3: the channels of a picture), or None.
        nan: Whether an element may be not a number.
    """

    ends: Ends
    axis: int | None = None
    nan: bool = False

    @property
    def low(self) -> float:
        """The least value of any element."""
        return float(self.ends[0].min())

    @property
    def high(self) -> float:
        """The largest value of any element."""
        return float(self.ends[1].max())

    @property
    def magnitude(self) -> float:
        """The largest absolute value of any element."""
        return max(-self.low, self.high)

    @property
    def bounded(self) -> bool:
        """Whether every element is known to be finite."""
        return bool(np.isfinite(self.ends).all()) and not self.nan

    def within(self, low: float, high: float) -> bool:
        """Whether no number lies outside ``low..high``."""
        return self.low >= low and self.high <= high

    def holds(self, other: Interval) -> bool:
        """Whether `other` lies inside, entry by entry."""
        mine, theirs, _ = _aligned(self, other)
        return bool((mine[0] <= theirs[0]).all() and (mine[1] >= theirs[1]).all()) and self.nan >= other.nan

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Interval)
            and (self.axis, self.nan) == (other.axis, other.nan)
            and np.array_equal(self.ends, other.ends)
        )

    def __hash__(self) -> int:
        return hash((self.ends.tobytes(), self.axis, self.nan))

    def __str__(self) -> str:
        """``[-0.3, 1]``, and whether an element may be not a number."""
        return f"[{self.low + 0.0:.4g}, {self.high + 0.0:.4g}]" + (" or NaN" if self.nan else "")

    def __neg__(self) -> Interval:
        return Interval(-self.ends[::-1], self.axis, self.nan)

    def __add__(self, other: Interval) -> Interval:
        if self is UNKNOWN or other is UNKNOWN:
            return UNKNOWN
        a, b, axis = _aligned(self, other)
        opposed = np.isinf(a) & np.isinf(b[::-1])
        with np.errstate(invalid="ignore"):
            return _made(a + b, axis, self.nan or other.nan or bool(opposed.any()))

    def __sub__(self, other: Interval) -> Interval:
        return self + -other

    def __mul__(self, other: Interval) -> Interval:
        if self is UNKNOWN and other is UNKNOWN:
            return UNKNOWN
        a, b, axis = _aligned(self, other)
        vague = (_infinite(a) & _has_zero(b)) | (_infinite(b) & _has_zero(a))
        with np.errstate(invalid="ignore", over="ignore"):
            return _extremes(a[:, None] * b, axis, self.nan or other.nan or bool(vague.any()))

    def __truediv__(self, other: Interval) -> Interval:
        a, b, axis = _aligned(self, other)
        vague = (_has_zero(a) & _has_zero(b)) | (_infinite(a) & _infinite(b))
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            quotient = _extremes(a[:, None] / b, axis, self.nan or other.nan or bool(vague.any()))
        return replace(quotient, ends=np.where(_has_zero(b), [[-np.inf], [np.inf]], quotient.ends))

    def __or__(self, other: Interval) -> Interval:
        """The smallest interval that holds both."""
        a, b, axis = _aligned(self, other)
        return _pair(np.minimum(a[0], b[0]), np.maximum(a[1], b[1]), axis, self.nan or other.nan)

    def larger(self, other: Interval) -> Interval:
        """Of ``max(a, b)``."""
        a, b, axis = _aligned(self, other)
        return Interval(np.maximum(a, b), axis, self.nan or other.nan)

    def smaller(self, other: Interval) -> Interval:
        """Of ``min(a, b)``."""
        a, b, axis = _aligned(self, other)
        return Interval(np.minimum(a, b), axis, self.nan or other.nan)

    def clipped(self, low: float = -np.inf, high: float = np.inf) -> Interval:
        """Of ``clamp(a, low, high)``, or of a function whose range is known."""
        return Interval(self.ends.clip(low, high), self.axis, self.nan)

    def collapsed(self) -> Interval:
        """One interval for all entries."""
        return self if self.axis is None else Interval(np.array([[self.low], [self.high]]), None, self.nan)

    def along(self, axis: int) -> Interval:
        """With the entries of `axis` told apart, or none."""
        return self if self.axis in (None, axis) else self.collapsed()

    def moved(self, axis: int | None) -> Interval:
        """Of the same elements, whose axis now lies elsewhere; None if it is gone."""
        return self if self.axis is None else self.collapsed() if axis is None else Interval(self.ends, axis, self.nan)

    def entries(self, count: int) -> Ends:
        """The ends ``[2, count]`` of each of the `count` entries of the axis."""
        return np.broadcast_to(self.ends, (2, count))

    def stretched(self, part: float, absolute: float = 0.0) -> Interval:
        """With each end moved outward by a part of itself and by an amount; no end changes its sign."""
        by = np.abs(self.ends)
        by[np.isinf(by)] = 0.0
        by = by * part + absolute
        low, high = self.ends[0] - by[0], self.ends[1] + by[1]
        low[(low < 0) & (self.ends[0] >= 0)] = 0.0
        high[(high > 0) & (self.ends[1] <= 0)] = 0.0
        return _pair(low, high, self.axis, self.nan)

    def summed(self, count: int | None, dtype: torch.dtype | None) -> Interval:
        """Of the sum of `count` elements in any order; None says that their number is not known."""
        if count is None:
            low, high = np.where(self.ends[0] >= 0, 0, -np.inf), np.where(self.ends[1] <= 0, 0, np.inf)
            return _pair(low, high, self.axis, nan=True)
        vague = bool(np.isinf(self.ends).all(0).any())  # infinities of both signs
        with np.errstate(invalid="ignore"):
            return _made(self.ends * count, self.axis, self.nan or vague).stretched(growth(count, dtype))

    def rounded(self, dtype: torch.dtype | None) -> Interval | None:
        """Outward to the numbers of an element type; None if an integer type cannot hold them and wraps round."""
        if dtype is None or dtype.is_complex:
            return None
        if dtype.is_floating_point:
            ends = _rounded(self.ends, dtype)
            return self if ends is self.ends else Interval(ends, self.axis, self.nan)
        if dtype is torch.bool:
            return self.clipped(0, 1)
        limits = torch.iinfo(dtype)
        return self if self.within(limits.min, limits.max) and not self.nan else None


def _aligned(a: Interval, b: Interval) -> tuple[Ends, Ends, int | None]:
    """Ends that broadcast, and the axis they run along; of two different axes that of `a` is kept.

    While sizes are symbols, axes of different size may meet; that they are equal is then assumed elsewhere.
    """
    if a.axis is None or b.axis is None or (a.axis == b.axis and a.ends.shape == b.ends.shape):
        return a.ends, b.ends, b.axis if a.axis is None else a.axis
    return a.ends, b.collapsed().ends, a.axis


def _extremes(results: NDArray[np.float64], axis: int | None, nan: bool) -> Interval:
    """The least and the largest of an operation on all four pairs of ends; 0 times infinity is 0, its limit."""
    rows = results.reshape(4, -1)
    rows[np.isnan(rows)] = 0.0
    return _pair(np.minimum.reduce(rows), np.maximum.reduce(rows), axis, nan)


def _pair(low: Ends, high: Ends, axis: int | None, nan: bool) -> Interval:
    ends = np.empty((2, low.shape[0]))
    ends[0], ends[1] = low, high
    return Interval(ends, axis, nan)


def _made(ends: Ends, axis: int | None, nan: bool) -> Interval:
    """With what came out as inf - inf taken for unknown."""
    return Interval(np.where(np.isnan(ends), [[-np.inf], [np.inf]], ends), axis, nan)


def _infinite(ends: Ends) -> Flags:
    return np.asarray(np.isinf(ends).any(0))


def _has_zero(ends: Ends) -> Flags:
    return np.asarray((ends[0] <= 0) & (ends[1] >= 0))


def _rounded(ends: Ends, dtype: torch.dtype) -> Ends:
    if dtype not in _GRIDS:
        return ends if dtype is torch.float64 else ends + np.abs(ends) * [[-_UNITS[dtype]], [_UNITS[dtype]]] * 2
    grid = _GRIDS[dtype]
    with np.errstate(over="ignore"):
        near = ends.astype(grid)
    back = near.astype(np.float64)
    if (back == ends).all():
        return ends
    back[0] = np.where(back[0] > ends[0], np.nextafter(near[0], grid(-np.inf)), near[0])
    back[1] = np.where(back[1] < ends[1], np.nextafter(near[1], grid(np.inf)), near[1])
    return back


def growth(terms: int, dtype: torch.dtype | None) -> float:
    """How much a sum of so many terms may be off, as a part of the sum of their absolute values; integers never are."""
    return math.expm1(min(terms * _UNITS.get(dtype or torch.float32, 0.0), 100.0))


def point(value: float) -> Interval:
    """Of a number that is known."""
    return Interval(np.full((2, 1), value, np.float64), None, value != value)


def spanning(low: float, high: float, *, nan: bool = False) -> Interval:
    """``[low, high]``."""
    return Interval(np.array([[low], [high]], np.float64), None, nan)


def entrywise(low: Sequence[float] | Ends, high: Sequence[float] | Ends, axis: int) -> Interval:
    """One interval per entry of `axis`."""
    return _pair(np.asarray(low, np.float64), np.asarray(high, np.float64), axis, nan=False)


def places(count: object) -> Interval:
    """``0..count - 1``; any place while the count is a symbol."""
    return spanning(0, max(count - 1, 0) if isinstance(count, int) else np.inf)


def joined(parts: Sequence[Interval], counts: Sequence[int | None], axis: int) -> Interval:
    """Of tensors one after the other along `axis`, with so many entries each."""
    if any(count is None for count in counts) or sum(count or 0 for count in counts) > LONGEST_AXIS:
        return union([part.collapsed() if part.axis == axis else part for part in parts])
    rows = [part.along(axis).entries(count or 0) for part, count in zip(parts, counts, strict=True)]
    return Interval(np.concatenate(rows, 1), axis, any(part.nan for part in parts))


def union(parts: Sequence[Interval]) -> Interval:
    """The smallest interval that holds all."""
    whole = parts[0]
    for part in parts[1:]:
        whole |= part
    return whole


UNKNOWN = spanning(-np.inf, np.inf, nan=True)
"""Of what nothing is known."""

_known: MutableMapping[torch.Tensor, Interval] = WeakIdKeyDictionary()


def interval_of(tensor: torch.Tensor) -> Interval:
    """Of a constant, told apart along its channels: the third axis from the back, or the only one that is longer."""
    if tensor not in _known:
        _known[tensor] = _measured(tensor)
    return _known[tensor]


def _measured(tensor: torch.Tensor) -> Interval:
    if not tensor.numel() or tensor.is_complex():
        return UNKNOWN
    values = tensor.detach().double().numpy()
    nan = bool(np.isnan(values).any())
    long = [axis for axis, size in enumerate(values.shape) if size > 1]
    axis = long[0] if len(long) == 1 else values.ndim - 3 if values.ndim >= 3 else values.ndim - 1
    if nan or not long or values.shape[axis] > LONGEST_AXIS:
        return spanning(np.nanmin(values), np.nanmax(values), nan=nan) if not np.isnan(values).all() else UNKNOWN
    others = tuple(other for other in range(values.ndim) if other != axis)
    return entrywise(values.min(others), values.max(others), axis - values.ndim)
