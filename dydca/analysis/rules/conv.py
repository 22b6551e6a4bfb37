"""Convolutions, transposed convolutions and the reparametrisation of their weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.fx import Node

from dydca.analysis.facts import Fact, Size
from dydca.analysis.rules.arithmetic import at_least, divides, equal, floordiv
from dydca.analysis.rules.registry import require, require_rank, rule, shape_text

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
