"""Drops clippings to a range that the values never leave."""

from __future__ import annotations

import math

from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.passes.base import Miss, Pass
from dydca.program import Graph, arguments, op_name


class DropClip(Pass):
    """``clip(x, l, h)`` becomes ``x`` where ``l <= x <= h`` is proven; a bound that is absent needs no proof.

    The interval of x holds for every patch of the graph and includes what float32 rounds. Not a number stays what it
    is, in either form.
    """

    root = ("clamp", "hardtanh", "relu6", "clamp_min", "clamp_max")

    def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
        x = node.args[0]
        assert isinstance(x, Node)
        low, high = _ends(node)
        if not isinstance(low, int | float) or not isinstance(high, int | float) or facts[x].dtype != facts[node].dtype:
            return None
        bounds = facts[x].bounds
        if bounds.within(low, high):
            return x
        known = math.isfinite(bounds.low) or math.isfinite(bounds.high)
        return Miss(node, f"%{x.name} in {bounds} may leave [{low:.4g}, {high:.4g}]") if known else None


def _ends(node: Node) -> tuple[object, object]:
    if op_name(node) == "relu6":
        return 0, 6
    named = arguments(node)
    low, high = named.get("min", named.get("min_val")), named.get("max", named.get("max_val"))
    return -math.inf if low is None else low, math.inf if high is None else high
