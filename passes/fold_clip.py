"""Writes the clipping of a convolution's result as two ReLUs, which any accelerator has."""

from __future__ import annotations

import torch
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.passes.base import Miss, Pass
from dydca.passes.linear.context import Context
from dydca.passes.linear.rules import linear_operands
from dydca.program import Graph, arguments, op_name

aten = torch.ops.aten


class FoldClip(Pass):
    """``clip(y, l, h) = relu((h - l) - relu(h - y)) + l``, without condition, where y is linear in something.

    Each ReLU then follows a linear operator, so that both become convolutions with ReLU. Source: Chao et al., ETDS,
    CVPR 2023, section 3; the second is there a 1x1 convolution of minus the identity.

    Args:
        align: The channels are brought to a multiple of this by rows of zeros, dropped behind the second ReLU; the
            authors take 2.
    """

    root = ("clamp", "hardtanh")

    def __init__(self, align: int = 1) -> None:
        self.align = align

    def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
        named = arguments(node)
        picture = named["self"]
        low, high = (named["min"], named["max"]) if op_name(node) == "clamp" else (named["min_val"], named["max_val"])
        if linear_operands(Context(graph, facts), picture) is None:
            return None
        if any(not isinstance(bound, int | float) for bound in (low, high)):
            return Miss(node, "it has only one bound, or one that is computed")
        channels = facts[picture].shape[1]
        if not isinstance(channels, int) or len(facts[picture].shape) != 4:
            return Miss(node, "it has no known number of channels")
        spare = -channels % self.align
        if spare:
            picture = graph.add(aten.constant_pad_nd.default, picture, [0, 0, 0, 0, 0, spare], 0.0, before=node)
        for bound in (high, high - low):
            turned = graph.add(aten.rsub.Scalar, picture, bound, before=node)
            picture = graph.add(aten.relu.default, turned, before=node)
        if spare:
            picture = graph.add(aten.slice.Tensor, picture, 1, 0, channels, before=node)
        return graph.add(aten.add.Tensor, picture, low, before=node) if low else picture
