"""Operators for which there is one row kernel, and what it reads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.lower.kernels.channel_norm import ChannelNorm
from dydca.lower.kernels.layer import Layer
from dydca.lower.kernels.move import Move
from dydca.lower.kernels.rows import RowKernel
from dydca.lower.steps import Line, as_picture
from dydca.program import Graph, arguments

aten = torch.ops.aten


class Recipe(NamedTuple):
    """How some nodes become one kernel.

    Attributes:
        nodes: In graph order; the last one is what the kernel computes.
        source: The picture it is computed from.
        make: Gives the kernel of a layer, for vectors of so many lanes.
        lines: Steps that come first in its epilogue.
        planes: Whether it reads planes and stores into any layout, rather than from blocks to blocks.
    """

    nodes: tuple[Node, ...]
    source: Node
    make: Callable[[Layer, int], RowKernel]
    lines: tuple[Line, ...] = ()
    planes: bool = False


def find_recipe(graph: Graph, facts: Facts, node: Node) -> Recipe | None:
    """The recipe that begins with this node, None if there is none."""
    finder = _FINDERS.get(node.target)
    return None if finder is None or facts[node].dtype != torch.float32 else finder(graph, facts, node)


def _channel_norm(graph: Graph, facts: Facts, permute: Node) -> Recipe | None:
    """layer_norm over the channels of a picture, between two permutes."""
    norm = _only_reader(permute, aten.layer_norm.default)
    back = None if norm is None else _only_reader(norm, aten.permute.default)
    if norm is None or back is None or [p.args[1] for p in (permute, back)] != [[0, 2, 3, 1], [0, 3, 1, 2]]:
        return None
    named, (source,) = arguments(norm), permute.all_input_nodes
    parameters = {op: named[name] for op, name in (("multiply", "weight"), ("add", "bias")) if named[name] is not None}
    constants = {op: tensor for op, node in parameters.items() if (tensor := graph.constant(node)) is not None}
    if named["normalized_shape"] != [facts.shape(source)[1]] or len(constants) < len(parameters):
        return None
    lines = tuple(Line(op, (), as_picture(tensor.reshape(-1, 1, 1))) for op, tensor in constants.items())
    return Recipe((permute, norm, back), source, partial(ChannelNorm, eps=float(named["eps"])), lines)


def _unshuffle(_graph: Graph, _facts: Facts, node: Node) -> Recipe:
    factor = int(arguments(node)["downscale_factor"])
    return Recipe((node,), node.all_input_nodes[0], partial(Move, unshuffle=factor), planes=True)


def _only_reader(node: Node, target: Any) -> Node | None:
    """What alone reads the node, if it is that operator."""
    readers = list(node.users)
    return readers[0] if len(readers) == 1 and readers[0].target == target else None


_FINDERS: dict[Any, Callable[[Graph, Facts, Node], Recipe | None]] = {
    aten.permute.default: _channel_norm,
    aten.pixel_unshuffle.default: _unshuffle,
}
