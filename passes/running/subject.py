"""What passes run on: the graph of a route for all its patches at once, or for one of them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass

import sympy

from dydca.analysis import analyze_patch, analyze_route
from dydca.analysis.facts import Facts, Size
from dydca.program import Graph, Program, Route, op_name
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

    def variant(self) -> Variant:
        """The result, if this graph has a patch of its own."""
        assert self.patch is not None
        return Variant(self.route, self.patch, self.graph, self.facts)


def _concrete(shape: tuple[Size, ...], sizes: dict[sympy.Symbol, int]) -> tuple[int | None, ...]:
    numbers = {dim: sympy.Integer(size) for dim, size in sizes.items()}
    bound = [sympy.sympify(size).xreplace(numbers) for size in shape]
    return tuple(int(size) if size.is_number else None for size in bound)
