"""Indices that come from data, brought into range: no input can make a kernel read or write beyond a tensor.

PyTorch raises an error at an index out of range; a native kernel has none to raise and takes the index modulo the
size, which leaves those in range as they are and counts negative ones from the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import prod
from typing import Any

import torch
from torch import fx
from torch.fx import Node

from dydca.program import arguments

aten = torch.ops.aten

Shape = tuple[int, ...]


def with_safe_indices(graph: fx.Graph, node: Node, shape: Shape, types: Mapping[Node, torch.dtype]) -> None:
    """Rewrites the index operands of an operator.

    Args:
        graph: Where it stands.
        node: The operator, indexing or not.
        shape: Of its first operand.
        types: Of all its operands.
    """
    finder = _FINDERS.get(node.target)
    for index, size in () if finder is None else finder(arguments(node), shape):
        if types[index] != torch.bool and size:
            with graph.inserting_before(node):
                node.replace_input_with(index, graph.call_function(aten.remainder.Scalar, (index, size)))


Sized = Iterator[tuple[Node, int]]
"""Index operands, each with the size of what it counts."""


def _along(named: Mapping[str, Any], shape: Shape) -> Sized:
    yield named["index"], shape[named["dim"]] if shape else 1


def _by_axis(named: Mapping[str, Any], shape: Shape) -> Sized:
    sized: dict[Node, int] = {}
    for index, size in zip(named["indices"], shape, strict=False):
        if index is not None:  # the same along several axes: the shortest holds all that is in range
            sized[index] = min(size, sized.get(index, size))
    yield from sized.items()


def _rows(named: Mapping[str, Any], shape: Shape) -> Sized:
    yield named["indices"], shape[0]


def _elements(named: Mapping[str, Any], shape: Shape) -> Sized:
    yield named["index"], prod(shape)


_FINDERS: dict[Any, Callable[[Mapping[str, Any], Shape], Sized]] = {
    **dict.fromkeys((aten.gather.default, aten.index_select.default), _along),
    **dict.fromkeys((aten.scatter.src, aten.scatter.value, aten.scatter_add.default), _along),
    **dict.fromkeys((aten.index.Tensor, aten.index_put.default), _by_axis),
    aten.embedding.default: _rows,
    aten.take.default: _elements,
}
