"""Sums, means, spreads and norms over axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import torch
from torch.fx import Node

from dydca.analysis.boxes import Box, any_of, every
from dydca.analysis.facts import Fact, Size
from dydca.analysis.intervals import LARGEST_COUNT, Interval, growth, spanning
from dydca.analysis.rules.arithmetic import at_least, product
from dydca.analysis.rules.promotion import as_float, summed_dtype
from dydca.analysis.rules.registry import Demands, axis_of, demand_rule, interval_rule, rule
from dydca.program import op_name

aten = torch.ops.aten
Axes: TypeAlias = int | Sequence[int] | None


def reduced(node: Node, x: Fact, dims: Axes, keepdim: bool = False) -> tuple[Size, ...]:
    """The shape without the reduced axes, or with size 1 in their place; no axes means all.

    Raises:
        ShapeError: DYD202, there is no such axis.
    """
    rank = len(x.shape)
    chosen = (dims,) if isinstance(dims, int) else dims or range(rank)
    axes = {axis_of(node, dim, rank) for dim in chosen}
    if keepdim:
        return tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    return tuple(size for axis, size in enumerate(x.shape) if axis not in axes)


def chosen_axes(x: Fact, dims: Axes) -> set[int]:
    """The reduced axes, counted from the front; none named means all."""
    rank = len(x.shape)
    return {axis % rank for axis in ((dims,) if isinstance(dims, int) else dims or range(rank))} if rank else set()


def elements(x: Fact, dims: Axes) -> Size:
    """How many elements each reduced group has."""
    return product(x.shape[axis] for axis in chosen_axes(x, dims))


def remaining(x: Fact, dims: Axes, keepdim: bool) -> Interval:
    """The interval of the operand, told apart along the same axis if that is left."""
    own, rank, axes = x.bounds, len(x.shape), chosen_axes(x, dims)
    if own.axis is None or own.axis + rank in axes:
        return own.collapsed()
    return own.moved(own.axis + (0 if keepdim else sum(axis > own.axis + rank for axis in axes)))


def _fraction(x: Fact, dtype: torch.dtype | None = None) -> torch.dtype:
    assert x.dtype is not None
    return dtype or as_float(x.dtype)


@rule(aten.mean.default)
def mean_all(node: Node, x: Fact, *, dtype: torch.dtype | None = None) -> Fact:
    """The mean of all elements."""
    return Fact((), _fraction(x, dtype))


@rule(aten.mean.dim, aten.logsumexp.default)
def mean(node: Node, x: Fact, dims: Axes = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Fact:
    """A fraction per reduced group."""
    return Fact(reduced(node, x, dims, keepdim), _fraction(x, dtype))


@rule(aten.var.dim, aten.std.dim)
def variance(node: Node, x: Fact, dims: Axes = None, unbiased: bool = True, keepdim: bool = False) -> Fact:
    """A spread per reduced group."""
    return Fact(reduced(node, x, dims, keepdim), x.dtype)


@rule(aten.var.correction, aten.std.correction)
def variance_corrected(
    node: Node, x: Fact, dims: Axes = None, *, correction: float | None = None, keepdim: bool = False
) -> Fact:
    """A spread per reduced group."""
    return Fact(reduced(node, x, dims, keepdim), x.dtype)


@rule(aten.var.default, aten.std.default)
def variance_all(node: Node, x: Fact, unbiased: bool = True) -> Fact:
    """The spread of all elements."""
    return Fact((), x.dtype)


@rule(aten.var_mean.dim, aten.std_mean.dim)
def variance_and_mean(node: Node, x: Fact, dims: Axes = None, unbiased: bool = True, keepdim: bool = False) -> Fact:
    """The spread and the mean per reduced group."""
    return Fact(items=(Fact(reduced(node, x, dims, keepdim), x.dtype),) * 2)


@rule(aten.var_mean.correction, aten.std_mean.correction)
def variance_and_mean_corrected(
    node: Node, x: Fact, dims: Axes = None, *, correction: float | None = None, keepdim: bool = False
) -> Fact:
    """The spread and the mean per reduced group."""
    return Fact(items=(Fact(reduced(node, x, dims, keepdim), x.dtype),) * 2)


@rule(aten.sum.default, aten.prod.default)
def sum_all(node: Node, x: Fact, *, dtype: torch.dtype | None = None) -> Fact:
    """All elements in one."""
    return Fact((), summed_dtype(x, dtype))


@rule(aten.sum.dim_IntList, aten.prod.dim_int, aten.nansum.default)
def sum_(node: Node, x: Fact, dims: Axes = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Fact:
    """One element per reduced group."""
    return Fact(reduced(node, x, dims, keepdim), summed_dtype(x, dtype))


@rule(aten.linalg_vector_norm.default)
def vector_norm(
    node: Node, x: Fact, order: float = 2, dims: Axes = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> Fact:
    """A norm per reduced group."""
    return Fact(reduced(node, x, dims, keepdim), _fraction(x, dtype))


@rule(aten.count_nonzero.default, aten.count_nonzero.dim_IntList)
def count_nonzero(node: Node, x: Fact, dims: Axes = None) -> Fact:
    """A count per reduced group."""
    return Fact(reduced(node, x, dims), torch.int64)


@rule(aten.any.default, aten.any.dim, aten.any.dims, aten.all.default, aten.all.dim, aten.all.dims)
def any_(node: Node, x: Fact, dims: Axes = None, keepdim: bool = False) -> Fact:
    """A truth value per reduced group; bytes stay bytes."""
    return Fact(reduced(node, x, dims, keepdim), x.dtype if x.dtype is torch.uint8 else torch.bool)


def mean_of(x: Interval, count: Size, dtype: torch.dtype | None) -> Interval:
    """Of the mean of `count` elements; that of none is not a number."""
    ends = x.stretched(growth(count + 2 if isinstance(count, int) else LARGEST_COUNT, dtype))
    return ends if at_least(count, 1) is True else replace(ends, nan=True)


@interval_rule(aten.mean.default, aten.mean.dim)
def mean_interval(
    node: Node, result: Fact, x: Fact, dims: Axes = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> Interval:
    """Between the extreme elements."""
    return mean_of(remaining(x, dims, keepdim), elements(x, dims), result.dtype)


@interval_rule(aten.sum.default, aten.sum.dim_IntList)
def sum_interval(
    node: Node, result: Fact, x: Fact, dims: Axes = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> Interval:
    """As many times the extreme elements as there are; over channels that are told apart, their sum."""
    count, own = elements(x, dims), x.bounds
    if own.axis is None or own.axis + len(x.shape) not in chosen_axes(x, dims) or not isinstance(count, int):
        return remaining(x, dims, keepdim).summed(count if isinstance(count, int) else None, result.dtype)
    each = own.summed(count // own.ends.shape[1], result.dtype)
    return Interval(each.ends.sum(1, keepdims=True), None, each.nan).stretched(growth(count, result.dtype))


@interval_rule(aten.var.dim, aten.std.dim)
def variance_interval(
    node: Node, result: Fact, x: Fact, dims: Axes = None, unbiased: bool = True, keepdim: bool = False
) -> Interval:
    """As `spread` with 1 or 0 elements fewer."""
    return spread(node, x, elements(x, dims), float(unbiased))


@interval_rule(aten.var.default, aten.std.default)
def variance_all_interval(node: Node, result: Fact, x: Fact, unbiased: bool = True) -> Interval:
    """As `spread` with 1 or 0 elements fewer."""
    return spread(node, x, elements(x, None), float(unbiased))


@interval_rule(aten.var.correction, aten.std.correction)
def variance_corrected_interval(
    node: Node, result: Fact, x: Fact, dims: Axes = None, *, correction: float | None = None, keepdim: bool = False
) -> Interval:
    """As `spread` with any number of elements fewer, 1 unless told."""
    return spread(node, x, elements(x, dims), 1.0 if correction is None else float(correction))


def spread(node: Node, x: Fact, count: Size, fewer: float) -> Interval:
    """Squares of half the width at most, times ``count / (count - fewer)``; with the rounding of the mean."""
    number = count if isinstance(count, int) else LARGEST_COUNT
    least = count if isinstance(count, int) else 2  # the fewest elements have the largest factor
    if not x.bounds.bounded or least <= fewer:
        return spanning(0, float("inf"), nan=True)
    error = growth(number + 2, x.dtype)
    reach = (x.bounds.high - x.bounds.low) / 2 + error * x.bounds.magnitude
    most = reach * reach * (1 + error) * least / (least - fewer)
    return spanning(0, most if op_name(node).startswith("var") else most**0.5, nan=not isinstance(count, int))


@interval_rule(aten.var_mean.dim, aten.std_mean.dim)
def variance_and_mean_interval(
    node: Node, result: Fact, x: Fact, dims: Axes = None, unbiased: bool = True, keepdim: bool = False
) -> tuple[Interval, Interval]:
    """The spread and the mean."""
    count = elements(x, dims)
    return spread(node, x, count, float(unbiased)), mean_of(remaining(x, dims, keepdim), count, x.dtype)


@interval_rule(aten.var_mean.correction, aten.std_mean.correction)
def variance_and_mean_corrected_interval(
    node: Node, result: Fact, x: Fact, dims: Axes = None, *, correction: float | None = None, keepdim: bool = False
) -> tuple[Interval, Interval]:
    """The spread and the mean."""
    count = elements(x, dims)
    fewer = 1.0 if correction is None else float(correction)
    return spread(node, x, count, fewer), mean_of(remaining(x, dims, keepdim), count, x.dtype)


@interval_rule(aten.linalg_vector_norm.default)
def vector_norm_interval(
    node: Node, result: Fact, x: Fact, order: float = 2, dims: Axes = None, keepdim: bool = False, **options: object
) -> Interval:
    """No element's magnitude times more than the root of their number."""
    count, most = elements(x, dims), x.bounds.magnitude
    if not isinstance(count, int) or order < 1:
        return spanning(0, float("inf"), nan=x.bounds.nan)
    reach = most * count ** (1 / order) if count else 0.0
    return spanning(0, reach, nan=x.bounds.nan).stretched(growth(2 * count + 4, result.dtype))


