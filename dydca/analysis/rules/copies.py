"""Operators that hand on the elements as they are, or in another type."""

from __future__ import annotations

import numpy as np
import torch
from torch.fx import Node

from dydca.analysis.boxes import Box, stretched
from dydca.analysis.facts import Fact
from dydca.analysis.intervals import Interval, point, spanning
from dydca.analysis.rules.promotion import require_stretches
from dydca.analysis.rules.registry import Demands, demand_rule, elementwise, interval_rule, rule

aten = torch.ops.aten
_COPIES = (
    aten.clone.default, aten.contiguous.default, aten.detach.default, aten.alias.default, aten.lift_fresh_copy.default
)  # fmt: skip
_CONVERSIONS = (aten._to_copy.default, aten.to.dtype, aten.to.dtype_layout)
demand_rule(*_COPIES, *_CONVERSIONS)(elementwise)


@rule(*_COPIES)
def copied(node: Node, x: Fact, **options: object) -> Fact:
    """The operand itself, its value included."""
    return x


@interval_rule(*_COPIES)
def copied_interval(node: Node, result: Fact, x: Fact, **options: object) -> Interval | None:
    """That of the operand."""
    return x.interval


@rule(*_CONVERSIONS)
def to_copy(
    node: Node,
    x: Fact,
    target: torch.dtype | None = None,
    *options: object,
    dtype: torch.dtype | None = None,
    **others: object,
) -> Fact:
    """`x` in another type; a known integer stays known as long as the type is one of integers."""
    kind = dtype or target or x.dtype
    whole = kind is not None and not kind.is_floating_point and kind is not torch.bool
    return Fact(x.shape, kind, x.value if whole else None)


@rule(aten.type_as.default)
def type_as(node: Node, x: Fact, other: Fact) -> Fact:
    """`x` in the type of another tensor."""
    return to_copy(node, x, other.dtype)


@rule(aten.copy.default)
def copy(node: Node, x: Fact, source: Fact, non_blocking: bool = False) -> Fact:
    """The values of `source`, stretched to the shape and converted to the type of `x`."""
    require_stretches(node, source.shape, x.shape, "the source does not fit")
    return to_copy(node, Fact(x.shape, source.dtype, source.value if source.shape == x.shape else None), x.dtype)


@interval_rule(aten.copy.default)
def copy_interval(node: Node, result: Fact, x: Fact, source: Fact, non_blocking: bool = False) -> Interval | None:
    """That of the source."""
    return converted(node, result, source)


@interval_rule(*_CONVERSIONS, aten.type_as.default)
def converted(node: Node, result: Fact, x: Fact, *options: object, **others: object) -> Interval | None:
    """The same numbers, rounded towards zero where the type is one of integers; only 0 is false."""
    if result.dtype is torch.bool:
        decided = x.bounds.low > 0 or x.bounds.high < 0
        return point(1) if decided else spanning(0, x.bounds.low != 0 or x.bounds.high != 0 or x.bounds.nan)
    if result.dtype is None or result.dtype.is_floating_point:
        return x.bounds
    return Interval(np.trunc(x.bounds.ends), x.bounds.axis, x.bounds.nan)


@demand_rule(aten.type_as.default)
def type_as_demand(node: Node, wanted: Box, result: Fact, x: Fact, other: Fact) -> Demands:
    """Nothing but the type of the other tensor."""
    return [wanted, None]


@demand_rule(aten.copy.default)
def copy_demand(node: Node, wanted: Box, result: Fact, x: Fact, source: Fact, non_blocking: bool = False) -> Demands:
    """Nothing of what is overwritten."""
    return [None, stretched(wanted, source.shape)]
