"""Operators that trade channels for pixels."""

from __future__ import annotations

import numpy as np
import torch
from torch.fx import Node

from dydca.analysis.boxes import Box, Run, every, run, split, windows
from dydca.analysis.facts import Fact, Size
from dydca.analysis.intervals import Interval
from dydca.analysis.rules.arithmetic import divides, quotient
from dydca.analysis.rules.registry import (
    Demands,
    demand_rule,
    interval_rule,
    require,
    rule,
    shape_text,
)

aten = torch.ops.aten


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


@demand_rule(aten.pixel_shuffle.default)
def pixel_shuffle_demand(node: Node, wanted: Box, result: Fact, x: Fact, factor: int) -> Demands:
    """The pixel that a square was spread from, in all channels of the square."""
    *batch, channels, height, width = wanted
    spread = windows(run(channels), x.shape[-3], factor**2, 0, factor**2 - 1)
    pixels = [(split(run(axis), size, factor)[0],) for axis, size in ((height, x.shape[-2]), (width, x.shape[-1]))]
    return [(*batch, spread, *pixels)]


@demand_rule(aten.pixel_unshuffle.default)
def pixel_unshuffle_demand(node: Node, wanted: Box, result: Fact, x: Fact, factor: int) -> Demands:
    """The square that a pixel was gathered from."""
    *batch, channels, height, width = wanted
    first, row, column = _phases(run(channels), x.shape[-3], factor)
    pixels = [
        windows(run(axis), size, factor, phase.low, phase.high)
        for axis, size, phase in ((height, x.shape[-2], row), (width, x.shape[-1], column))
    ]
    return [(*batch, (first,), *pixels)]


def _phases(channels: Run, size: Size, factor: int) -> tuple[Run, Run, Run]:
    """The channels, and the places in the square, that channels of the result come from."""
    own, inner = split(channels, size, factor * factor)
    return own, *split(inner, factor, factor)  # type: ignore[return-value]  # a split gives two digits


@demand_rule(aten.channel_shuffle.default)
def channel_shuffle_demand(node: Node, wanted: Box, result: Fact, x: Fact, groups: int) -> Demands:
    """All channels."""
    return [(wanted[0], every(x.shape[1]), *wanted[2:])]
