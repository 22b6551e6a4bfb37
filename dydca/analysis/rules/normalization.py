"""Normalisation over the batch, layers, groups and instances."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.fx import Node

from dydca.analysis.boxes import Box, any_of, whole
from dydca.analysis.facts import Fact, Size
from dydca.analysis.intervals import Interval, growth, point, spanning
from dydca.analysis.rules.arithmetic import divides, equal, product
from dydca.analysis.rules.registry import Demands, demand_rule, interval_rule, require, rule, shape_text, told

aten = torch.ops.aten


def _require_channels(node: Node, x: Fact, *parameters: Fact | None) -> None:
    require(node, len(x.shape) >= 2, "there is no channel axis", got=shape_text(x.shape), want="2 axes or more")
    for parameter in parameters:
        if parameter is not None:
            fits = len(parameter.shape) == 1 and equal(parameter.shape[0], x.shape[1])
            want = shape_text((x.shape[1],))
            require(node, fits, "a parameter does not match the channels", got=shape_text(parameter.shape), want=want)


@rule(aten._native_batch_norm_legit_no_training.default)
def native_batch_norm(
    node: Node, x: Fact, weight: Fact | None, bias: Fact | None, mean: Fact, var: Fact, momentum: float, eps: float
) -> Fact:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` per channel; two empty tensors follow."""
    _require_channels(node, x, weight, bias, mean, var)
    return Fact(items=(Fact(x.shape, x.dtype), Fact((0,), x.dtype), Fact((0,), x.dtype)))


@rule(aten.batch_norm.default)
def batch_norm(
    node: Node, x: Fact, weight: Fact | None, bias: Fact | None, mean: Fact | None, var: Fact | None, *settings: object
) -> Fact:
    """As `native_batch_norm`, the result alone."""
    _require_channels(node, x, weight, bias, mean, var)
    return Fact(x.shape, x.dtype)


@rule(aten.instance_norm.default)
def instance_norm(
    node: Node, x: Fact, weight: Fact | None, bias: Fact | None, mean: Fact | None, var: Fact | None, *settings: object
) -> Fact:
    """Normalised over the picture of each channel."""
    return batch_norm(node, x, weight, bias, mean, var)


@rule(aten.layer_norm.default)
def layer_norm(
    node: Node,
    x: Fact,
    normalized: Sequence[Size],
    weight: Fact | None = None,
    bias: Fact | None = None,
    *settings: object,
) -> Fact:
    """Normalised over the last axes, whose sizes are given."""
    tail = x.shape[len(x.shape) - len(normalized) :]
    got, want = (
        shape_text(x.shape),
        told("the last axes {}", normalized),
    )
    require(node, len(tail) == len(normalized), "the tensor has fewer axes than are normalised", got, want)
    for shape in (tail, *(parameter.shape for parameter in (weight, bias) if parameter is not None)):
        require(node, len(shape) == len(normalized), "a parameter does not match", shape_text(shape), want)
        for size, wanted in zip(shape, normalized, strict=True):
            require(node, equal(size, wanted), "the normalised axes have other sizes", got, want)
    return Fact(x.shape, x.dtype)


@rule(aten.native_layer_norm.default)
def native_layer_norm(
    node: Node, x: Fact, normalized: Sequence[Size], weight: Fact | None, bias: Fact | None, eps: float
) -> Fact:
    """As `layer_norm`, with the mean and the reciprocal spread of each group."""
    result = layer_norm(node, x, normalized, weight, bias)
    kept = len(x.shape) - len(normalized)
    statistics = Fact((*x.shape[:kept], *(1,) * len(normalized)), x.dtype)
    return Fact(items=(result, statistics, statistics))


@rule(aten.group_norm.default)
def group_norm(
    node: Node, x: Fact, groups: int, weight: Fact | None = None, bias: Fact | None = None, *settings: object
) -> Fact:
    """Normalised over groups of channels."""
    _require_channels(node, x, weight, bias)
    fits = divides(groups, x.shape[1])
    require(node, fits, "the groups do not divide the channels", got=x.shape[1], want=f"k x {groups}")
    return Fact(x.shape, x.dtype)


@interval_rule(aten._native_batch_norm_legit_no_training.default)
def native_batch_norm_interval(
    node: Node,
    result: Fact,
    x: Fact,
    weight: Fact | None,
    bias: Fact | None,
    mean: Fact,
    var: Fact,
    momentum: float,
    eps: float,
) -> tuple[Interval, None, None]:
    """A scale and a shift per channel, rounded in any order."""
    axis, one = 1 - len(x.shape), point(1)
    spread = _root(var.bounds + point(eps))
    scale = ((one if weight is None else weight.bounds) / spread).moved(axis)
    centered = (x.bounds * scale).stretched(_FEW) - (mean.bounds.moved(axis) * scale).stretched(_FEW)
    return centered if bias is None else centered + bias.bounds.moved(axis).stretched(_FEW), None, None


_FEW = 2.0**-20
"""Of a value rounded a few times in a row: sixteen units of float32."""


def _root(square: Interval) -> Interval:
    inside = square.clipped(low=0)
    return Interval(inside.ends**0.5, inside.axis, inside.nan or square.low < 0)


