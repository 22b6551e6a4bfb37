"""Operators that join tensors, take them apart or repeat them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import torch
from torch.fx import Node

from dydca.analysis.facts import Fact, Size
from dydca.analysis.intervals import Interval, joined, spanning, union
from dydca.analysis.rules.arithmetic import ceildiv, divides, either, equal, product, quotient
from dydca.analysis.rules.promotion import common_shape, promoted
from dydca.analysis.rules.registry import Told, axis_of, interval_rule, require, rule, shape_text, told
from dydca.analysis.rules.slicing import part_of, select_interval

aten = torch.ops.aten


@rule(aten.cat.default)
def cat(node: Node, tensors: Sequence[Fact], dim: int = 0) -> Fact:
    """The tensors one after the other along one axis; empty tensors of rank 1 are skipped, as PyTorch does."""
    dtype = promoted(*tensors)
    parts = _filled(node, tensors)
    first = parts[0].shape
    axis = axis_of(node, dim, len(first))
    for part in parts:
        got, want = shape_text(part.shape), told("{} beside axis {}", first, axis)
        require(node, len(part.shape) == len(first) > 0, "the parts have different ranks", got, want)
        for other, (size, wanted) in enumerate(zip(part.shape, first, strict=True)):
            require(node, other == axis or equal(size, wanted), "the parts do not line up", got, want)
    total = sum((part.shape[axis] for part in parts[1:]), start=first[axis])
    values = [part.value for part in parts]
    known = len(first) == 1 and all(isinstance(value, tuple) for value in values)
    return Fact((*first[:axis], total, *first[axis + 1 :]), dtype, sum(values, start=()) if known else None)


def _filled(node: Node, tensors: Sequence[Fact]) -> Sequence[Fact]:
    """The tensors without those of rank 1 among others of higher rank, which must be empty."""
    higher = [part for part in tensors if len(part.shape) > 1]
    for part in tensors:
        if higher and len(part.shape) == 1:
            want = told("the rank of {}, or no elements", higher[0].shape)
            require(node, equal(part.shape[0], 0), "the parts have different ranks", shape_text(part.shape), want)
    return [part for part in tensors if len(part.shape) != 1] if higher else tensors


@rule(aten.stack.default)
def stack(node: Node, tensors: Sequence[Fact], dim: int = 0) -> Fact:
    """The tensors one after the other along a new axis."""
    first = tensors[0].shape
    axis = axis_of(node, dim, len(first) + 1)
    for part in tensors:
        got, want = shape_text(part.shape), shape_text(first)
        require(node, len(part.shape) == len(first), "the parts have different ranks", got, want)
        for size, wanted in zip(part.shape, first, strict=True):
            require(node, equal(size, wanted), "the parts do not line up", got, want)
    values = tuple(part.value for part in tensors)
    known = not first and all(value is not None for value in values)
    return Fact((*first[:axis], len(tensors), *first[axis:]), promoted(*tensors), values if known else None)


def _parts(x: Fact, axis: int, sizes: Sequence[Size]) -> Fact:
    return Fact(items=tuple(Fact((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype) for size in sizes))


@rule(aten.split_with_sizes.default, aten.split.sizes)
def split_with_sizes(node: Node, x: Fact, sizes: Sequence[Size], dim: int = 0) -> Fact:
    """Parts of the given sizes, which must add up."""
    axis = axis_of(node, dim, len(x.shape))
    total = sum(sizes)
    adds_up = equal(total, x.shape[axis])
    require(node, adds_up, "the parts do not add up to the axis", got=f"{list(sizes)} = {total}", want=x.shape[axis])
    return _parts(x, axis, sizes)


@rule(aten.split.Tensor)
def split(node: Node, x: Fact, size: Size, dim: int = 0) -> Fact:
    """Parts of one size; the last may be smaller."""
    axis = axis_of(node, dim, len(x.shape))
    return _parts(x, axis, _equal_parts(node, x.shape[axis], size))


@rule(aten.chunk.default)
def chunk(node: Node, x: Fact, chunks: int, dim: int = 0) -> Fact:
    """At most `chunks` parts, all of one size but the last."""
    axis = axis_of(node, dim, len(x.shape))
    size = ceildiv(x.shape[axis], chunks)
    return _parts(x, axis, (0,) * chunks if size == 0 else _equal_parts(node, x.shape[axis], size))


def _equal_parts(node: Node, total: Size, size: Size) -> Sequence[Size]:
    """The graph reads a fixed number of parts, so where the count is symbolic its readers tell it."""
    count = largest_count(node, total, size)
    return [*[size] * (count - 1), total - size * (count - 1)]


def largest_count(node: Node, total: Size, size: Size) -> int:
    """How many parts there are; for a symbolic axis, one more than the highest part that is read."""
    if isinstance(total, int) and isinstance(size, int):
        require(node, size > 0 or total == 0, "a part needs a size", got=size, want="> 0")
        return max(ceildiv(total, size) if size else 1, 1)
    count = max((int(user.args[1]) + 1 for user in node.users if len(user.args) > 1), default=1)  # type: ignore[arg-type]
    require(
        node,
        equal(ceildiv(total, size), count),
        "the axis splits into another number of parts",
        total,
        f"{count} parts",
    )
    return count


@rule(aten.unbind.int)
def unbind(node: Node, x: Fact, dim: int = 0) -> Fact:
    """One tensor per entry of an axis, which goes."""
    axis = axis_of(node, dim, len(x.shape))
    count = largest_count(node, x.shape[axis], 1)
    return Fact(items=(Fact((*x.shape[:axis], *x.shape[axis + 1 :]), x.dtype),) * count)


@rule(aten.glu.default)
def glu(node: Node, x: Fact, dim: int = -1) -> Fact:
    """One half of an axis times the sigmoid of the other half."""
    axis = axis_of(node, dim, len(x.shape))
    require(node, divides(2, x.shape[axis]), "the axis has no halves", got=x.shape[axis], want="an even size")
    return Fact((*x.shape[:axis], quotient(x.shape[axis], 2), *x.shape[axis + 1 :]), x.dtype)


@rule(aten.expand.default)
def expand(node: Node, x: Fact, sizes: Sequence[Size], **options: object) -> Fact:
    """Axes of size 1 stretched; -1 keeps an axis."""
    added = len(sizes) - len(x.shape)
    got, want = shape_text(x.shape), told("sizes 1 or as in {}", sizes)
    require(node, added >= 0, "the tensor has more axes than the sizes", got, want)
    shape = (None,) * added + x.shape
    return Fact(tuple(_expanded(node, *pair, got, want) for pair in zip(shape, sizes, strict=True)), x.dtype)


def _expanded(node: Node, size: Size | None, wanted: Size, got: Told, want: Told) -> Size:
    if isinstance(wanted, int) and wanted == -1:
        require(node, size is not None, "a new axis needs a size", got, want)
        return size
    stretches = size is None or either(equal(size, 1), equal(size, wanted))
    require(node, stretches, "the tensor does not stretch", got, want)
    return wanted


@rule(aten.expand_as.default)
def expand_as(node: Node, x: Fact, other: Fact) -> Fact:
    """Axes of size 1 stretched to another tensor's."""
    return expand(node, x, other.shape)


