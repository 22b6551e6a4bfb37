"""Proves from the structure of a graph that a tensor has no value below zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.program import arguments, op_name

_ALWAYS = ("relu", "relu6", "sigmoid", "hardsigmoid", "softmax", "softplus", "abs", "square", "sqrt", "exp")
_AS_OPERANDS = (
    *("add", "mul", "cat", "stack", "maximum"),
    *("pad", "constant_pad_nd", "avg_pool2d", "max_pool2d", "mean", "sum"),
    *("slice", "select", "narrow", "repeat", "repeat_interleave", "expand", "clone", "index", "flip"),
    *("view", "reshape", "permute", "transpose", "squeeze", "unsqueeze", "pixel_shuffle", "pixel_unshuffle"),
)


def is_nonnegative(facts: Facts, node: Node, declared: Callable[[Node], bool] = lambda _: False) -> bool:
    """Whether every value of `node` is known to be 0 or more.

    Args:
        facts: Of the graph; tell pictures from sizes.
        node: A tensor.
        declared: Whether an input was declared to have no value below zero.
    """
    if node.op == "placeholder":
        return declared(node)
    name = op_name(node)
    if name in _ALWAYS:
        return True
    if name in ("clamp", "hardtanh", "clamp_min"):
        low = _lower_bound(arguments(node))
        return isinstance(low, int | float) and low >= 0
    if name not in _AS_OPERANDS:
        return False
    numbers = [value for value in (*node.args, *node.kwargs.values()) if isinstance(value, float)]
    if name in ("add", "mul"):  # a whole number there is an operand; elsewhere it is an axis or a size
        numbers += [value for value in (*node.args, *node.kwargs.values()) if isinstance(value, int)]
    tensors = [operand for operand in node.all_input_nodes if facts[operand].dtype is not None]
    return all(value >= 0 for value in numbers) and all(is_nonnegative(facts, one, declared) for one in tensors)


def _lower_bound(named: dict[str, Any]) -> Any:
    return named.get("min", named.get("min_val"))
