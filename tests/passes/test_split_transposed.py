"""Transposed convolutions become sub-pixel convolutions, exactly."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dydca.models import create
from dydca.passes import FoldConstants
from dydca.passes.split_transposed import SplitTransposed
from dydca.testing import Builder, check_pass, program_of

SHAPES = [(1, 3, 5, 7), (2, 3, 8, 6)]


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("kernel", [1, 2, 4, 5, 9])
def test_every_size_and_padding(kernel: int, stride: int) -> None:
    for padding in sorted({0, 1, kernel // 2, kernel}):
        for extra in sorted({0, stride - 1}):
            if all(stride * (size - 1) + kernel + extra > 2 * padding for shape in SHAPES for size in shape[2:]):
                b = Builder()
                constants = b.const(torch.randn(3, 2, kernel, kernel)), b.const(torch.randn(2))
                sizes = [stride, stride], [padding, padding], [extra, extra]
                graph = b.output(b.call(torch.ops.aten.conv_transpose2d.input, b.input(), *constants, *sizes))
                program = program_of(graph, *((shape,) for shape in SHAPES))
                check_pass(program, FoldConstants(), SplitTransposed(), ops={"conv_transpose2d": 0, "conv2d": 1})


def test_an_oblong_kernel() -> None:
    layer = nn.ConvTranspose2d(3, 2, (3, 8), 2, (1, 3), (1, 0))
    check_pass(layer, FoldConstants(), SplitTransposed(), patches=SHAPES, ops={"conv2d": 1, "pixel_shuffle": 1})


def test_a_picture_without_batch() -> None:
    layer = nn.ConvTranspose2d(3, 2, 9, 3, 4, 2)
    check_pass(layer, FoldConstants(), SplitTransposed(), patches=[(3, 5, 6)], ops={"conv_transpose2d": 0})


@pytest.mark.parametrize(("scale", "window", "slices"), [(2, 5, 0), (3, 3, 2), (4, 3, 0)])
def test_fsrcnn(scale: int, window: int, slices: int) -> None:
    """The phase shift leaves 3 taps of 9 at factor 3 where 4 would be, at the price of two slices."""
    model = create("fsrcnn", scale).eval()
    want = {"conv_transpose2d": 0, "pixel_shuffle": 1, "slice": slices, "constant_pad_nd": 0}
    check_pass(model, FoldConstants(), SplitTransposed(), ops=want)


class Dynamic(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.conv_transpose2d(x, x[:, :, :2, :2])


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.ConvTranspose2d(3, 3, 3, groups=3), "3 groups"),
        (nn.ConvTranspose2d(3, 3, 3, dilation=2), "dilation (2, 2)"),
        (nn.ConvTranspose2d(3, 3, 3, (1, 2)), "strides 1 and 2 differ, a pixel shuffle has one factor"),
        (Dynamic(), "weights or bias are not constants"),
    ],
)
def test_refuses(layer: nn.Module, reason: str) -> None:
    shape = (3, 3, 6, 5)
    check_pass(layer, FoldConstants(), SplitTransposed(), patches=[shape], ops={"conv_transpose2d": 1}, misses=[reason])
    assert torch.is_tensor(layer(torch.zeros(shape)))
