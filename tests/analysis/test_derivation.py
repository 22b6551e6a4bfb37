"""How facts came about, and what widened those that stayed unknown."""

from __future__ import annotations

from itertools import pairwise

import sympy
import torch
from torch.nn import functional

import dydca.models
from dydca.analysis import Fact, analyze, analyze_patch, analyze_route
from dydca.analysis.derivation import fact_text, why, widened_by
from dydca.analysis.intervals import spanning
from dydca.capture import capture
from dydca.program import Graph, op_name
from dydca.testing import Builder
from tests.analysis.agreement import Calls
from tests.analysis.tracing import facts_of, traced

aten = torch.ops.aten


def body(x: torch.Tensor) -> torch.Tensor:
    y = functional.relu(functional.conv2d(x, torch.ones(8, 3, 3, 3), padding=1))
    z = functional.pixel_unshuffle(y.neg().neg(), 2)
    return functional.pixel_shuffle(functional.conv2d(z, torch.ones(16, 32, 1, 1)), 4)


def ops(steps: tuple[dydca.analysis.derivation.Step, ...]) -> list[str]:
    return [op_name(step.node) for step in steps]


def test_a_shape_is_derived_by_the_operators_that_changed_it() -> None:
    graph = traced(body, torch.zeros(1, 3, 8, 6))
    facts = facts_of(graph, torch.zeros(1, 3, 8, 6))
    steps = why(facts, graph.outputs[0])
    assert ops(steps) == ["placeholder", "conv2d", "pixel_unshuffle", "conv2d", "pixel_shuffle"]
    assert [step.fact.shape[1] for step in steps] == [3, 8, 32, 16, 1]
    for before, step in pairwise(steps):
        assert step.sources == (before.node,)


def test_steps_name_the_line_of_the_source_and_symbols() -> None:
    program = capture(Calls(body), [(1, 3, 8, 6)])
    (route,) = program.routes
    facts = analyze_route(program, route)
    steps = why(facts, route.graph.outputs[0])
    assert [step.line is not None for step in steps] == [False, True, True, True, True]
    assert str(steps[1]).endswith(": [1, 8, H, W] float32, from %x")


def test_an_interval_is_derived_without_what_only_moves_elements() -> None:
    def clipped(x: torch.Tensor) -> torch.Tensor:
        return (functional.pixel_shuffle(x.transpose(2, 3), 2).clamp(0, 0.5).flip(2) * 2).abs()

    graph = traced(clipped, torch.zeros(1, 4, 4, 4))
    facts = facts_of(graph, torch.zeros(1, 4, 4, 4), interval=spanning(-1, 1))
    steps = why(facts, graph.outputs[0], about="interval")
    assert ops(steps) == ["placeholder", "clamp", "mul", "abs"]  # the last is what was asked for
    assert [str(step.fact.bounds) for step in steps] == ["[-1, 1]", "[0, 0.5]", "[0, 1]", "[0, 1]"]


def test_nothing_known_of_elements_ends_a_derivation() -> None:
    graph = traced(lambda x: x.sigmoid() * 3, torch.zeros(2))
    facts = facts_of(graph, torch.zeros(2))
    assert ops(why(facts, graph.outputs[0], about="interval")) == ["placeholder", "sigmoid", "mul"]
    assert why(facts, graph.inputs[0], about="interval")[0].sources == ()


def test_a_size_of_the_data_is_blamed_on_where_it_came_from() -> None:
    b = Builder()
    x = b.input()
    found = b.call(aten.nonzero.default, b.call(aten.gt.Scalar, x, 0.0))
    graph: Graph = b.output(b.call(aten.mul.Tensor, found, 2))
    height, width = sympy.symbols("H W", integer=True, positive=True)
    facts = analyze(graph, [Fact((height, width), torch.float32)], {height: 4, width: 5})
    (widening,) = widened_by(facts, graph.outputs[0])
    assert widening.node is found
    assert "only execution tells u_nonzero_default, which is in 0..H*W" in str(widening)


def test_missing_bounds_are_blamed_on_the_first_that_lost_them() -> None:
    graph = traced(lambda x: (1 / x + x.log()).relu(), torch.ones(2))
    facts = facts_of(graph, torch.ones(2), interval=spanning(0, 1))
    assert {op_name(each.node) for each in widened_by(facts, graph.outputs[0])} == {"reciprocal", "log"}
    undeclared = facts_of(graph, torch.ones(2))
    (widening,) = widened_by(undeclared, graph.outputs[0])
    assert widening.node is graph.inputs[0]
    assert "no range of its values is declared" in widening.reason


def test_nothing_is_blamed_where_all_is_known() -> None:
    graph = traced(lambda x: x.sigmoid(), torch.ones(2))
    facts = facts_of(graph, torch.ones(2))
    assert widened_by(facts, graph.outputs[0]) == ()


def test_every_node_of_a_network_has_a_derivation() -> None:
    entry = next(entry for entry in dydca.models.every() if entry.facts.name == "ecbsr_m4c16")
    program = capture(entry.build(), [entry.facts.shapes(12, 9)])
    for route, patch in program.patches:
        facts = analyze_patch(program, route, patch)
        for node in facts:
            steps = why(facts, node)
            assert steps[-1].node is node
            seen: set[torch.fx.Node] = set()
            for step in steps:
                assert seen.issuperset(step.sources)
                seen.add(step.node)
                assert fact_text(step.fact)
