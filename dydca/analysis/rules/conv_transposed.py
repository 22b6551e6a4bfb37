"""Transposed convolutions, and the one operator behind both kinds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import reduce

import numpy as np
import torch
from torch.fx import Node

from dydca.analysis.boxes import Box, Extent, Run, every, only, run
from dydca.analysis.facts import Fact, Size
from dydca.analysis.intervals import Interval, union
from dydca.analysis.rules.arithmetic import at_least, divides, equal
from dydca.analysis.rules.conv import channels_read, conv, conv_demand, conv_interval, require_bias, spread
from dydca.analysis.rules.registry import Demands, demand_rule, interval_rule, require, require_rank, rule
from dydca.analysis.weighted import taps, weighted_sum

aten = torch.ops.aten


@rule(aten.conv_transpose1d.default, aten.conv_transpose2d.input, aten.conv_transpose3d.input)
def conv_transpose(
    node: Node,
    x: Fact,
    weight: Fact,
    bias: Fact | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Fact:
    """``x[N, C, H, W], w[C, O/groups, KH, KW] -> [N, O, (H-1)*stride - 2*pad + dilation*(KH-1) + extra + 1, W']``."""
    rank = len(weight.shape) - 2
    require_rank(node, x, rank + 1, rank + 2)
    split = len(x.shape) - rank - 1
    channels, outputs = weight.shape[0], weight.shape[1] * groups
    require(node, equal(x.shape[split], channels), "the channels do not line up", got=x.shape[split], want=channels)
    require(
        node, divides(groups, channels), "the groups do not divide the channels", got=channels, want=f"k x {groups}"
    )
    require_bias(node, bias, outputs)
    settings = [spread(value, rank) for value in (stride, padding, output_padding, dilation)]
    axes = zip(x.shape[split + 1 :], weight.shape[2:], *settings, strict=True)
    return Fact((*x.shape[:split], outputs, *(_grown(node, *axis) for axis in axes)), x.dtype)


def _grown(node: Node, size: Size, kernel: Size, stride: int, pad: int, extra: int, dilation: int) -> Size:
    free = max(stride, dilation)
    require(node, extra < free, "the output padding is too large", got=extra, want=f"< {free}")
    grown = (size - 1) * stride - 2 * pad + dilation * (kernel - 1) + extra + 1
    # For an output of size 0 eager's verdict depends on the kernel it picks; it is never of use.
    require(node, at_least(grown, 1), "the padding takes the whole output", got=grown, want=">= 1")
    return grown


@interval_rule(aten.conv_transpose1d.default, aten.conv_transpose2d.input, aten.conv_transpose3d.input)
def conv_transpose_interval(
    node: Node,
    result: Fact,
    x: Fact,
    weight: Fact,
    bias: Fact | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Interval | None:
    """Per output channel: each output meets the taps of one phase of the stride, or fewer at the border."""
    if weight.tensor is None:
        return None
    rank = len(weight.shape) - 2
    rows = weight.tensor.reshape(groups, -1, *weight.tensor.shape[1:]).transpose(1, 2).flatten(0, 1)
    axes = zip(rows.shape[2:], spread(stride, rank), spread(dilation, rank), strict=True)
    phases = [[np.arange(kernel) * d % s == phase for phase in range(s)] for kernel, s, d in axes]
    found = []
    for lines in itertools.product(*phases):
        met = rows.flatten(2)[..., torch.from_numpy(reduce(np.logical_and.outer, lines).ravel())]
        parts = taps(met, np.zeros(met.shape[2], np.bool_))
        added = None if bias is None else bias.bounds
        found.append(weighted_sum(x.bounds, parts, groups, added, result.dtype, -rank - 1))
    return union(found)


@demand_rule(aten.conv_transpose1d.default, aten.conv_transpose2d.input, aten.conv_transpose3d.input)
def conv_transpose_demand(
    node: Node,
    wanted: Box,
    result: Fact,
    x: Fact,
    weight: Fact,
    bias: Fact | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Demands:
    """The inputs whose window, laid out with the stride, covers a wanted output."""
    rank, kernel = len(weight.shape) - 2, weight.shape[2:]
    settings = [spread(value, rank) for value in (stride, padding, dilation)]
    axes = zip(wanted[-rank:], x.shape[-rank:], kernel, *settings, strict=True)
    spatial = [_covering(run(axis), *setting) for axis, *setting in axes]
    channels = channels_read(wanted[-rank - 1], x.shape[-rank - 1], result.shape[-rank - 1], groups)
    return [(*wanted[: -rank - 1], channels, *spatial)]


def _covering(axis: Run, size: Size, kernel: int, stride: int, pad: int, dilation: int) -> Extent:
    if axis.endless:
        return every(size, axis.cause)
    return only(size, -((dilation * (kernel - 1) - pad - axis.low) // stride), (axis.high + pad) // stride)


@rule(aten.convolution.default)
def convolution(
    node: Node,
    x: Fact,
    weight: Fact,
    bias: Fact | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Fact:
    """The one operator behind `conv` and `conv_transpose`."""
    if transposed:
        return conv_transpose(node, x, weight, bias, stride, padding, output_padding, groups, dilation)
    return conv(node, x, weight, bias, stride, padding, dilation, groups)


@interval_rule(aten.convolution.default)
def convolution_interval(
    node: Node,
    result: Fact,
    x: Fact,
    weight: Fact,
    bias: Fact | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Interval | None:
    """That of `conv` or of `conv_transpose`."""
    if transposed:
        return conv_transpose_interval(node, result, x, weight, bias, stride, padding, (), groups, dilation)
    return conv_interval(node, result, x, weight, bias, stride, padding, dilation, groups)


@demand_rule(aten.convolution.default)
def convolution_demand(
    node: Node,
    wanted: Box,
    result: Fact,
    x: Fact,
    weight: Fact,
    bias: Fact | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Demands:
    """That of `conv` or of `conv_transpose`."""
    if transposed:
        return conv_transpose_demand(node, wanted, result, x, weight, bias, stride, padding, (), groups, dilation)
    return conv_demand(node, wanted, result, x, weight, bias, stride, padding, dilation, groups)
