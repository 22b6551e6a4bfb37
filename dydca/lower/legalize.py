"""Operators without a template of ours: TVM's own legalisation gives coverage, our schedule the loops.

Convolutions and matrix products never come here: unscheduled they would be a hundred times too slow.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from math import prod

import numpy as np
import torch
from torch import fx
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.errors import LoweringError
from dydca.lower.calls import Call, Value, Weight
from dydca.lower.kernels.move import Move
from dydca.lower.kernels.nest import LegalizedNest
from dydca.lower.layout import PLAIN
from dydca.lower.targets import Target
from dydca.lower.tvm_api import Operand, legalized_nests
from dydca.program import Graph, op_name, where

MULTIPLIES = frozenset(
    ["conv1d", "conv2d", "conv3d", "convolution", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "linear", "matmul", "mm", "bmm", "addmm", "baddbmm", "einsum", "scaled_dot_product_attention"]
)
"""Operators that must have a template; TVM's default schedule is never run for them."""

def legalize(
    graph: Graph, facts: Facts, node: Node, reads: Mapping[Node, Value], results: list[Value], target: Target
) -> list[Call]:
    """Calls that compute `node` from plain values into `results`.

    Raises:
        LoweringError: DYD401, the operator needs a template and has none, or TVM does not know it.
    """
    if op_name(node) in MULTIPLIES:
        got = f"{op_name(node)} of {', '.join(str(facts[operand].shape) for operand in node.all_input_nodes)}"
        raise LoweringError("DYD401", "no kernel template for this product", where=where(node), got=got)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module, examples = _alone(graph, facts, node, tuple(reads))
            nests, outputs = legalized_nests(torch.export.export(module, examples, strict=False), target.lanes)
    except Exception as error:  # TVM raises what it likes for an operator it does not know
        message = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise LoweringError("DYD401", "TVM does not know this operator", where=where(node), got=message) from error
    values: dict[object, Value | Weight] = {("input", number): value for number, value in enumerate(reads.values())}
    written_by_nest = {operand.key for nest in nests for operand in nest.writes}
    copied = []
    for operand, result in zip(outputs, results, strict=True):
        if operand.kind == "intermediate" and operand.key in written_by_nest and (operand.kind, operand.key) not in values:
            values[operand.kind, operand.key] = result
        else:
            copied.append((operand, result))
    calls = []
    for nest in nests:
        read = [_held(values, operand, node) for operand in nest.reads]
        written = [_held(values, operand, node) for operand in nest.writes]
        calls.append(Call(LegalizedNest(nest.text, nest), read, written, (node.name,)))  # type: ignore[arg-type]
    # What is folded to a constant, or handed through, no nest computes.
    return calls + [_copy(_held(values, operand, node), result, node, target) for operand, result in copied]


def _copy(source: Value | Weight, result: Value, node: Node, target: Target) -> Call:
    size = prod(result.shape) * result.itemsize
    if size % 4:
        raise LoweringError("DYD401", "a copy of single bytes", where=where(node), got=f"{size} bytes")
    kernel = Move((1, 1, 1, size // 4), PLAIN, PLAIN, 1, (), (), target.lanes)
    return Call(kernel, [source], [result], (node.name,))


def _alone(graph: Graph, facts: Facts, node: Node, inputs: tuple[Node, ...]) -> tuple[fx.GraphModule, tuple[torch.Tensor, ...]]:
    """The node as a module of its own, its constants within."""
    single = fx.Graph()
    copies = {operand: single.placeholder(f"x{number}") for number, operand in enumerate(inputs)}
    root = torch.nn.Module()
    for operand in node.all_input_nodes:
        if operand not in copies:
            name = f"constant_{operand.name}"
            root.register_buffer(name, graph.constants[str(operand.target)])
            copies[operand] = single.get_attr(name)
    single.output(single.node_copy(node, copies.__getitem__))
    examples = tuple(torch.zeros(facts.shape(operand), dtype=facts[operand].dtype) for operand in inputs)
    return fx.GraphModule(root, single), examples


def _held(values: dict[object, Value | Weight], operand: Operand, node: Node) -> Value | Weight:
    if operand.data is not None:
        return Weight(f"{node.name}_constant", np.ascontiguousarray(operand.data))
    key = (operand.kind, operand.key)
    if key not in values:
        values[key] = Value(f"{node.name}_{operand.key}", operand.shape, itemsize=np.dtype(operand.dtype).itemsize)
    return values[key]
