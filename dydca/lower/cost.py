"""What work is predicted to take, in cycles of one core: arithmetic, and the way of all data through memory.

The core is one that starts two vector multiply-adds, two loads and one store a cycle, as the x86 and ARM cores of the
last ten years do. What the picture wastes in tiles that stick out or stay empty is counted.
"""

from __future__ import annotations

from math import prod

from dydca.lower.calls import Call, Value, Weight
from dydca.lower.kernels.depthwise import DepthwiseConv
from dydca.lower.kernels.direct import DirectConv
from dydca.lower.kernels.kernel import Kernel
from dydca.lower.kernels.rows import ConvKernel
from dydca.lower.kernels.winograd import WinogradConv
from dydca.lower.kernels.winograd_loops import UNROLL
from dydca.lower.kernels.winograd_transform import input_work, output_work
from dydca.lower.schedule import Schedule
from dydca.lower.targets import Target

PER_CYCLE = 2
"""Vector multiply-adds started a cycle; loads too."""

IN_FLIGHT = 8
"""Sums a register tile needs so that none waits for its own last multiply-add."""

LINE = 64
"""Bytes of a cache line."""

LINE_CYCLES = 0.5, 2.0, 13.0
"""Cycles by which a line delays the work it is for: from the second-level cache, from the third, from memory."""

HAND_OUT_CYCLES = 2000
"""What it costs to hand a call out to the threads of a team and to wait for them."""


def call_cycles(call: Call, target: Target) -> float:
    """A call on its own: what it touches is streamed through memory once."""
    streamed = sum(value.bytes for value in call.values) + _constant_bytes(call)
    return kernel_cycles(call.kernel) + streamed / LINE * line_cycles(target, streamed)


def chain_cycles(schedule: Schedule, target: Target) -> float:
    """A chain: what lies in rings stays as near as all of them together allow, and weights come anew in each step."""
    total = 0.0
    weights = [_constant_bytes(pace.call) for pace in schedule.paces]
    rings = sum(ring_bytes(value, rows) for value, rows in schedule.rings.items())
    near = line_cycles(target, rings + sum(weights))
    for pace, constant in zip(schedule.paces, weights, strict=True):
        outside = [value.bytes for value in pace.call.values if value not in schedule.rings]
        inside = [value.bytes for value in pace.call.values if value in schedule.rings]
        total += kernel_cycles(pace.kernel, pace.rows // pace.kernel.band * pace.kernel.across)
        total += sum(outside) / LINE * line_cycles(target, sum(outside))
        total += (sum(inside) + constant * schedule.steps) / LINE * near + HAND_OUT_CYCLES * schedule.steps
    return total


def _constant_bytes(call: Call) -> int:
    return sum(operand.array.nbytes for operand in call.reads if isinstance(operand, Weight))


def ring_bytes(value: Value, rows: int) -> int:
    """What a ring of so many rows of a value takes."""
    return value.bytes // (value.shape[2] + 2 * value.layout.halo) * rows // value.shape[0]


def line_cycles(target: Target, span: int) -> float:
    """The delay of a line that is needed again after `span` bytes of others; half of a cache counts."""
    for size, cycles in zip(target.caches, LINE_CYCLES, strict=False):
        if span <= size // 2:
            return cycles
    return LINE_CYCLES[-1]


def kernel_cycles(kernel: Kernel, units: int | None = None) -> float:
    """The arithmetic of a kernel's whole extent, in calls of so many units, by default in one."""
    if isinstance(kernel, DepthwiseConv):
        return _depthwise_cycles(kernel)
    if isinstance(kernel, WinogradConv):
        return _winograd_cycles(kernel, units or kernel.extent)
    if isinstance(kernel, DirectConv):
        return _direct_cycles(kernel)
    return sum(parameter.floats for parameter in kernel.parameters().values()) / 4


def _product_cycles(tile: int, vectors: int, loads: float) -> float:
    """One input channel into a register tile."""
    return max(tile * vectors, IN_FLIGHT, loads) / PER_CYCLE


def _direct_cycles(k: DirectConv) -> float:
    whole, rest = divmod(k.layer.target_shape[3], k.tile)
    taps = k.layer.window[0] * k.layer.window[1]
    row = sum(
        taps * k.channels * _product_cycles(pixels, k.vectors, pixels / (k.unroll if k.by_lane else 1) + k.vectors)
        + 2 * k.passes * pixels * k.vectors
        for pixels in [k.tile] * whole + [rest] * bool(rest)
    )
    return k.extent * k.blocks * row + _turn_cycles(k)


def _depthwise_cycles(k: DepthwiseConv) -> float:
    whole, rest = divmod(k.layer.target_shape[3], k.tile)
    runs = k.layer.window[0] * k.layer.window[1] // k.unroll
    return k.extent * sum(
        runs * _product_cycles(pixels, k.unroll, _columns(k, pixels) + k.unroll) + 2 * pixels
        for pixels in [k.tile] * whole + [rest] * bool(rest)
    )


def _columns(k: DepthwiseConv, pixels: int) -> int:
    """Columns of the picture under a run of taps of all pixels of a tile."""
    stride, dilation = k.layer.stride[1], k.layer.dilation[1]
    return len({t * stride + tap * dilation for t in range(pixels) for tap in range(k.unroll)})


def _winograd_cycles(k: WinogradConv, units: int) -> float:
    whole, rest = divmod(units, k.batch)
    tiles = [k.batch] * whole + ([k.half if rest <= k.half else k.batch] if rest else [])
    near = k.parameters()["w"].floats * 4 / LINE * LINE_CYCLES[0]
    products = k.extent / units * sum(k.points**2 * k.groups * _tile_cycles(k, batch) + near for batch in tiles)
    into, back = input_work(k.m, k.taps).operations, output_work(k.m, k.taps).operations
    # Each element passes through memory between the two directions, and V and M through the second-level cache.
    lines = k.points**2 * k.lanes * 4 / LINE
    inward = 2 * k.points * into / PER_CYCLE + 2 * k.points**2 + lines
    outward = (k.points + k.m) * back / PER_CYCLE + k.m * (k.points + k.m) + lines
    blocks = k.layer.source.blocks(k.layer.source_shape[1])
    return products + k.extent * (blocks * inward + k.groups * k.vectors * outward) + _turn_cycles(k)


def _tile_cycles(k: WinogradConv, batch: int) -> float:
    """One frequency and group of outputs of a batch."""
    loads = batch / (UNROLL if k.by_lane else 1) + k.vectors
    return k.channels * _product_cycles(batch, k.vectors, loads) + 2 * batch * k.vectors


def _turn_cycles(k: ConvKernel) -> float:
    """One store for each run of pixels that is moved to planes."""
    return prod(k.layer.target_shape) / k.layer.shuffle if k.planar else 0
