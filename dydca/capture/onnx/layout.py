"""Sizes, and operators that move elements about without computing on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dydca.capture.onnx.numbers import Numbers, Value, tensor_of
from dydca.capture.onnx.table import OPERATORS, Node, operator

_PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


@operator("Shape")
def _shape(node: Node, x: Value) -> Numbers:
    sizes = (len(x.values),) * (not x.scalar) if isinstance(x, Numbers) else tensor_of(x).shape
    return Numbers(tuple(sizes)[node.get("start", 0) : node.get("end")], torch.int64)


@operator("Size")
def _size(_: Node, x: Value) -> Numbers:
    return Numbers((tensor_of(x).numel(),), torch.int64, scalar=True)


@operator("Range")
def _range(node: Node, *ends: Value) -> Value:
    start, stop, step = ((node.numbers(end, place) or (0,))[0] for place, end in enumerate(ends))
    if all(type(end) is int for end in (start, stop, step)):
        return Numbers(tuple(range(start, stop, step)), torch.int64)
    return torch.arange(start, stop, step)


@operator("ConstantOfShape")
def _constant_of_shape(node: Node, shape: Value) -> Value:
    sizes, value = node.numbers(shape, 0), node.get("value", torch.zeros(1))
    assert sizes is not None
    if len(sizes) == 1 and type(sizes[0]) is int and not value.is_floating_point():
        return Numbers((value.item(),) * sizes[0], value.dtype)
    return torch.full(sizes, value.item(), dtype=value.dtype)


@operator("Reshape")
def _reshape(node: Node, x: Value, shape: Value) -> Value:
    sizes = node.numbers(shape, 1)
    assert sizes is not None
    if isinstance(x, Numbers) and len(sizes) <= 1:
        return x.like(x.values, scalar=not sizes)
    tensor = tensor_of(x)
    kept = not node.get("allowzero", 0)
    return tensor.reshape([tensor.shape[axis] if kept and size == 0 else size for axis, size in enumerate(sizes)])


@operator("Flatten")
def _flatten(node: Node, x: Tensor) -> Tensor:
    axis = node.get("axis", 1)
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


@operator("Transpose")
def _transpose(node: Node, x: Value) -> Tensor:
    tensor = tensor_of(x)
    return tensor.permute(node.get("perm", list(reversed(range(tensor.dim())))))


@operator("Squeeze")
def _squeeze(node: Node, x: Value, axes: Value = None) -> Value:
    dims = node.option("axes", 1, axes)
    if isinstance(x, Numbers):
        return x.like(x.values, scalar=len(x.values) == 1)
    tensor = tensor_of(x)
    return tensor.squeeze() if dims is None else tensor.squeeze(tuple(dims))


@operator("Unsqueeze")
def _unsqueeze(node: Node, x: Value, axes: Value = None) -> Value:
    dims = node.option("axes", 1, axes)
    assert dims is not None
    if isinstance(x, Numbers) and x.scalar and len(dims) == 1:
        return x.like(x.values)
    tensor = tensor_of(x)
    rank = tensor.dim() + len(dims)
    for dim in sorted(dim % rank for dim in dims):
        tensor = tensor.unsqueeze(dim)
    return tensor


@operator("Expand")
def _expand(node: Node, x: Value, shape: Value) -> Value:
    sizes = node.numbers(shape, 1)
    assert sizes is not None
    tensor = tensor_of(x)
    rank = max(tensor.dim(), len(sizes))
    own, wanted = ((1,) * (rank - len(shape)) + tuple(shape) for shape in (tensor.shape, sizes))
    return tensor.expand([mine if size == 1 else size for mine, size in zip(own, wanted, strict=True)])


@operator("Tile")
def _tile(node: Node, x: Value, repeats: Value) -> Tensor:
    return tensor_of(x).repeat(node.numbers(repeats, 1) or ())


@operator("Concat")
def _concat(node: Node, *parts: Value) -> Value:
    numbers = [part for part in parts if isinstance(part, Numbers)]
    if len(numbers) == len(parts):
        return numbers[0].like([value for part in numbers for value in part.values])
    return torch.cat([tensor_of(part) for part in parts], node.get("axis"))


@operator("Split")
def _split(node: Node, x: Value, sizes: Value = None) -> Sequence[Value]:
    axis, given = node.get("axis", 0), node.option("split", 1, sizes)
    if isinstance(x, Numbers):
        count = len(x.values) // len(node.outputs)
        steps = given or [count] * len(node.outputs)
        ends = [sum(steps[: place + 1]) for place in range(len(steps))]
        return [x.like(x.values[end - step : end]) for end, step in zip(ends, steps, strict=True)]
    tensor = tensor_of(x)
    if given is not None:
        return torch.split(tensor, list(given), axis)
    count = node.get("num_outputs", len(node.outputs))
    return torch.split(tensor, -(-tensor.shape[axis] // count), axis)


@operator("Slice")
def _slice(
    node: Node, x: Value, starts: Value = None, ends: Value = None, axes: Value = None, steps: Value = None
) -> Value:
    first, last = node.option("starts", 1, starts), node.option("ends", 2, ends)
    assert first is not None
    assert last is not None
    dims, strides = node.option("axes", 3, axes) or range(len(first)), node.numbers(steps, 4) or (1,) * len(first)
    if isinstance(x, Numbers):
        return x.like(x.values[slice(first[0], last[0], strides[0])])
    tensor = tensor_of(x)
    for dim, start, stop, step in zip(dims, first, last, strides, strict=True):
        tensor = (
            _reversed(tensor, dim, start, stop, step) if step < 0 else _sliced(tensor, dim, slice(start, stop, step))
        )
    return tensor


def _sliced(tensor: Tensor, dim: int, part: slice) -> Tensor:
    return tensor[(slice(None),) * (dim % tensor.dim()) + (part,)]


def _reversed(tensor: Tensor, dim: int, start: int, stop: int, step: int) -> Tensor:
    places = range(*slice(start, stop if stop >= -(2**31) else None, step).indices(int(tensor.shape[dim])))
    return tensor.index_select(dim, torch.tensor(list(places)))


@operator("Pad")
def _pad(node: Node, x: Tensor, pads: Value = None, value: Value = None, axes: Value = None) -> Tensor:
    added, mode = node.option("pads", 1, pads), node.get("mode", "constant")
    assert added is not None
    fill = (node.numbers(value, 2) or (node.get("value", 0.0),))[0]
    named = node.numbers(axes, 3)
    dims = [dim % x.dim() for dim in named] if named is not None else list(range(x.dim()))
    by_axis: dict[int, tuple[Any, Any]] = dict(
        zip(dims, zip(added[: len(dims)], added[len(dims) :], strict=True), strict=True)
    )
    used = [dim for dim, pair in by_axis.items() if any(type(size) is not int or size for size in pair)]
    first = min(used, default=x.dim() - 1)
    if mode not in _PAD_MODES or (mode != "constant" and first < x.dim() - 3):
        node.refuse(f"mode {mode} on axis {first}")
    flat = [size for dim in range(x.dim() - 1, first - 1, -1) for size in by_axis.get(dim, (0, 0))]
    if mode != "constant" and len(flat) < 2 * (x.dim() - 2):  # torch pads all axes of a picture or none
        flat += [0] * (2 * (x.dim() - 2) - len(flat))
    return functional.pad(x, flat, _PAD_MODES[mode], fill if mode == "constant" else None)


@operator("DepthToSpace")
def _depth_to_space(node: Node, x: Tensor) -> Tensor:
    block = node.get("blocksize")
    if node.get("mode", "DCR") == "CRD":
        return functional.pixel_shuffle(x, block)
    n, c, h, w = x.shape
    parts = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return parts.reshape(n, c // block**2, h * block, w * block)


@operator("SpaceToDepth")
def _space_to_depth(node: Node, x: Tensor) -> Tensor:
    block = node.get("blocksize")
    n, c, h, w = x.shape
    parts = x.reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
    return parts.reshape(n, c * block**2, h // block, w // block)


OPERATORS["Trilu"] = lambda node, x, k=None: (torch.triu if node.get("upper", 1) else torch.tril)(
    x, (node.numbers(k, 1) or (0,))[0]
)
