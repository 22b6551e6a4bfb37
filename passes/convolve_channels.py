"""Writes repeats of the few channels of a picture as a pointwise convolution."""

from __future__ import annotations

import torch
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.passes.base import Miss, Pass
from dydca.passes.linear.affine import NO_PADS, Affine, NotAffine
from dydca.passes.linear.context import Context
from dydca.passes.linear.rules import form, linear_operands
from dydca.program import Graph

MOST_CHANNELS = 4
"""With more, a vector of channels is worth keeping together: picking them one by one costs more than moving them."""


class ConvolveChannels(Pass):
    """``y[o] = x[rows[o]]`` becomes ``conv2d(x, E)`` with a window of one pixel, ``E[o, rows[o]] = 1``.

    So do anchors, which repeat the input for every sub-pixel. A convolution writes channels next to each other at the
    speed of its stores, and its store, shuffle or sum is one with it; moving planes is slower by far.

    Refused for pictures of more than `MOST_CHANNELS` channels.
    """

    root = ("cat", "index_select", "repeat", "repeat_interleave")
    after = ("fold_constants",)

    def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
        context = Context(graph, facts)
        operands = linear_operands(context, node)
        if operands is None or len(operands) != 1:
            return None
        (base,), channels = operands, facts[operands[0]].shape[1]
        if len(facts[base].shape) != 4 or len(facts[node].shape) != 4 or not isinstance(channels, int):
            return None
        if channels > MOST_CHANNELS:
            return Miss(node, f"%{base.name} has {channels} channels, more than {MOST_CHANNELS}")
        try:
            window = form(context, node, {base: Affine.of(base, channels)}).windows[base]
        except NotAffine as refusal:
            return Miss(node, str(refusal))
        if window.pads != NO_PADS or window.taps.shape[2:] != (1, 1):
            return None
        dtype = facts[node].dtype
        assert dtype is not None
        weight = graph.const(window.taps.to(dtype).contiguous(), f"{node.name}_rows", before=node)
        return graph.add(torch.ops.aten.conv2d.default, base, weight, before=node)
