"""Operators that give the axes or the elements of an axis another order."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.fx import Node

from dydca.analysis.boxes import Box, every, only, run, windows
from dydca.analysis.facts import Fact, Size
from dydca.analysis.intervals import Interval, spanning
from dydca.analysis.rules.arithmetic import largest, product, smallest
from dydca.analysis.rules.conv import window
from dydca.analysis.rules.registry import (
    Demands,
    axis_of,
    demand_rule,
    interval_rule,
    require,
    require_rank,
    rule,
)
from dydca.program import op_name

aten = torch.ops.aten


@rule(aten.permute.default)
def permute(node: Node, x: Fact, dims: Sequence[int]) -> Fact:
    """The axes in another order."""
    rank = len(x.shape)
    axes = [axis_of(node, dim, rank) for dim in dims]
    require(
        node, sorted(axes) == list(range(rank)), "this is no order of the axes", got=list(dims), want=f"0..{rank - 1}"
    )
    return Fact(tuple(x.shape[axis] for axis in axes), x.dtype)


@rule(aten.transpose.int, aten.swapaxes.default)
def transpose(node: Node, x: Fact, dim0: int, dim1: int) -> Fact:
    """Two axes exchanged."""
    shape = list(x.shape)
    a, b = axis_of(node, dim0, len(shape)), axis_of(node, dim1, len(shape))
    if shape:
        shape[a], shape[b] = shape[b], shape[a]
    return Fact(tuple(shape), x.dtype)


@rule(aten.t.default, aten.numpy_T.default)
def reverse_axes(node: Node, x: Fact) -> Fact:
    """The axes backwards."""
    return Fact(x.shape[::-1], x.dtype)


@rule(aten.mT.default, aten.adjoint.default)
def matrix_transpose(node: Node, x: Fact) -> Fact:
    """The last two axes exchanged."""
    return transpose(node, x, -2, -1)


@rule(aten.flip.default)
def flip(node: Node, x: Fact, dims: Sequence[int]) -> Fact:
    """Axes backwards."""
    for dim in dims:
        axis_of(node, dim, len(x.shape))
    return Fact(x.shape, x.dtype)


@rule(aten.roll.default)
def roll(node: Node, x: Fact, shifts: Sequence[Size], dims: Sequence[int] = ()) -> Fact:
    """Axes turned round; the sizes stay."""
    return flip(node, x, dims)


@rule(aten.rot90.default)
def rot90(node: Node, x: Fact, k: int = 1, dims: Sequence[int] = (0, 1)) -> Fact:
    """A plane turned by right angles."""
    return Fact(x.shape, x.dtype) if k % 2 == 0 else transpose(node, Fact(x.shape, x.dtype), dims[0], dims[1])


@rule(aten.diagonal.default)
def diagonal(node: Node, x: Fact, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Fact:
    """The diagonal of a plane as the last axis."""
    rank = len(x.shape)
    a, b = axis_of(node, dim1, rank), axis_of(node, dim2, rank)
    require(node, a != b, "a diagonal wants two axes", got=(dim1, dim2), want="different axes")
    rows, columns = x.shape[a] + min(offset, 0), x.shape[b] - max(offset, 0)
    rest = (size for axis, size in enumerate(x.shape) if axis not in (a, b))
    return Fact((*rest, largest(smallest(rows, columns), 0)), x.dtype)


@rule(aten.unfold.default)
def unfold(node: Node, x: Fact, dim: int, size: int, step: int) -> Fact:
    """Windows along one axis; their elements become the last axis."""
    axis = axis_of(node, dim, len(x.shape))
    places = window(node, x.shape[axis], size, step, 0, 1)
    return Fact((*x.shape[:axis], places, *x.shape[axis + 1 :], size), x.dtype)


@rule(aten.im2col.default)
def im2col(
    node: Node, x: Fact, kernel: Sequence[int], dilation: Sequence[int], padding: Sequence[int], stride: Sequence[int]
) -> Fact:
    """``[N, C, H, W] -> [N, C * KH * KW, windows]``."""
    require_rank(node, x, 3, 4)
    *batch, channels, height, width = x.shape
    axes = zip((height, width), kernel, stride, padding, dilation, strict=True)
    return Fact((*batch, channels * product(kernel), product(window(node, *axis) for axis in axes)), x.dtype)


@interval_rule(aten.permute.default)
def permute_interval(node: Node, result: Fact, x: Fact, dims: Sequence[int]) -> Interval:
    """The axis where it goes."""
    own, rank = x.bounds, len(x.shape)
    if own.axis is None:
        return own
    return own.moved([dim % rank for dim in dims].index(own.axis + rank) - rank)


@interval_rule(aten.transpose.int, aten.swapaxes.default)
def transpose_interval(node: Node, result: Fact, x: Fact, dim0: int, dim1: int) -> Interval:
    """The axis where it goes."""
    order = list(range(len(x.shape)))
    if order:
        order[dim0], order[dim1] = order[dim1], order[dim0]
    return permute_interval(node, result, x, order)


@interval_rule(aten.t.default, aten.numpy_T.default)
def reverse_axes_interval(node: Node, result: Fact, x: Fact) -> Interval:
    """The axis where it goes."""
    return permute_interval(node, result, x, range(len(x.shape))[::-1])


@interval_rule(aten.mT.default, aten.adjoint.default)
def matrix_transpose_interval(node: Node, result: Fact, x: Fact) -> Interval:
    """The axis where it goes."""
    return transpose_interval(node, result, x, -2, -1)


@interval_rule(aten.flip.default, aten.roll.default)
def turned_interval(node: Node, result: Fact, x: Fact, *settings: Sequence[int]) -> Interval:
    """Told apart no more along an axis that turns."""
    own, rank = x.bounds, len(x.shape)
    dims = settings[-1] if op_name(node) == "flip" or len(settings) > 1 else range(rank)
    return own.collapsed() if own.axis is not None and own.axis + rank in [dim % rank for dim in dims] else own


@interval_rule(aten.rot90.default, aten.diagonal.default, aten.im2col.default)
def mixed_interval(node: Node, result: Fact, x: Fact, *settings: object) -> Interval:
    """The same elements, told apart no more; im2col adds zeros."""
    own = x.bounds.collapsed()
    return own | spanning(0, 0) if op_name(node) == "im2col" else own


@interval_rule(aten.unfold.default)
def unfold_interval(node: Node, result: Fact, x: Fact, dim: int, size: int, step: int) -> Interval:
    """The same elements; the new axis comes last."""
    own = x.bounds
    if own.axis is None or own.axis == dim % len(x.shape) - len(x.shape):
        return own.collapsed()
    return own.moved(own.axis - 1)


@demand_rule(aten.permute.default)
def permute_demand(node: Node, wanted: Box, result: Fact, x: Fact, dims: Sequence[int]) -> Demands:
    """The axes in the operand's order."""
    rank = len(x.shape)
    origin = [dim % rank for dim in dims]
    return [tuple(wanted[origin.index(axis)] for axis in range(rank))]


