"""Operators that read or write elements at positions which tensors tell."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.fx import Node

from dydca.analysis.boxes import Box, every
from dydca.analysis.facts import Fact, Size
from dydca.analysis.intervals import Interval, entrywise, places, union
from dydca.analysis.rules.arithmetic import at_least, equal, product, smallest
from dydca.analysis.rules.promotion import broadcast_shapes, common_shape
from dydca.analysis.rules.registry import (
    Demands,
    axis_of,
    bounds,
    demand_rule,
    interval_rule,
    require,
    require_rank,
    rule,
    shape_text,
    told,
    unknown,
)

aten = torch.ops.aten


@rule(aten.index_select.default)
def index_select(node: Node, x: Fact, dim: int, index: Fact) -> Fact:
    """The entries of one axis that a list names."""
    require_rank(node, index, 0, 1)
    axis = axis_of(node, dim, len(x.shape))
    count = index.shape[0] if index.shape else 1
    return Fact((*x.shape[:axis], count, *x.shape[axis + 1 :]) if x.shape else (), x.dtype)


@rule(aten.gather.default)
def gather(node: Node, x: Fact, dim: int, index: Fact, **options: object) -> Fact:
    """One element of an axis per position of `index`."""
    axis = axis_of(node, dim, len(x.shape))
    got, want = shape_text(index.shape), told("at most {} beside axis {}", x.shape, axis)
    require(node, len(index.shape or (1,)) == len(x.shape or (1,)), "the index has another rank", got, want)
    for other, (size, limit) in enumerate(zip(index.shape, x.shape, strict=False)):
        require(node, other == axis or at_least(limit, size), "the index is larger than the tensor", got, want)
    return Fact(index.shape, x.dtype)


@rule(aten.take_along_dim.default)
def take_along_dim(node: Node, x: Fact, index: Fact, dim: int) -> Fact:
    """As `gather`, with the other axes broadcast."""
    axis = axis_of(node, dim, len(x.shape))
    rest = broadcast_shapes(
        node, (*x.shape[:axis], 1, *x.shape[axis + 1 :]), (*index.shape[:axis], 1, *index.shape[axis + 1 :])
    )
    return Fact((*rest[:axis], index.shape[axis], *rest[axis + 1 :]), x.dtype)


@rule(aten.index.Tensor)
def index(node: Node, x: Fact, indices: Sequence[Fact | None]) -> Fact:
    """``x[i, :, mask, ...]``: index tensors broadcast together; a mask yields as many as it has true elements."""
    axes: list[tuple[Size, ...] | None] = []
    at = 0
    for entry in indices:
        if entry is not None and entry.dtype in (torch.bool, torch.uint8):
            require(
                node,
                _matches(entry.shape, x.shape[at:]),
                "the mask does not fit",
                shape_text(entry.shape),
                shape_text(x.shape),
            )
            count = unknown(node, 0, product(entry.shape), f"_{at}")
            axes += [(count,)] * len(entry.shape)
            at += len(entry.shape)
        else:
            axes.append(None if entry is None else entry.shape)
            at += 1
    require(node, at <= len(x.shape), "there are more indices than axes", got=at, want=f"<= {len(x.shape)}")
    chosen = [axis for axis, shape in enumerate(axes) if shape is not None]
    joint = common_shape(node, (shape for shape in axes if shape is not None))
    rest = [(axis, size) for axis, size in enumerate(x.shape) if axis not in chosen]
    front = chosen[0] if chosen == list(range(chosen[0], chosen[-1] + 1)) else 0
    before = tuple(size for axis, size in rest if axis < front)
    return Fact((*before, *joint, *(size for axis, size in rest if axis >= front)), x.dtype)


def _matches(mask: tuple[Size, ...], shape: tuple[Size, ...]) -> bool:
    return len(mask) <= len(shape) and all(equal(m, n) is not False for m, n in zip(mask, shape, strict=False))


@rule(
    aten.index_put.default, aten.index_fill.int_Scalar, aten.index_fill.int_Tensor, aten.scatter.src,
    aten.scatter.value, aten.index_copy.default,
)  # fmt: skip
def written(node: Node, x: Fact, *where: object, **options: object) -> Fact:
    """`x` with some elements replaced."""
    return Fact(x.shape, x.dtype)


@rule(aten.embedding.default)
def embedding(node: Node, weight: Fact, indices: Fact, *settings: object) -> Fact:
    """One row of `weight` per index."""
    require_rank(node, weight, 2)
    return Fact((*indices.shape, weight.shape[1]), weight.dtype)


@rule(aten.nonzero.default)
def nonzero(node: Node, x: Fact) -> Fact:
    """The positions of the elements that are not 0: as many as the data has."""
    return Fact((unknown(node, 0, product(x.shape)), len(x.shape)), torch.int64)


@rule(aten.where.default)
def where_positions(node: Node, condition: Fact) -> Fact:
    """The positions of the true elements, one tensor per axis."""
    count = unknown(node, 0, product(condition.shape))
    return Fact(items=(Fact((count,), torch.int64),) * max(len(condition.shape), 1))


@rule(aten.masked_select.default)
def masked_select(node: Node, x: Fact, mask: Fact) -> Fact:
    """The elements under the mask, in a row."""
    return Fact((unknown(node, 0, product(broadcast_shapes(node, x.shape, mask.shape))),), x.dtype)


@rule(aten._unique2.default)
def unique(node: Node, x: Fact, sort: bool = True, inverse: bool = False, counts: bool = False) -> Fact:
    """The different elements; where each element went and how often it came, if asked for."""
    count = product(x.shape)
    found = (unknown(node, smallest(count, 1), count),)
    positions = Fact(x.shape if inverse or counts else (0,), torch.int64)
    return Fact(items=(Fact(found, x.dtype), positions, Fact(found if counts else (0,), torch.int64)))


@interval_rule(aten.index_select.default)
def index_select_interval(node: Node, result: Fact, x: Fact, dim: int, index: Fact) -> Interval:
    """Entries of the axis, in any order."""
    return _mixed(x, dim)


def _mixed(x: Fact, dim: int) -> Interval:
    """Told apart no more along an axis whose entries may come in any order."""
    own = x.bounds
    return own.collapsed() if not x.shape or own.axis == dim % len(x.shape) - len(x.shape) else own


@interval_rule(aten.gather.default, aten.take_along_dim.default)
def gather_interval(node: Node, result: Fact, x: Fact, *where: object, **options: object) -> Interval:
    """Elements of the operand."""
    return x.bounds.collapsed()


@interval_rule(aten.index.Tensor, aten.masked_select.default, aten.embedding.default)
def index_interval(node: Node, result: Fact, x: Fact, *where: object) -> Interval:
    """Elements of the operand."""
    return x.bounds.collapsed()


@interval_rule(aten.index_put.default)
def index_put_interval(
    node: Node, result: Fact, x: Fact, indices: Sequence[Fact | None], values: Fact, accumulate: bool = False
) -> Interval | None:
    """Old and new elements, unless they are added up."""
    return None if accumulate else x.bounds | values.bounds.collapsed()


@interval_rule(
    aten.index_fill.int_Scalar,
    aten.index_fill.int_Tensor,
    aten.scatter.src,
    aten.scatter.value,
    aten.index_copy.default,
)
def scatter_interval(node: Node, result: Fact, x: Fact, dim: int, index: Fact, value: Fact | float) -> Interval:
    """Old and new elements."""
    return x.bounds | bounds(value).collapsed()


@interval_rule(aten.nonzero.default)
def nonzero_interval(node: Node, result: Fact, x: Fact) -> Interval:
    """Positions on each axis."""
    if not x.shape:
        return places(1)
    return entrywise([0] * len(x.shape), [places(size).high for size in x.shape], -1)


@interval_rule(aten.where.default)
def where_positions_interval(node: Node, result: Fact, condition: Fact) -> tuple[Interval, ...]:
    """Positions on each axis."""
    return tuple(map(places, condition.shape or (1,)))


@interval_rule(aten._unique2.default)
def unique_interval(node: Node, result: Fact, x: Fact, *options: object) -> tuple[Interval | None, ...]:
    """Elements of the operand, places among them, and counts."""
    count = places(product(x.shape))
    return x.bounds.collapsed(), count, union([count, places(2), count + places(2)])


@demand_rule(aten.index_select.default)
def index_select_demand(node: Node, wanted: Box, result: Fact, x: Fact, dim: int, index: Fact) -> Demands:
    """Any entry of the axis, by the wanted indices."""
    if not x.shape:
        return []
    axis = dim % len(x.shape)
    named = (wanted[axis],) if index.shape else ()
    return [(*wanted[:axis], every(x.shape[axis], node), *wanted[axis + 1 :]), named]


@demand_rule(aten.gather.default)
def gather_demand(node: Node, wanted: Box, result: Fact, x: Fact, dim: int, index: Fact, **options: object) -> Demands:
    """Any element of the axis at the wanted places of the others."""
    if not x.shape:
        return []
    axis = dim % len(x.shape)
    return [(*wanted[:axis], every(x.shape[axis], node), *wanted[axis + 1 :]), wanted]


@demand_rule(aten.embedding.default)
def embedding_demand(node: Node, wanted: Box, result: Fact, weight: Fact, indices: Fact, *settings: object) -> Demands:
    """Any row, by the wanted indices."""
    return [(every(weight.shape[0], node), wanted[-1]), wanted[:-1]]


@demand_rule(
    aten.index_put.default, aten.index_fill.int_Scalar, aten.index_fill.int_Tensor, aten.scatter.src,
    aten.scatter.value, aten.index_copy.default,
)  # fmt: skip
def written_demand(node: Node, wanted: Box, result: Fact, x: Fact, *where: object, **options: object) -> Demands:
    """What may still be there of the operand."""
    return [wanted]
