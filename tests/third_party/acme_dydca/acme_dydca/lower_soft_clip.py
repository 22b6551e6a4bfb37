"""Writes a soft clip in operators that dydca has kernels for."""

import torch
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.passes import Miss, Pass
from dydca.program import Graph

aten = torch.ops.aten


class LowerSoftClip(Pass):
    """``soft_clip(x, l)`` becomes ``tanh(x * (1 / l)) * l``; the first product then merges into a convolution."""

    root = ("soft_clip",)
    before = ("merge_linear",)

    def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
        """Refuses a limit that is not above 0."""
        x, limit = node.args
        if not isinstance(limit, float) or limit <= 0:
            return Miss(node, f"the limit is {limit}, not above 0")
        scaled = graph.add(aten.mul.Tensor, x, 1 / limit, before=node)
        return graph.add(aten.mul.Tensor, graph.add(aten.tanh.default, scaled, before=node), limit, before=node)
