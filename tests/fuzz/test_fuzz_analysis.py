"""Random programs through the analysis, and every fault that they have shown."""

from __future__ import annotations

import operator
from pathlib import Path

import pytest
import sympy
import torch

from dydca.analysis import Fact, analyze
from dydca.analysis.intervals import entrywise, spanning
from dydca.analysis.rules.registry import INTERVAL_RULES
from dydca.errors import ShapeError
from dydca.fuzz.analysis import Case, check, minimised, random_case
from dydca.fuzz.analysis_session import fuzz_analysis
from dydca.fuzz.observed import lies_within
from dydca.testing import Builder
from dydca.testing.builder import program_of

aten = torch.ops.aten


def test_rows_joined_to_channels_told_apart_elsewhere() -> None:
    """Found: the entries of the joined axis were those of the first part alone."""
    b = Builder()
    x, y = b.input("x"), b.input("y")
    graph = b.output(b.call(aten.cat.default, [x, y], 0))
    first, second = entrywise([0, 1, 2], [1, 2, 3], -2), entrywise([5, 6], [6, 7], -1)
    facts = analyze(graph, [Fact((3, 2), torch.float32, interval=each) for each in (first, second)])
    values = torch.tensor([[0.0, 0], [1, 1], [2, 2], [5, 6], [5, 6], [6, 7]])
    assert lies_within(values, facts[graph.outputs[0]])


def test_a_size_that_never_equals_another_may_still_be_one() -> None:
    """Found: ``h + 1`` and ``h - 1`` were refused, though ``h - 1`` broadcasts where h is 2."""
    b = Builder()
    x, y = b.input("x"), b.input("y")
    graph = b.output(b.call(aten.add.Tensor, x, y))
    h = sympy.Symbol("h", integer=True, positive=True)
    facts = analyze(graph, [Fact((h + 1,), torch.float32), Fact((h - 1,), torch.float32)])
    (need,) = facts.assumptions
    assert [need.condition.subs(h, size) for size in (2, 3)] == [sympy.true, sympy.false]
    assert facts[graph.outputs[0]].shape[0].subs(h, 2) == 3  # type: ignore[union-attr]
    with pytest.raises(ShapeError):
        analyze(graph, [Fact((h + 1,), torch.float32), Fact((h + 3,), torch.float32)])


def test_a_result_that_is_not_there_is_refused() -> None:
    """Found: a part beyond those of a smaller axis ended in an IndexError."""
    b = Builder()
    parts = b.call(aten.split.Tensor, b.input(), 3)
    graph = b.output(b.call(operator.getitem, parts, 2))
    with pytest.raises(ShapeError, match="there is no such result"):
        analyze(graph, [Fact((5,), torch.float32)])


def test_random_programs_are_predicted_right(capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz_analysis(40, 20_000, seconds=20) == 0, capsys.readouterr().err
    assert "programs: " in capsys.readouterr().out


def test_a_seed_gives_the_same_program() -> None:
    for seed in range(5):
        one, other = random_case(seed), random_case(seed)
        assert [str(route.graph.fx) for route in one.program.routes] == [
            str(route.graph.fx) for route in other.program.routes
        ]
        assert one.patches == other.patches


def test_a_script_is_written_for_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("relu", "neg", "abs", "sigmoid", "mul"):
        overload = aten.mul.Tensor if name == "mul" else getattr(aten, name).default
        monkeypatch.setitem(INTERVAL_RULES, overload, lambda *_: spanning(7, 7))
    assert fuzz_analysis(3, 0, tmp_path) > 0
    script = next(tmp_path.iterdir()).read_text()
    assert "random_case(" in script
    assert "[7, 7] predicted" in script


def test_a_lie_is_found_and_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    b = Builder()
    x = b.input()
    value = b.call(aten.abs.default, b.call(aten.relu.default, b.call(aten.neg.default, x)))
    program = program_of(b.output(value, b.call(aten.tanh.default, x)), ((1, 3, 4, 4),))
    case = Case(program, ((0, ((1, 3, 4, 4),)), (0, ((1, 3, 5, 4),))), 0, thorough=True)
    assert check(case) == []
    monkeypatch.setitem(INTERVAL_RULES, aten.relu.default, lambda *_: spanning(0, 0.1))
    wrong = check(case)
    assert wrong
    small, shown = minimised(case, wrong[0])
    assert [str(node.target) for node in small.program.routes[0].graph if node.op == "call_function"] == [
        "aten.neg.default",
        "aten.relu.default",
    ]
    assert "elements in [0, 0.1] predicted" in shown.what
