"""Turns the graph of a route into one graph per patch, in which every size is a number."""

from __future__ import annotations

from torch import fx
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.passes.base import Miss, Pass
from dydca.program import Graph


class SpecializeShapes(Pass):
    """``view(x, [1, 3, %h])`` becomes ``view(x, [1, 3, 216])`` where the facts of the patch say that ``%h`` is 216.

    With the sizes goes all the arithmetic on them (``sym_size``, ``2 * h``, ``h // 8``). Tensors are left alone, so the
    constants of all patches stay the same objects and are stored once.
    """

    per_patch = True

    def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
        sizes = {operand: facts[operand].value for operand in node.all_input_nodes if _is_number(operand, facts)}
        if not sizes:
            return None
        node.args = fx.map_arg(node.args, lambda operand: sizes.get(operand, operand))
        node.kwargs = fx.map_arg(node.kwargs, lambda operand: sizes.get(operand, operand))
        return node


def _is_number(node: Node, facts: Facts) -> bool:
    fact = facts[node]
    return fact.dtype is None and isinstance(fact.value, int | float)
