"""Operators for which there is one row kernel, and what it reads."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from math import ceil, prod
from typing import Any, NamedTuple

import torch
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.lower.kernels.channel_norm import ChannelNorm
from dydca.lower.kernels.layer import Layer
from dydca.lower.kernels.move import Move
from dydca.lower.kernels.plane_sum import PlaneSum
from dydca.lower.kernels.resize import Resize, Taps
from dydca.lower.kernels.rows import RowKernel
from dydca.lower.places import FEW_CHANNELS
from dydca.lower.steps import Line, as_picture
from dydca.program import Graph, arguments, op_name

aten = torch.ops.aten

MOST_TAPS = 16
"""Of a resize; pictures that are made smaller by more than this are left to TVM."""


class Recipe(NamedTuple):
    """How some nodes become one kernel.

    Attributes:
        nodes: In graph order; the last one is what the kernel computes.
        source: The picture it is computed from.
        make: Gives the kernel of a layer, for vectors of so many lanes.
        lines: Steps that come first in its epilogue.
        planes: Whether it reads planes and stores into any layout that is wanted, rather than from blocks to blocks.
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


def _resize(_graph: Graph, facts: Facts, node: Node) -> Recipe | None:
    source = node.all_input_nodes[0]
    shape, named = facts.shape(source), arguments(node)
    options = tuple((key, tuple(value) if isinstance(value, list) else value) for key, value in named.items())[1:]
    if facts[source].dtype != torch.float32 or not prod(facts.shape(node)):
        return None
    rows, columns = (_taps(node.target, options, axis, shape[2 + axis]) for axis in (0, 1))
    if max(rows.span, columns.span) > MOST_TAPS:
        return None
    make = partial(Resize, rows=rows, columns=columns)
    return Recipe((node,), source, make, planes=shape[1] <= FEW_CHANNELS)


@lru_cache(256)
def _taps(operator: Any, options: tuple[tuple[str, Any], ...], axis: int, size: int) -> Taps:
    """What PyTorch itself makes of unit vectors along one axis, the other one of the fewest pixels it takes."""
    named: dict[str, Any] = dict(options)
    factors = named.get("scale_factors")
    other = 1
    if named.get("output_size"):
        named["output_size"] = [wanted if own == axis else 1 for own, wanted in enumerate(named["output_size"])]
    elif factors:
        other = ceil(1 / factors[1 - axis])
    units = torch.eye(size).reshape((1, size, size, 1) if axis == 0 else (1, size, 1, size))
    units = units.expand(-1, -1, *((-1, other) if axis == 0 else (other, -1)))
    resized = operator(units.contiguous(), **named)[0]
    return Taps.of((resized[:, :, 0] if axis == 0 else resized[:, 0]).T.numpy())


def _plane_sum(_graph: Graph, facts: Facts, node: Node) -> Recipe | None:
    """Sum, mean, variance or deviation over whole planes, the axes kept."""
    source = node.all_input_nodes[0]
    nodes = _over_planes(node, facts.shape(source))
    channels, pixels = facts.shape(source)[1:2], prod(facts.shape(source)[2:])
    if nodes is None or facts[source].dtype != torch.float32 or channels <= (FEW_CHANNELS,) or not pixels:
        return None
    name, named = op_name(node), arguments(node)
    centred = name in ("var", "std")
    correction = named.get("correction", named.get("unbiased"))
    divisor = max(pixels - (1 if correction is None else correction), 0) if centred else pixels
    lines = (Line("square_root"),) if name == "std" else ()
    make = partial(PlaneSum, divisor=float(1 if name == "sum" else divisor), centred=centred)
    return Recipe(nodes, source, make, lines)


def _over_planes(node: Node, shape: tuple[int, ...]) -> tuple[Node, ...] | None:
    """The node, and the sum along H behind it if it is one along W; None if they do not cover whole planes."""
    if len(shape) != 4:
        return None
    if node.target == aten.adaptive_avg_pool2d.default:
        return (node,) if arguments(node)["output_size"] == [1, 1] else None
    axes = _kept_axes(node)
    if axes == {2, 3}:
        return (node,)
    second = _only_reader(node, aten.sum.dim_IntList) if axes == {3} and op_name(node) == "sum" else None
    return None if second is None or _kept_axes(second) != {2} else (node, second)


def _kept_axes(node: Node) -> set[int]:
    """Of the four axes those that are reduced to size 1; none if they are dropped, or all without being named."""
    named = arguments(node)
    plain = named["keepdim"] and named.get("dtype") is None
    return {axis % 4 for axis in named["dim"] or ()} if plain else set()


def _only_reader(node: Node, target: Any) -> Node | None:
    """What alone reads the node, if it is that operator."""
    readers = list(node.users)
    return readers[0] if len(readers) == 1 and readers[0].target == target else None


_FINDERS: dict[Any, Callable[[Graph, Facts, Node], Recipe | None]] = {
    aten.permute.default: _channel_norm,
    aten.pixel_unshuffle.default: _unshuffle,
    **dict.fromkeys((aten.upsample_nearest2d.vec, aten._upsample_nearest_exact2d.vec), _resize),
    **dict.fromkeys((aten.upsample_bilinear2d.vec, aten._upsample_bilinear2d_aa.vec), _resize),
    **dict.fromkeys((aten.upsample_bicubic2d.vec, aten._upsample_bicubic2d_aa.vec), _resize),
    **dict.fromkeys((aten.adaptive_avg_pool2d.default, aten.mean.dim, aten.sum.dim_IntList), _plane_sum),
    **dict.fromkeys((aten.var.correction, aten.var.dim, aten.std.correction, aten.std.dim), _plane_sum),
}
