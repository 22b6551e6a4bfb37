"""Operators that reduce axes or run along one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch.fx import Node

from dydca.analysis.facts import Fact, Size
from dydca.analysis.rules.arithmetic import at_least, product
from dydca.analysis.rules.promotion import as_float
from dydca.analysis.rules.registry import axis_of, require, rule, shape_text

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


def _nonempty(node: Node, x: Fact, dims: Axes) -> None:
    """The largest of no elements does not exist."""
    axes = range(len(x.shape)) if dims is None or dims == [] else (dims,) if isinstance(dims, int) else dims
    count = product(x.shape[axis_of(node, dim, len(x.shape))] for dim in axes) if x.shape else 1
    require(node, at_least(count, 1), "there is nothing to reduce", got=shape_text(x.shape), want="1 element or more")


def _whole(x: Fact, dtype: torch.dtype | None) -> torch.dtype | None:
    """Sums of integers are int64."""
    assert x.dtype is not None
    return dtype or (x.dtype if x.dtype.is_floating_point or x.dtype.is_complex else torch.int64)


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
    return Fact((), _whole(x, dtype))


@rule(aten.sum.dim_IntList, aten.prod.dim_int, aten.nansum.default)
def sum_(node: Node, x: Fact, dims: Axes = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Fact:
    """One element per reduced group."""
    return Fact(reduced(node, x, dims, keepdim), _whole(x, dtype))


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
    return Fact(x.shape, _whole(x, dtype))


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
