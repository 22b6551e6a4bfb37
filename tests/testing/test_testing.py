"""What pass authors test with: `check_pass`, `Builder`, and goldens."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
import torch
from torch import Tensor, nn

from dydca.errors import PassError
from dydca.passes import DropDead, DropIdentity, MergeReshape
from dydca.testing import Builder, check_pass, program_of

aten = torch.ops.aten
pytest_plugins = ["pytester"]


class Net(nn.Module):
    """Two routes by shape; the second has nothing to drop."""

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(x)
        return y * 1.0 + 0 if x.shape[2] < 10 else y


def test_one_call_tells_all() -> None:
    patches = [(1, 3, 8, 6), (1, 3, 12, 6)]
    done = check_pass(Net(), MergeReshape(), DropIdentity(), patches=patches, ops={"mul": 0, "tanh": 1}, rewrites=2)
    assert done.report.ops_before == {"add": 1, "mul": 1, "tanh": 1}
    assert [(found.patch, found.max_abs, found.sqnr_db) for found in done.differences] == [("8x6", 0.0, None)]
    assert "aten.mul.Tensor(%tanh, 1.0)" in done.before
    assert done.after.splitlines()[0] == "%x : float32 [1, C, H, W] = input"
    assert done.text == f"{done.before}\n\ndrop_identity:\n\n{done.after}"
    assert [variant.route.name for variant in done.outcome.variants] == ["route0", "route1"]


def test_the_last_step_is_reported_even_if_its_pass_ran_before() -> None:
    b = Builder()
    graph = b.output(b.call(aten.add.Tensor, b.call(aten.relu.default, b.input()), 0))
    done = check_pass(program_of(graph, ((2, 3),)), MergeReshape(), DropIdentity(), DropDead(), DropIdentity())
    assert (done.report.rewrites, done.before, done.differences) == (0, done.after, ())


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"ops": {"mul": 1}}, "operators: got {'mul': 0}, want {'mul': 1}"),
        ({"rewrites": 1}, "rewrites: got 2, want 1"),
        ({"misses": ["too small"]}, "refusals: got [], want ['too small']"),
    ],
)
def test_what_is_not_as_wanted_is_told(wanted: dict[str, object], told: str) -> None:
    with pytest.raises(AssertionError) as caught:
        check_pass(Net(), MergeReshape(), DropIdentity(), patches=[(1, 3, 8, 6)], **wanted)  # type: ignore[arg-type]
    assert str(caught.value) == told


def test_wrong_values_are_refused_as_everywhere() -> None:
    class Wrong(DropIdentity):
        name = "wrong"

        def rewrite(self, graph, node, facts):  # type: ignore[no-untyped-def]
            return node.args[0]

    b = Builder()
    graph = b.output(b.call(aten.mul.Tensor, b.input(), 2.0))
    with pytest.raises(PassError, match="DYD303"):
        check_pass(program_of(graph, ((2, 3),)), MergeReshape(), Wrong())


def test_goldens_are_written_on_request_and_compared(pytester: pytest.Pytester) -> None:
    pytester.makeconftest('pytest_plugins = ["dydca.testing.golden"]')
    test = """
        def test_text(golden):
            golden("graph", "relu at net.py:{line}{more}")
    """
    pytester.makepyfile(dedent(test).format(line=17, more=""))
    pytester.runpytest("-q").assert_outcomes(failed=1)
    pytester.runpytest("-q", "--update-golden").assert_outcomes(passed=1)
    assert (pytester.path / "golden" / "graph.txt").read_text() == "relu at net.py:##\n"
    pytester.makepyfile(dedent(test).format(line=42, more=""))
    pytester.runpytest("-q").assert_outcomes(passed=1)
    pytester.makepyfile(dedent(test).format(line=42, more=" twice"))
    pytester.runpytest("-q").assert_outcomes(failed=1)
    assert Path(pytester.path / "golden" / "graph.txt").read_text() == "relu at net.py:##\n"
