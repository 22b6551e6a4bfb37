"""The Winograd kernel against conv2d in float64: epilogues, stores, sizes and layouts, in buffers of exact size."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as functional

from dydca.lower.kernels.epilogue import Operand, Step
from dydca.lower.kernels.layer import Conv
from dydca.lower.kernels.winograd import WinogradConv
from dydca.lower.kernels.winograd_points import transforms
from dydca.lower.layout import Layout
from tests.lower.native_kernel import HOST, Array, NativeConv

TOLERANCE = {2: 2e-6, 4: 1e-5, 6: 4e-5}
"""Largest error relative to the largest output."""

SIZES = [2, 4, 6]


def conv(shape: tuple[int, int, int, int], channels: int, m: int, **changed: Any) -> WinogradConv:
    """A kernel of padding 1 between layouts of halo 1."""
    padding, lanes = changed.get("padding", (1, 1)), changed.get("lanes", HOST.lanes)
    window = changed.get("window", 3)
    n, _, h, w = shape
    blocks = -(-channels // lanes)
    layer = Conv(
        changed.get("source", Layout(lanes, 1)),
        shape,
        changed.get("target", Layout(lanes, 1)),
        (n, channels, h + 2 * padding[0] - window + 1, w + 2 * padding[1] - window + 1),
        changed.get("shuffle", 1),
        changed.get("steps", ()),
        changed.get("operands", ()),
        window=(window, window),
        padding=padding,
    )
    vectors = changed.get("vectors", max(v for v in (1, 2, 3) if blocks % v == 0))
    how = changed.get("batch", 5), vectors, changed.get("by_lane", False), changed.get("offset", 0)
    return WinogradConv(layer, lanes, m, *how)


def ready(kernel: WinogradConv, *operands: Array, at_end: bool = True) -> tuple[NativeConv, torch.Tensor]:
    """The compiled kernel with random contents, and the convolution's own result in float64."""
    layer = kernel.layer
    channels, c = layer.target_shape[1], layer.source_shape[1]
    x, weight, bias = (
        torch.rand(layer.source_shape) - 0.3,
        torch.randn(channels, c, *layer.window) / c,
        torch.randn(channels),
    )
    native = NativeConv(kernel, weight.numpy(), bias.numpy(), at_end=at_end)
    native.put(x.numpy(), operands)
    return native, functional.conv2d(x.double(), weight.double(), bias.double(), padding=layer.padding)


def assert_close(got: Array, want: torch.Tensor, m: int) -> None:
    error = np.abs(got - want.numpy()).max() / want.abs().max().item()
    assert error <= TOLERANCE[m]


@pytest.mark.parametrize(("m", "r"), [*((m, 3) for m in SIZES), (2, 5), (4, 5)])
def test_the_matrices_compute_a_filter_exactly(m: int, r: int) -> None:
    bt, g, at = transforms(m, r)
    d = [Fraction(7 * i - 3, i + 2) for i in range(m + r - 1)]
    taps = [Fraction(2, 3), Fraction(-5), Fraction(1, 7), Fraction(4, 3), Fraction(-3, 5)][:r]
    product = [
        sum(b * x for b, x in zip(row, d, strict=True)) * sum(c * t for c, t in zip(tap_row, taps, strict=True))
        for row, tap_row in zip(bt, g, strict=True)
    ]
    got = [sum(a * p for a, p in zip(row, product, strict=True)) for row in at]
    assert got == [sum(taps[j] * d[i + j] for j in range(r)) for i in range(m)]


@pytest.mark.parametrize("m", SIZES)
@pytest.mark.parametrize(("c", "o"), [(16, 16), (32, 64), (48, 32), (28, 28), (16, 12), (5, 48)])
def test_channels(c: int, o: int, m: int) -> None:
    native, want = ready(conv((1, c, 13, 11), o, m))
    assert_close(native.run(), want, m)


@pytest.mark.parametrize("m", SIZES)
@pytest.mark.parametrize(
    ("size", "padding"),
    [
        *(((h, w), (1, 1)) for h, w in [(5, 7), (13, 11), (12, 12), (1, 1), (1, 9), (8, 2), (3, 3), (6, 25)]),
        *(((h, w), (0, 0)) for h, w in [(5, 7), (13, 11), (1, 1), (2, 8)]),
        ((13, 11), (1, 0)),
        ((3, 14), (0, 1)),
    ],
)
def test_sizes_and_paddings(size: tuple[int, int], padding: tuple[int, int], m: int) -> None:
    shape = (1, 16, size[0] + 2 - 2 * padding[0], size[1] + 2 - 2 * padding[1])
    native, want = ready(conv(shape, 16, m, padding=padding))
    assert tuple(want.shape[2:]) == size
    assert_close(native.run(), want, m)


