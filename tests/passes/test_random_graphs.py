"""Whatever the graph, the passes keep its values."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, fx

from dydca.passes import default_passes, run_passes
from dydca.program import Program
from dydca.testing import Builder, program_of
from tests.passes.checking import SHAPE

aten = torch.ops.aten

_UNARY = ("relu", "tanh", "clone", "neg", "contiguous")
_SCALARS = (0, 0.0, 1, 1.0, 0.5, -2.0)


def draw_value(b: Builder, nodes: list[fx.Node], draw: st.DrawFn) -> fx.Node:
    """One more node of shape [1, 3, 12, 10], [3, 1, 1] or [1] made of those there are."""
    one = draw(st.sampled_from(nodes))
    other = draw(st.sampled_from(nodes))
    kind = draw(st.sampled_from(("unary", "scalar", "binary", "slice", "cat", "dropout", "copy")))
    if kind == "unary":
        return b.call(getattr(aten, draw(st.sampled_from(_UNARY))).default, one)
    if kind == "scalar":
        operator = draw(st.sampled_from((aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor)))
        return b.call(operator, one, draw(st.sampled_from(_SCALARS)))
    if kind == "binary":
        return b.call(draw(st.sampled_from((aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor))), one, other)
    if kind == "slice":
        return b.call(aten.slice.Tensor, one, 0, 0, draw(st.sampled_from((1, 3, 2**63 - 1))))
    if kind == "cat":
        return b.call(aten.cat.default, [one], 0)
    return b.call(aten.dropout.default, one, 0.5, False) if kind == "dropout" else b.call(aten._to_copy.default, one)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    b = Builder()
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    x = b.input()

    def tensor(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    wide = [x, b.const(tensor(3, 1, 1)), b.const(tensor(1)), b.const(torch.zeros(3, 1, 1)), b.const(torch.ones(1))]
    for _ in range(draw(st.integers(1, 12))):
        wide.append(draw_value(b, wide, draw))
    chosen = draw(st.lists(st.sampled_from(wide), min_size=1, max_size=3))
    return program_of(b.output(*chosen), (SHAPE,))


@settings(max_examples=100, deadline=None)
@given(programs())
def test_values_stay(program: Program) -> None:
    nodes = sum(1 for _ in program.routes[0].graph)
    outcome = run_passes(program, default_passes(), verify=True)
    assert sum(1 for _ in outcome.variants[0].graph) <= nodes + len(program.outputs)
    (variant,) = outcome.variants
    again = run_passes(program_of(variant.graph, variant.patch), default_passes(), verify=False)
    assert sum(report.rewrites for report in again.reports) == 0
