"""Lets nodes that compute the same be one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.passes.base import Miss, Pass
from dydca.program import Graph


class MergeEqual(Pass):
    """``f(x, 2)`` becomes the earlier ``f(x, 2)``: the same operator on the same operands, computed once.

    Constants are the same if their type, shape and bytes are. Sound because no operator has a memory; those that draw
    random numbers are left alone. Two calls whose operands merge are merged in the same walk, in node order.
    """

    def looks_at(self, node: Node) -> bool:
        return node.op in ("call_function", "get_attr")

    def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
        if node.op == "get_attr":
            constants = (other for other in graph if other.op == "get_attr" and other < node)
            return next((other for other in constants if _same(graph.constant(other), graph.constant(node))), None)
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            return None
        operands = node.all_input_nodes
        nearby = min((operand.users for operand in operands), key=len, default={})
        return next((other for other in nearby if other < node and _key(other) == _key(node)), None)


def _key(node: Node) -> tuple[object, ...]:
    return node.op, node.target, str(node.args), str(node.kwargs)


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    assert one is not None
    assert other is not None
    if one is other:
        return True
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    raw = [tensor.contiguous().flatten().view(torch.uint8) for tensor in (one, other)]
    return torch.equal(*raw)
