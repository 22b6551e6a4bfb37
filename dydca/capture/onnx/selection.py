"""Reductions, and operators that choose elements by number or by value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dydca.capture.onnx.numbers import Numbers, Value, tensor_of
from dydca.capture.onnx.table import OPERATORS, Node, operator


def _reduced(function: Callable[..., Tensor]) -> Any:
    def run(node: Node, x: Value, axes: Value = None) -> Value:
        dims, keep = node.option("axes", 1, axes), bool(node.get("keepdims", 1))
        if not dims and node.get("noop_with_empty_axes", 0):
            return x
        tensor = tensor_of(x)
        return function(tensor, tuple(dims) if dims else tuple(range(tensor.dim())), keep)

    return run


def _product(x: Tensor, dims: tuple[int, ...], keep: bool) -> Tensor:
    for dim in sorted((dim % x.dim() for dim in dims), reverse=True):
        x = x.prod(dim, keep)
    return x


OPERATORS |= {
    "ReduceMean": _reduced(torch.mean),
    "ReduceSum": _reduced(torch.sum),
    "ReduceMax": _reduced(torch.amax),
    "ReduceMin": _reduced(torch.amin),
    "ReduceProd": _reduced(_product),
    "ReduceL1": _reduced(lambda x, dims, keep: x.abs().sum(dims, keep)),
    "ReduceL2": _reduced(lambda x, dims, keep: (x * x).sum(dims, keep).sqrt()),
    "ReduceSumSquare": _reduced(lambda x, dims, keep: (x * x).sum(dims, keep)),
    "ReduceLogSumExp": _reduced(torch.logsumexp),
    "NonZero": lambda _, x: torch.nonzero(x).transpose(0, 1),
    "CumSum": lambda node, x, axis: torch.cumsum(x, node.numbers(axis, 1)[0]),
    "GatherND": lambda node, x, indices: _gather_nd(node, x, tensor_of(indices)),
}


def _counted(indices: Tensor, x: Tensor, axis: int) -> Tensor:
    """Indices from the end as indices from the start."""
    return torch.where(indices < 0, indices + x.shape[axis], indices)


@operator("ArgMax", "ArgMin")
def _arg(node: Node, x: Tensor) -> Tensor:
    if node.get("select_last_index", 0):
        node.refuse("select_last_index")
    find = torch.argmax if node.operator == "ArgMax" else torch.argmin
    return find(x, node.get("axis", 0), bool(node.get("keepdims", 1)))


@operator("TopK")
def _top_k(node: Node, x: Tensor, count: Value) -> tuple[Tensor, Tensor]:
    (number,) = node.numbers(count, 1) or (1,)
    values, places = torch.topk(x, number, node.get("axis", -1), bool(node.get("largest", 1)))
    return values, places


@operator("GatherElements")
def _gather_elements(node: Node, x: Tensor, indices: Value) -> Tensor:
    axis = node.get("axis", 0)
    return x.gather(axis, _counted(tensor_of(indices), x, axis))


@operator("Gather")
def _gather(node: Node, x: Value, indices: Value) -> Value:
    if isinstance(x, Numbers) and isinstance(indices, Numbers) and all(type(place) is int for place in indices.values):
        return x.like([x.values[place] for place in indices.values], scalar=indices.scalar)
    tensor, axis = tensor_of(x), node.get("axis", 0)
    axis %= tensor.dim()
    if isinstance(indices, Numbers) and indices.scalar:
        return tensor.select(axis, indices.values[0])
    if isinstance(indices, Numbers):
        return tensor.index_select(axis, indices.tensor() % tensor.shape[axis])
    places = _counted(tensor_of(indices), tensor, axis)
    flat = tensor.index_select(axis, places.reshape(-1))
    return flat.reshape(*tensor.shape[:axis], *places.shape, *tensor.shape[axis + 1 :])


def _gather_nd(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    if node.get("batch_dims", 0):
        node.refuse("batch_dims")
    return x[tuple(indices.unbind(-1))]


@operator("ScatterND")
def _scatter_nd(node: Node, x: Value, indices: Value, updates: Value) -> Tensor:
    places, made = tuple(tensor_of(indices).unbind(-1)), tensor_of(updates)
    if node.get("reduction", "none") not in ("none", "add"):
        node.refuse(f"reduction {node.get('reduction')}")
    return tensor_of(x).index_put(places, made, accumulate=node.get("reduction", "none") == "add")


@operator("ScatterElements")
def _scatter(node: Node, x: Tensor, indices: Value, updates: Value) -> Tensor:
    axis = node.get("axis", 0)
    places = _counted(tensor_of(indices), x, axis)
    reduction = node.get("reduction", "none")
    if reduction not in ("none", "add"):
        node.refuse(f"reduction {reduction}")
    return (x.scatter_add if reduction == "add" else x.scatter)(axis, places, tensor_of(updates))


@operator("OneHot")
def _one_hot(node: Node, indices: Value, depth: Value, values: Value) -> Tensor:
    (count,), (off, on) = node.numbers(depth, 1) or (0,), tensor_of(values).unbind(0)
    places, axis = tensor_of(indices), node.get("axis", -1)
    hot = (places % count).unsqueeze(axis)
    shape = [1] * hot.dim()
    shape[axis] = -1
    return torch.where(hot == torch.arange(count).reshape(shape), on, off)
