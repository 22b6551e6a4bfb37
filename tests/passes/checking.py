"""One call that runs passes on a small network and checks op counts, shapes and values."""

from __future__ import annotations

from collections.abc import Sequence

import sympy
import torch
from torch import Tensor, fx, nn

from dydca.capture import capture
from dydca.passes import Outcome, Pass, PassReport, run_passes
from dydca.program import Graph, Input, Program, Route
from dydca.shapes import Patch

SHAPE = (1, 3, 12, 10)


def check_pass(
    model: nn.Module | Program,
    *passes: Pass,
    shapes: Sequence[tuple[int, ...]] = (SHAPE,),
    ops: dict[str, int] | None = None,
    misses: Sequence[str] = (),
) -> PassReport:
    """Runs `passes` on every patch with proof by execution, and checks what the last one left on the first graph.

    Args:
        model: A network, captured on `shapes`, or a program as it is.
        passes: The last is the one under test; those before it prepare.
        shapes: Patches.
        ops: Wanted number of operators by name; those not named are not checked.
        misses: Wanted reasons of refusals.

    Returns:
        The report of the last pass on the first graph.
    """
    outcome = run_passes(as_program(model, shapes), passes, verify=True)
    report = next(report for report in outcome.reports if report.name == passes[-1].name)
    found = {name: report.ops_after.get(name, 0) for name in ops or {}}
    assert found == (ops or {})
    assert [miss["reason"] for miss in report.misses] == list(misses)
    return report


def as_program(model: nn.Module | Program, shapes: Sequence[tuple[int, ...]] = (SHAPE,)) -> Program:
    """The captured network."""
    return model if isinstance(model, Program) else capture(model, list(shapes))


def program_of(graph: Graph, *patches: Patch, dtype: torch.dtype = torch.float32) -> Program:
    """A program of one route around a graph written by hand, with one symbol per axis of its inputs."""
    inputs = tuple(
        Input(
            node.name,
            dtype,
            tuple(sympy.Symbol(f"{node.name}{axis}", integer=True, positive=True) for axis in range(len(shape))),
        )
        for node, shape in zip(graph.inputs, patches[0], strict=True)
    )
    names = tuple(node.name for node in graph.outputs)
    return Program(inputs, names, len(names) == 1, [Route("route0", ((),), graph, list(patches))])


class Builder:
    """Writes a graph by hand: ``b = Builder(); b.output(b.call(aten.relu.default, b.input()))``."""

    def __init__(self) -> None:
        self.fx = fx.Graph()
        self.constants: dict[str, Tensor] = {}

    def input(self, name: str = "x") -> fx.Node:
        return self.fx.placeholder(name)

    def const(self, tensor: Tensor) -> fx.Node:
        name = f"c{len(self.constants)}"
        self.constants[name] = tensor
        return self.fx.create_node("get_attr", name, name=name)

    def call(self, operator: object, *args: object, **kwargs: object) -> fx.Node:
        return self.fx.call_function(operator, args, kwargs)  # type: ignore[arg-type]

    def output(self, *nodes: fx.Node) -> Graph:
        self.fx.output(tuple(nodes))
        return Graph(self.fx, self.constants)


def outputs_of(outcome: Outcome, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Runs the variant whose patch the inputs have."""
    shapes = tuple(tuple(tensor.shape) for tensor in inputs)
    return next(variant for variant in outcome.variants if variant.patch == shapes).graph.run(*inputs)
