"""Convolutions, products of matrices, pooling and norms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dydca.capture.onnx.numbers import Value, tensor_of
from dydca.capture.onnx.table import OPERATORS, Node, operator


def _by_axes(*functions: Callable[..., Tensor]) -> dict[int, Callable[..., Tensor]]:
    """Functions for 1, 2, 3 axes behind batch and channels."""
    return dict(enumerate(functions, 1))


_CONV = _by_axes(functional.conv1d, functional.conv2d, functional.conv3d)
_TRANSPOSED = _by_axes(functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)
_MAX_POOL = _by_axes(functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)
_AVERAGE_POOL = _by_axes(functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)
_ADAPTIVE = _by_axes(functional.adaptive_avg_pool1d, functional.adaptive_avg_pool2d, functional.adaptive_avg_pool3d)


def _pads(node: Node, axes: int) -> tuple[list[int], list[int]]:
    """Added before and behind each axis."""
    if node.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        node.refuse(f"auto_pad {node.get('auto_pad')}")
    pads = list(node.get("pads", [0] * 2 * axes))
    return pads[:axes], pads[axes:]


def _padded(x: Tensor, before: Sequence[int], behind: Sequence[int], value: float = 0.0) -> tuple[Tensor, list[int]]:
    """The tensor and what is left to add on both sides alike."""
    if list(before) == list(behind):
        return x, list(before)
    flat = [size for pair in zip(reversed(before), reversed(behind), strict=True) for size in pair]
    return functional.pad(x, flat, value=value), [0] * len(before)


@operator("Conv")
def _conv(node: Node, x: Tensor, weight: Tensor, bias: Value = None) -> Tensor:
    axes = weight.dim() - 2
    x, padding = _padded(x, *_pads(node, axes))
    stride, dilation = node.get("strides", [1] * axes), node.get("dilations", [1] * axes)
    bias = None if bias is None else tensor_of(bias)
    return _CONV[axes](x, weight, bias, stride, padding, dilation, node.get("group", 1))


@operator("ConvTranspose")
def _transposed(node: Node, x: Tensor, weight: Tensor, bias: Value = None) -> Tensor:
    axes = weight.dim() - 2
    before, behind = _pads(node, axes)
    if before != behind or node.get("output_shape"):
        node.refuse("unequal pads or an output_shape")
    stride, dilation = node.get("strides", [1] * axes), node.get("dilations", [1] * axes)
    extra, bias = node.get("output_padding", [0] * axes), None if bias is None else tensor_of(bias)
    return _TRANSPOSED[axes](x, weight, bias, stride, before, extra, node.get("group", 1), dilation)


@operator("Gemm")
def _gemm(node: Node, a: Tensor, b: Tensor, c: Value = None) -> Tensor:
    a = a.transpose(0, 1) if node.get("transA", 0) else a
    if node.get("transB", 0) and node.get("alpha", 1.0) == 1.0 and node.get("beta", 1.0) == 1.0:
        return functional.linear(a, b, None if c is None else tensor_of(c))
    product: Tensor = node.get("alpha", 1.0) * (a @ (b.transpose(0, 1) if node.get("transB", 0) else b))
    return product if c is None else product + node.get("beta", 1.0) * tensor_of(c)


OPERATORS |= {
    "MatMul": lambda _, a, b: torch.matmul(tensor_of(a), tensor_of(b)),
    "Einsum": lambda node, *operands: torch.einsum(node.get("equation"), *map(tensor_of, operands)),
    "GlobalAveragePool": lambda _, x: _ADAPTIVE[x.dim() - 2](x, 1),
    "GlobalMaxPool": lambda _, x: x.amax(tuple(range(2, x.dim())), keepdim=True),
    "Dropout": lambda _, x, *rates: x,
    "InstanceNormalization": lambda node, x, w, b: functional.instance_norm(
        x, weight=tensor_of(w), bias=tensor_of(b), eps=node.get("epsilon", 1e-5)
    ),
}


@operator("MaxPool")
def _max_pool(node: Node, x: Tensor) -> Tensor:
    kernel = node.get("kernel_shape")
    before, behind = _pads(node, len(kernel))
    if len(node.outputs) > 1:
        node.refuse("indices as a result")
    x, padding = _padded(x, before, behind, -torch.inf)
    stride, dilation = node.get("strides", [1] * len(kernel)), node.get("dilations", [1] * len(kernel))
    return _MAX_POOL[len(kernel)](x, kernel, stride, padding, dilation, bool(node.get("ceil_mode", 0)))


@operator("AveragePool")
def _average_pool(node: Node, x: Tensor) -> Tensor:
    kernel = node.get("kernel_shape")
    before, behind = _pads(node, len(kernel))
    counted, ceil = bool(node.get("count_include_pad", 0)), bool(node.get("ceil_mode", 0))
    if set(node.get("dilations", [1])) != {1} or (before != behind and not counted):
        node.refuse("dilations, or unequal pads that are not counted")
    x, padding = _padded(x, before, behind)
    stride: Any = node.get("strides", [1] * len(kernel))
    return _AVERAGE_POOL[len(kernel)](x, kernel, stride, padding, ceil, counted)


@operator("BatchNormalization")
def _batch_norm(node: Node, x: Tensor, scale: Value, bias: Value, mean: Value, variance: Value) -> Tensor:
    if node.get("training_mode", 0):
        node.refuse("training_mode")
    mean, variance, scale, bias = (tensor_of(part) for part in (mean, variance, scale, bias))
    return functional.batch_norm(x, mean, variance, scale, bias, False, 0.0, node.get("epsilon", 1e-5))


@operator("LayerNormalization")
def _layer_norm(node: Node, x: Tensor, scale: Value, bias: Value = None) -> Tensor:
    if len(node.outputs) > 1:
        node.refuse("mean and deviation as results")
    shape, bias = x.shape[node.get("axis", -1) :], None if bias is None else tensor_of(bias)
    return functional.layer_norm(x, shape, tensor_of(scale), bias, node.get("epsilon", 1e-5))


@operator("GroupNormalization")
def _group_norm(node: Node, x: Tensor, scale: Value, bias: Value) -> Tensor:
    groups = node.get("num_groups")
    times = 1 if node.opset >= 21 else x.shape[1] // groups  # there was one scale for each group
    weight, shift = (tensor_of(part).repeat_interleave(times) for part in (scale, bias))
    return functional.group_norm(x, groups, weight, shift, node.get("epsilon", 1e-5))


@operator("LpNormalization")
def _lp_norm(node: Node, x: Tensor) -> Tensor:
    return functional.normalize(x, float(node.get("p", 2)), node.get("axis", -1), eps=1e-20)
