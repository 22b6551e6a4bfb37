"""Comparisons, and operators that choose between operands by them."""

from __future__ import annotations

import torch
from torch.fx import Node

from dydca.analysis.facts import Fact
from dydca.analysis.intervals import Interval, spanning
from dydca.analysis.rules.promotion import Operand, broadcast, promoted
from dydca.analysis.rules.registry import bounds, demand_rule, elementwise, interval_rule, rule
from dydca.program import op_name

aten = torch.ops.aten

_RELATIONS = (
    aten.lt.Tensor, aten.lt.Scalar, aten.le.Tensor, aten.le.Scalar, aten.gt.Tensor, aten.gt.Scalar, aten.ge.Tensor,
    aten.ge.Scalar, aten.eq.Tensor, aten.eq.Scalar, aten.ne.Tensor, aten.ne.Scalar,
)  # fmt: skip
_LOGIC = (
    aten.logical_and.default, aten.logical_or.default, aten.logical_xor.default, aten.logical_not.default,
    aten.isnan.default, aten.isinf.default, aten.isfinite.default, aten.signbit.default,
)  # fmt: skip
_CLAMPS = (
    aten.clamp.default, aten.clamp.Tensor, aten.clamp_min.default, aten.clamp_max.default, aten.clamp_min.Tensor,
    aten.clamp_max.Tensor,
)  # fmt: skip
_CHOICES = (aten.where.self, aten.where.ScalarSelf, aten.where.ScalarOther, aten.where.Scalar)
_FILLS = (aten.masked_fill.Scalar, aten.masked_fill.Tensor)
demand_rule(*_RELATIONS, *_LOGIC, *_CLAMPS, *_CHOICES, *_FILLS)(elementwise)


@rule(*_RELATIONS, *_LOGIC)
def truth(node: Node, *operands: Operand) -> Fact:
    """A truth value per element."""
    return Fact(broadcast(node, *operands), torch.bool)


@interval_rule(*_RELATIONS)
def compared(node: Node, result: Fact, a: Operand, b: Operand) -> Interval:
    """Decided where the operands do not overlap; NaN differs from everything and is in no order."""
    left, right = bounds(a), bounds(b)
    equal = left.low == left.high == right.low == right.high
    apart = left.high < right.low or left.low > right.high
    always, never = {
        "lt": (left.high < right.low, left.low >= right.high),
        "le": (left.high <= right.low, left.low > right.high),
        "gt": (left.low > right.high, left.high <= right.low),
        "ge": (left.low >= right.high, left.high < right.low),
        "eq": (equal, apart),
        "ne": (apart, equal),
    }[op_name(node)]
    vague = left.nan or right.nan
    if op_name(node) == "ne":
        return spanning(always, not never or vague)
    return spanning(always and not vague, not never)


@interval_rule(aten.isnan.default)
def isnan(node: Node, result: Fact, x: Fact) -> Interval:
    """False where every element is known to be a number."""
    return spanning(0, x.bounds.nan)


@rule(*_CLAMPS)
def clamp(node: Node, x: Fact, low: Operand = None, high: Operand = None, **named: Operand) -> Fact:
    """``min(max(x, low), high)``; the bounds take part in the promotion."""
    operands = (x, low, high, *named.values())
    return Fact(broadcast(node, *operands), promoted(*operands))


@interval_rule(aten.clamp.default, aten.clamp.Tensor)
def clamp_interval(
    node: Node, result: Fact, x: Fact, low: Operand = None, high: Operand = None, **named: Operand
) -> Interval:
    """Raised to the lower bound, then lowered to the upper one."""
    low, high = named.get("min", low), named.get("max", high)
    raised = x.bounds if low is None else x.bounds.larger(bounds(low))
    return raised if high is None else raised.smaller(bounds(high))


@interval_rule(aten.clamp_min.default, aten.clamp_min.Tensor)
def clamp_min(node: Node, result: Fact, x: Fact, low: Operand) -> Interval:
    """Raised to the lower bound."""
    return x.bounds.larger(bounds(low))


@interval_rule(aten.clamp_max.default, aten.clamp_max.Tensor)
def clamp_max(node: Node, result: Fact, x: Fact, high: Operand) -> Interval:
    """Lowered to the upper bound."""
    return x.bounds.smaller(bounds(high))


@rule(*_CHOICES)
def where(node: Node, condition: Fact, a: Operand, b: Operand) -> Fact:
    """One of two operands per element."""
    return Fact(broadcast(node, condition, a, b), promoted(a, b))


@interval_rule(*_CHOICES)
def where_interval(node: Node, result: Fact, condition: Fact, a: Operand, b: Operand) -> Interval:
    """Either operand, or the one that a decided condition names."""
    if condition.bounds.low == condition.bounds.high:
        return bounds(a if condition.bounds.low else b)
    return bounds(a) | bounds(b)


@rule(*_FILLS)
def masked_fill(node: Node, x: Fact, mask: Fact, value: Operand) -> Fact:
    """`x` where the mask is false; the mask may stretch `x`, the value never changes its type."""
    return Fact(broadcast(node, x, mask), x.dtype)


@interval_rule(*_FILLS)
def masked_fill_interval(node: Node, result: Fact, x: Fact, mask: Fact, value: Operand) -> Interval:
    """`x` or the value."""
    return x.bounds | bounds(value)
