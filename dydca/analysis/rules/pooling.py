"""Pooling over windows and to fixed sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch.fx import Node

from dydca.analysis.boxes import Box, Extent, Run, any_of, every, run, windows
from dydca.analysis.facts import Fact, Size
from dydca.analysis.intervals import Interval, places, spanning
from dydca.analysis.rules.arithmetic import at_least, ceildiv, floordiv, product, smallest
from dydca.analysis.rules.conv import spread
from dydca.analysis.rules.reduction import mean_of
from dydca.analysis.rules.registry import Demands, bounds, demand_rule, interval_rule, require, require_rank, rule
from dydca.program import op_name

aten = torch.ops.aten
Sizes: TypeAlias = Size | Sequence[Size]


def _pooled(
    node: Node, x: Fact, rank: int, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, ceil_mode: bool
) -> tuple[Size, ...]:
    require_rank(node, x, rank + 1, rank + 2)
    settings = [_spread(value, rank) for value in (kernel, stride or kernel, padding, dilation)]
    axes = zip(x.shape[-rank:], *settings, strict=True)
    return (*x.shape[:-rank], *(_places(node, ceil_mode, *axis) for axis in axes))


def _spread(value: Sizes, rank: int) -> tuple[Size, ...]:
    return spread(value, rank) if isinstance(value, Sequence) else (value,) * rank


def _places(node: Node, ceil_mode: bool, size: Size, kernel: Size, stride: Size, pad: Size, dilation: Size) -> Size:
    """How many windows fit; in ceil mode the last may hang over, but starts inside the input or its left border."""
    reach = dilation * (kernel - 1) + 1
    half = floordiv(kernel, 2)
    require(node, at_least(half, pad), "the padding is more than half of the kernel", got=pad, want=f"<= {half}")
    slack = size + 2 * pad - reach
    places = (ceildiv(slack, stride) if ceil_mode else floordiv(slack, stride)) + 1
    if ceil_mode:
        places = smallest(places, ceildiv(size + pad, stride))
    require(
        node,
        at_least(places, 1),
        "the window is larger than the padded input",
        got=size,
        want=f">= {reach} - 2 x {pad}",
    )
    return places


@rule(aten.avg_pool1d.default)
def avg_pool1d(
    node: Node,
    x: Fact,
    kernel: Sizes,
    stride: Sizes = (),
    padding: Sizes = 0,
    ceil_mode: bool = False,
    *counting: object,
) -> Fact:
    """``[N, C, L]`` to one mean per window."""
    return Fact(_pooled(node, x, 1, kernel, stride, padding, 1, ceil_mode), x.dtype)


@rule(aten.avg_pool2d.default)
def avg_pool2d(
    node: Node,
    x: Fact,
    kernel: Sizes,
    stride: Sizes = (),
    padding: Sizes = 0,
    ceil_mode: bool = False,
    *counting: object,
) -> Fact:
    """``[N, C, H, W]`` to one mean per window; the stride is the kernel unless given."""
    return Fact(_pooled(node, x, 2, kernel, stride, padding, 1, ceil_mode), x.dtype)


@rule(aten.max_pool2d.default)
def max_pool2d(
    node: Node,
    x: Fact,
    kernel: Sizes,
    stride: Sizes = (),
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> Fact:
    """``[N, C, H, W]`` to one maximum per window."""
    return Fact(_pooled(node, x, 2, kernel, stride, padding, dilation, ceil_mode), x.dtype)


@rule(aten.max_pool2d_with_indices.default)
def max_pool2d_with_indices(
    node: Node,
    x: Fact,
    kernel: Sizes,
    stride: Sizes = (),
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> Fact:
    """As `max_pool2d`, and where each maximum lies."""
    result = max_pool2d(node, x, kernel, stride, padding, dilation, ceil_mode)
    return Fact(items=(result, Fact(result.shape, torch.int64)))


@rule(aten.adaptive_avg_pool1d.default)
def adaptive_avg_pool1d(node: Node, x: Fact, size: Sequence[Size]) -> Fact:
    """As many windows as asked for."""
    require_rank(node, x, 2, 3)
    return Fact((*x.shape[:-1], *_spread(size, 1)), x.dtype)


@rule(aten.adaptive_avg_pool2d.default, aten._adaptive_avg_pool2d.default)
def adaptive_avg_pool2d(node: Node, x: Fact, size: Sequence[Size]) -> Fact:
    """As many windows as asked for."""
    require_rank(node, x, 3, 4)
    for extent in x.shape[-2:]:
        require(node, at_least(extent, 1), "the picture is empty", got=extent, want=">= 1")
    return Fact((*x.shape[:-2], *_spread(size, 2)), x.dtype)


@rule(aten.adaptive_max_pool2d.default)
def adaptive_max_pool2d(node: Node, x: Fact, size: Sequence[Size]) -> Fact:
    """As many windows as asked for, and where each maximum lies."""
    result = adaptive_avg_pool2d(node, x, size)
    return Fact(items=(result, Fact(result.shape, torch.int64)))


@interval_rule(aten.avg_pool1d.default, aten.avg_pool2d.default)
def avg_pool_interval(
    node: Node,
    result: Fact,
    x: Fact,
    kernel: Sizes,
    stride: Sizes = (),
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor: int | None = None,
) -> Interval:
    """A mean of elements and perhaps of padding; a divisor of one's own makes it a sum."""
    padded = any(not isinstance(pad, int) or pad > 0 for pad in _spread(padding, 1))
    rank = 1 if node.target is aten.avg_pool1d.default else 2
    inside, count = x.bounds.along(-rank - 1), product(_spread(kernel, rank))
    if (padded and count_include_pad) or divisor:
        inside |= spanning(0, 0)
    mean = mean_of(inside, count, result.dtype)
    return mean * (bounds(count) / bounds(divisor)) if divisor else mean


