"""Operators that keep an axis and let its elements depend on each other: softmax and running totals."""

from __future__ import annotations

import math

import torch
from torch.fx import Node

from dydca.analysis.boxes import Box, every
from dydca.analysis.facts import Fact
from dydca.analysis.intervals import Interval, spanning
from dydca.analysis.rules.promotion import summed_dtype
from dydca.analysis.rules.reduction import elements
from dydca.analysis.rules.registry import Demands, axis_of, demand_rule, interval_rule, rule

aten = torch.ops.aten


@rule(aten.softmax.int, aten.log_softmax.int)
def softmax(node: Node, x: Fact, dim: int, dtype: torch.dtype | None = None) -> Fact:
    """Fractions that add up to one along an axis, or their logarithms."""
    axis_of(node, dim, len(x.shape))
    return Fact(x.shape, dtype or x.dtype)


@rule(aten._softmax.default, aten._log_softmax.default)
def softmax_native(node: Node, x: Fact, dim: int, half_to_float: bool) -> Fact:
    """As `softmax`."""
    return softmax(node, x, dim)


@rule(aten.cumsum.default, aten.cumprod.default)
def cumsum(node: Node, x: Fact, dim: int, *, dtype: torch.dtype | None = None) -> Fact:
    """Running totals along an axis."""
    axis_of(node, dim, len(x.shape))
    return Fact(x.shape, summed_dtype(x, dtype))


@interval_rule(aten.softmax.int, aten._softmax.default)
def softmax_interval(node: Node, result: Fact, x: Fact, dim: int, *settings: object) -> Interval:
    """Parts of one; no more than one after rounding, because the largest exponential is 1 and the sum no less."""
    return spanning(0, 1, nan=not x.bounds.bounded)


@interval_rule(aten.log_softmax.int, aten._log_softmax.default)
def log_softmax_interval(node: Node, result: Fact, x: Fact, dim: int, *settings: object) -> Interval:
    """Logarithms of parts of one."""
    return spanning(-math.inf, 2.0**-22, nan=not x.bounds.bounded)


@interval_rule(aten.cumsum.default)
def cumsum_interval(node: Node, result: Fact, x: Fact, dim: int, *, dtype: torch.dtype | None = None) -> Interval:
    """From one element to all of them."""
    count = elements(x, dim)
    own = x.bounds.collapsed() if x.shape and x.bounds.axis == dim % len(x.shape) - len(x.shape) else x.bounds
    return own | own.summed(count if isinstance(count, int) else None, result.dtype)


@demand_rule(
    aten.softmax.int, aten._softmax.default, aten.log_softmax.int, aten._log_softmax.default, aten.cumsum.default,
    aten.cumprod.default,
)  # fmt: skip
def scan_demand(
    node: Node, wanted: Box, result: Fact, x: Fact, dim: int, *settings: object, **options: object
) -> Demands:
    """All of the axis."""
    if not x.shape:
        return [wanted]
    axes = list(wanted)
    axes[dim] = every(x.shape[dim], node)
    return [tuple(axes)]
