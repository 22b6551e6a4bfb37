"""Convolutions, transposed convolutions and the reparametrisation of their weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import torch
from torch.fx import Node

from dydca.analysis.boxes import Box, Extent, every, only, run, whole, windows
from dydca.analysis.facts import Fact, Size
from dydca.analysis.intervals import Flags, Interval, point, spanning
from dydca.analysis.rules.arithmetic import at_least, divides, equal, floordiv, product
from dydca.analysis.rules.registry import Demands, demand_rule, interval_rule, require, require_rank, rule, shape_text
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
    require_bias(node, bias, outputs)
    return x.shape[:split], x.shape[split + 1 :]


def require_bias(node: Node, bias: Fact | None, outputs: Size) -> None:
    """Refuses a bias that has not one number per output.

    Raises:
        ShapeError: DYD202.
    """
    if bias is not None:
        fits = len(bias.shape) == 1 and equal(bias.shape[0], outputs)
        require(node, fits, "the bias has another size", got=shape_text(bias.shape), want=shape_text((outputs,)))


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


@interval_rule(aten._weight_norm.default)
def weight_norm_interval(node: Node, result: Fact, direction: Fact, gain: Fact, dim: int = 0) -> Interval:
    """No element of a direction is longer than the whole."""
    most = gain.bounds.magnitude
    return spanning(-most, most, nan=True).stretched(2.0**-16)


@demand_rule(
    aten.conv1d.default, aten.conv2d.default, aten.conv3d.default, aten.conv1d.padding, aten.conv2d.padding,
    aten.conv3d.padding,
)  # fmt: skip
def conv_demand(
    node: Node,
    wanted: Box,
    result: Fact,
    x: Fact,
    weight: Fact,
    bias: Fact | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Demands:
    """Windows of the channels of a group, and the weights of the outputs that are wanted."""
    rank, kernel = len(weight.shape) - 2, weight.shape[2:]
    dilations = spread(dilation, rank)
    pads = [d * (k - 1) // 2 if padding == "same" else 0 for d, k in zip(dilations, kernel, strict=True)]
    if not isinstance(padding, str):
        pads = list(spread(padding, rank))
    settings = zip(wanted[-rank:], x.shape[-rank:], kernel, spread(stride, rank), pads, dilations, strict=True)
    spatial = [windows(run(axis), size, s, -p, d * (k - 1) - p) for axis, size, k, s, p, d in settings]
    channels = channels_read(wanted[-rank - 1], x.shape[-rank - 1], weight.shape[0], groups)
    return [(*wanted[: -rank - 1], channels, *spatial), *_parameters_read(wanted[-rank - 1], weight, bias)]


def channels_read(outputs: Extent, inputs: Size, count: Size, groups: int) -> Extent:
    """Of `inputs` channels all, or those of the groups that the wanted ones of `count` outputs lie in."""
    axis = run(outputs)
    if not isinstance(inputs, int):
        return every(inputs)
    if groups == 1 or axis.endless or not isinstance(count, int):
        return only(inputs, 0, inputs - 1)
    out, inner = count // groups, inputs // groups
    return only(inputs, axis.low // out * inner, axis.high // out * inner + inner - 1)


def _parameters_read(outputs: Extent, weight: Fact, bias: Fact | None) -> list[Box]:
    read = [(outputs, *whole(weight.shape[1:]))]
    return read if bias is None else [*read, (outputs,)]
