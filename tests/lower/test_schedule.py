"""Schedules of chains, simulated row by row: what a call reads has been made, and no ring has overwritten it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dydca.lower.calls import Call, Chain, Value, Weight
from dydca.lower.kernels.direct import DirectConv
from dydca.lower.kernels.epilogue import Operand, Step
from dydca.lower.kernels.layer import Conv
from dydca.lower.kernels.rows import Reach, RowKernel
from dydca.lower.kernels.winograd import WinogradConv
from dydca.lower.layout import Layout
from dydca.lower.schedule import schedule

WIDTH = 12
HALO = 3


def link(draw: st.DrawFn, source: Value, residual: Value | None, number: int) -> Call:
    """A convolution of a random kind on `source`, with an add if the residual has the same shape."""
    n, c, h, w = source.shape
    winograd = draw(st.sampled_from([0, 2, 4, 6]))
    window = 3 if winograd else draw(st.sampled_from([1, 3, 5]))
    stride = 1 if winograd else draw(st.sampled_from([1, 1, 1, 2]))
    padding = draw(st.integers(0, min(window // 2 + (not winograd), HALO)))
    shuffle = draw(st.sampled_from([1, 1, 1, 2]))
    rows = (h + 2 * padding - window) // stride + 1
    shape = n, 4, max(rows, 1), w
    target = Layout(1 if shuffle > 1 else 4, HALO)
    adds = residual is not None and residual.shape == shape
    operands = (Operand(residual.layout, shape),) if adds and residual is not None else ()
    steps = (Step("add", (), 0),) if adds else ()
    how = (window, window), (stride, stride), (padding, padding)
    layer = Conv(source.layout, (n, c, h, w), target, shape, shuffle, steps, operands, *how)
    kernel: RowKernel = WinogradConv(layer, 4, winograd, 5, 1, False) if winograd else DirectConv(layer, 4, 4, 1, 1)
    result = Value(f"v{number}", layer.stored_shape, layout=target)
    constants = [Weight(name, np.zeros(1, np.float32)) for name in kernel.constants()]
    return Call(kernel, [source, *constants, *([residual] if adds and residual else [])], [result])


@st.composite
def runs(draw: st.DrawFn) -> list[Call]:
    first = Value("x", (draw(st.integers(1, 2)), 4, draw(st.integers(3, 40)), WIDTH), "input", layout=Layout(4, HALO))
    values, calls = [first], []
    for number in range(draw(st.integers(2, 7))):
        source = values[-1 - draw(st.integers(0, min(1, len(values) - 1)))]
        if source.shape[2] < 2:
            break
        calls.append(link(draw, source, draw(st.sampled_from([None, *values])), number))
        values += calls[-1].writes
    return calls


@given(runs(), st.sampled_from([1, 2, 4]))
def test_rows_are_there_when_they_are_read(run: list[Call], scale: int) -> None:
    written = {value for call in run for value in call.writes}
    read = {value for call in run for value in call.values if value not in call.writes}
    found = schedule(run, written & read, scale) if run else None
    if found is None:
        return
    chain = found.chain()
    for n in range(run[0].writes[0].shape[0]):
        simulate(chain, written, n)


def simulate(chain: Chain, written: set[Value], n: int) -> None:
    """Runs one picture, following which row lies in each row of each buffer."""
    rows: dict[Value, dict[int, int]] = {value: {} for value in written}
    for step in range(chain.steps):
        for link_ in chain.links:
            kernel, (target,) = link_.kernel, link_.call.writes
            begin, end = (link_.start + link_.count * number for number in (step, step + 1))
            made = [(b * kernel.band + kernel.first) * kernel.layer.shuffle for b in (begin, end)]
            write(rows[target], target, range(*made))
            bands = range(max(begin, 0), min(end, kernel.bands))
            for band in bands:
                check_reads(rows, link_.call, kernel, band)
    for value in written:
        if not value.layout.rows:
            assert set(rows[value].values()) >= set(range(value.shape[2])), "all has been made"


def write(held: dict[int, int], value: Value, made: range) -> None:
    """Rows of the picture, and those of the halo, which the border function writes."""
    halo, height = value.layout.halo, value.shape[2]
    for row in made:
        if -halo <= row < height + halo:
            held[(row + halo) % (value.layout.rows or height + 2 * halo)] = row


def check_reads(rows: dict[Value, dict[int, int]], call: Call, kernel: RowKernel, band: int) -> None:
    pictures = [operand for operand in call.reads if isinstance(operand, Value)]
    first = kernel.first + band * kernel.band
    inside = range(max(first, 0), min(first + kernel.band, kernel.layer.target_shape[2]))
    for value, reach in zip(pictures, [kernel.reach, *(Reach() for _ in pictures[1:])], strict=True):
        if value not in rows:
            continue
        halo, held = value.layout.halo, rows[value]
        for y in inside:
            for row in range(y * reach.stride - reach.above, y * reach.stride + reach.below + 1):
                assert held.get((row + halo) % (value.layout.rows or value.shape[2] + 2 * halo)) == row
