"""Every row kernel between rings that hold nothing but the rows in reach: the same bits as between whole pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dydca.lower.kernels.channel_norm import ChannelNorm
from dydca.lower.kernels.depthwise import DepthwiseConv
from dydca.lower.kernels.direct import DirectConv
from dydca.lower.kernels.epilogue import Operand, Step
from dydca.lower.kernels.layer import Conv, Layer
from dydca.lower.kernels.move import Move
from dydca.lower.kernels.rows import Reach, RowKernel
from dydca.lower.kernels.winograd import WinogradConv
from dydca.lower.layout import Layout, picture
from tests.lower.native_kernel import HOST, Array, compile_kernels, guarded, pointers

BLOCKED, PLANES = Layout(HOST.lanes, 2), Layout(1, 2)
SHAPE = 2, 20, 17, 19


def add(*shape: int, lies: Layout = BLOCKED) -> dict[str, Any]:
    """An epilogue with a picture beside."""
    return {"steps": (Step("add", (), 0), Step("relu")), "operands": (Operand(lies, picture(shape)),)}


def conv(c: int, o: int, source: Layout = BLOCKED, target: Layout = BLOCKED, **changed: Any) -> Conv:
    """A convolution of two pictures of 17 rows, with an add unless something else is said."""
    layer = Conv(source, (2, c, 17, 19), target, (2, o, 1, 1), **({"padding": (1, 1)} | changed))
    rows, columns = (
        (17 + 2 * i, 19 + 2 * i)[axis] - layer.dilation[axis] * (layer.window[axis] - 1)
        for axis, i in enumerate(layer.padding)
    )
    shape = 2, o, (rows - 1) // layer.stride[0] + 1, (columns - 1) // layer.stride[1] + 1
    return replace(layer, target_shape=shape, **(add(*shape) if target == BLOCKED else {}))


def winograd(m: int, offset: int, target: Layout = BLOCKED, **changed: Any) -> WinogradConv:
    return WinogradConv(conv(20, 12, target=target, **changed), HOST.lanes, m, 5, 1, False, offset)


WIDE: dict[str, Any] = {"window": (5, 5), "padding": (2, 2)}
KERNELS: dict[str, RowKernel] = {
    **{f"F({m}), {offset} above": winograd(m, offset) for m in (2, 4, 6) for offset in (0, 1, m - 1)},
    "F(4, 5)": winograd(4, 3, **WIDE),
    "F(6) without padding": winograd(6, 2, padding=(0, 0)),
    "F(6) to planes": winograd(6, 5, PLANES, shuffle=2),
    "direct": DirectConv(conv(20, 12), HOST.lanes, 5, 1, 4),
    "direct, stride": DirectConv(conv(20, 12, **WIDE, stride=(2, 3)), HOST.lanes, 5, 1, 4),
    "direct, planes": DirectConv(conv(3, 12, PLANES, PLANES, shuffle=2), HOST.lanes, 5, 1, 3),
    "depthwise": DepthwiseConv(conv(20, 20, **WIDE, groups=20), HOST.lanes, 5, 5),
    "move": Move(Layer(BLOCKED, SHAPE, Layout(HOST.lanes, 1), SHAPE, 1, *add(*SHAPE).values()), HOST.lanes),
    "move to planes": Move(Layer(BLOCKED, SHAPE, PLANES, SHAPE, 2), HOST.lanes),
    "move from planes": Move(Layer(PLANES, SHAPE, BLOCKED, SHAPE), HOST.lanes),
    "move of planes": Move(Layer(PLANES, SHAPE, PLANES, SHAPE, 2), HOST.lanes),
    "unshuffle": Move(
        Layer(PLANES, (2, 5, 34, 38), BLOCKED, SHAPE, 1, *add(*SHAPE, lies=PLANES).values()), HOST.lanes, 2
    ),
    "norm": ChannelNorm(Layer(BLOCKED, SHAPE, BLOCKED, SHAPE, 1, *add(*SHAPE).values()), HOST.lanes, 1e-6),
}


@pytest.mark.parametrize("name", KERNELS)
def test_rings_give_the_same_bits(name: str) -> None:
    kernel = KERNELS[name]
    reach, band = kernel.reach, kernel.band
    source = kernel.layer.source._replace(rows=(band - 1) * reach.stride + reach.above + reach.below + 1)
    target = kernel.layer.target._replace(rows=band * kernel.layer.shuffle)
    operands = [o.layout._replace(rows=band + 1) for o in kernel.layer.operands]
    ringed = kernel.relaid(source, target, operands)
    whole_function, ring_function = compile_kernels([kernel, ringed])
    random = np.random.default_rng(0)
    whole = {p: guarded(parameter) for p, parameter in kernel.parameters().items()}
    for p, buffer in whole.items():
        if p not in ("y", "scratch"):
            buffer[...] = random.random(buffer.shape, np.float32) - 0.5
    whole_function(*pointers(whole), 0, kernel.extent)
    rings = {p: guarded(parameter) for p, parameter in ringed.parameters().items()}
    for p in ("w", "b"):
        if p in rings:
            rings[p][...] = whole[p]
    got = np.full_like(whole["y"], np.nan)
    for n in range(2):
        for index in range(kernel.bands):
            fill_rings(kernel, ringed, rings, whole, n, index)
            units = (n * kernel.bands + index) * kernel.across
            ring_function(*pointers(rings), units, units + kernel.across)
            take_rows(kernel, ringed, rings["y"], got[n], index)
    np.testing.assert_array_equal(got, whole["y"])


def rows_of(kernel: RowKernel, index: int) -> range:
    """The rows that a band makes."""
    first = kernel.first + index * kernel.band
    return range(max(first, 0), min(first + kernel.band, kernel.layer.target_shape[2]))


def fill_rings(
    kernel: RowKernel, ringed: RowKernel, rings: dict[str, Array], whole: dict[str, Array], n: int, index: int
) -> None:
    """The rows in reach of a band; NaN in all others, and in y."""
    rings["y"].fill(np.nan)
    rows, reach = rows_of(kernel, index), kernel.reach
    pictures = [("x", ringed.layer.source, reach)]
    pictures += [(f"operand{i}", o.layout, Reach()) for i, o in enumerate(ringed.layer.operands)]
    for name, layout, (stride, above, below) in pictures:
        rings[name].fill(np.nan)
        for row in range(rows.start * stride - above, (rows.stop - 1) * stride + below + 1):
            rings[name][0, :, (row + layout.halo) % layout.rows] = whole[name][n, :, row + layout.halo]


def take_rows(kernel: RowKernel, ringed: RowKernel, ring: Array, got: Array, index: int) -> None:
    """Moves the rows of a band, and checks that nothing else has been written."""
    layout, shuffle = ringed.layer.target, kernel.layer.shuffle
    for row in range(rows_of(kernel, index).start * shuffle, rows_of(kernel, index).stop * shuffle):
        got[:, row + layout.halo] = ring[0, :, (row + layout.halo) % layout.rows]
        ring[0, :, (row + layout.halo) % layout.rows] = np.nan
    assert np.isnan(ring).all()
