"""Arithmetic of two or more operands: broadcasting, type promotion, and values where these are small integers."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.fx import Node

from dydca.analysis.facts import Fact, Scalar, plain
from dydca.analysis.intervals import Interval, spanning
from dydca.analysis.rules.arithmetic import floordiv, largest, modulo, smallest
from dydca.analysis.rules.promotion import Operand, as_float, broadcast, promoted
from dydca.analysis.rules.registry import bounds, demand_rule, elementwise, interval_rule, rule
from dydca.program import op_name

aten = torch.ops.aten

_VALUES: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "floor_divide": floordiv, "remainder": modulo,
    "maximum": largest, "minimum": smallest, "rsub": lambda a, b: b - a,
}  # fmt: skip


_BINARY = (
    aten.add.Tensor, aten.add.Scalar, aten.sub.Tensor, aten.sub.Scalar, aten.mul.Tensor, aten.mul.Scalar,
    aten.rsub.Tensor, aten.rsub.Scalar, aten.floor_divide.default, aten.floor_divide.Scalar, aten.remainder.Tensor,
    aten.remainder.Scalar, aten.fmod.Tensor, aten.fmod.Scalar, aten.maximum.default, aten.minimum.default,
    aten.max.other, aten.min.other, aten.pow.Tensor_Tensor, aten.pow.Tensor_Scalar, aten.pow.Scalar,
    aten.bitwise_and.Tensor, aten.bitwise_and.Scalar, aten.bitwise_or.Tensor, aten.bitwise_or.Scalar,
    aten.bitwise_xor.Tensor, aten.bitwise_xor.Scalar, aten.__and__.Tensor, aten.__and__.Scalar, aten.__or__.Tensor,
    aten.__or__.Scalar, aten.__xor__.Tensor, aten.__xor__.Scalar,
)  # fmt: skip
_QUOTIENTS = (
    aten.div.Tensor, aten.div.Scalar, aten.atan2.default, aten.hypot.default, aten.true_divide.Tensor,
    aten.xlogy.Tensor,
)  # fmt: skip
_ROUNDED = (aten.div.Tensor_mode, aten.div.Scalar_mode)
_OF_THREE = (aten.lerp.Scalar, aten.lerp.Tensor, aten.addcmul.default, aten.addcdiv.default)
demand_rule(*_BINARY, *_QUOTIENTS, *_ROUNDED, *_OF_THREE)(elementwise)


@rule(*_BINARY)
def binary(node: Node, a: Operand, b: Operand, alpha: Scalar = 1) -> Fact:
    """Two operands, broadcast and promoted."""
    shape, dtype = broadcast(node, a, b), promoted(a, b)
    fold = _VALUES.get(op_name(node))
    if fold is None or dtype.is_floating_point or alpha != 1:
        return Fact(shape, dtype)
    return Fact(shape, dtype, _folded(fold, a, b))


def _folded(fold: Callable[[Any, Any], Any], a: Operand, b: Operand) -> Any:
    """The values combined, if both are known and of rank 0 or 1."""
    left, right = (operand.value if isinstance(operand, Fact) else operand for operand in (a, b))
    if left is None or right is None:
        return None
    if not isinstance(left, tuple) and not isinstance(right, tuple):
        return plain(fold(left, right))
    counts = [len(value) if isinstance(value, tuple) else 1 for value in (left, right)]
    count = max(counts) if all(counts) else 0
    rows = [_stretched(value, count) for value in (left, right)]
    return tuple(plain(fold(m, n)) for m, n in zip(*rows, strict=True))


def _stretched(value: Any, count: int) -> tuple[Any, ...]:
    values = value if isinstance(value, tuple) else (value,)
    return values * count if len(values) == 1 else values


@rule(*_QUOTIENTS)
def divide(node: Node, a: Operand, b: Operand) -> Fact:
    """Two operands with a fraction as result."""
    return Fact(broadcast(node, a, b), as_float(promoted(a, b)))


@rule(*_ROUNDED)
def divide_rounding(node: Node, a: Operand, b: Operand, rounding_mode: str | None = None) -> Fact:
    """Division that rounds keeps integers integer."""
    dtype = promoted(a, b)
    return Fact(broadcast(node, a, b), as_float(dtype) if rounding_mode is None else dtype)


@rule(*_OF_THREE)
def three(node: Node, a: Operand, b: Operand, c: Operand, value: Scalar = 1) -> Fact:
    """Three operands, broadcast and promoted."""
    return Fact(broadcast(node, a, b, c), promoted(*(operand for operand in (a, b, c) if isinstance(operand, Fact))))


_TWICE = 2.0**-22
"""Of a result that is rounded two or three times: four units of float32."""


@interval_rule(aten.add.Tensor, aten.add.Scalar, aten.sub.Tensor, aten.sub.Scalar, aten.rsub.Tensor, aten.rsub.Scalar)
def sum_interval(node: Node, result: Fact, a: Operand, b: Operand, alpha: Scalar = 1) -> Interval:
    """``a + alpha * b``, ``a - alpha * b``, ``b - alpha * a``."""
    kept, scaled = (bounds(b), bounds(a)) if op_name(node) == "rsub" else (bounds(a), bounds(b))
    if alpha != 1:
        scaled = (scaled * bounds(alpha)).stretched(_TWICE)
    return kept + scaled if op_name(node) == "add" else kept - scaled


@interval_rule(aten.mul.Tensor, aten.mul.Scalar)
def product(node: Node, result: Fact, a: Operand, b: Operand) -> Interval:
    """``a * b``; a value times itself is no less than 0."""
    whole = bounds(a) * bounds(b)
    return whole.clipped(low=0) if node.args[0] is node.args[1] else whole


@interval_rule(aten.div.Tensor, aten.div.Scalar, aten.true_divide.Tensor)
def quotient(node: Node, result: Fact, a: Operand, b: Operand) -> Interval:
    """``a / b``."""
    return bounds(a) / bounds(b)


@interval_rule(aten.div.Tensor_mode, aten.div.Scalar_mode, aten.floor_divide.default, aten.floor_divide.Scalar)
def rounded_quotient(node: Node, result: Fact, a: Operand, b: Operand, rounding_mode: str | None = "floor") -> Interval:
    """``a / b`` rounded down or towards zero; a quotient that float32 rounds up to a whole number counts as that."""
    exact = bounds(a) / bounds(b)
    if rounding_mode is None:
        return exact
    near = exact if _whole(result) else exact.stretched(_TWICE)
    return Interval((np.floor if rounding_mode == "floor" else np.trunc)(near.ends), exact.axis, exact.nan)


def _whole(result: Fact) -> bool:
    return result.dtype is not None and not result.dtype.is_floating_point


@interval_rule(aten.remainder.Tensor, aten.remainder.Scalar, aten.fmod.Tensor, aten.fmod.Scalar)
def remainder_interval(node: Node, result: Fact, a: Operand, b: Operand) -> Interval:
    """Smaller than the divisor, with its sign (remainder) or that of the dividend (fmod)."""
    dividend, divisor = bounds(a), bounds(b)
    vague = not dividend.bounded or not divisor.bounded or divisor.low <= 0 <= divisor.high
    reach = divisor.magnitude - _whole(result)
    signed = divisor if op_name(node) == "remainder" else dividend
    low, high = 0 if signed.low >= 0 else -reach, 0 if signed.high <= 0 else reach
    return spanning(low, high, nan=vague and not _whole(result))


@interval_rule(aten.maximum.default, aten.max.other)
def maximum(node: Node, result: Fact, a: Operand, b: Operand) -> Interval:
    """The larger of each pair."""
    return bounds(a).larger(bounds(b))


@interval_rule(aten.minimum.default, aten.min.other)
def minimum(node: Node, result: Fact, a: Operand, b: Operand) -> Interval:
    """The smaller of each pair."""
    return bounds(a).smaller(bounds(b))


@interval_rule(aten.pow.Tensor_Scalar)
def power(node: Node, result: Fact, x: Fact, exponent: Scalar) -> Interval | None:
    """``x ** n`` for whole n of 0 and more, and for any n where x is positive."""
    if not isinstance(exponent, int | float):
        return None
    base, whole = x.bounds, exponent >= 0 and exponent == int(exponent)
    if base.low <= 0 and not whole and not (base.low == 0 and exponent > 0):
        return None
    rows = [base.ends, np.clip(0.0, *base.ends)[None]] if whole else [base.ends]
    with np.errstate(over="ignore", divide="ignore"):
        values = np.concatenate(rows) ** float(exponent)
    exact = exponent in (0, 1, 2)
    return Interval(np.stack([values.min(0), values.max(0)]), base.axis, base.nan).stretched(0 if exact else 2.0**-20)


@interval_rule(aten.bitwise_and.Tensor, aten.bitwise_and.Scalar, aten.__and__.Tensor, aten.__and__.Scalar)
def bitwise_and(node: Node, result: Fact, a: Operand, b: Operand) -> Interval | None:
    """At most the smaller of two numbers that are not negative."""
    both = bounds(a).collapsed().smaller(bounds(b).collapsed())
    return spanning(0, both.high) if both.low >= 0 else None


@interval_rule(aten.hypot.default)
def hypotenuse(node: Node, result: Fact, a: Operand, b: Operand) -> Interval:
    """The length of a vector."""
    most = float(np.hypot(bounds(a).magnitude, bounds(b).magnitude))
    return spanning(0, most, nan=bounds(a).nan or bounds(b).nan).stretched(_TWICE)


@interval_rule(aten.atan2.default)
def angle(node: Node, result: Fact, a: Operand, b: Operand) -> Interval:
    """-pi to pi."""
    return spanning(-3.1415928, 3.1415928, nan=bounds(a).nan or bounds(b).nan)


@interval_rule(aten.lerp.Scalar, aten.lerp.Tensor)
def interpolated(node: Node, result: Fact, a: Fact, b: Fact, weight: Operand) -> Interval:
    """``a + weight * (b - a)``; between the two where the weight is a part."""
    if bounds(weight).within(0, 1) and bounds(weight).low >= 0:
        both = a.bounds | b.bounds
        return both.stretched(_TWICE, _TWICE * both.magnitude) if both.bounded else both
    return (a.bounds + bounds(weight) * (b.bounds - a.bounds)).stretched(_TWICE)


@interval_rule(aten.addcmul.default, aten.addcdiv.default)
def fused(node: Node, result: Fact, a: Fact, b: Fact, c: Fact, value: Scalar = 1) -> Interval:
    """``a + value * b * c`` or ``a + value * b / c``."""
    joint = b.bounds * c.bounds if node.target is aten.addcmul.default else b.bounds / c.bounds
    return a.bounds + (bounds(value) * joint).stretched(_TWICE)
