"""The report: its text as goldens, its data against the specification sheet of the networks."""

from __future__ import annotations

import json

import pytest
import sympy
import torch
from torch import Tensor, nn
from torch.nn import functional

from dydca.analysis.notation import size_text
from dydca.errors import ShapeError, UsageError
from dydca.models import DynamicWDSR
from dydca.report import Analysis, explain
from dydca.report.text import table
from dydca.testing.golden import Golden


@pytest.fixture(scope="module")
def wdsr() -> Analysis:
    torch.manual_seed(0)
    return explain(DynamicWDSR(), [(1, 3, 108, 96), (1, 3, 54, 48)])


class Odd(nn.Module):
    """Has all that the findings of a report are about."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(12, 4, 3)
        self.unused = nn.Conv2d(3, 3, 1)
        self.tied = self.unused

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Two outputs, one input that no route reads."""
        self.unused(x)
        if x.shape[3] > 40:
            return x.renorm(2, 0, 1), x
        return self.conv(functional.pixel_unshuffle(x, 2)), x.mean()


@pytest.fixture(scope="module")
def odd() -> Analysis:
    shapes = [{"x": (1, 3, 12, 16), "state": (1, 2, 5)}, {"x": (1, 3, 8, 20), "state": (1, 2, 5)}]
    return explain(Odd(), shapes)


def test_text_of_the_main_network(wdsr: Analysis, golden: Golden) -> None:
    golden("wdsr", str(wdsr))
    golden("wdsr_tensors", wdsr.tensors())


def test_text_of_the_findings(odd: Analysis, golden: Golden) -> None:
    golden("odd", str(odd))


def test_counts_are_those_of_the_specification_sheet(wdsr: Analysis) -> None:
    large, small = wdsr.routes
    assert wdsr.parameters == 233_000
    assert (large.parameters, small.parameters) == (79_444, 153_556)
    assert (round(large.patches[0].macs / 1e9, 4), round(small.patches[0].macs / 1e9, 4)) == (0.8185, 0.3957)  # type: ignore[operator]
    assert (large.predicate, small.predicate) == ("H >= 70", "H < 70")


def test_memory_by_hand(wdsr: Analysis) -> None:
    floats = 108 * 96
    patch = wdsr.routes[0].patches[0]
    assert patch.bound_bytes == 4 * floats * (64 + 64)  # relu reads 64 channels and writes 64
    assert patch.peak_bytes == 4 * floats * (3 + 32 + 64 + 64)  # and the picture and the skip wait meanwhile


def test_data_is_json_with_a_version(wdsr: Analysis) -> None:
    data = json.loads(json.dumps(wdsr.to_dict()))
    assert data["schema"] == {"name": "dydca.analysis", "version": 2}
    tensor = next(tensor for tensor in data["routes"][0]["tensors"] if tensor["name"] == "pixel_shuffle")
    assert tensor["shape"] == [1, 3, "2*H", "2*W"]
    assert tensor["shapes"] == {"108x96": [1, 3, 216, 192]}
    assert tensor["bytes"] == {"108x96": 4 * 3 * 216 * 192}


def test_findings(odd: Analysis) -> None:
    assert [entry.read for entry in odd.inputs] == [True, False]
    assert odd.unread == ("unused.weight", "unused.bias")
    assert len(odd.uncovered) == 1
    assert "W_x > 40" in odd.uncovered[0]
    needs = [(need.condition, need.reason) for need in odd.routes[0].needs]
    assert ("H_x % 2 == 0", "the height is not divisible by the factor") in needs


def test_classes_sights_and_live_memory(wdsr: Analysis) -> None:
    route = wdsr.routes[0]
    assert route.classes == {"ISDOS": route.nodes}
    rows, columns = route.sights
    halo = 1 + 2 * 2 + 1  # a convolution, two blocks of two, and one at the end, which is 3x3 as well
    assert (rows.before, rows.after, rows.scale, rows.step) == (halo, halo, "2", 1)
    assert (columns.axis, columns.before) == ("columns", halo)
    live = [tensor.live["108x96"] for tensor in route.tensors]
    assert max(live) == route.patches[0].peak_bytes


def test_intervals_follow_from_the_range_of_the_input() -> None:
    analysis = explain(nn.Sequential(nn.Hardtanh(0, 0.5)), [(1, 3, 4, 4)], input_range=(-1, 1))
    ends = {tensor.op: tensor.interval for tensor in analysis.routes[0].tensors}
    assert ends == {"placeholder": (-1, 1), "hardtanh": (0, 0.5)}


def test_dead_operators_are_told_with_their_lines() -> None:
    class Wasteful(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            both = torch.cat([x, x.exp()], 1)
            return both[:, :3] + 1

    analysis = explain(Wasteful(), [(1, 3, 4, 4)])
    (dead,) = analysis.routes[0].dead
    assert dead.startswith("%exp = exp (test_report.py:")
    assert "computes and never uses" in str(analysis)


def test_a_picture_seen_whole_is_said_with_the_culprit() -> None:
    class Mean(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x - x.mean(2, keepdim=True)

    analysis = explain(Mean(), [(1, 3, 4, 4)])
    assert "all, by %mean = mean (test_report.py:" in str(analysis)
    assert [sight.before for sight in analysis.routes[0].sights] == [None, 0]


def test_a_route_with_an_operator_without_a_rule() -> None:
    analysis = explain(Odd(), [{"x": (1, 3, 8, 44), "state": (1, 2, 5)}])
    assert analysis.routes[0].unruled == ("aten.renorm.default",)
    assert "operators without a rule" in str(analysis)
    assert "(no rule)" in analysis.tensors()


def test_sizes_that_the_data_decides_leave_the_cost_open() -> None:
    class Sparse(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[x > 0.5]

    analysis = explain(Sparse(), [(1, 3, 8, 8)])
    assert analysis.routes[0].patches[0].macs is None
    (unknown,) = analysis.routes[0].unknown
    assert (unknown.low, unknown.high) == ("0", "C*H*W")
    assert unknown.node.startswith("%index = index (test_report.py:")
    assert analysis.routes[0].classes["EDO"] == 1
    with pytest.raises(UsageError, match="DYD851"):
        analysis.expected_macs({"route0": 1})
    assert "?" in str(analysis)


def test_an_exported_program() -> None:
    program = torch.export.export(nn.Conv2d(3, 4, 3), (torch.zeros(1, 3, 8, 8),))
    analysis = explain(program, [(1, 3, 8, 8)])
    assert (analysis.model, analysis.parameters) == ("ExportedProgram", 112)
    assert analysis.routes[0].parameters == 112


def test_the_model_is_not_changed() -> None:
    model = DynamicWDSR().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    explain(model, [(1, 3, 12, 12)])
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_patch_that_is_none_is_refused() -> None:
    with pytest.raises(ShapeError, match="DYD201"):
        explain(nn.ReLU(), [])


def test_columns_line_up() -> None:
    assert table([("a", "b"), ("long", "22")], right=(1,)) == ["a      b", "long  22"]


def test_sizes_read_like_python() -> None:
    height, width = sympy.symbols("H W", integer=True, positive=True)
    texts = {
        "(H - 1) // 2": sympy.floor((height - 1) / 2),
        "H % 2 == 0": sympy.Eq(sympy.Mod(height, 2), 0),
        "W + 2*(H // 2)": 2 * sympy.floor(height / 2) + width,
        "H >= W + 2": sympy.Ge(height, width + 2),
        "(H, 3)": (height, 3),
        "(H % 8) // 2": sympy.floor(sympy.Mod(height, 8) / 2),
    }
    assert {size_text(size) for size in texts.values()} == set(texts)
