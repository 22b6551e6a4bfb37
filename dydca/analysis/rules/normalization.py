"""Normalisation over the batch, layers, groups and instances."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.fx import Node

from dydca.analysis.facts import Fact, Size
from dydca.analysis.rules.arithmetic import divides, equal
from dydca.analysis.rules.registry import require, rule, shape_text, told

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
