"""The depthwise kernel against conv2d in float64: windows, epilogues, sizes and layouts, in buffers of exact size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as functional

from dydca.lower.kernels.depthwise import DepthwiseConv
from dydca.lower.kernels.epilogue import Operand, Step
from dydca.lower.kernels.layer import Conv
from dydca.lower.layout import Layout
from dydca.lower.select_kernels import select_kernel
from dydca.lower.targets import Target
from tests.lower.native_kernel import HOST, Array, NativeConv

TOLERANCE = 2e-6
"""Largest error relative to the largest output."""


def conv(
    shape: tuple[int, int, int, int], window: tuple[int, int] = (3, 3), target: Target = HOST, **changed: Any
) -> DepthwiseConv:
    """What is chosen between the narrowest blocked layouts, for padding that keeps the size at stride 1."""
    dilation, stride = changed.get("dilation", (1, 1)), changed.get("stride", (1, 1))
    padding = changed.get("padding", tuple(d * (k - 1) // 2 for d, k in zip(dilation, window, strict=True)))
    n, c, *size = shape
    spans = [(size[i] + 2 * padding[i] - dilation[i] * (window[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)]
    source = Layout(target.lanes, changed.get("source", max(padding)))
    between = source, shape, Layout(target.lanes, changed.get("halo", 0)), (n, c, spans[0], spans[1])
    epilogue = changed.get("steps", ()), changed.get("operands", ())
    layer = Conv(*between, 1, *epilogue, window, stride, padding, dilation, c)
    kernel = select_kernel(target, layer).kernel
    assert isinstance(kernel, DepthwiseConv)
    return kernel


def ready(kernel: DepthwiseConv, *operands: Array, at_end: bool = True) -> tuple[NativeConv, torch.Tensor]:
    """The compiled kernel with random contents, and the convolution's own result in float64."""
    layer, c = kernel.layer, kernel.layer.source_shape[1]
    x, weight, bias = torch.rand(layer.source_shape) - 0.3, torch.randn(c, 1, *layer.window), torch.randn(c)
    native = NativeConv(kernel, weight.numpy(), bias.numpy(), at_end=at_end)
    native.put(x.numpy(), operands)
    sizes = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
    return native, functional.conv2d(x.double(), weight.double(), bias.double(), groups=c, **sizes)


def assert_close(got: Array, want: torch.Tensor) -> None:
    assert got.shape == tuple(want.shape)
    assert np.abs(got - want.numpy()).max() <= TOLERANCE * want.abs().max().item()


@pytest.mark.parametrize("channels", [5, 16, 20, 48])
@pytest.mark.parametrize("window", [(3, 3), (5, 5), (7, 7), (1, 1), (1, 11), (9, 2)])
def test_windows(window: tuple[int, int], channels: int) -> None:
    native, want = ready(conv((1, channels, 13, 17), window))
    assert_close(native.run(), want)


@pytest.mark.parametrize("width", [1, 2, 13, 14, 15, 29, 43])
def test_rows_that_tiles_do_not_divide(width: int) -> None:
    native, want = ready(conv((2, 20, 3, width)))
    assert_close(native.run(), want)


@pytest.mark.parametrize("at_end", [True, False])
@pytest.mark.parametrize(
    "changed",
    [
        {"stride": (2, 2)},
        {"stride": (1, 3)},
        {"dilation": (3, 3)},
        {"dilation": (2, 1), "stride": (2, 3)},
        {"padding": (0, 0)},
        {"padding": (0, 2)},
        {"padding": (3, 3)},
        {"source": 4, "halo": 3},
        {"padding": (0, 0), "source": 1, "halo": 1},
    ],
    ids=str,
)
def test_strides_paddings_dilations_and_halos(changed: dict[str, Any], at_end: bool) -> None:
    native, want = ready(conv((2, 20, 13, 17), (5, 5), **changed), at_end=at_end)
    assert_close(native.run(), want)


@pytest.mark.parametrize("halo", [0, 2])
def test_epilogue(halo: int) -> None:
    residual, slope = torch.randn(2, 20, 9, 10), torch.rand(20)
    steps = (Step("prelu", (), 1), Step("scale", (0.7,)), Step("add", (), 0), Step("clamp_max", (1.5,)))
    operands = Operand(Layout(HOST.lanes, halo), (2, 20, 9, 10)), Operand(Layout(HOST.lanes, 0), (1, 20, 1, 1))
    kernel = conv((2, 20, 9, 10), steps=steps, operands=operands, halo=1)
    native, want = ready(kernel, residual.numpy(), slope.numpy())
    want = (functional.prelu(want, slope.double()) * 0.7 + residual.double()).clamp(max=1.5)
    assert_close(native.run(), want)


def test_any_cut_of_the_work_gives_the_same_bits() -> None:
    native, want = ready(conv((2, 40, 7, 9)))
    whole = native.run()
    assert_close(whole, want)
    extent = native.kernel.extent
    for cuts in [(1,), (extent // 3, extent // 2), (0, 1, extent), tuple(range(1, extent))]:
        assert np.array_equal(native.run(*cuts), whole)


@pytest.mark.parametrize("window", [(3, 3), (5, 5), (7, 7), (9, 9)])
@pytest.mark.parametrize(("lanes", "registers"), [(16, 32), (8, 16), (4, 32)])
def test_register_tiles_fit_the_register_file(lanes: int, registers: int, window: tuple[int, int]) -> None:
    target = Target("any", "x86_64-linux-gnu", "x86-64-v3", (), lanes, registers)
    kernel = conv((1, 32, 54, 48), window, target)
    assert kernel.tile + kernel.unroll + 1 <= registers
    assert kernel.layer.window[1] % kernel.unroll == 0
