"""Which nodes become one kernel: a convolution, or nothing, with the elementwise chain and pixel shuffle behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.lower.kernels.epilogue import Step
from dydca.program import Graph, arguments, op_name

aten = torch.ops.aten

CONVOLUTIONS = (aten.conv2d.default, aten.conv2d.padding)
SHUFFLE = aten.pixel_shuffle.default

Reading = Node | NDArray[np.float32]
"""What a step reads besides the value: another tensor of its shape, or one constant per channel."""


@dataclass
class Group:
    """Nodes that become one kernel.

    Attributes:
        nodes: In graph order; the last one is the result.
        root: The convolution, or an operator TVM legalises; None for a bare elementwise chain.
        source: The picture that flows through the chain.
        steps: The epilogue, its operand numbers counting `readings`.
        readings: What the steps read besides.
        shuffle: Pixel-shuffle factor at the store.
        computed: The value before the shuffle, whose shape the kernel works in.
    """

    nodes: list[Node]
    root: Node | None
    source: Node
    steps: list[Step] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    shuffle: int = 1
    computed: Node = field(init=False)

    def __post_init__(self) -> None:
        self.computed = self.source if self.root is None else self.root

    @property
    def result(self) -> Node:
        """The node whose value the kernel stores."""
        return self.nodes[-1]

    @property
    def fallback(self) -> bool:
        """Whether TVM's own legalisation lowers it."""
        return self.root is not None and self.root.target not in CONVOLUTIONS


def form_groups(graph: Graph, facts: Facts, wanted: Set[Node]) -> list[Group]:
    """Cuts the wanted nodes of a static graph into groups, in an order in which they can run.

    A value that something outside `wanted` reads as well is never lost inside a group.
    """
    groups: list[Group] = []
    taken: set[Node] = set()
    for node in graph:
        if node not in wanted or node in taken:
            continue
        group = _start(graph, facts, node)
        while not group.fallback and _extend(graph, facts, group, wanted - taken):
            pass
        taken.update(group.nodes)
        groups.append(group)
    order = {node: position for position, node in enumerate(graph)}
    return sorted(groups, key=lambda group: order[group.result])


def _start(graph: Graph, facts: Facts, node: Node) -> Group:
    if node.target in CONVOLUTIONS:
        return Group([node], node, node.all_input_nodes[0])
    for value in node.all_input_nodes:
        chain = Group([], None, value)
        if _is_picture(facts, value) and graph.constant(value) is None and _absorb(graph, facts, chain, node):
            return chain
    return Group([node], node, node.all_input_nodes[0] if node.all_input_nodes else node)


def _extend(graph: Graph, facts: Facts, group: Group, free: Set[Node]) -> bool:
    """Takes in the only reader of the result, if it can ride along."""
    readers = list(group.result.users)
    return len(readers) == 1 and readers[0] in free and _absorb(graph, facts, group, readers[0])


def _absorb(graph: Graph, facts: Facts, group: Group, node: Node) -> bool:
    value = group.result if group.nodes else group.source
    if node.target == SHUFFLE and group.shuffle == 1 and _is_picture(facts, value):
        group.shuffle = int(arguments(node)["upscale_factor"])
        group.nodes.append(node)
        return True
    read = _steps(graph, facts, node, value)
    if read is None or (group.shuffle > 1 and any(reading is not None for _, _, reading in read)):
        return False
    for op, scalars, reading in read:
        number = None if reading is None else len(group.readings)
        if reading is not None:
            group.readings.append(reading)
        group.steps.append(Step(op, scalars, number))
    group.nodes.append(node)
    return True


def _is_picture(facts: Facts, node: Node) -> bool:
    fact = facts[node]
    return fact.dtype == torch.float32 and 3 <= len(fact.shape) <= 4


Steps = Sequence[tuple[str, tuple[float, ...], Reading | None]]


def _steps(graph: Graph, facts: Facts, node: Node, value: Node) -> Steps | None:
    """The node as epilogue steps on `value`; None if it is anything else."""
    reader = _READERS.get(node.target)
    if reader is None or facts[node].shape != facts[value].shape or not _is_picture(facts, node):
        return None
    return reader(graph, facts, node, value)


def _relu(_graph: Graph, _facts: Facts, _node: Node, _value: Node) -> Steps:
    return [("relu", (), None)]


