"""What passes run on: the graph of a route for all its patches at once, or for one of them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass

import sympy
from torch._ops import OpOverload
from torch.fx import Node

from dydca.analysis import analyze_patch, analyze_route
from dydca.analysis.facts import Fact, Facts, Size
from dydca.program import Graph, Program, Route, op_name, source_line
from dydca.shapes import Patch, patch_label


@dataclass(frozen=True)
class Variant:
    """The finished graph of one declared patch.

    Attributes:
        route: The route the patch takes; decides the dispatch.
        patch: The input shapes.
        graph: The variant's own graph; its tensors are shared with the other variants.
        facts: Facts of `graph` for `patch`; every shape is concrete.
    """

    route: Route
    patch: Patch
    graph: Graph
    facts: Facts


class Subject:
    """A graph under treatment with its current facts.

    Args:
        program: Owner of the input symbols.
        route: The route treated.
        patch: None for the route's own graph, which serves all patches; else a copy is made for this patch.
    """

    def __init__(self, program: Program, route: Route, patch: Patch | None = None) -> None:
        self.program, self.route, self.patch = program, route, patch
        self.graph = route.graph if patch is None else route.graph.copy()
        self.facts = self.analyze()

    @property
    def label(self) -> str:
        """``route0`` or ``route0.108x96``."""
        return self.route.name if self.patch is None else f"{self.route.name}.{patch_label(self.patch)}"

    @property
    def patches(self) -> list[Patch]:
        """The declared patches this graph serves."""
        return self.route.patches if self.patch is None else [self.patch]

    def analyze(self) -> Facts:
        """The facts of the graph as it is now."""
        route = dataclasses.replace(self.route, graph=self.graph)
        if self.patch is None:
            return analyze_route(self.program, route)
        return analyze_patch(self.program, route, self.patch)

    def operators(self) -> dict[str, int]:
        """How many nodes of each operator the graph has."""
        return dict(sorted(Counter(op_name(node) for node in self.graph if node.op == "call_function").items()))

    def output_shapes(self) -> dict[Patch, list[tuple[int | None, ...]]]:
        """The shapes of the outputs on every patch, where sizes compare exactly; None for what only data decides."""
        shapes = [self.facts[node].shape for node in self.graph.outputs]
        return {patch: [_concrete(shape, self.program.sizes(patch)) for shape in shapes] for patch in self.patches}

    def text(self) -> str:
        """The graph, one node a line, with what is known of it and the lines of the user's source."""
        return "\n".join(map(self._line, self.graph))

    def _line(self, node: Node) -> str:
        if node.op == "output":
            return f"return {_text(node.args[0])}"
        made = {"placeholder": "input", "get_attr": "constant"}.get(node.op) or f"{_operator(node)}({_operands(node)})"
        line = source_line(node)
        return f"%{node.name} : {_known(self.facts[node])} = {made}" + (f"  # {line}" if line else "")

    def variant(self) -> Variant:
        """The result, if this graph has a patch of its own."""
        assert self.patch is not None
        return Variant(self.route, self.patch, self.graph, self.facts)


def _known(fact: Fact) -> str:
    """``float32 [1, 3, H, W]``, or ``int = 2*H``."""
    if fact.items:
        return f"({', '.join(map(_known, fact.items))})"
    if fact.dtype is None:
        return f"number = {fact.value}"
    return f"{str(fact.dtype).removeprefix('torch.')} [{', '.join(map(str, fact.shape))}]"


def _operator(node: Node) -> str:
    return str(node.target) if isinstance(node.target, OpOverload) else op_name(node)


def _operands(node: Node) -> str:
    named = (f"{key}={_text(value)}" for key, value in node.kwargs.items())
    return ", ".join([*map(_text, node.args), *named])


def _text(argument: object) -> str:
    if isinstance(argument, list | tuple):
        return f"[{', '.join(map(_text, argument))}]"
    return f"%{argument.name}" if isinstance(argument, Node) else str(argument)


def _concrete(shape: tuple[Size, ...], sizes: dict[sympy.Symbol, int]) -> tuple[int | None, ...]:
    numbers = {dim: sympy.Integer(size) for dim, size in sizes.items()}
    bound = [sympy.sympify(size).xreplace(numbers) for size in shape]
    return tuple(int(size) if size.is_number else None for size in bound)
