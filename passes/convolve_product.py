"""Turns products with constant matrices into 1x1 convolutions, so that the kernels of convolutions compute them."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import torch
from torch import Tensor
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.passes.base import Miss, Pass
from dydca.program import Graph, arguments, op_name

aten = torch.ops.aten


class ConvolveProduct(Pass):
    """``linear(x, w, b)``, ``addmm``, ``mm`` and ``matmul`` by a constant matrix become ``conv2d`` with a 1x1 window.

    The rows of x are pixels and its columns channels: x ``[..., K]`` is read as a picture ``[N, K, H, W]`` whose N, H
    and W are the leading sizes. One row needs no more than a reshape. A constant on the left, ``w x``, finds x
    ``[N, K, R]`` with its channels in place. Exact; ``alpha`` and ``beta`` of addmm are multiplied in once.
    """

    root = ("linear", "addmm", "mm", "matmul")
    after = ("specialize_shapes", "fold_constants")

    def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
        found = _product(graph, node, facts)
        if isinstance(found, Miss):
            return found
        dtype, given = facts[node].dtype, facts[found.rows].shape
        if dtype is None or not dtype.is_floating_point:
            return Miss(node, f"convolutions are not computed in {dtype}")
        if not all(isinstance(size, int) for size in given):
            return Miss(node, f"a size of {given} depends on values")
        weight = graph.const(found.weight[:, :, None, None].contiguous(), f"{node.name}_weight", before=node)
        bias = None if found.bias is None else graph.const(found.bias, f"{node.name}_bias", before=node)
        turned = not found.left and prod(facts.shape(found.rows)[:-1]) != 1
        result = _reshaped(graph, found.rows, _picture(facts.shape(found.rows), found.left, turned), node)
        if turned:
            result = graph.add(aten.permute.default, result, [0, 3, 1, 2], before=node)
        result = graph.add(aten.conv2d.default, result, weight, bias, [1, 1], [0, 0], [1, 1], 1, before=node)
        if turned:
            result = graph.add(aten.permute.default, result, [0, 2, 3, 1], before=node)
        return _reshaped(graph, result, list(facts.shape(node)), node)


class _Product(NamedTuple):
    """``rows @ weight.T + bias``, or ``weight @ rows`` with the constant on the `left`."""

    rows: Node
    weight: Tensor
    bias: Tensor | None = None
    left: bool = False


def _product(graph: Graph, node: Node, facts: Facts) -> _Product | Miss:
    name, named = op_name(node), arguments(node)
    if name == "linear":
        weight, bias = graph.constant(named["weight"]), graph.constant(named["bias"])
        if weight is None or weight.dim() != 2 or (named["bias"] is not None and bias is None):
            return Miss(node, "the weights are no constant matrix, or the bias is no constant")
        return _Product(named["input"], weight, bias)
    if name == "addmm":
        return _with_sum(graph, node, named["mat1"], named["mat2"])
    first, second = node.all_input_nodes[0], node.all_input_nodes[-1]  # one and the same in the product of x and x
    left, right = graph.constant(first), graph.constant(second)
    if right is not None and right.dim() == 2:
        return _Product(first, right.T)
    if left is not None and left.dim() == 2 and len(facts[second].shape) >= 2:
        return _Product(second, left, left=True)
    return Miss(node, "neither factor is a constant matrix")


def _with_sum(graph: Graph, node: Node, rows: Node, factor: Node) -> _Product | Miss:
    """``beta * bias + alpha * rows @ factor``."""
    named = arguments(node)
    weight, bias = graph.constant(factor), graph.constant(named["self"])
    if weight is None or bias is None:
        return Miss(node, "weights or bias are not constants")
    if bias.dim() > 1 and prod(bias.shape[:-1]) != 1:
        return Miss(node, f"a bias {tuple(bias.shape)} that differs from row to row")
    spread = bias.reshape(-1).expand(weight.shape[1])
    scaled = [_scaled(tensor, named[name]) for tensor, name in ((weight.T, "alpha"), (spread, "beta"))]
    return _Product(rows, scaled[0], scaled[1])


def _scaled(tensor: Tensor, factor: float) -> Tensor:
    return (tensor.double() * factor).to(tensor.dtype).contiguous()


def _picture(shape: tuple[int, ...], left: bool, turned: bool) -> list[int]:
    """The rows as a picture: ``[1, K, 1, 1]``; ``[N, H, W, K]`` that is still to be turned; ``[N, K, 1, R]``."""
    if left:
        return [prod(shape[:-2]), shape[-2], 1, shape[-1]]
    *leading, channels = shape
    if not turned:
        return [1, channels, 1, 1]
    joined = leading if len(leading) <= 3 else [prod(leading[:-2]), *leading[-2:]]
    return [*[1] * (3 - len(joined)), *joined, channels]


def _reshaped(graph: Graph, node: Node, shape: list[int], before: Node) -> Node:
    return graph.add(aten.reshape.default, node, shape, before=before)
