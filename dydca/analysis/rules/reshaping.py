"""Views under other sizes: the same elements in the same order."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.fx import Node

from dydca.analysis.boxes import Box, regrouped, whole
from dydca.analysis.facts import Fact, Size
from dydca.analysis.intervals import Interval
from dydca.analysis.rules.arithmetic import at_least, divides, equal, product, quotient
from dydca.analysis.rules.registry import (
    Demands,
    axis_of,
    demand_rule,
    interval_rule,
    require,
    rule,
    shape_text,
    told,
)

aten = torch.ops.aten


def reshaped(node: Node, shape: Sequence[Size], sizes: Sequence[Size]) -> tuple[Size, ...]:
    """`sizes` with the one -1 among them filled in.

    Raises:
        ShapeError: DYD202, the number of elements does not come out.
    """
    total = product(shape)
    free = [axis for axis, size in enumerate(sizes) if isinstance(size, int) and size == -1]
    require(node, len(free) <= 1, "only one size can be inferred", got=shape_text(sizes), want="one -1")
    known = product(size for axis, size in enumerate(sizes) if axis not in free)
    got, want = shape_text(sizes), told("{} elements as in {}", total, shape)
    if not free:
        require(node, equal(known, total), "the view has another number of elements", got, want)
        return tuple(sizes)
    require(node, known != 0, "the size is ambiguous", got, "no size of 0 beside -1")
    require(node, divides(known, total), "the view has another number of elements", got, want)
    return tuple(quotient(total, known) if axis in free else size for axis, size in enumerate(sizes))


@rule(aten.view.default, aten.reshape.default, aten._unsafe_view.default)
def view(node: Node, x: Fact, sizes: Sequence[Size]) -> Fact:
    """The same elements in row-major order under other sizes."""
    shape = reshaped(node, x.shape, sizes)
    if len(shape) > 1:
        return Fact(shape, x.dtype)
    return Fact(shape, x.dtype, _as_rank(x.value, len(shape)))


def _as_rank(value: object, rank: int) -> object:
    """A known integer as a value of rank 0, or as one of rank 1."""
    if value is None or isinstance(value, tuple) == (rank == 1):
        return value
    return (value,) if rank else value[0]  # type: ignore[index]


@rule(aten.flatten.using_ints)
def flatten(node: Node, x: Fact, start_dim: int = 0, end_dim: int = -1) -> Fact:
    """The axes from start to end as one."""
    rank = len(x.shape)
    start, end = axis_of(node, start_dim, rank), axis_of(node, end_dim, rank)
    require(node, start <= end, "the axes are in the wrong order", got=(start_dim, end_dim), want="start <= end")
    return Fact((*x.shape[:start], product(x.shape[start : end + 1]), *x.shape[end + 1 :]), x.dtype)


@rule(aten.unflatten.int)
def unflatten(node: Node, x: Fact, dim: int, sizes: Sequence[Size]) -> Fact:
    """One axis as several."""
    axis = axis_of(node, dim, len(x.shape))
    return Fact((*x.shape[:axis], *reshaped(node, x.shape[axis : axis + 1], sizes), *x.shape[axis + 1 :]), x.dtype)


@rule(aten.unsqueeze.default)
def unsqueeze(node: Node, x: Fact, dim: int) -> Fact:
    """A new axis of size 1."""
    axis = axis_of(node, dim, len(x.shape) + 1)
    return Fact((*x.shape[:axis], 1, *x.shape[axis:]), x.dtype, None if x.shape else _as_rank(x.value, 1))


@rule(aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims)
def squeeze(node: Node, x: Fact, dims: int | Sequence[int] | None = None) -> Fact:
    """Drops axes of size 1; a size that may still be 1 counts as larger."""
    rank = len(x.shape)
    chosen = range(rank) if dims is None else (dims,) if isinstance(dims, int) else dims
    axes = {axis_of(node, dim, rank) for dim in chosen}
    for axis in axes:
        if rank and not isinstance(x.shape[axis], int):
            require(node, at_least(x.shape[axis], 2), "a size of 1 would drop the axis")
    shape = tuple(size for axis, size in enumerate(x.shape) if axis not in axes or size != 1)
    return Fact(shape, x.dtype, _as_rank(x.value, len(shape)) if rank <= 1 else None)


@interval_rule(
    aten.view.default, aten.reshape.default, aten._unsafe_view.default, aten.flatten.using_ints, aten.unflatten.int,
    aten.unsqueeze.default, aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims,
)  # fmt: skip
def reshaped_interval(node: Node, result: Fact, x: Fact, *sizes: object) -> Interval:
    """Told apart along the axis that has the same entries, if there is one: as many, each of as many elements."""
    own = x.bounds
    if own.axis is None:
        return own
    size, behind = x.shape[own.axis], product(x.shape[len(x.shape) + own.axis + 1 :])
    for axis in range(-len(result.shape), 0):
        if result.shape[axis] == size and product(result.shape[len(result.shape) + axis + 1 :]) == behind:
            return own.moved(axis)
    return own.collapsed()


@demand_rule(
    aten.view.default, aten.reshape.default, aten._unsafe_view.default, aten.flatten.using_ints, aten.unflatten.int,
    aten.unsqueeze.default, aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims,
)  # fmt: skip
def reshaped_demand(node: Node, wanted: Box, result: Fact, x: Fact, *sizes: object) -> Demands:
    """The same elements under the operand's own sizes."""
    return [regrouped(wanted, x.shape) or whole(x.shape, node)]