@interval_rule(aten.count_nonzero.default, aten.count_nonzero.dim_IntList)
def count_nonzero_interval(node: Node, result: Fact, x: Fact, dims: Axes = None) -> Interval:
    """As many as there are at most."""
    count = elements(x, dims)
    return spanning(0, count if isinstance(count, int) else float("inf"))


def reduced_demand(node: Node, wanted: Box, x: Fact, dims: Axes, keepdim: bool) -> Box:
    """All of the reduced axes, the wanted places of the others."""
    axes = chosen_axes(x, dims)
    left = iter(wanted)
    read = []
    for axis, size in enumerate(x.shape):
        extent = next(left) if keepdim or axis not in axes else ()
        read.append(every(size, node) if axis in axes else extent)
    return tuple(read)


@demand_rule(
    aten.mean.dim, aten.logsumexp.default, aten.var.dim, aten.std.dim, aten.var.correction, aten.std.correction,
    aten.sum.dim_IntList, aten.prod.dim_int, aten.nansum.default, aten.any.dim, aten.any.dims, aten.all.dim,
    aten.all.dims, aten.amax.default, aten.amin.default, aten.argmax.default, aten.argmin.default,
)  # fmt: skip
def reduction_demand(
    node: Node, wanted: Box, result: Fact, x: Fact, dims: Axes = None, *settings: object, **options: object
) -> Demands:
    """All of the reduced axes; the rank of the result says whether they are kept."""
    return [reduced_demand(node, wanted, x, dims, len(wanted) == len(x.shape))]


@demand_rule(aten.linalg_vector_norm.default)
def vector_norm_demand(
    node: Node,
    wanted: Box,
    result: Fact,
    x: Fact,
    order: float = 2,
    dims: Axes = None,
    *more: object,
    **options: object,
) -> Demands:
    """As `reduction_demand`."""
    return reduction_demand(node, wanted, result, x, dims)


@demand_rule(
    aten.var_mean.dim, aten.std_mean.dim, aten.var_mean.correction, aten.std_mean.correction, aten.max.dim,
    aten.min.dim, aten.median.dim,
)  # fmt: skip
def pair_demand(
    node: Node, wanted: Sequence[Box | None], result: Fact, x: Fact, dims: Axes = None, *more: object, **options: object
) -> Demands:
    """As `reduction_demand`, by both results."""
    both = any_of(wanted)
    return [reduced_demand(node, both, x, dims, len(both) == len(x.shape))]
