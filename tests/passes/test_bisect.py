"""Which step moved the results: the capture, one rewriting of one pass, or the native code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx import Node

import dydca
from dydca.analysis.facts import Facts
from dydca.cli import main
from dydca.errors import PassError
from dydca.passes import Culprit, Difference, Miss, Pass, SpecializeShapes, default_passes, find_culprit
from dydca.program import Graph, op_name
from tests.passes.checking import as_program

aten = torch.ops.aten


class Chain(nn.Module):
    """Four products, of which a faulty pass gets one wrong; two routes by shape."""

    def forward(self, x: Tensor) -> Tensor:
        y = x * 2.0
        z = y.relu() * 3.0
        w = z.tanh() * 0.5
        return w * 4.0 if x.shape[2] < 10 else w.sigmoid()


class Negates(Pass):
    """Writes ``x * a`` as ``-(x * -a)``, and forgets the outer sign where a is `wrong`."""

    name = "negates"
    root = ("mul",)

    def __init__(self, wrong: float | None) -> None:
        self.wrong = wrong

    def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
        x, factor = node.args
        if not isinstance(factor, float) or factor < 0:
            return None
        made = graph.add(aten.mul.Tensor, x, -factor, before=node)
        return made if factor == self.wrong else graph.add(aten.neg.default, made, before=node)


class Fails(Negates):
    """Stops with a Python error at `wrong`."""

    name = "fails"

    def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
        if node.args[1] == self.wrong:
            raise KeyError("weight")
        return super().rewrite(graph, node, facts)


class Shortens(Negates):
    """Loses a row at `wrong`."""

    name = "shortens"

    def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
        if node.args[1] == self.wrong:
            return graph.add(aten.slice.Tensor, node.args[0], 2, 1, 99, before=node)
        return super().rewrite(graph, node, facts)


def blamed(pass_: Pass) -> Culprit:
    program = as_program(Chain(), [(1, 3, 12, 6), (1, 3, 8, 6)])
    found = find_culprit(program, [*default_passes()[:3], pass_, SpecializeShapes()], 1e-4)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("wrong", "route", "rewrite", "rewrites"), [(2.0, 0, 1, 3), (3.0, 0, 2, 3), (0.5, 0, 3, 3), (4.0, 1, 4, 4)]
)
def test_the_first_wrong_rewriting_is_named(wrong: float, route: int, rewrite: int, rewrites: int) -> None:
    found = blamed(Negates(wrong))
    assert (found.step, found.name, found.subject) == (4, "negates", f"route{route}")
    assert (found.rewrite, found.rewrites) == (rewrite, rewrites)
    assert isinstance(found.fault, Difference)
    assert found.fault.max_abs > found.fault.tolerance
    assert "= mul (test_bisect.py:" in str(found.node)


def test_a_pass_that_breaks_the_graph_is_named_with_the_rewriting() -> None:
    found = blamed(Shortens(0.5))
    assert (found.rewrite, found.rewrites) == (3, 3)
    assert isinstance(found.fault, PassError)
    assert found.fault.code == "DYD302"


def test_a_pass_that_fails_is_named_where_it_failed() -> None:
    found = blamed(Fails(0.5))
    assert (found.rewrite, found.node) == (None, None)
    assert "KeyError: 'weight'" in str(found)
    assert "by no single rewriting" in str(found)


def test_the_whole_way() -> None:
    patches = [(1, 3, 12, 6), (1, 3, 8, 6)]
    passes = [*default_passes(), Negates(0.5)]
    assert dydca.bisect(Chain(), patches) is None
    found = dydca.bisect(Chain(), patches, passes=passes)
    assert found is not None
    assert (found.stage, str(found).splitlines()[0]) == (
        "passes",
        f"negates, pass {len(passes)}, is to blame on route0.12x6",
    )


def test_native_code_is_to_blame_where_passes_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    found = dydca.bisect(nn.Conv3d(1, 1, 1), [(1, 1, 4, 4, 4)])
    assert found is not None
    assert (found.stage, str(found)[:33]) == ("native", "the passes are innocent\n  DYD401:")
    right: Any = dydca.Network.__call__
    monkeypatch.setattr(dydca.Network, "__call__", lambda network, x: right(network, x) * 1.001)
    found = dydca.bisect(nn.ReLU(), [(1, 3, 8, 6)])
    assert found is not None
    assert (found.stage, str(found)[:33]) == ("native", "the passes are innocent\n  DYD404:")


class Unstable(nn.Module):
    """Adds a number that changes from call to call, which a graph cannot hold."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        Unstable.calls += 1
        return x + float(Unstable.calls)


def test_the_capture_is_to_blame_where_the_graph_is_not_the_network() -> None:
    found = dydca.bisect(Unstable(), [(1, 3, 4, 4)])
    assert found is not None
    assert (found.stage, str(found).splitlines()[0]) == ("capture", "the captured graph is not the network")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    torch.export.save(torch.export.export(nn.Hardtanh(), (torch.rand(1, 3, 8, 6),)), tmp_path / "model.pt2")
    command = ["bisect", str(tmp_path / "model.pt2"), "--patch", "1x3x8x6"]
    assert main(command) == 0
    assert capsys.readouterr().out == (
        "everything stays within 0.0001 of the largest value: capture, passes and native code\n"
    )

    class Opens(Pass):
        """Drops a clip."""

        name = "opens"

        def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
            return node.all_input_nodes[0] if op_name(node) == "hardtanh" else None

    monkeypatch.setattr("dydca.bisection.default_passes", lambda: [*default_passes(), Opens()])
    assert main([*command, "--tolerance", "0.5"]) == 1
    assert capsys.readouterr().out.startswith(
        f"opens, pass {len(default_passes()) + 1}, is to blame on route0.8x6\n  rewriting 1 of 1: %hardtanh"
    )