@demand_rule(aten.transpose.int, aten.swapaxes.default)
def transpose_demand(node: Node, wanted: Box, result: Fact, x: Fact, dim0: int, dim1: int) -> Demands:
    """The axes in the operand's order."""
    axes = list(wanted)
    if axes:
        axes[dim0], axes[dim1] = axes[dim1], axes[dim0]
    return [tuple(axes)]


@demand_rule(aten.t.default, aten.numpy_T.default)
def reverse_axes_demand(node: Node, wanted: Box, result: Fact, x: Fact) -> Demands:
    """The axes backwards."""
    return [wanted[::-1]]


@demand_rule(aten.mT.default, aten.adjoint.default)
def matrix_transpose_demand(node: Node, wanted: Box, result: Fact, x: Fact) -> Demands:
    """The last two axes exchanged."""
    return transpose_demand(node, wanted, result, x, -2, -1)


@demand_rule(aten.flip.default)
def flip_demand(node: Node, wanted: Box, result: Fact, x: Fact, dims: Sequence[int]) -> Demands:
    """The places counted from the other end."""
    axes = list(wanted)
    for dim in dims:
        axis, size = run(axes[dim]), x.shape[dim]
        known = isinstance(size, int) and not axis.endless
        axes[dim] = only(size, size - 1 - axis.high, size - 1 - axis.low) if known else every(size, axis.cause or node)
    return [tuple(axes)]


@demand_rule(aten.roll.default)
def roll_demand(
    node: Node, wanted: Box, result: Fact, x: Fact, shifts: Sequence[Size], dims: Sequence[int] = ()
) -> Demands:
    """All of the axes that turn: what leaves at one end enters at the other."""
    turned = {dim % len(x.shape) for dim in dims} or range(len(x.shape))
    return [tuple(every(x.shape[axis], node) if axis in turned else wanted[axis] for axis in range(len(x.shape)))]


@demand_rule(aten.unfold.default)
def unfold_demand(node: Node, wanted: Box, result: Fact, x: Fact, dim: int, size: int, step: int) -> Demands:
    """The wanted places of the wanted windows."""
    axis, inner = dim % len(x.shape), run(wanted[-1])
    low, high = (0, size - 1) if inner.endless else (inner.low, inner.high)
    return [(*wanted[:axis], windows(run(wanted[axis]), x.shape[axis], step, low, high), *wanted[axis + 1 : -1])]
