"""Sizes that only the data decides: their bounds, how far these are carried, and what they decide."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy
import torch

from dydca.analysis import Fact, Facts, Size, analyze
from dydca.analysis.rules.promotion import scalar_dtype
from dydca.analysis.sizes import decide, span, truth
from dydca.errors import ShapeError
from dydca.program import Graph
from dydca.testing import Builder

aten = torch.ops.aten
H, W = sympy.symbols("H W", integer=True, positive=True)
Build = Callable[[Builder, Any], Any]


def built(build: Build) -> Graph:
    b = Builder()
    return b.output(build(b, b.input()))


def mask(b: Builder, x: Any) -> Any:
    return b.call(aten.gt.Scalar, x, 0.0)


def positions(b: Builder, x: Any) -> Any:
    """The rows of x whose first element is positive, as APE finds the patches that go on."""
    first = b.call(aten.select.int, x, 1, 0)
    return b.call(operator.getitem, b.call(aten.where.default, mask(b, first)), 0)


CASES: dict[str, tuple[Build, list[tuple[str, str]], str]] = {
    # what is built of x [H, W], the bounds of its sizes for all patches, and those for 4 x 5
    "nonzero": (lambda b, x: b.call(aten.nonzero.default, x), [("0", "H*W"), ("2", "2")], "0..20, 2..2"),
    "mask": (lambda b, x: b.call(aten.index.Tensor, x, [mask(b, x)]), [("0", "H*W")], "0..20"),
    "rows": (
        lambda b, x: b.call(aten.index.Tensor, x, [positions(b, x)]),
        [("0", "H"), ("W", "W")],
        "0..4, 5..5",
    ),
    "masked select": (lambda b, x: b.call(aten.masked_select.default, x, mask(b, x)), [("0", "H*W")], "0..20"),
    "different elements": (
        lambda b, x: b.call(operator.getitem, b.call(aten._unique2.default, x), 0),
        [("1", "H*W")],
        "1..20",
    ),
    "joined": (
        lambda b, x: b.call(
            aten.cat.default, [b.call(aten.index_select.default, x, 0, positions(b, x)), x, x], 0
        ),
        [("2*H", "3*H"), ("W", "W")],
        "8..12, 5..5",
    ),
    "at most three": (
        lambda b, x: b.call(aten.slice.Tensor, b.call(aten.nonzero.default, x), 0, 0, 3),
        [("0", "Min(3, H*W)"), ("2", "2")],
        "0..3, 2..2",
    ),
    "without the first": (
        lambda b, x: b.call(aten.slice.Tensor, b.call(aten.nonzero.default, x), 0, 1, 2**63 - 1),
        [("0", "H*W - 1"), ("2", "2")],
        "0..19, 2..2",
    ),
    "twice as many": (
        lambda b, x: b.call(aten.repeat_interleave.self_int, b.call(aten.nonzero.default, x), 2, 0),
        [("0", "2*H*W"), ("2", "2")],
        "0..40, 2..2",
    ),
    "flat": (
        lambda b, x: b.call(aten.reshape.default, b.call(aten.nonzero.default, x), [-1]),
        [("0", "2*H*W")],
        "0..40",
    ),
    "as far as the largest": (
        lambda b, x: b.call(
            aten.slice.Tensor, x, 1, 0,
            b.call(aten.item.default, b.call(aten.argmax.default, b.call(aten.select.int, x, 0, 0))),
        ),
        [("H", "H"), ("0", "W")],
        "4..4, 0..4",
    ),
}  # fmt: skip


def bounds(facts: Facts, shape: tuple[Size, ...]) -> list[tuple[Size, Size]]:
    return [span(size, facts.ranges) for size in shape]


@pytest.mark.parametrize("name", CASES)
def test_bounds_are_carried_on(name: str) -> None:
    build, for_all, for_one = CASES[name]
    graph = built(build)
    node = graph.outputs[0]
    symbolic = analyze(graph, [Fact((H, W), torch.float32)])
    found = [tuple(map(str, ends)) for ends in bounds(symbolic, symbolic[node].shape)]
    assert found[0] in (for_all[0], *([("0", "Min(W, oo)")] if name == "as far as the largest" else []))
    concrete = analyze(graph, [Fact((4, 5), torch.float32)])
    ends = bounds(concrete, concrete[node].shape)
    assert ", ".join(f"{low}..{high}" for low, high in ends) == for_one
    for seed in range(30):
        x = torch.randn(4, 5, generator=torch.Generator().manual_seed(seed)).round()
        (result,) = graph.run(x)
        assert all(low <= size <= high for size, (low, high) in zip(result.shape, ends, strict=True))


def test_a_bound_refuses_what_no_data_can_give() -> None:
    graph = built(lambda b, x: b.call(aten.narrow.default, b.call(aten.nonzero.default, x), 0, 0, 21))
    with pytest.raises(ShapeError, match="reaches beyond"):
        analyze(graph, [Fact((4, 5), torch.float32)])
    assert not analyze(graph, [Fact((4, 6), torch.float32)])[graph.outputs[0]].value


def test_what_the_data_may_break_is_assumed() -> None:
    graph = built(lambda b, x: b.call(aten.view.default, b.call(aten.masked_select.default, x, mask(b, x)), [-1, 2]))
    facts = analyze(graph, [Fact((4, 5), torch.float32)])
    (entry,) = facts.assumptions
    (symbol,) = facts.unknown
    assert entry.condition == sympy.Eq(sympy.Mod(symbol, 2), 0)
    assert facts[graph.outputs[0]].shape == (symbol / 2, 2)


def test_an_operator_without_a_rule_meets_an_unknown_size() -> None:
    graph = built(
        lambda b, x: b.call(aten.renorm.default, b.call(aten.index.Tensor, x, [positions(b, x)]), 2.0, 0, 1.0)
    )
    facts = analyze(graph, [Fact((4, 5), torch.float32)])
    shape = facts[graph.outputs[0]].shape
    assert [str(end) for end in span(shape[0], facts.ranges)] == ["0", "oo"]


def test_trials_decide_what_intervals_cannot() -> None:
    h = sympy.Symbol("h", integer=True, nonnegative=True)
    same = sympy.Eq(2 * sympy.floor(h / 8), sympy.floor(h / 4))
    assert decide(same, {h: (16, 19)}) is True
    assert decide(same, {h: (20, 23)}) is False
    assert decide(same, {h: (16, 23)}) == same
    assert decide(same, {h: (16, sympy.oo)}) == same
    assert decide(same, {}) == same


def brute(condition: sympy.Basic, ranges: dict[sympy.Symbol, tuple[int, int]]) -> set[bool]:
    (a, (a0, a1)), (b, (b0, b1)) = ranges.items()
    return {
        bool(condition.xreplace({a: sympy.Integer(m), b: sympy.Integer(n)}))
        for m in range(a0, a1 + 1)
        for n in range(b0, b1 + 1)
    }


A, B = sympy.symbols("a b", integer=True)
CONDITIONS = [
    sympy.Ge(A + 2 * B, 5), sympy.Gt(A * B, 20), sympy.Le(sympy.Max(A, B), 7), sympy.Lt(sympy.Min(A, 3) - B, 0),
    sympy.Eq(sympy.Mod(A, 3), B), sympy.Ne(A - B, 11), sympy.Or(sympy.Ge(A, 9), sympy.Ge(B, 0)),
    sympy.And(sympy.Ge(A, 0), sympy.Ge(9, B)), sympy.Not(sympy.Ge(A**2, 4)), sympy.Ge(sympy.floor(A / 2) * 3 - B, -4),
    sympy.Ge(sympy.ceiling(A / 4), sympy.floor(A / 4)), sympy.Ge(A * B - A, -3),
]  # fmt: skip


@pytest.mark.parametrize("condition", CONDITIONS, ids=str)
@pytest.mark.parametrize("ends", [((0, 9), (0, 9)), ((-3, 4), (2, 2)), ((5, 6), (-2, 8)), ((100, 180), (0, 70))])
def test_what_is_decided_holds_everywhere(
    condition: sympy.Basic, ends: tuple[tuple[int, int], tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ranges = dict(zip((A, B), ends, strict=True))
    answer = decide(condition, ranges)
    truths = brute(condition, ranges)
    assert answer not in (True, False) or truths == {answer}
    small = condition.free_symbols and (ends[0][1] - ends[0][0] + 1) * (ends[1][1] - ends[1][0] + 1) < 4096
    if small and len(truths) == 1:
        assert answer in (True, False)
    monkeypatch.setattr("dydca.analysis.sizes.MOST_POINTS", 0)
    answer = decide(condition, ranges)
    assert answer not in (True, False) or truths == {answer}


CASED = sympy.Piecewise((sympy.floor(H / 2), H > 4), (W, W < 3), (7, True))


@pytest.mark.parametrize("condition", [sympy.Eq(CASED, 2), CASED >= 3, sympy.Or(sympy.Ne(CASED, 7), H > 2)], ids=str)
def test_conditions_on_sizes_by_cases(condition: sympy.Basic) -> None:
    rows, columns = np.meshgrid(np.arange(1, 9), np.arange(1, 9))
    want = [bool(condition.subs({H: h, W: w})) for h, w in zip(rows.flat, columns.flat, strict=True)]
    assert truth(condition, {H: rows, W: columns}).flatten().tolist() == want


def test_no_integers_and_one_are_none() -> None:
    graph = built(lambda b, x: b.call(aten.add.Tensor, b.call(aten.arange.default, 0), b.call(aten.arange.default, 1)))
    fact = analyze(graph, [Fact((4, 5), torch.float32)])[graph.outputs[0]]
    assert (fact.shape, fact.value) == ((0,), ())


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(sympy.floor(0.5 * H), torch.int64), (sympy.floor(0.5 * H) + W, torch.int64), (0.5 * H, torch.float32)],
    ids=str,
)
def test_a_rounded_size_is_an_integer(value: sympy.Expr, wanted: torch.dtype) -> None:
    assert scalar_dtype(value) is wanted
