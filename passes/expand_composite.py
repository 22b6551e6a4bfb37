"""Operators that PyTorch itself computes by simpler ones become these."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx
from torch._decomp import get_decompositions
from torch.fx import Node
from torch.fx.experimental.proxy_tensor import make_fx

from dydca.analysis.facts import Facts
from dydca.passes.base import Miss, Pass
from dydca.program import Graph, arguments, op_name

aten = torch.ops.aten

ATTENTION = get_decompositions([aten._scaled_dot_product_flash_attention_for_cpu])
"""PyTorch's CPU has one kernel for attention; this is its own text of it in products and a softmax."""


class ExpandComposite(Pass):
    """``einsum`` and ``scaled_dot_product_attention`` become products, softmax and changes of shape.

    The operator is traced as PyTorch's own text of it runs, with tensors that have shapes and no values; what the trace
    holds takes its place. Needs every size, hence a patch.
    """

    root = ("einsum", "scaled_dot_product_attention")
    after = ("specialize_shapes",)

    def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
        if op_name(node) == "scaled_dot_product_attention" and arguments(node)["dropout_p"]:
            return Miss(node, "dropout is random")
        operands = node.all_input_nodes
        if not all(isinstance(size, int) for operand in operands for size in facts[operand].shape):
            return Miss(node, "a size depends on values")
        traced = _traced(node, [torch.empty(facts.shape(each), dtype=facts[each].dtype) for each in operands])
        copies = dict(zip(traced.find_nodes(op="placeholder"), operands, strict=True))
        for step in traced.nodes:
            if step.op == "call_function":
                args, kwargs = fx.node.map_arg((step.args, step.kwargs), copies.__getitem__)
                copies[step] = graph.add(step.target, *args, before=node, **kwargs)
        result: Node = copies[traced.output_node().args[0]]
        return result


def _traced(node: Node, examples: list[Tensor]) -> fx.Graph:
    """The operator as a graph of simpler ones over its tensors."""
    operands = node.all_input_nodes

    def call(*tensors: Tensor) -> Any:
        given = dict(zip(operands, tensors, strict=True))
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), given.__getitem__)
        return node.target(*args, **kwargs)  # type: ignore[operator]

    with torch.no_grad():
        traced = make_fx(call, ATTENTION, tracing_mode="fake")  # type: ignore[arg-type]  # wider than it is
        module = traced(*examples)
    module.graph.eliminate_dead_code()
    return module.graph
