"""Drops activations that let everything through."""

from __future__ import annotations

import math

from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.passes.base import Miss, Pass
from dydca.program import Graph


class DropRelu(Pass):
    """``relu(x)``, ``leaky_relu(x)``, ``prelu(x)`` and ``abs(x)`` become ``x`` where ``x >= 0`` is proven.

    The interval of x holds for every patch of the graph and includes what float32 rounds; it is proven from the
    operators before and from the range that the inputs are declared to have. Not a number stays what it is, in either
    form.
    """

    root = ("relu", "leaky_relu", "prelu", "abs")

    def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
        x = node.args[0]
        assert isinstance(x, Node)
        bounds = facts[x].bounds
        if bounds.low >= 0:
            return x
        return Miss(node, f"%{x.name} in {bounds} may be negative") if math.isfinite(bounds.low) else None
