"""Tests of merge frame writes."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dydca.passes import MergeLinear, SpecializeShapes, run_passes
from dydca.testing import Builder, check_pass, program_of
from tests.passes.blocks import prepared
from tests.passes.checking import as_program

aten = torch.ops.aten
VALUE = torch.tensor([0.5, -1.0, 2.0])
Write = Callable[[Tensor, Tensor], None]


class Framed(nn.Module):
    """``relu(x)`` padded, then written over."""

    def __init__(self, write: Write, pads: tuple[int, int, int, int] = (1, 1, 1, 1)) -> None:
        super().__init__()
        self.write, self.pads = write, pads
        self.register_buffer("value", VALUE.view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.pad(x.relu(), self.pads)
        self.write(y, self.get_buffer("value"))
        return y.tanh()


def four_sides(y: Tensor, v: Tensor) -> None:
    y[:, :, 0:1, :] = v
    y[:, :, -1:, :] = v
    y[:, :, :, 0:1] = v
    y[:, :, :, -1:] = v


def by_index(y: Tensor, v: Tensor) -> None:
    y[:, :, 0] = v[:, :, 0]
    y[:, :, -1] = v[:, :, 0]
    y[:, :, :, 0] = v[..., 0]
    y[:, :, :, -1] = v[..., 0]


def without_the_corners_twice(y: Tensor, v: Tensor) -> None:
    y[:, :, :1] = v
    y[:, :, -1:] = v
    y[:, :, 1:-1, :1] = v
    y[:, :, 1:-1, -1:] = v


def wide(y: Tensor, v: Tensor) -> None:
    y[:, :, :2] = v
    y[:, :, -1:] = v
    y[..., :1] = v
    y[..., -3:] = v


def number(y: Tensor, v: Tensor) -> None:
    y[:, :, 0].fill_(0.25)
    y[:, :, -1:].fill_(0.25)
    y[..., 0] = 0.25
    y[..., -1:] = 0.25


def twice(y: Tensor, v: Tensor) -> None:
    y[:, :, 0:1] = 7.0
    four_sides(y, v)


MERGED: dict[str, tuple[Write, tuple[int, int, int, int], set[str]]] = {
    "four_sides": (four_sides, (1, 1, 1, 1), {"sub", "constant_pad_nd", "add"}),
    "by_index": (by_index, (1, 1, 1, 1), {"sub", "constant_pad_nd", "add"}),
    "without_the_corners_twice": (without_the_corners_twice, (1, 1, 1, 1), {"sub", "constant_pad_nd", "add"}),
    "wide": (wide, (1, 3, 2, 1), {"sub", "constant_pad_nd", "add"}),
    "number": (number, (1, 1, 1, 1), {"constant_pad_nd"}),
    "twice": (twice, (1, 1, 1, 1), {"sub", "constant_pad_nd", "add"}),
}


@pytest.mark.parametrize("name", MERGED)
def test_merges_for_all_patches_and_for_each(name: str) -> None:
    write, pads, wanted = MERGED[name]
    general = as_program(Framed(write, pads), [(1, 3, 8, 7)])
    special = program_of(general.routes[0].graph.copy(), *general.routes[0].patches)
    for program, first in ((general, []), (special, [SpecializeShapes()])):
        report = check_pass(program, *first, *prepared()).report
        assert set(report.ops_after) == wanted | {"relu", "tanh"}


def half(y: Tensor, v: Tensor) -> None:
    y[:, :, 0:1] = v
    y[:, :, -1:] = v


def into_the_picture(y: Tensor, v: Tensor) -> None:
    y[:, :, 0:2] = v


def the_picture(y: Tensor, v: Tensor) -> None:
    four_sides(y, v)
    y[:, :, 1:-1, 1:-1] = v


REFUSED: dict[str, tuple[Write, list[str]]] = {
    "half": (half, ["the frame of %relu holds 2 different values"]),
    "into_the_picture": (into_the_picture, []),  # %relu is then not seen as framed at all
    "the_picture": (the_picture, ["the writes reach into the picture %relu"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name: str) -> None:
    write, reasons = REFUSED[name]
    report = run_passes(as_program(Framed(write), [(1, 3, 8, 7)]), prepared(), verify=True).reports[-1]
    assert (report.rewrites, [miss["reason"] for miss in report.misses]) == (0, reasons)


def test_a_large_graph_is_merged_in_less_than_a_second() -> None:
    """60 blocks of 16 channels, three branches each, 540 operators."""
    b = Builder()
    x = b.input()
    for _ in range(60):
        window, point, bias = (b.const(torch.randn(*shape) / 12) for shape in ((16, 16, 3, 3), (16, 16, 1, 1), (16,)))
        wide = b.call(aten.sub.Tensor, b.call(aten.conv2d.default, x, point, bias), b.const(torch.zeros(16, 1, 1)))
        one = b.call(aten.conv2d.default, x, window, bias, [1, 1], [1, 1])
        other = b.call(aten.conv2d.default, wide, point)
        third = b.call(aten.mul.Tensor, b.call(aten.conv2d.default, x, window, None, [1, 1], [1, 1]), 0.5)
        x = b.call(aten.relu.default, b.call(aten.add.Tensor, b.call(aten.add.Tensor, one, other), third))
    program = program_of(b.output(x), ((1, 16, 8, 8),))
    start = time.process_time()
    outcome = run_passes(program, [SpecializeShapes(), *prepared(), MergeLinear()], verify=False)
    took = time.process_time() - start
    report = outcome.reports[-1]
    assert report.ops_after == {"conv2d": 60, "relu": 60}
    assert took < 4  # all passes; a plan whose work grows with the square of the graph takes minutes
    print(f"{report.milliseconds:.0f} ms in merge_linear, {1e3 * took:.0f} ms in all")
