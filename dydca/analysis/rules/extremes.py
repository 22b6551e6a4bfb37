"""The largest and smallest elements of an axis, where they lie, and axes in order."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.fx import Node

from dydca.analysis.boxes import Box, any_of, every
from dydca.analysis.facts import Fact, Size
from dydca.analysis.intervals import Interval, places
from dydca.analysis.rules.arithmetic import at_least, product
from dydca.analysis.rules.reduction import Axes, elements, reduced, remaining
from dydca.analysis.rules.registry import Demands, axis_of, demand_rule, interval_rule, require, rule, shape_text

aten = torch.ops.aten


def _nonempty(node: Node, x: Fact, dims: Axes) -> None:
    """The largest of no elements does not exist."""
    axes = range(len(x.shape)) if dims is None or dims == [] else (dims,) if isinstance(dims, int) else dims
    count = product(x.shape[axis_of(node, dim, len(x.shape))] for dim in axes) if x.shape else 1
    require(node, at_least(count, 1), "there is nothing to reduce", got=shape_text(x.shape), want="1 element or more")


@rule(aten.amax.default, aten.amin.default)
def amax(node: Node, x: Fact, dims: Axes = None, keepdim: bool = False) -> Fact:
    """The extreme element per reduced group."""
    _nonempty(node, x, dims or None)
    return Fact(reduced(node, x, dims, keepdim), x.dtype)


@rule(aten.max.default, aten.min.default, aten.median.default)
def max_all(node: Node, x: Fact) -> Fact:
    """The extreme or middle one of all elements."""
    return amax(node, x)


@rule(aten.max.dim, aten.min.dim, aten.median.dim)
def max_(node: Node, x: Fact, dim: int, keepdim: bool = False) -> Fact:
    """The extreme or middle element per group and where it lies."""
    result = amax(node, x, dim, keepdim)
    return Fact(items=(result, Fact(result.shape, torch.int64)))


@rule(aten.argmax.default, aten.argmin.default)
def argmax(node: Node, x: Fact, dim: int | None = None, keepdim: bool = False) -> Fact:
    """Where the extreme element of each group lies."""
    _nonempty(node, x, dim)
    return Fact(reduced(node, x, dim, keepdim), torch.int64)


@rule(aten.sort.default)
def sort(node: Node, x: Fact, dim: int = -1, descending: bool = False) -> Fact:
    """The elements of an axis in order, and where they were."""
    axis_of(node, dim, len(x.shape))
    return Fact(items=(Fact(x.shape, x.dtype), Fact(x.shape, torch.int64)))


@rule(aten.argsort.default)
def argsort(node: Node, x: Fact, dim: int = -1, descending: bool = False) -> Fact:
    """Where the elements of an axis lie in order."""
    return sort(node, x, dim).items[1]


@rule(aten.topk.default)
def topk(node: Node, x: Fact, k: Size, dim: int = -1, largest: bool = True, sorted: bool = True) -> Fact:
    """The `k` extreme elements of an axis, and where they lie."""
    axis = axis_of(node, dim, len(x.shape))
    size = x.shape[axis] if x.shape else 1
    require(node, at_least(size, k), "the axis has fewer elements", got=k, want=f"<= {size}")
    shape = (*x.shape[:axis], k, *x.shape[axis + 1 :]) if x.shape else ()
    return Fact(items=(Fact(shape, x.dtype), Fact(shape, torch.int64)))


@interval_rule(aten.amax.default, aten.amin.default)
def amax_interval(node: Node, result: Fact, x: Fact, dims: Axes = None, keepdim: bool = False) -> Interval:
    """Elements of the operand."""
    return remaining(x, dims, keepdim)


@interval_rule(aten.max.default, aten.min.default, aten.median.default)
def max_all_interval(node: Node, result: Fact, x: Fact) -> Interval:
    """An element of the operand."""
    return x.bounds.collapsed()


@interval_rule(aten.max.dim, aten.min.dim, aten.median.dim)
def max_interval(node: Node, result: Fact, x: Fact, dim: int, keepdim: bool = False) -> tuple[Interval, Interval]:
    """Elements of the operand and places on the axis."""
    return remaining(x, dim, keepdim), places(elements(x, dim))


@interval_rule(aten.argmax.default, aten.argmin.default)
def argmax_interval(node: Node, result: Fact, x: Fact, dim: int | None = None, keepdim: bool = False) -> Interval:
    """Places on the axis, or among all elements."""
    return places(elements(x, dim))


@interval_rule(aten.sort.default)
def sort_interval(
    node: Node, result: Fact, x: Fact, dim: int = -1, descending: bool = False
) -> tuple[Interval, Interval]:
    """Elements of the operand and places on the axis."""
    return _unordered(x, dim), places(elements(x, dim))


def _unordered(x: Fact, dim: int) -> Interval:
    axis = dim % len(x.shape) - len(x.shape) if x.shape else None
    return x.bounds.collapsed() if x.bounds.axis == axis else x.bounds


@interval_rule(aten.argsort.default)
def argsort_interval(node: Node, result: Fact, x: Fact, dim: int = -1, descending: bool = False) -> Interval:
    """Places on the axis."""
    return places(elements(x, dim))


@interval_rule(aten.topk.default)
def topk_interval(
    node: Node, result: Fact, x: Fact, k: Size, dim: int = -1, *order: object, **options: object
) -> tuple[Interval, Interval]:
    """Elements of the operand and places on the axis."""
    return sort_interval(node, result, x, dim)


@demand_rule(aten.sort.default)
def sort_demand(
    node: Node, wanted: Sequence[Box | None], result: Fact, x: Fact, dim: int = -1, descending: bool = False
) -> Demands:
    """All of the axis."""
    both = any_of(wanted)
    return argsort_demand(node, both, result, x, dim)


@demand_rule(aten.argsort.default)
def argsort_demand(node: Node, wanted: Box, result: Fact, x: Fact, dim: int = -1, descending: bool = False) -> Demands:
    """All of the axis."""
    if not x.shape:
        return [wanted]
    axes = list(wanted)
    axes[dim] = every(x.shape[dim], node)
    return [tuple(axes)]


@demand_rule(aten.topk.default)
def topk_demand(
    node: Node,
    wanted: Sequence[Box | None],
    result: Fact,
    x: Fact,
    k: Size,
    dim: int = -1,
    *order: object,
    **options: object,
) -> Demands:
    """All of the axis."""
    return sort_demand(node, wanted, result, x, dim)
