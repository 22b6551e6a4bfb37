"""Elementwise chains and changes of layout against torch: exact, between all layouts, at every width."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dydca.lower.kernels.epilogue import Operand, Step
from dydca.lower.kernels.layer import Layer
from dydca.lower.kernels.move import Move
from dydca.lower.layout import Layout, PictureShape
from tests.lower.native_kernel import compile_kernels
from tests.lower.native_rows import NativeRows

WIDTHS = 3, 16, 35
CHANNELS = 3, 36


def moves(lanes: int, source: int, target: int, shuffle: int, unshuffle: int) -> list[Move]:
    """One kernel per width and number of channels that the factors allow, with an epilogue that reads beside."""
    found = []
    for width in WIDTHS:
        for channels in CHANNELS:
            inner: PictureShape = (2, channels * unshuffle**2, 3, width)
            outer: PictureShape = (2, channels, 3 * unshuffle, width * unshuffle)
            if inner[1] % shuffle**2:
                continue
            beside = (inner, 1), ((1, inner[1], 1, 1), 0), ((2, 1, 3, width), 0), ((2, inner[1], 1, 1), 0)
            operands = tuple(Operand(Layout(source if shape[1] > 1 else 1, halo), shape) for shape, halo in beside)
            steps = tuple(Step("add" if number % 2 else "maximum", (), number) for number in range(len(operands)))
            layer = Layer(Layout(source, 1), outer, Layout(target, 2), inner, shuffle, steps, operands)
            found.append(Move(layer, lanes, unshuffle))
    return found


@pytest.mark.parametrize(
    ("source", "target", "shuffle", "unshuffle"),
    [
        (1, 1, 1, 1),
        (0, 0, 1, 1),
        (1, 0, 1, 1),
        (0, 1, 1, 1),
        (0, 1, 2, 1),
        (0, 1, 3, 1),
        (0, 1, 6, 1),
        (1, 1, 2, 1),
        (1, 1, 3, 1),
        (1, 1, 1, 2),
        (1, 1, 1, 3),
        (1, 0, 1, 2),
        (1, 0, 1, 3),
    ],
)
@pytest.mark.parametrize("lanes", [4, 16])
def test_between_all_layouts(lanes: int, source: int, target: int, shuffle: int, unshuffle: int) -> None:
    kernels = moves(lanes, source or lanes, target or lanes, shuffle, unshuffle)
    for kernel, function in zip(kernels, compile_kernels(kernels), strict=True):
        native, x = NativeRows(kernel, function), torch.randn(kernel.layer.source_shape)
        beside = [torch.randn(operand.shape) for operand in kernel.layer.operands]
        native.put(x.numpy(), [tensor.numpy() for tensor in beside])
        want = F.pixel_unshuffle(x, unshuffle)
        for number, tensor in enumerate(beside):
            want = want + tensor if number % 2 else torch.maximum(want, tensor)
        want = F.pixel_shuffle(want, shuffle)
        assert all(np.array_equal(got, want.numpy()) for got in native.every_cut())
