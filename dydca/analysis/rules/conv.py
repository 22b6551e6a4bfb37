"""Convolutions, transposed convolutions and the reparametrisation of their weights."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import reduce

import numpy as np
import torch
from torch.fx import Node

from dydca.analysis.facts import Fact, Size
from dydca.analysis.intervals import Flags, Interval, point, spanning, union
from dydca.analysis.rules.arithmetic import at_least, divides, equal, floordiv, product
from dydca.analysis.rules.registry import interval_rule, require, require_rank, rule, shape_text
from dydca.analysis.weighted import taps, weighted_sum

aten = torch.ops.aten


def spread(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    """One number for every spatial axis; PyTorch takes one for all."""
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * rank if len(values) == 1 else values


def window(node: Node, size: Size, kernel: Size, stride: int, pad: int, dilation: int) -> Size:
    """How many places a sliding window has along one axis.

    Raises:
        ShapeError: DYD202, the window is larger than the padded input.
    """
    reach = dilation * (kernel - 1) + 1
    padded = size + 2 * pad
    require(node, at_least(padded, reach), "the kernel is larger than the padded input", got=padded, want=f">= {reach}")
    return floordiv(padded - reach, stride) + 1


@rule(aten.conv1d.default, aten.conv2d.default, aten.conv3d.default)
def conv(
    node: Node,
    x: Fact,
    weight: Fact,
    bias: Fact | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Fact:
    """``x[N, C, H, W] * w[O, C/groups, KH, KW] + bias[O] -> [N, O, H', W']``; without N as well."""
    batch, spatial = _operands(node, x, weight, bias, groups)
    rank = len(spatial)
    axes = zip(spatial, weight.shape[2:], *(spread(v, rank) for v in (stride, padding, dilation)), strict=True)
    return Fact((*batch, weight.shape[0], *(window(node, *axis) for axis in axes)), x.dtype)


@rule(aten.conv1d.padding, aten.conv2d.padding, aten.conv3d.padding)
def conv_padding(
    node: Node,
    x: Fact,
    weight: Fact,
    bias: Fact | None = None,
    stride: int | Sequence[int] = 1,
    padding: str = "valid",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Fact:
    """As `conv`, padded by name: ``same`` keeps the sizes and wants stride 1, ``valid`` pads nothing."""
    if padding == "valid":
        return conv(node, x, weight, bias, stride, 0, dilation, groups)
    batch, spatial = _operands(node, x, weight, bias, groups)
    require(node, set(spread(stride, len(spatial))) == {1}, "same padding wants stride 1", got=stride, want=1)
    return Fact((*batch, weight.shape[0], *spatial), x.dtype)


def _operands(
    node: Node, x: Fact, weight: Fact, bias: Fact | None, groups: int
) -> tuple[tuple[Size, ...], tuple[Size, ...]]:
    """The leading batch sizes (none or one) and the spatial sizes, once the channels line up."""
    rank = len(weight.shape) - 2
    require_rank(node, x, rank + 1, rank + 2)
    split = len(x.shape) - rank - 1
    outputs, inner = weight.shape[:2]
    channels = equal(x.shape[split], inner * groups)
    require(node, channels, "the channels do not line up", got=x.shape[split], want=f"{inner} x groups {groups}")
    require(node, divides(groups, outputs), "the groups do not divide the outputs", got=outputs, want=f"k x {groups}")
    _require_bias(node, bias, outputs)
    return x.shape[:split], x.shape[split + 1 :]


def _require_bias(node: Node, bias: Fact | None, outputs: Size) -> None:
    if bias is not None:
        fits = len(bias.shape) == 1 and equal(bias.shape[0], outputs)
        require(node, fits, "the bias has another size", got=shape_text(bias.shape), want=shape_text((outputs,)))


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
    _require_bias(node, bias, outputs)
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


@rule(aten._weight_norm.default)
def weight_norm(node: Node, direction: Fact, gain: Fact, dim: int = 0) -> Fact:
    """``gain * direction / |direction|``, the norm taken over all axes but `dim`."""
    return Fact(direction.shape, direction.dtype)


@interval_rule(
    aten.conv1d.default, aten.conv2d.default, aten.conv3d.default, aten.conv1d.padding, aten.conv2d.padding,
    aten.conv3d.padding,
)  # fmt: skip
def conv_interval(
    node: Node,
    result: Fact,
    x: Fact,
    weight: Fact,
    bias: Fact | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Interval:
    """Per output channel; a tap that may lie on the padding may meet a 0."""
    rank, kernel = len(weight.shape) - 2, weight.shape[2:]
    if weight.tensor is None:
        return _unknown_weights(result, x, weight, bias)
    dilations = spread(dilation, rank)
    if isinstance(padding, str):
        pads = tuple(-(-d * (k - 1) // 2) if padding == "same" else 0 for d, k in zip(dilations, kernel, strict=True))
    else:
        pads = spread(padding, rank)
    lines = [_never_on_padding(*each) for each in zip(kernel, pads, dilations, strict=True)]
    parts = taps(weight.tensor, reduce(np.logical_and.outer, lines))
    return weighted_sum(x.bounds, parts, groups, None if bias is None else bias.bounds, result.dtype, -rank - 1)


def _unknown_weights(result: Fact, x: Fact, weight: Fact, bias: Fact | None) -> Interval:
    """So many products of any weight and any input, or of padding."""
    sizes = weight.shape[1:]
    count = product(sizes) if all(isinstance(size, int) for size in sizes) else None
    products = (x.bounds | point(0)).collapsed() * weight.bounds.collapsed()
    whole = products.summed(count, result.dtype)
    return whole if bias is None else whole + bias.bounds.moved(1 - len(weight.shape))


def _never_on_padding(kernel: int, pad: int, dilation: int) -> Flags:
    """Which taps of one axis lie inside the picture at its first and at its last window, whatever the stride."""
    places = np.arange(kernel) * dilation
    inside: Flags = (places >= pad) & (places[::-1] >= pad)
    return inside


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


@interval_rule(aten._weight_norm.default)
def weight_norm_interval(node: Node, result: Fact, direction: Fact, gain: Fact, dim: int = 0) -> Interval:
    """No element of a direction is longer than the whole."""
    most = gain.bounds.magnitude
    return spanning(-most, most, nan=True).stretched(2.0**-16)