@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize(
    ("size", "padding"),
    [
        *(((h, w), (2, 2)) for h, w in [(5, 7), (13, 11), (8, 12), (1, 1), (1, 9), (6, 25)]),
        ((13, 11), (0, 0)),
        ((3, 14), (2, 1)),
    ],
)
def test_windows_of_five(size: tuple[int, int], padding: tuple[int, int], m: int) -> None:
    shape = (2, 20, size[0] + 4 - 2 * padding[0], size[1] + 4 - 2 * padding[1])
    native, want = ready(conv(shape, 12, m, window=5, padding=padding, source=Layout(HOST.lanes, 2)))
    assert tuple(want.shape[2:]) == size
    whole = native.run()
    assert_close(whole, want, m + 2)
    np.testing.assert_array_equal(native.run(1, native.kernel.extent // 2), whole)


@pytest.mark.parametrize("m", SIZES)
@pytest.mark.parametrize(("source", "target"), [(1, 0), (2, 1), (1, 2), (2, 2)])
def test_halos(source: int, target: int, m: int) -> None:
    layouts = {"source": Layout(HOST.lanes, source), "target": Layout(HOST.lanes, target)}
    native, want = ready(conv((1, 16, 9, 10), 32, m, **layouts))
    assert_close(native.run(), want, m)


@pytest.mark.parametrize("m", SIZES)
@pytest.mark.parametrize(("shuffle", "o"), [(1, 12), (2, 12), (3, 27), (4, 48)])
@pytest.mark.parametrize("halo", [0, 2])
def test_stores_of_planes(shuffle: int, o: int, halo: int, m: int) -> None:
    blocks = -(-o // HOST.lanes)
    layout = Layout(1, halo)
    native, want = ready(conv((2, 16, 7, 9), o, m, target=layout, shuffle=shuffle, vectors=blocks))
    assert_close(native.run(), functional.pixel_shuffle(want, shuffle), m)


@pytest.mark.parametrize("m", SIZES)
@pytest.mark.parametrize("shuffle", [0, 2], ids=["blocked", "shuffled"])
def test_epilogue(shuffle: int, m: int) -> None:
    residual, slope = torch.randn(2, 20, 13, 10), torch.rand(20)
    steps = (
        Step("prelu", (), 1),
        Step("scale", (0.7,)),
        Step("add", (), 0),
        Step("clamp_max", (1.5,)),
        Step("leaky_relu", (0.1,)),
        Step("shift", (-0.25,)),
    )
    changed: dict[str, Any] = {
        "steps": steps,
        "operands": (Operand(Layout(HOST.lanes, 2), (2, 20, 13, 10)), Operand(Layout(HOST.lanes, 0), (1, 20, 1, 1))),
    }
    if shuffle:
        changed |= {"shuffle": shuffle, "target": Layout(1, 0), "vectors": -(-20 // HOST.lanes)}
    native, want = ready(conv((2, 16, 13, 10), 20, m, **changed), residual.numpy(), slope.numpy())
    want = functional.prelu(want, slope.double()) * 0.7 + residual.double()
    want = functional.leaky_relu(want.clamp(max=1.5), 0.1) - 0.25
    assert_close(native.run(), functional.pixel_shuffle(want, shuffle) if shuffle else want, m)


@pytest.mark.parametrize("m", SIZES)
@pytest.mark.parametrize("shuffle", [0, 2], ids=["blocked", "shuffled"])
def test_any_cut_of_the_work_gives_the_same_bits(shuffle: int, m: int) -> None:
    changed: dict[str, Any] = {"shuffle": shuffle, "target": Layout(1, 0)} if shuffle else {}
    native, want = ready(conv((2, 16, 19, 17), 16, m, vectors=-(-16 // HOST.lanes), **changed))
    whole = native.run()
    assert_close(whole, functional.pixel_shuffle(want, shuffle) if shuffle else want, m)
    extent = native.kernel.extent
    for cuts in [(1,), (extent // 3, extent // 2), (0, 1, extent), tuple(range(1, extent))]:
        np.testing.assert_array_equal(native.run(*cuts), whole)


@pytest.mark.parametrize("m", SIZES)
def test_units_in_any_order_give_the_same_bits(m: int) -> None:
    native, _ = ready(conv((1, 16, 19, 17), 16, m))
    whole = native.run()
    native.buffers["y"].fill(np.nan)
    for unit in reversed(range(native.kernel.extent)):
        native(unit, unit + 1)
    backwards = native.buffers["y"].copy()
    native.run()
    np.testing.assert_array_equal(backwards, native.buffers["y"])
    assert np.isfinite(whole).all()


@pytest.mark.parametrize("m", SIZES)
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (13, 11)])
def test_nothing_before_the_buffers_is_touched(size: tuple[int, int], m: int) -> None:
    native, want = ready(conv((1, 16, *size), 16, m), at_end=False)
    assert_close(native.run(), want, m)


@pytest.mark.parametrize(("batch", "vectors"), [(1, 1), (14, 2), (6, 4), (37, 1)])
def test_register_tiles(batch: int, vectors: int) -> None:
    native, want = ready(conv((1, 32, 30, 31), 64, 6, batch=batch, vectors=vectors))
    assert_close(native.run(), want, 6)


@pytest.mark.parametrize("m", SIZES)
@pytest.mark.parametrize("lanes", [4, 8])
def test_narrower_vectors(lanes: int, m: int) -> None:
    native, want = ready(conv((1, 20, 13, 11), 12, m, lanes=lanes))
    assert_close(native.run(), want, m)


@pytest.mark.parametrize("m", SIZES)
def test_the_form_by_lanes_gives_the_same_bits(m: int) -> None:
    one, want = ready(conv((1, 20, 13, 11), 32, m, lanes=4))
    other = NativeConv(conv((1, 20, 13, 11), 32, m, lanes=4, by_lane=True), *blank(32, 20))
    for name in ("x", "w", "b"):
        other.buffers[name][...] = one.buffers[name]
    np.testing.assert_array_equal(other.run(), one.run())
    assert_close(other.run(), want, m)


def blank(channels: int, c: int) -> tuple[Array, Array]:
    return np.zeros((channels, c, 3, 3), np.float32), np.zeros(channels, np.float32)
