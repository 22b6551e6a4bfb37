"""Graphs written by hand, and programs around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy
import torch
from torch import Tensor, fx

from dydca.inputs import Argument, Input
from dydca.program import Graph, Program, Route
from dydca.runtime.structure import Structure
from dydca.shapes import Patch


class Builder:
    """Writes a graph node by node: ``b = Builder(); graph = b.output(b.call(aten.relu.default, b.input()))``."""

    def __init__(self) -> None:
        self.fx = fx.Graph()
        self.constants: dict[str, Tensor] = {}

    def input(self, name: str = "x") -> fx.Node:
        """The next input."""
        return self.fx.placeholder(name)

    def const(self, tensor: Tensor) -> fx.Node:
        """A constant, named ``c0``, ``c1``, ..."""
        name = f"c{len(self.constants)}"
        self.constants[name] = tensor
        return self.fx.create_node("get_attr", name, name=name)

    def call(self, operator: Callable[..., Any], *args: Any, **kwargs: Any) -> fx.Node:
        """A call of an ATen overload, e.g. ``torch.ops.aten.relu.default``."""
        return self.fx.call_function(operator, args, kwargs)

    def output(self, *nodes: fx.Node) -> Graph:
        """The finished graph, which returns `nodes`."""
        self.fx.output(tuple(nodes))
        return Graph(self.fx, self.constants)


def program_of(graph: Graph, *patches: Patch, dtype: torch.dtype = torch.float32) -> Program:
    """A program of one route around a graph, with one symbol per axis of its inputs.

    Args:
        graph: Its inputs all have the type `dtype`.
        patches: The declared patches, at least one: a shape for every input.
        dtype: Of the inputs.
    """
    inputs = tuple(
        Input(
            node.name,
            dtype,
            tuple(sympy.Symbol(f"{node.name}{axis}", integer=True, positive=True) for axis in range(len(shape))),
        )
        for node, shape in zip(graph.inputs, patches[0], strict=True)
    )
    names = tuple(node.name for node in graph.outputs)
    structure: Structure = 0 if len(names) == 1 else {"tuple": list(range(len(names)))}
    arguments = tuple(Argument(own.name, place) for place, own in enumerate(inputs))
    return Program(inputs, arguments, names, structure, [Route("route0", ((),), graph, patches[0], list(patches))])
