"""Tests of fold_affine."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from dydca.models import DynamicWDSR
from dydca.passes import FoldAffine, FoldBatchNorm, MergeEqual, MergeLinear, run_passes
from dydca.testing import Builder, check_pass, program_of
from tests.passes.blocks import prepared, scrambled
from tests.passes.checking import SHAPE, as_program

aten = torch.ops.aten


class Shifted(nn.Module):
    """``conv(scale * x + shift)``, and the scaled picture itself where `shared`."""

    def __init__(self, conv: nn.Module, scale: Tensor | float, shift: Tensor | float, shared: bool = False) -> None:
        super().__init__()
        self.conv, self.shared = conv, shared
        self.scale, self.shift = scale, shift

    def forward(self, x: Tensor) -> Tensor:
        y = x * self.scale + self.shift
        z: Tensor = self.conv(y).relu()
        return z + y if self.shared else z


def conv(**options: object) -> nn.Conv2d:
    return nn.Conv2d(3, 3, 3, **options)  # type: ignore[arg-type]


FOLDS: dict[str, nn.Module] = {
    "shift": Shifted(conv(padding=1), 1.0, -0.5),
    "scale_and_shift": Shifted(conv(padding=2), 0.25, 3.0),
    "same_gray_in_each_channel": Shifted(conv(padding=1), torch.tensor([1.0, 2.0, -4.0])[:, None, None], 0.0),
    "grouped": Shifted(nn.Conv2d(3, 6, 3, padding=1, groups=3), 2.0, 1.0),
    "dilated": Shifted(conv(padding="same", dilation=2), 2.0, 1.0),
    "batch_norm": nn.Sequential(nn.BatchNorm2d(3), conv(padding=1), nn.ReLU()),
}


@pytest.mark.parametrize("name", FOLDS)
def test_folds(name: str) -> None:
    model = FOLDS[name].eval()
    if name == "batch_norm":
        with torch.no_grad():
            model[0].running_mean.fill_(0.3)  # type: ignore[index]
    check_pass(model, *prepared(FoldAffine()), ops={"conv2d": 1, "relu": 1, "add": 0, "mul": 0, "constant_pad_nd": 1})


REFUSED: dict[str, tuple[nn.Module, str]] = {
    "channels_differ": (
        Shifted(conv(padding=1), 1.0, torch.tensor([1.0, 2.0, 3.0])[:, None, None]),
        "in each channel",
    ),
    "no_scale": (
        Shifted(conv(padding=1), torch.tensor([1.0, 0.0, 1.0])[:, None, None], 1.0),
        "in each channel",
    ),
    "shared": (Shifted(conv(padding=1), 1.0, 0.5, shared=True), "as well, so it would stay"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_and_says_why(name: str) -> None:
    model, reason = REFUSED[name]
    report = run_passes(as_program(model.eval()), prepared(FoldAffine()), verify=True).reports[-1]
    assert report.rewrites == 0
    assert len(report.misses) == 1
    assert report.misses[0]["reason"].endswith(reason)


def test_the_mean_of_dy_dca_moves_into_both_convolutions_behind_it() -> None:
    ops = {"sub": 0, "constant_pad_nd": 2, "conv2d": 11}
    check_pass(DynamicWDSR(2), *prepared(FoldAffine()), ops=ops, rewrites=2)


def test_what_merges_linearly_needs_no_pad() -> None:
    model = Shifted(conv(), 2.0, 1.0)
    check_pass(model.eval(), *prepared(MergeLinear(), FoldAffine()), ops={"constant_pad_nd": 0, "mul": 0})


def test_a_batch_norm_alone_becomes_a_product_and_a_sum() -> None:
    model = scrambled(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3), nn.Tanh()))
    ops = {"relu": 1, "mul": 1, "add": 1, "tanh": 1, "getitem": 0}
    check_pass(model, *prepared(MergeLinear(), FoldBatchNorm()), ops=ops)


def test_equal_nodes_and_equal_constants_become_one() -> None:
    b = Builder()
    x = b.input()
    one, other = (b.call(aten.mul.Tensor, x, b.const(torch.arange(3.0).view(3, 1, 1))) for _ in range(2))
    graph = b.output(b.call(aten.add.Tensor, b.call(aten.relu.default, one), b.call(aten.relu.default, other)))
    check_pass(program_of(graph, (SHAPE,)), MergeEqual(), ops={"mul": 1, "relu": 1, "add": 1})
    assert len(graph.constants) == 1


def test_what_is_not_equal_stays() -> None:
    b = Builder()
    x = b.input()
    zeros = [b.const(torch.tensor(0.0)), b.const(torch.tensor(-0.0)), b.const(torch.zeros(1))]
    nodes = [b.call(aten.div.Tensor, x, zero) for zero in zeros]
    nodes += [b.call(aten.add.Tensor, x, 1), b.call(aten.add.Tensor, x, 1.0), b.call(aten.add.Tensor, x, 1, alpha=2)]
    nodes += [b.call(aten.bernoulli.default, nodes[0]), b.call(aten.bernoulli.default, nodes[0])]
    report = run_passes(program_of(b.output(*nodes), (SHAPE,)), [MergeEqual()], verify=False).reports[0]
    assert report.rewrites == 0