@rule(aten.broadcast_tensors.default)
def broadcast_tensors(node: Node, tensors: Sequence[Fact]) -> Fact:
    """Each tensor stretched to the common shape."""
    shape = common_shape(node, (part.shape for part in tensors))
    return Fact(items=tuple(Fact(shape, part.dtype) for part in tensors))


@rule(aten.repeat.default)
def repeat(node: Node, x: Fact, repeats: Sequence[Size]) -> Fact:
    """The tensor set side by side; one count per axis, leading counts make new axes."""
    want = f"{len(x.shape)} counts or more"
    require(node, len(repeats) >= len(x.shape), "there are fewer counts than axes", got=list(repeats), want=want)
    shape = (1,) * (len(repeats) - len(x.shape)) + x.shape
    return Fact(tuple(size * count for size, count in zip(shape, repeats, strict=True)), x.dtype)


@rule(aten.tile.default)
def tile(node: Node, x: Fact, repeats: Sequence[Size]) -> Fact:
    """As `repeat`; missing leading counts are 1."""
    return repeat(node, x, (1,) * (len(x.shape) - len(repeats)) + tuple(repeats))


@rule(aten.repeat_interleave.self_int)
def repeat_interleave(node: Node, x: Fact, repeats: Size, dim: int | None = None, **options: object) -> Fact:
    """Each entry of an axis several times in a row."""
    if dim is None:
        return Fact((product(x.shape) * repeats,), x.dtype)
    axis = axis_of(node, dim, len(x.shape))
    return Fact((*x.shape[:axis], x.shape[axis] * repeats, *x.shape[axis + 1 :]), x.dtype)


