"""Operators that join tensors, take them apart or repeat them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch.fx import Node

from dydca.analysis.boxes import Box, Run, every, only, run, united, windows
from dydca.analysis.facts import Fact, Size
from dydca.analysis.intervals import Interval, joined, spanning, union
from dydca.analysis.rules.arithmetic import ceildiv, divides, equal, quotient
from dydca.analysis.rules.promotion import promoted
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


@interval_rule(aten.cat.default)
def cat_interval(node: Node, result: Fact, tensors: Sequence[Fact], dim: int = 0) -> Interval:
    """Entry after entry along the joined axis, if no other is told apart."""
    rank = len(result.shape)
    axis = dim % rank - rank
    parts = [part for part in tensors if len(part.shape) == rank]
    if any(part.bounds.axis not in (None, axis) for part in parts):
        return union([part.bounds.moved(None) if part.bounds.axis == axis else part.bounds for part in parts])
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


@demand_rule(aten.cat.default)
def cat_demand(node: Node, wanted: Box, result: Fact, tensors: Sequence[Fact], dim: int = 0) -> Demands:
    """Of each part what lies in it; the first and the last reach beyond the result as far as is wanted."""
    rank = len(wanted)
    axis, joint, read, start = dim % rank, run(wanted[dim]), list[Box | None](), 0
    filled = [place for place, part in enumerate(tensors) if len(part.shape) == rank and part.shape[axis] != 0]
    for place, part in enumerate(tensors):
        size = part.shape[axis] if len(part.shape) == rank else 0
        if not isinstance(size, int) or start < 0:
            read.append((*wanted[:axis], every(size, node), *wanted[axis + 1 :]))
            start = -1  # from here on it is not known where a part begins
            continue
        low = joint.low - start if [place] == filled[:1] else max(joint.low - start, 0)
        high = joint.high - start if [place] == filled[-1:] else min(joint.high - start, size - 1)
        inside = (Run(size, low, high, joint.cause if joint.endless else None),)
        read.append((*wanted[:axis], inside, *wanted[axis + 1 :]) if low <= high else None)
        start += size
    return read


@demand_rule(aten.stack.default)
def stack_demand(node: Node, wanted: Box, result: Fact, tensors: Sequence[Fact], dim: int = 0) -> Demands:
    """The parts that lie in what is wanted."""
    axis = dim % len(wanted)
    joint, rest = run(wanted[axis]), (*wanted[:axis], *wanted[axis + 1 :])
    return [rest if joint.low <= place <= joint.high else None for place, _ in enumerate(tensors)]


@demand_rule(aten.split_with_sizes.default, aten.split.sizes, aten.split.Tensor, aten.chunk.default)
def split_demand(
    node: Node, wanted: Sequence[Box | None], result: Fact, x: Fact, sizes: object, dim: int = 0
) -> Demands:
    """Each part in its place."""
    axis, read, start = dim % len(x.shape), None, 0
    for box, item in zip(wanted, result.items, strict=True):
        size = item.shape[axis]
        if not isinstance(size, int):
            return []
        if box is not None:
            part = run(box[axis])
            place = every(x.shape[axis], part.cause) if part.endless else windows(part, x.shape[axis], 1, start, start)
            read = united(read, (*box[:axis], place, *box[axis + 1 :]))
        start += size
    return [read]


@demand_rule(aten.unbind.int)
def unbind_demand(node: Node, wanted: Sequence[Box | None], result: Fact, x: Fact, dim: int = 0) -> Demands:
    """The wanted entries."""
    axis, read = dim % len(x.shape), None
    for place, box in enumerate(wanted):
        if box is not None:
            read = united(read, (*box[:axis], only(x.shape[axis], place), *box[axis:]))
    return [read]


@demand_rule(aten.glu.default)
def glu_demand(node: Node, wanted: Box, result: Fact, x: Fact, dim: int = -1) -> Demands:
    """The same place in both halves."""
    axis = dim % len(x.shape)
    return [(*wanted[:axis], every(x.shape[axis], node), *wanted[axis + 1 :])]