@interval_rule(aten.adaptive_avg_pool1d.default, aten.adaptive_avg_pool2d.default, aten._adaptive_avg_pool2d.default)
def adaptive_avg_pool_interval(node: Node, result: Fact, x: Fact, size: Sequence[Size]) -> Interval:
    """A mean of at most all elements of a picture."""
    return mean_of(x.bounds.along(-1 - len(size)), product(x.shape[-len(size) :]), result.dtype)


@interval_rule(aten.max_pool2d.default)
def max_pool_interval(node: Node, result: Fact, x: Fact, *settings: object) -> Interval:
    """Elements of the operand; padding never wins."""
    return x.bounds.along(-3)


@interval_rule(aten.max_pool2d_with_indices.default, aten.adaptive_max_pool2d.default)
def max_pool_with_indices_interval(node: Node, result: Fact, x: Fact, *settings: object) -> tuple[Interval, Interval]:
    """Elements of the operand, and places in the picture."""
    return x.bounds.along(-3), places(product(x.shape[-2:]))


def _pool_demand(
    node: Node, wanted: Box, x: Fact, rank: int, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Demands:
    settings = [_spread(value, rank) for value in (kernel, stride or kernel, padding, dilation)]
    axes = zip(wanted[-rank:], x.shape[-rank:], *settings, strict=True)
    return [(*wanted[:-rank], *(_window(node, run(axis), *setting) for axis, *setting in axes))]


def _window(node: Node, axis: Run, size: Size, kernel: Size, stride: Size, pad: Size, dilation: Size) -> Extent:
    if not all(isinstance(setting, int) for setting in (kernel, stride, pad, dilation)):
        return every(size, axis.cause or node)
    return windows(axis, size, stride, -pad, dilation * (kernel - 1) - pad)


@demand_rule(aten.avg_pool1d.default, aten.avg_pool2d.default)
def avg_pool_demand(
    node: Node, wanted: Box, result: Fact, x: Fact, kernel: Sizes, stride: Sizes = (), padding: Sizes = 0, *more: object
) -> Demands:
    """Windows."""
    return _pool_demand(node, wanted, x, 1 if "1d" in op_name(node) else 2, kernel, stride, padding, 1)


@demand_rule(aten.max_pool2d.default)
def max_pool_demand(
    node: Node,
    wanted: Box,
    result: Fact,
    x: Fact,
    kernel: Sizes,
    stride: Sizes = (),
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> Demands:
    """Windows."""
    return _pool_demand(node, wanted, x, 2, kernel, stride, padding, dilation)


@demand_rule(aten.max_pool2d_with_indices.default)
def max_pool_with_indices_demand(
    node: Node, wanted: Sequence[Box | None], result: Fact, x: Fact, *settings: Sizes
) -> Demands:
    """Windows, by both results."""
    both = any_of(wanted)
    return max_pool_demand(node, both, result, x, *settings)  # type: ignore[arg-type]  # checked when they were given


@demand_rule(aten.adaptive_avg_pool1d.default, aten.adaptive_avg_pool2d.default, aten._adaptive_avg_pool2d.default)
def adaptive_avg_pool_demand(node: Node, wanted: Box, result: Fact, x: Fact, size: Sequence[Size]) -> Demands:
    """A part of the picture for each place, all of it for a single one."""
    rank = len(size)
    pairs = zip(wanted[-rank:], x.shape[-rank:], result.shape[-rank:], strict=True)
    return [(*wanted[:-rank], *(_share(node, run(axis), before, after) for axis, before, after in pairs))]


def _share(node: Node, axis: Run, before: Size, after: Size) -> Extent:
    if axis.endless or not isinstance(before, int) or not isinstance(after, int) or after == 1:
        return every(before, axis.cause or node)
    if before == after:
        return (axis,)
    return (Run(before, axis.low * before // after, -(-(axis.high + 1) * before // after) - 1),)