@interval_rule(aten.cat.default)
def cat_interval(node: Node, result: Fact, tensors: Sequence[Fact], dim: int = 0) -> Interval:
    """Entry after entry along the joined axis, if no other is told apart."""
    rank = len(result.shape)
    axis = dim % rank - rank
    parts = [part for part in tensors if len(part.shape) == rank]
    if any(part.bounds.axis not in (None, axis) for part in parts):
        return union([part.bounds for part in parts])
    counts = [part.shape[axis] if isinstance(part.shape[axis], int) else None for part in parts]
    return joined([part.bounds for part in parts], counts, axis)


@interval_rule(aten.stack.default)
def stack_interval(node: Node, result: Fact, tensors: Sequence[Fact], dim: int = 0) -> Interval:
    """The parts; the new axis is not told apart."""
    rank = len(result.shape)
    whole = union([part.bounds for part in tensors])
    if whole.axis is None:
        return whole
    return whole.moved(whole.axis - (dim % rank >= rank + whole.axis))


@interval_rule(aten.split_with_sizes.default, aten.split.sizes, aten.split.Tensor, aten.chunk.default)
def split_interval(node: Node, result: Fact, x: Fact, sizes: object, dim: int = 0) -> tuple[Interval, ...]:
    """Those of consecutive parts."""
    widths = [item.shape[dim] for item in result.items]
    known = [width if isinstance(width, int) else -1 for width in widths]
    if -1 in known:
        return tuple(part_of(x, dim, None) for _ in widths)
    return tuple(part_of(x, dim, slice(end - width, end)) for width, end in zip(known, accumulate(known), strict=True))


@interval_rule(aten.unbind.int)
def unbind_interval(node: Node, result: Fact, x: Fact, dim: int = 0) -> tuple[Interval, ...]:
    """Those of single entries."""
    return tuple(select_interval(node, item, x, dim, place) for place, item in enumerate(result.items))


@interval_rule(aten.glu.default)
def glu_interval(node: Node, result: Fact, x: Fact, dim: int = -1) -> Interval:
    """Half of the elements, made smaller."""
    return x.bounds.collapsed() * spanning(0, 1)


@interval_rule(aten.expand.default, aten.expand_as.default)
def expand_interval(node: Node, result: Fact, x: Fact, *sizes: object, **options: object) -> Interval:
    """The same elements more often."""
    return x.bounds


@interval_rule(aten.broadcast_tensors.default)
def broadcast_interval(node: Node, result: Fact, tensors: Sequence[Fact]) -> tuple[Interval, ...]:
    """The same elements more often."""
    return tuple(part.bounds for part in tensors)


@interval_rule(aten.repeat.default, aten.tile.default)
def repeat_interval(node: Node, result: Fact, x: Fact, repeats: Sequence[Size]) -> Interval:
    """The entries over and over."""
    own = x.bounds
    if own.axis is None or -own.axis > len(repeats):
        return own
    count = repeats[own.axis]
    if not isinstance(count, int) or count < 1:
        return own.collapsed()
    return own if count == 1 else Interval(np.tile(own.ends, (1, count)), own.axis, own.nan)


@interval_rule(aten.repeat_interleave.self_int)
def repeat_interleave_interval(
    node: Node, result: Fact, x: Fact, repeats: Size, dim: int | None = None, **options: object
) -> Interval:
    """Each entry several times in a row."""
    own, rank = x.bounds, len(x.shape)
    if own.axis is None or dim is None or dim % rank - rank != own.axis:
        return own if dim is not None else own.collapsed()
    if not isinstance(repeats, int) or repeats < 1:
        return own.collapsed()
    return Interval(np.repeat(own.ends, repeats, 1), own.axis, own.nan)
