"""Elementwise operators of a graph as steps of an epilogue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.lower.layout import picture
from dydca.program import Graph, arguments, op_name

aten = torch.ops.aten

Reading = Node | NDArray[np.float32]
"""What a step reads besides the value: a tensor, or a constant [N, C, H, W]; axes of size 1 serve all places."""


SELU = (1.6732632423543772, 1.0507009873554805, 1.0)
"""Negative and positive slope that keep mean and variance: Klambauer et al., 2017, arXiv 1706.02515, equation 14."""


class Line(NamedTuple):
    """A step that is not yet part of a kernel: on the value of the line before, the first one on that of the operand.

    Attributes:
        op: As in `dydca.lower.kernels.epilogue.Step`.
        scalars: Likewise.
        reading: What it reads besides.
    """

    op: str
    scalars: tuple[float, ...] = ()
    reading: Reading | None = None


Lines = Sequence[Line]


def read_lines(graph: Graph, facts: Facts, node: Node, value: Node) -> Lines | None:
    """The node as operations on `value`, which is among its operands; None if it is not one of these."""
    reader = _READERS.get(node.target)
    if reader is None or not (is_picture(facts, node) and is_picture(facts, value)):
        return None
    return reader(graph, facts, node, value) if facts[node].shape == facts[value].shape else None


def is_picture(facts: Facts, node: Node) -> bool:
    """Whether it is a tensor of float32 whose axes are [N, C, H, W] or some of these."""
    fact = facts[node]
    return fact.dtype == torch.float32 and len(fact.shape) <= 4


def _always(*lines: Line) -> Callable[..., Lines]:
    return lambda _graph, _facts, _node, _value: lines


def _leaky_relu(_graph: Graph, _facts: Facts, node: Node, _value: Node) -> Lines:
    return [Line("leaky_relu", (float(arguments(node)["negative_slope"]),))]


def _gelu(_graph: Graph, _facts: Facts, node: Node, _value: Node) -> Lines:
    return [Line("gelu" if arguments(node)["approximate"] == "none" else "gelu_tanh")]


def _elu(_graph: Graph, _facts: Facts, node: Node, _value: Node) -> Lines:
    named = arguments(node)
    return [Line("elu", (float(named["alpha"]), float(named["scale"]), float(named["input_scale"])))]


def _celu(_graph: Graph, _facts: Facts, node: Node, _value: Node) -> Lines:
    alpha = float(arguments(node)["alpha"])
    return [Line("elu", (alpha, 1.0, 1.0 / alpha))]


def _softplus(_graph: Graph, _facts: Facts, node: Node, _value: Node) -> Lines:
    named = arguments(node)
    return [Line("softplus", (float(named["beta"]), float(named["threshold"])))]


def _prelu(graph: Graph, facts: Facts, node: Node, value: Node) -> Lines | None:
    slope = graph.constant(node.args[1])
    batched = len(facts.shape(node)) == 4  # without a batch axis PyTorch takes the slopes along H
    if slope is None or node.args[0] is not value or not (batched or slope.numel() == 1):
        return None
    return [Line("prelu", (), as_picture(slope.reshape(-1, 1, 1)))]


def _clamp(_graph: Graph, _facts: Facts, node: Node, _value: Node) -> Lines | None:
    named = arguments(node)
    bounds = (
        ("clamp_min", named.get("min", named.get("min_val"))),
        ("clamp_max", named.get("max", named.get("max_val"))),
    )
    if any(isinstance(bound, Node) for _, bound in bounds):
        return None
    return [Line(op, (float(bound),)) for op, bound in bounds if bound is not None]


def _power(_graph: Graph, _facts: Facts, node: Node, value: Node) -> Lines | None:
    square, root, inverse = Line("square"), Line("square_root"), Line("divide_number", (1.0,))
    known = {
        2: [square],
        3: [square, Line("multiply", (), value)],
        4: [square, square],
        0.5: [root],
        -0.5: [root, inverse],
        -1: [inverse],
        -2: [square, inverse],
    }
    exponent = node.args[1]
    return known.get(exponent) if isinstance(exponent, int | float) else None


def _extremum(graph: Graph, facts: Facts, node: Node, value: Node) -> Lines | None:
    left, right = node.args[:2]
    other = left if right is value else right
    reading, number = _second(graph, facts, node, value, other)
    if number is not None:
        return [Line("clamp_min" if op_name(node) == "maximum" else "clamp_max", (number,))]
    return None if reading is None else [Line(op_name(node), (), reading)]


def _arithmetic(graph: Graph, facts: Facts, node: Node, value: Node) -> Lines | None:
    """add, sub, mul and div of the value with a number, a constant per channel, or a tensor of its shape."""
    name = op_name(node)
    left, right = node.args[:2]
    alpha = float(arguments(node).get("alpha", 1.0))
    if name == "rsub":
        name, left, right = "sub", right, left
    other, turned = (left, True) if left is not value else (right, False)
    if alpha != 1.0 and (turned or op_name(node) == "rsub"):
        return None
    reading, number = _second(graph, facts, node, value, other)
    if number is not None:
        return _with_number(name, number * alpha, turned)
    if reading is None or alpha != 1.0:
        return None
    if turned and name == "sub":
        return [Line("scale", (-1.0,)), Line("add", (), reading)]
    op = {"add": "add", "mul": "multiply", "sub": "subtract", "div": "divide_into" if turned else "divide"}[name]
    return [Line(op, (), reading)]


def _with_number(name: str, number: float, turned: bool) -> Lines | None:
    if name == "add":
        return [Line("shift", (number,))]
    if name == "sub":
        return [Line("scale", (-1.0,)), Line("shift", (number,))] if turned else [Line("shift", (-number,))]
    if name == "div":
        if turned:
            return [Line("divide_number", (number,))]
        return [Line("scale", (1.0 / number,))] if number else None
    return [Line("scale", (number,))]


def _second(graph: Graph, facts: Facts, node: Node, value: Node, other: object) -> tuple[Reading | None, float | None]:
    """The second operand as something to read, or as a number; both None if it is neither."""
    if isinstance(other, int | float):
        return None, float(other)
    if not isinstance(other, Node):
        return None, None
    tensor = graph.constant(other)
    if tensor is None:
        return (other if is_picture(facts, other) else None), None
    if tensor.dim() > 4:
        return None, None
    if tensor.numel() == 1:
        return None, float(tensor)
    return (as_picture(tensor) if tensor.dtype == torch.float32 else None), None


def as_picture(tensor: torch.Tensor) -> NDArray[np.float32]:
    """A constant as [N, C, H, W]."""
    return np.ascontiguousarray(tensor.detach().numpy()).reshape(picture(tuple(tensor.shape)))


_READERS: dict[Any, Callable[[Graph, Facts, Node, Node], Lines | None]] = {
    aten.relu.default: _always(Line("relu")),
    aten.relu6.default: _always(Line("clamp_min", (0.0,)), Line("clamp_max", (6.0,))),
    aten.leaky_relu.default: _leaky_relu,
    aten.prelu.default: _prelu,
    aten.elu.default: _elu,
    aten.celu.default: _celu,
    aten.selu.default: _always(Line("elu", SELU)),
    aten.gelu.default: _gelu,
    aten.softplus.default: _softplus,
    aten.log_sigmoid.default: _always(Line("scale", (-1.0,)), Line("softplus", (1.0, 1e9)), Line("scale", (-1.0,))),
    aten.clamp.default: _clamp,
    aten.clamp_min.default: _clamp,
    aten.clamp_max.default: _clamp,
    aten.hardtanh.default: _clamp,
    aten.abs.default: _always(Line("absolute")),
    aten.neg.default: _always(Line("scale", (-1.0,))),
    aten.sqrt.default: _always(Line("square_root")),
    aten.rsqrt.default: _always(Line("square_root"), Line("divide_number", (1.0,))),
    aten.reciprocal.default: _always(Line("divide_number", (1.0,))),
    aten.square.default: _always(Line("square")),
    aten.pow.Tensor_Scalar: _power,
    aten.maximum.default: _extremum,
    aten.minimum.default: _extremum,
}
for _name in ("erf", "exp", "hardsigmoid", "hardswish", "mish", "sigmoid", "silu", "tanh"):
    _READERS[getattr(aten, _name).default] = _always(Line(_name))
for _op in (aten.add, aten.sub, aten.rsub, aten.mul, aten.div):
    _READERS |= dict.fromkeys((_op.Tensor, _op.Scalar), _arithmetic)
