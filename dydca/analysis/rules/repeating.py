"""Operators that hold the same elements several times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.fx import Node

from dydca.analysis.boxes import Box, every, run, stretched
from dydca.analysis.boxes import split as digits
from dydca.analysis.facts import Fact, Size
from dydca.analysis.intervals import Interval
from dydca.analysis.rules.arithmetic import either, equal, product
from dydca.analysis.rules.promotion import common_shape
from dydca.analysis.rules.registry import (
    Demands,
    Told,
    axis_of,
    demand_rule,
    interval_rule,
    require,
    rule,
    shape_text,
    told,
)

aten = torch.ops.aten


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


@demand_rule(aten.expand.default)
def expand_demand(node: Node, wanted: Box, result: Fact, x: Fact, *sizes: object, **options: object) -> Demands:
    """The one place that was stretched."""
    return [stretched(wanted, x.shape)]


@demand_rule(aten.expand_as.default)
def expand_as_demand(node: Node, wanted: Box, result: Fact, x: Fact, other: Fact) -> Demands:
    """The one place that was stretched; of the other tensor nothing but its shape."""
    return [stretched(wanted, x.shape), None]


@demand_rule(aten.broadcast_tensors.default)
def broadcast_demand(node: Node, wanted: Sequence[Box | None], result: Fact, tensors: Sequence[Fact]) -> Demands:
    """Each by its own result."""
    pairs = zip(wanted, tensors, strict=True)
    return [None if box is None else stretched(box, part.shape) for box, part in pairs]


@demand_rule(aten.repeat.default, aten.tile.default)
def repeat_demand(node: Node, wanted: Box, result: Fact, x: Fact, repeats: Sequence[Size]) -> Demands:
    """All of an axis that is repeated."""
    counts = [1] * (len(x.shape) - len(repeats)) + list(repeats)[-len(x.shape) or len(repeats) :]
    behind = wanted[len(wanted) - len(x.shape) :]
    axes = zip(behind, x.shape, counts, strict=True)
    return [tuple(extent if count == 1 else every(size, node) for extent, size, count in axes)]


@demand_rule(aten.repeat_interleave.self_int)
def repeat_interleave_demand(
    node: Node, wanted: Box, result: Fact, x: Fact, repeats: Size, dim: int | None = None, **options: object
) -> Demands:
    """The one place that is repeated."""
    if dim is None or not isinstance(repeats, int):
        return []
    axis = dim % len(x.shape)
    outer, _ = digits(run(wanted[axis]), x.shape[axis], repeats)
    return [(*wanted[:axis], (outer,), *wanted[axis + 1 :])]