@interval_rule(aten.batch_norm.default)
def batch_norm_interval(
    node: Node,
    result: Fact,
    x: Fact,
    weight: Fact | None,
    bias: Fact | None,
    mean: Fact | None,
    var: Fact | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn: bool,
) -> Interval | None:
    """As `native_batch_norm_interval`, unless the statistics are the batch's own."""
    if training or mean is None or var is None:
        return None
    return native_batch_norm_interval(node, result, x, weight, bias, mean, var, momentum, eps)[0]


def _normalized(x: Fact, count: Size, eps: float) -> Interval | None:
    """``(x - mean) / sqrt(var + eps)`` of `count` elements: none is more than ``sqrt(count - 1)`` spreads away.

    Rounding of the mean may add as much as the operand is large, over the least spread.
    """
    if not isinstance(count, int) or count < 1 or eps <= 0 or not x.bounds.bounded:
        return None
    error = growth(2 * count, x.dtype)
    most = math.sqrt(count - 1) * (1 + error) + error * x.bounds.magnitude / eps**0.5
    return spanning(-most, most)


def _scaled(whole: Interval | None, weight: Fact | None, bias: Fact | None, axis: int | None) -> Interval | None:
    """By parameters whose entries lie along `axis`, or are not told apart."""
    if whole is None:
        return None
    if weight is not None:
        whole = (whole * weight.bounds.moved(axis)).stretched(_FEW)
    return whole if bias is None else whole + bias.bounds.moved(axis)


@interval_rule(aten.layer_norm.default)
def layer_norm_interval(
    node: Node,
    result: Fact,
    x: Fact,
    normalized: Sequence[Size],
    weight: Fact | None = None,
    bias: Fact | None = None,
    eps: float = 1e-5,
    cudnn: bool = True,
) -> Interval | None:
    """Per entry of the last axis, if that alone is normalised."""
    return _scaled(_normalized(x, product(normalized), eps), weight, bias, -1 if len(normalized) == 1 else None)


@interval_rule(aten.native_layer_norm.default)
def native_layer_norm_interval(
    node: Node,
    result: Fact,
    x: Fact,
    normalized: Sequence[Size],
    weight: Fact | None,
    bias: Fact | None,
    eps: float,
) -> tuple[Interval | None, None, None]:
    """As `layer_norm_interval`; of the statistics nothing is told."""
    return layer_norm_interval(node, result, x, normalized, weight, bias, eps), None, None


@interval_rule(aten.group_norm.default)
def group_norm_interval(
    node: Node,
    result: Fact,
    x: Fact,
    groups: int,
    weight: Fact | None = None,
    bias: Fact | None = None,
    eps: float = 1e-5,
    cudnn: bool = True,
) -> Interval | None:
    """Per channel, normalised over the channels of a group and the picture."""
    count = product(x.shape[1:])
    elements = count // groups if isinstance(count, int) else count
    return _scaled(_normalized(x, elements, eps), weight, bias, 1 - len(x.shape))


@interval_rule(aten.instance_norm.default)
def instance_norm_interval(
    node: Node,
    result: Fact,
    x: Fact,
    weight: Fact | None,
    bias: Fact | None,
    mean: Fact | None,
    var: Fact | None,
    own: bool,
    momentum: float,
    eps: float,
    cudnn: bool,
) -> Interval | None:
    """Per channel, normalised over the picture, unless by given statistics."""
    if not own:
        return None
    return _scaled(_normalized(x, product(x.shape[2:]), eps), weight, bias, 1 - len(x.shape))


@demand_rule(aten.batch_norm.default)
def batch_norm_demand(
    node: Node,
    wanted: Box,
    result: Fact,
    x: Fact,
    weight: Fact | None,
    bias: Fact | None,
    mean: Fact | None,
    var: Fact | None,
    training: bool,
    *settings: object,
) -> Demands:
    """The same places, unless the statistics are the batch's own."""
    return [whole(x.shape, node) if training or mean is None else wanted]


@demand_rule(aten._native_batch_norm_legit_no_training.default)
def native_batch_norm_demand(
    node: Node, wanted: Sequence[Box | None], result: Fact, x: Fact, *parameters: object
) -> Demands:
    """The same places."""
    return [wanted[0]]


@demand_rule(aten.layer_norm.default)
def layer_norm_demand(
    node: Node, wanted: Box, result: Fact, x: Fact, normalized: Sequence[Size], *parameters: object
) -> Demands:
    """All of the normalised axes."""
    kept = len(x.shape) - len(normalized)
    return [(*wanted[:kept], *whole(x.shape[kept:], node))]


@demand_rule(aten.native_layer_norm.default)
def native_layer_norm_demand(
    node: Node, wanted: Sequence[Box | None], result: Fact, x: Fact, normalized: Sequence[Size], *parameters: object
) -> Demands:
    """As `layer_norm_demand`, by whichever result is wanted."""
    return layer_norm_demand(node, any_of(wanted), result, x, normalized)


@demand_rule(aten.group_norm.default)
def group_norm_demand(node: Node, wanted: Box, result: Fact, x: Fact, *settings: object) -> Demands:
    """The whole picture, for the channels of a group and so for all."""
    return [(wanted[0], *whole(x.shape[1:], node))]


@demand_rule(aten.instance_norm.default)
def instance_norm_demand(node: Node, wanted: Box, result: Fact, x: Fact, *settings: object) -> Demands:
    """The whole picture of the wanted channels."""
    return [(*wanted[:2], *whole(x.shape[2:], node))]
