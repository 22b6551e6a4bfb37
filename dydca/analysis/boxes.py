"""Which elements of a tensor are read: a run of indices for every axis.

An axis that a view has put together from several is kept as its digits, most significant first, so that taking it apart
again loses nothing. Runs may reach beyond an axis, which is how a window lies over padding; `clipped` cuts them off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from torch.fx import Node

from dydca.analysis.facts import Size


@dataclass(frozen=True, slots=True)
class Run:
    """Indices of an axis, or of one digit of it.

    Attributes:
        size: Of the axis.
        low: The first index, minus infinity if all are read wherever the axis begins.
        high: The last.
        cause: The node that reads all of the axis, whatever is wanted of its result; None for a finite run.
    """

    size: Size
    low: float
    high: float
    cause: Node | None = None

    @property
    def endless(self) -> bool:
        """Whether all of the axis is read."""
        return math.isinf(self.low) or math.isinf(self.high)

    def moved(self, by: float) -> Run:
        """Counted from another origin."""
        return replace(self, low=self.low + by, high=self.high + by)

    def united(self, other: Run) -> Run:
        """The shortest run over both."""
        return Run(self.size, min(self.low, other.low), max(self.high, other.high), self.cause or other.cause)


Extent: TypeAlias = tuple[Run, ...]
"""An axis: its digits."""

Box: TypeAlias = tuple[Extent, ...]
"""A tensor: its axes."""


def every(size: Size, cause: Node | None = None) -> Extent:
    """All of an axis."""
    return (Run(size, -math.inf, math.inf, cause),)


def only(size: Size, low: float, high: float | None = None) -> Extent:
    """One index of an axis, or some."""
    return (Run(size, low, low if high is None else high),)


def whole(shape: Sequence[Size], cause: Node | None = None) -> Box:
    """All of a tensor."""
    return tuple(every(size, cause) for size in shape)


def run(extent: Extent) -> Run:
    """The axis as a single run."""
    joint = extent[0]
    for digit in extent[1:]:
        joint = _with_digit(joint, digit)
    return joint


def _with_digit(joint: Run, digit: Run) -> Run:
    """The run of ``joint * digit.size + digit``."""
    inner, size = _within(digit), joint.size * digit.size
    if not isinstance(digit.size, int):
        return Run(size, -math.inf, math.inf, joint.cause or digit.cause)
    low, high = joint.low * digit.size + inner.low, joint.high * digit.size + inner.high
    return Run(size, low, high, joint.cause if joint.endless else None)


def _within(digit: Run) -> Run:
    """All of a digit that is not the first is no more than its indices."""
    last = digit.size - 1 if isinstance(digit.size, int) else math.inf
    return Run(digit.size, max(digit.low, 0), min(digit.high, last))


def windows(axis: Run, size: Size, stride: int, first: float, last: float) -> Extent:
    """What sliding windows read of an axis of `size`: from ``stride * index + first`` to ``stride * index + last``."""
    return (Run(size, axis.low * stride + first, axis.high * stride + last, axis.cause),)


def split(axis: Run, outer: Size, inner: Size) -> Extent:
    """An axis as two digits."""
    if not isinstance(inner, int):
        return (*every(outer, axis.cause), *every(inner, axis.cause))
    low, high = (end if math.isinf(end) else end // inner for end in (axis.low, axis.high))
    rest = only(inner, axis.low % inner, axis.high % inner) if low == high else only(inner, 0, inner - 1)
    return (Run(outer, low, high, axis.cause), *rest)


def regrouped(box: Box, shape: Sequence[Size]) -> Box | None:
    """The same elements as a tensor of another shape; None if the shapes have no common digits."""
    digits = [digit for extent in box for digit in extent if digit.size != 1]
    axes: list[Extent] = []
    for size in shape:
        extent = _taken(digits, size)
        if extent is None:
            return None
        axes.append(extent)
    return None if digits else tuple(axes)


def _taken(digits: list[Run], size: Size) -> Extent | None:
    """Digits off the front that make up an axis; the last of them is split if it reaches beyond."""
    taken: list[Run] = []
    left = size
    while left != 1:
        if not digits:
            return None
        digit = digits.pop(0)
        if digit.size != left and isinstance(left, int) and isinstance(digit.size, int):
            if digit.size % left == 0:
                digit, rest = split(digit, left, digit.size // left)
                digits.insert(0, rest)
            elif left % digit.size:
                return None
            left //= digit.size
        elif digit.size != left:
            return None
        else:
            left = 1
        taken.append(digit)
    return tuple(taken) or only(size, 0)


def united(a: Box | None, b: Box | None) -> Box | None:
    """The smallest box that holds both; None is the empty one."""
    if a is None or b is None:
        return b if a is None else a
    return tuple(map(_united, a, b))


def any_of(boxes: Sequence[Box | None]) -> Box:
    """The smallest box that holds all that is wanted of several results of one shape; of one at least something is."""
    joint = None
    for box in boxes:
        joint = united(joint, box)
    assert joint is not None, "nothing is asked of an operator of which nothing is wanted"
    return joint


def _united(a: Extent, b: Extent) -> Extent:
    if len(a) == len(b) and all(m.size == n.size for m, n in zip(a, b, strict=True)):
        return tuple(m.united(n) for m, n in zip(a, b, strict=True))
    return (run(a).united(run(b)),)


def clipped(box: Box | None) -> Box | None:
    """Without what lies outside the tensor; None if nothing is left."""
    if box is None:
        return None
    inside = tuple(tuple(map(_within, extent)) for extent in box)
    return None if any(digit.low > digit.high for extent in inside for digit in extent) else inside


def stretched(box: Box, shape: Sequence[Size]) -> Box:
    """What is read of an operand that broadcasts to the tensor of which `box` is wanted."""
    behind = box[len(box) - len(shape) :]
    return tuple(only(1, 0) if size == 1 else extent for size, extent in zip(shape, behind, strict=True))
