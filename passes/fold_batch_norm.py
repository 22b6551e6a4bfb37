"""Writes a batch norm that met no convolution as one product and one sum."""

from __future__ import annotations

import torch
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.passes.base import Miss, Pass
from dydca.passes.linear.arithmetic import norm_rows
from dydca.program import Graph, op_name

aten = torch.ops.aten

_NORMS = ("batch_norm", "_native_batch_norm_legit_no_training")


class FoldBatchNorm(Pass):
    """``batch_norm(x)`` becomes ``x * s + (b - mean * s)`` with ``s = w / sqrt(var + eps)``, one value per channel.

    In eval mode only, where the statistics are constants. `merge_linear` comes before and takes up those that follow a
    convolution; what is left stands between other operators, and two elementwise ones can ride in their kernels.
    """

    root = ("batch_norm", "getitem")
    after = ("merge_linear",)

    def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
        norm = node.args[0] if op_name(node) == "getitem" and node.args[1] == 0 else node
        if not isinstance(norm, Node) or op_name(norm) not in _NORMS:
            return None
        rows = norm_rows(graph, norm)
        if rows is None:
            return Miss(node, "its statistics are taken from the batch, or are not constant")
        shape = (-1, *[1] * (len(facts[node].shape) - 2))
        scale, shift = (
            graph.const(row.reshape(shape).to(facts[node].dtype), f"{node.name}_{word}", before=node)
            for row, word in zip(rows, ("scale", "shift"), strict=True)
        )
        scaled = graph.add(aten.mul.Tensor, norm.args[0], scale, before=node)
        return graph.add(aten.add.Tensor, scaled, shift, before=node)
