"""Merges the writes that put one value per channel around a picture into one pad."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.passes.base import Miss, Pass
from dydca.passes.linear.frames import WRITES, Painting, painted
from dydca.program import Graph, op_name

aten = torch.ops.aten


class MergeFrameWrites(Pass):
    """A padded picture whose whole frame is then overwritten by v becomes ``pad(y - v, 0) + v``.

    ``y = pad(conv(x)); y[:, :, 0:1] = v; y[:, :, -1:] = v; ...`` is how networks write "pad by the bias" (ECB,
    RT4KSR, DBB); each line arrives as a slice, a copy and one or two scatters. Where v is the same number for every
    channel the result is ``pad(y, v)``. The subtraction and addition round once each, to float32, unless
    `merge_linear` takes them up, for which they are what says that y continues beyond its border by v.

    Refused: a frame of several values, and writes that reach into the picture.
    """

    root = WRITES
    after = ("drop_identity", "fold_constants")

    def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
        painting = painted(graph, facts, node)
        if painting is None or not painting.whole or any(_writes_over(user, node) for user in node.users):
            return None  # no frame, or a part of one, or one that is still being written
        values = painting.values
        if values is None:
            return Miss(node, f"the writes reach into the picture %{painting.picture.name}")
        if len(values) > 1:
            return Miss(node, f"the frame of %{painting.picture.name} holds {len(values)} different values")
        return _framed(graph, painting, values[0], node)


def _framed(graph: Graph, painting: Painting, value: Tensor, node: Node) -> Node:
    top, bottom, left, right = painting.pads
    pads, picture = [left, right, top, bottom], painting.picture
    if value.numel() == 1:
        return graph.add(aten.constant_pad_nd.default, picture, pads, float(value[0]), before=node)
    frame = graph.const(value[:, None, None].contiguous(), f"{node.name}_frame", before=node)
    moved = graph.add(aten.sub.Tensor, picture, frame, before=node)
    padded = graph.add(aten.constant_pad_nd.default, moved, pads, 0.0, before=node)
    return graph.add(aten.add.Tensor, padded, frame, before=node)


def _writes_over(user: Node, node: Node) -> bool:
    return op_name(user) in WRITES and user.args[0] is node
