"""Padding and cropping at the borders."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.fx import Node

from dydca.analysis.boxes import Box, Extent, Run, every, only, run
from dydca.analysis.facts import Fact, Size
from dydca.analysis.intervals import Interval, joined
from dydca.analysis.rules.arithmetic import at_least
from dydca.analysis.rules.registry import Demands, bounds, demand_rule, interval_rule, require, rule, shape_text

aten = torch.ops.aten


@rule(aten.pad.default)
def pad(node: Node, x: Fact, padding: Sequence[Size], mode: str = "constant", value: float | None = None) -> Fact:
    """``(left, right, top, bottom, ...)`` counted from the last axis; negative numbers crop."""
    if mode == "constant":
        return constant_pad(node, x, padding)
    return {"reflect": reflection_pad, "replicate": replication_pad, "circular": circular_pad}[mode](node, x, padding)


@rule(aten.constant_pad_nd.default)
def constant_pad(node: Node, x: Fact, padding: Sequence[Size], value: object = 0) -> Fact:
    """A border of one value."""
    return _padded(node, x, padding, smallest=0)


@rule(aten.reflection_pad1d.default, aten.reflection_pad2d.default, aten.reflection_pad3d.default)
def reflection_pad(node: Node, x: Fact, padding: Sequence[Size]) -> Fact:
    """The picture mirrored at its border, whose elements are not repeated."""
    for size, width in _borders(node, x, padding):
        require(
            node, at_least(size - 1, width), "the border is wider than what it mirrors", got=width, want=f"< {size}"
        )
    return _padded(node, x, padding, smallest=1)


@rule(aten.replication_pad1d.default, aten.replication_pad2d.default, aten.replication_pad3d.default)
def replication_pad(node: Node, x: Fact, padding: Sequence[Size]) -> Fact:
    """The border elements repeated."""
    _borders(node, x, padding)
    return _padded(node, x, padding, smallest=1)


@rule(aten._pad_circular.default)
def circular_pad(node: Node, x: Fact, padding: Sequence[Size]) -> Fact:
    """The opposite border."""
    for size, width in _borders(node, x, padding):
        require(node, at_least(size, width), "the border is wider than the picture", got=width, want=f"<= {size}")
    return _padded(node, x, padding, smallest=0)


def _borders(node: Node, x: Fact, padding: Sequence[Size]) -> list[tuple[Size, Size]]:
    """Each padded size with each of its two borders; these modes take a channel axis and perhaps a batch axis."""
    count = len(padding) // 2
    fits = len(x.shape) in (count + 1, count + 2)
    require(
        node,
        fits,
        "the padding does not fit the rank",
        got=shape_text(x.shape),
        want=f"{count} padded axes and channels",
    )
    return [(x.shape[-1 - place // 2], width) for place, width in enumerate(padding)]


def _padded(node: Node, x: Fact, padding: Sequence[Size], smallest: int) -> Fact:
    fits = len(padding) % 2 == 0 and len(padding) <= 2 * len(x.shape)
    require(node, fits, "the padding does not fit the rank", got=list(padding), want=f"at most {len(x.shape)} pairs")
    shape = list(x.shape)
    for place in range(len(padding) // 2):
        size = shape[-1 - place] + padding[2 * place] + padding[2 * place + 1]
        require(node, at_least(size, smallest), "the crop takes the whole axis", got=size, want=f">= {smallest}")
        shape[-1 - place] = size
    return Fact(tuple(shape), x.dtype)


@interval_rule(aten.constant_pad_nd.default)
def constant_pad_interval(
    node: Node, result: Fact, x: Fact, padding: Sequence[Size], value: float | None = 0
) -> Interval:
    """The operand's elements and the border's; new channels hold the border's alone."""
    border, axis = bounds(value or 0), x.bounds.axis
    own = () if axis is None else padding[-2 * axis - 2 : -2 * axis]
    others = [width for place, width in enumerate(padding) if axis is None or place // 2 != -axis - 1]
    inner = x.bounds if all(_is_crop(width) for width in others) else x.bounds | border
    if axis is None or not any(own):
        return inner
    sizes = (own[0], x.shape[axis], own[1])
    if all(isinstance(size, int) and size >= 0 for size in sizes):
        return joined([border, inner, border], sizes, axis)
    return inner.collapsed() | border


def _is_crop(width: Size) -> bool:
    return isinstance(width, int) and width <= 0


@interval_rule(aten.pad.default)
def pad_interval(
    node: Node, result: Fact, x: Fact, padding: Sequence[Size], mode: str = "constant", value: float | None = None
) -> Interval:
    """The operand's elements, and the border's where it has any of its own."""
    if mode == "constant":
        return constant_pad_interval(node, result, x, padding, value)
    return repeating_pad_interval(node, result, x, padding)


@interval_rule(
    aten.reflection_pad1d.default, aten.reflection_pad2d.default, aten.reflection_pad3d.default,
    aten.replication_pad1d.default, aten.replication_pad2d.default, aten.replication_pad3d.default,
    aten._pad_circular.default,
)  # fmt: skip
def repeating_pad_interval(node: Node, result: Fact, x: Fact, padding: Sequence[Size]) -> Interval:
    """The operand's own elements once more."""
    axis = x.bounds.axis
    return x.bounds if axis is None or axis < -len(padding) // 2 else x.bounds.collapsed()


@demand_rule(aten.pad.default)
def pad_demand(
    node: Node, wanted: Box, result: Fact, x: Fact, padding: Sequence[Size], mode: str = "constant", *value: object
) -> Demands:
    """What lies behind the border, and what the border repeats."""
    axes = list(wanted)
    for place in range(0, len(padding), 2):
        axis, left, right = -1 - place // 2, padding[place], padding[place + 1]
        joint, size = run(wanted[axis]), x.shape[axis]
        if joint.endless or not isinstance(size, int) or not isinstance(left, int) or not isinstance(right, int):
            axes[axis] = every(size, joint.cause or node)
        elif left or right:
            axes[axis] = _behind(node, joint.moved(-left), size, left, right, mode)
    return [tuple(axes)]


def _behind(node: Node, axis: Run, size: int, left: int, right: int, mode: str) -> Extent:
    """A run of the operand's places, with those that the wanted part of the border repeats."""
    low, high = axis.low, axis.high
    first, last = max(low, -left), min(high, size - 1 + right)
    on_left, on_right = first < min(high + 1, 0), last > max(low - 1, size - 1)
    if mode == "circular" and (on_left or on_right):
        return every(size, node)
    if mode in ("reflect", "replicate") and on_left:
        high = max(high, -first if mode == "reflect" else 0)
    if mode in ("reflect", "replicate") and on_right:
        low = min(low, 2 * (size - 1) - last if mode == "reflect" else size - 1)
    return only(size, low, high)


@demand_rule(aten.constant_pad_nd.default)
def constant_pad_demand(
    node: Node, wanted: Box, result: Fact, x: Fact, padding: Sequence[Size], value: object = 0
) -> Demands:
    """What lies behind the border."""
    return pad_demand(node, wanted, result, x, padding)


@demand_rule(aten.reflection_pad1d.default, aten.reflection_pad2d.default, aten.reflection_pad3d.default)
def reflection_pad_demand(node: Node, wanted: Box, result: Fact, x: Fact, padding: Sequence[Size]) -> Demands:
    """What lies behind the border, and what it mirrors."""
    return pad_demand(node, wanted, result, x, padding, "reflect")


@demand_rule(aten.replication_pad1d.default, aten.replication_pad2d.default, aten.replication_pad3d.default)
def replication_pad_demand(node: Node, wanted: Box, result: Fact, x: Fact, padding: Sequence[Size]) -> Demands:
    """What lies behind the border, and what it repeats."""
    return pad_demand(node, wanted, result, x, padding, "replicate")


@demand_rule(aten._pad_circular.default)
def circular_pad_demand(node: Node, wanted: Box, result: Fact, x: Fact, padding: Sequence[Size]) -> Demands:
    """All of an axis whose border is wanted."""
    return pad_demand(node, wanted, result, x, padding, "circular")
