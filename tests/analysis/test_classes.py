"""The class of every operator, and how values that are known beforehand leave it."""

from __future__ import annotations

import operator

import pytest
import sympy
import torch

from dydca.analysis import Fact, analyze
from dydca.analysis.classes import takes_value
from dydca.analysis.facts import OperatorClass
from dydca.program import Graph, op_name
from dydca.testing import Builder

aten = torch.ops.aten
ISDO, ISDOS, ISVDOS, EDO = OperatorClass


def classes(graph: Graph, *, symbolic: bool) -> dict[str, OperatorClass]:
    sizes = sympy.symbols("H W", integer=True, positive=True) if symbolic else (6, 5)
    facts = analyze(graph, [Fact(sizes, torch.float32)])
    return {node.name: facts.classes[node] for node in graph if node.op == "call_function"}


@pytest.mark.parametrize("symbolic", [True, False])
def test_of_every_kind(symbolic: bool) -> None:
    b = Builder()
    x = b.input()
    height = b.call(aten.sym_size.int, x, 0)
    half = b.call(operator.floordiv, height, 2)
    cut = b.call(aten.slice.Tensor, x, 0, 0, half)
    zeros = b.call(aten.zeros.default, [half, 3])
    like = b.call(aten.zeros_like.default, cut)
    drawn = b.call(aten.rand_like.default, cut)
    found = b.call(aten.nonzero.default, x)
    taken = b.call(aten.index_select.default, found, 1, b.const(torch.tensor([0])))
    count = b.call(aten.item.default, b.call(aten.sum.default, b.call(aten.gt.Scalar, x, 0.0)))
    first = b.call(aten.slice.Tensor, x, 1, 0, count)
    scaled = b.call(aten.mul.Scalar, first, count)
    more = b.call(aten.zeros.default, [count, 2])
    graph = b.output(cut, zeros, like, drawn, taken, scaled, more)
    wanted = {
        height: ISDO, half: ISDO, cut: ISDOS, zeros: ISDO, like: ISDO, drawn: ISDOS, found: EDO, taken: ISDOS,
        count: ISDOS, first: ISVDOS, scaled: ISDOS, more: ISVDOS,
    }  # fmt: skip
    found_classes = classes(graph, symbolic=symbolic)
    assert {node.name: found_classes[node.name] for node in wanted} == {n.name: kind for n, kind in wanted.items()}


def test_a_known_value_degrades_the_class() -> None:
    b = Builder()
    x = b.input()
    cut = b.call(aten.slice.Tensor, x, 0, 0, b.call(operator.floordiv, b.call(aten.sym_size.int, x, 0), 2))
    plain = b.call(aten.relu.default, cut)
    graph = b.output(plain)
    facts = analyze(graph, [Fact((6, 5), torch.float32)])
    assert [(op_name(node), takes_value(node, facts)) for node in (cut, plain)] == [("slice", True), ("relu", False)]
    assert facts.classes[cut] is ISDOS


def test_several_results_that_execution_decides() -> None:
    b = Builder()
    found = b.call(aten._unique2.default, b.input())
    graph = b.output(b.call(operator.getitem, found, 0))
    assert classes(graph, symbolic=True) == {"_unique2_default": EDO, "getitem": ISDOS}