def _leaky_relu(_graph: Graph, _facts: Facts, node: Node, _value: Node) -> Steps:
    return [("leaky_relu", (float(arguments(node)["negative_slope"]),), None)]


def _prelu(graph: Graph, facts: Facts, node: Node, value: Node) -> Steps | None:
    slope = graph.constant(node.args[1])
    batched = len(facts.shape(node)) == 4  # without a batch axis PyTorch takes the slopes along H
    if slope is None or node.args[0] is not value or not (batched or slope.numel() == 1):
        return None
    return [("prelu", (), _per_channel(slope.reshape(-1), facts, node))]


def _clamp(_graph: Graph, _facts: Facts, node: Node, _value: Node) -> Steps | None:
    named = arguments(node)
    bounds = (
        ("clamp_min", named.get("min", named.get("min_val"))),
        ("clamp_max", named.get("max", named.get("max_val"))),
    )
    if any(isinstance(bound, Node) for _, bound in bounds):
        return None
    return [(op, (float(bound),), None) for op, bound in bounds if bound is not None]


def _relu6(_graph: Graph, _facts: Facts, _node: Node, _value: Node) -> Steps:
    return [("clamp_min", (0.0,), None), ("clamp_max", (6.0,), None)]


def _arithmetic(graph: Graph, facts: Facts, node: Node, value: Node) -> Steps | None:
    """add, sub, mul and div of the value with a number, a constant per channel, or a tensor of its shape."""
    name = op_name(node)
    left, right = node.args[:2]
    other, turned = (left, True) if right is value else (right, False)
    alpha = float(arguments(node).get("alpha", 1.0))
    if other is value or (turned and (name == "div" or alpha != 1.0)):
        return None
    number = _number(graph, other)
    if number is not None:
        return _with_number(name, number * alpha, turned)
    if not isinstance(other, Node) or alpha != 1.0 or name == "div":
        return None
    negated: Steps = [("scale", (-1.0,), None)] if name == "sub" and turned else []
    op = {"add": "add", "mul": "multiply", "sub": "add" if turned else "subtract"}[name]
    constant = graph.constant(other)
    reading = other if constant is None else _broadcast_constant(constant, facts, node)
    if reading is None or (isinstance(reading, Node) and _differ(facts, other, value)):
        return None
    return [*negated, (op, (), reading)]


def _differ(facts: Facts, one: Node, other: Node) -> bool:
    return facts[one].shape != facts[other].shape or facts[one].dtype != facts[other].dtype


def _with_number(name: str, number: float, turned: bool) -> Steps | None:
    if name == "add":
        return [("shift", (number,), None)]
    if name == "sub":
        return [("scale", (-1.0,), None), ("shift", (number,), None)] if turned else [("shift", (-number,), None)]
    if name == "div" and number == 0:
        return None
    return [("scale", (1.0 / number if name == "div" else number,), None)]


def _number(graph: Graph, operand: object) -> float | None:
    if isinstance(operand, int | float):
        return float(operand)
    tensor = graph.constant(operand)
    return float(tensor) if tensor is not None and tensor.numel() == 1 and tensor.dim() <= 4 else None


def _broadcast_constant(constant: torch.Tensor, facts: Facts, node: Node) -> NDArray[np.float32] | None:
    """A constant [C, 1, 1] or [1, C, 1, 1] as one value per channel; None for other shapes."""
    rank = len(facts[node].shape)
    shape = (1,) * (rank - constant.dim()) + tuple(constant.shape)
    if len(shape) != rank or shape[-2:] != (1, 1) or (rank == 4 and shape[0] != 1):
        return None
    return _per_channel(constant.reshape(-1), facts, node)


def _per_channel(values: torch.Tensor, facts: Facts, node: Node) -> NDArray[np.float32]:
    channels = facts.shape(node)[-3]
    return np.asarray(values.float().expand(channels).numpy(), np.float32)


_READERS: dict[Any, Callable[[Graph, Facts, Node, Node], Steps | None]] = {
    aten.relu.default: _relu,
    aten.leaky_relu.default: _leaky_relu,
    aten.prelu.default: _prelu,
    aten.clamp.default: _clamp,
    aten.hardtanh.default: _clamp,
    aten.relu6.default: _relu6,
} | {overload: _arithmetic for op in (aten.add, aten.sub, aten.mul, aten.div) for overload in (op.Tensor, op.Scalar)}
