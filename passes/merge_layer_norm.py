"""Finds the normalisation over channels in the arithmetic it was written as, so that one kernel computes it."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.passes.base import Miss, Pass
from dydca.program import Graph, arguments, op_name

aten = torch.ops.aten


class MergeLayerNorm(Pass):
    """``(x - mean) / sqrt(var + eps)`` becomes ``layer_norm`` between two permutes.

    Mean and biased variance are those over the channels of x ``[N, C, H, W]`` at each pixel, in whatever way they are
    written. A gain and an offset per channel behind it stay as they are.
    Source: Ba et al., "Layer normalization", 2016, arXiv 1607.06450.
    """

    root = ("div", "mul")

    def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
        centred, spread = _quotient(node)
        x = _centred(centred)
        variance, eps = spread.args[:2] if _is(spread, "add") else (None, None)
        if x is None or variance is None or _variance_of(variance) is not x or not isinstance(eps, int | float):
            return None
        shape = facts[node].shape
        if len(shape) != 4 or not isinstance(shape[1], int):
            return None
        if _is_unbiased(variance):
            return Miss(node, f"%{variance.name} is the unbiased variance")
        rows = graph.add(aten.permute.default, x, [0, 2, 3, 1], before=node)
        rows = graph.add(aten.layer_norm.default, rows, [shape[1]], None, None, float(eps), before=node)
        return graph.add(aten.permute.default, rows, [0, 3, 1, 2], before=node)


def _is(value: Any, *names: str) -> bool:  # the operands of a node may be anything
    return isinstance(value, Node) and op_name(value) in names


def _quotient(node: Node) -> tuple[Any, Any]:
    """What is divided by a square root, and what stands under the root; Nones if the node is no such quotient."""
    operands: Any = node.args
    left, right = operands[:2]
    if _is(node, "div"):
        return left, _under_root(right)
    for value, factor in ((left, right), (right, left)):
        root = factor.args[0] if _is(factor, "reciprocal") else factor
        under = _under_root(root, inverse=root is factor)
        if under is not None:
            return value, under
    return None, None


def _under_root(value: Any, *, inverse: bool = False) -> Any:
    """What stands under a square root, or under one over a square root."""
    if _is(value, "rsqrt" if inverse else "sqrt"):
        return value.args[0]
    return value.args[0] if _is(value, "pow") and value.args[1] == (-0.5 if inverse else 0.5) else None


def _centred(value: Any) -> Any:
    """The x of ``x - mean``."""
    if not _is(value, "sub") or arguments(value)["alpha"] != 1:
        return None
    x, mean = value.args[:2]
    return x if isinstance(x, Node) and _mean_of(mean) is x else None


def _mean_of(value: Any) -> Any:
    """The x of a mean over axis 1 that keeps it."""
    if _is(value, "getitem") and value.args[1] == 1:
        return _reduced(value.args[0], "var_mean")
    return _reduced(value, "mean")


def _variance_of(value: Any) -> Any:
    """The x of a variance over axis 1 that keeps it, unbiased or not."""
    if _is(value, "getitem") and value.args[1] == 0:
        return _reduced(value.args[0], "var_mean")
    squared = _reduced(value, "mean")
    if _is(squared, "square") or (_is(squared, "pow") and squared.args[1] == 2):
        return _centred(squared.args[0])
    if _is(squared, "mul"):
        factors = {_centred(factor) for factor in squared.args[:2]}
        return factors.pop() if len(factors) == 1 else None
    return _reduced(value, "var")


def _reduced(value: Any, name: str) -> Any:
    """What an operator of that name reduces over axis 1, which it keeps."""
    if not _is(value, name):
        return None
    named = arguments(value)
    return named["self"] if named.get("dim") in ([1], [-3]) and named.get("keepdim") else None


def _is_unbiased(variance: Any) -> bool:
    named = arguments(variance.args[0] if _is(variance.args[0], "var_mean") else variance)
    return bool(named.get("unbiased", named.get("correction", 0) != 0))
