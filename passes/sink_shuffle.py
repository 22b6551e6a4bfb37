"""Moves a pixel shuffle behind what works on each element alone."""

from __future__ import annotations

import torch
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.passes.base import Miss, Pass
from dydca.program import Graph, arguments, op_name

aten = torch.ops.aten

_OF_ONE = ("relu", "relu6", "clamp", "hardtanh", "leaky_relu", "sigmoid", "tanh", "neg")
_OF_TWO = ("add", "sub", "mul", "div")


class SinkShuffle(Pass):
    """``f(shuffle(a), shuffle(b))`` becomes ``shuffle(f(a, b))``, for elementwise f; b may be a number.

    A shuffle only moves elements, so it commutes with whatever treats each alone. One shuffle is left where there were
    two, and f comes to lie beside the convolutions that it can merge with.
    """

    root = (*_OF_ONE, *_OF_TWO)

    def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
        operands = node.args[:2] if op_name(node) in _OF_TWO else node.args[:1]
        shuffles = [operand for operand in operands if isinstance(operand, Node)]
        if not shuffles or any(op_name(shuffle) != "pixel_shuffle" for shuffle in shuffles):
            return None
        if len({arguments(shuffle)["upscale_factor"] for shuffle in shuffles}) > 1:
            return Miss(node, "its operands are shuffled by different factors")
        if len({facts[shuffle].shape for shuffle in shuffles}) > 1:
            return Miss(node, "its operands differ in shape, so one is stretched after its shuffle")
        inner = [operand.args[0] if isinstance(operand, Node) else operand for operand in operands]
        made = graph.add(node.target, *inner, *node.args[len(operands) :], before=node, **node.kwargs)  # type: ignore[arg-type]
        return graph.add(aten.pixel_shuffle.default, made, arguments(shuffles[0])["upscale_factor"], before=node)
