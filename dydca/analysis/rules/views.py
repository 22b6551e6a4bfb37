"""Operators that give the same elements another shape or order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.fx import Node

from dydca.analysis.facts import Fact, Size
from dydca.analysis.intervals import Interval, spanning
from dydca.analysis.rules.arithmetic import at_least, divides, equal, largest, product, quotient, smallest
from dydca.analysis.rules.conv import window
from dydca.analysis.rules.registry import axis_of, interval_rule, require, require_rank, rule, shape_text, told
from dydca.program import op_name

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


@rule(aten.pixel_shuffle.default)
def pixel_shuffle(node: Node, x: Fact, factor: int) -> Fact:
    """``[..., C * r * r, H, W] -> [..., C, H * r, W * r]``."""
    require(node, len(x.shape) >= 3, "a picture is wanted", got=shape_text(x.shape), want="3 axes or more")
    *batch, channels, height, width = x.shape
    area = factor * factor
    fits = divides(area, channels)
    require(node, fits, "the channels are not divisible by the squared factor", got=channels, want=f"k x {area}")
    return Fact((*batch, quotient(channels, area), height * factor, width * factor), x.dtype)


@rule(aten.pixel_unshuffle.default)
def pixel_unshuffle(node: Node, x: Fact, factor: int) -> Fact:
    """``[..., C, H * r, W * r] -> [..., C * r * r, H, W]``."""
    require(node, len(x.shape) >= 3, "a picture is wanted", got=shape_text(x.shape), want="3 axes or more")
    *batch, channels, height, width = x.shape
    for name, size in (("height", height), ("width", width)):
        require(
            node, divides(factor, size), f"the {name} is not divisible by the factor", got=size, want=f"k x {factor}"
        )
    return Fact((*batch, channels * factor * factor, quotient(height, factor), quotient(width, factor)), x.dtype)


@rule(aten.channel_shuffle.default)
def channel_shuffle(node: Node, x: Fact, groups: int) -> Fact:
    """Channels regrouped; the shape stays."""
    require(node, len(x.shape) >= 3, "a picture is wanted", got=shape_text(x.shape), want="3 axes or more")
    require(
        node, divides(groups, x.shape[1]), "the groups do not divide the channels", got=x.shape[1], want=f"k x {groups}"
    )
    return Fact(x.shape, x.dtype)


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


@interval_rule(aten.pixel_shuffle.default)
def pixel_shuffle_interval(node: Node, result: Fact, x: Fact, factor: int) -> Interval:
    """The channels that one channel is put together from."""
    own = x.bounds.along(-3)
    if own.axis is None or own.ends.shape[1] % factor**2:
        return own.collapsed()
    groups = own.ends.reshape(2, -1, factor * factor)
    return Interval(np.stack([groups[0].min(1), groups[1].max(1)]), -3, own.nan)


@interval_rule(aten.pixel_unshuffle.default)
def pixel_unshuffle_interval(node: Node, result: Fact, x: Fact, factor: int) -> Interval:
    """Each channel as often as it gives channels."""
    own = x.bounds.along(-3)
    return own if own.axis is None else Interval(np.repeat(own.ends, factor * factor, 1), -3, own.nan)


@interval_rule(aten.channel_shuffle.default)
def channel_shuffle_interval(node: Node, result: Fact, x: Fact, groups: int) -> Interval:
    """The channels in their new order."""
    own = x.bounds
    if own.axis is None or own.axis + len(x.shape) != 1 or own.ends.shape[1] % groups:
        return own.collapsed()
    return Interval(own.ends.reshape(2, groups, -1).swapaxes(1, 2).reshape(2, -1), own.axis, own.nan)
