"""The kernel of a convolution group: candidates, and what each is predicted to cost on this patch.

The cost is in cycles of a core that starts two vector multiply-adds, two loads and one store a cycle, as the x86
and ARM cores of the last ten years do. What the patch wastes in tiles that stick out or stay empty is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from operator import attrgetter
from typing import Literal, NamedTuple

from torch.fx import Node

from dydca.errors import LoweringError
from dydca.lower.kernels.depthwise import DepthwiseConv
from dydca.lower.kernels.direct import DirectConv
from dydca.lower.kernels.epilogue import Operand, Step
from dydca.lower.kernels.winograd import WinogradConv
from dydca.lower.kernels.winograd_loops import UNROLL
from dydca.lower.kernels.winograd_transform import input_work, output_work
from dydca.lower.layout import Layout
from dydca.lower.targets import Target
from dydca.program import arguments, where


@dataclass(frozen=True)
class ConvAttributes:
    """The numbers of a conv2d node, strings resolved."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]


def conv_attributes(node: Node, window: tuple[int, int]) -> ConvAttributes:
    """Reads stride, padding and dilation of a conv2d.

    Raises:
        LoweringError: DYD401, ``padding="same"`` with an even window, which pads the two sides differently.
    """
    named = arguments(node)
    stride, padding, dilation = named["stride"], named["padding"], named["dilation"]
    dilation = _pair(dilation)
    if isinstance(padding, str):
        same = tuple(d * (k - 1) for d, k in zip(dilation, window, strict=True))
        if padding == "same" and any(total % 2 for total in same):
            fix = "pad explicitly before the convolution"
            raise LoweringError("DYD401", "uneven padding of a convolution", where=where(node), got="same", fix=fix)
        padding = tuple(total // 2 for total in same) if padding == "same" else (0, 0)
    return ConvAttributes(_pair(stride), _pair(padding), dilation)


def _pair(value: object) -> tuple[int, int]:
    numbers = [value, value] if isinstance(value, int) else list(value)  # type: ignore[call-overload]
    return int(numbers[0]), int(numbers[-1])


class ConvShape(NamedTuple):
    """Where a convolution reads and writes: layouts, pictures [N, C, H, W] before any shuffle, kernel size."""

    source: Layout
    source_shape: tuple[int, int, int, int]
    target: Layout
    target_shape: tuple[int, int, int, int]
    window: tuple[int, int]


Precision = Literal["exact", "fast"]
"""How far from the exact result a convolution may be, as a part of the largest output.

``exact`` keeps to kernels that are not further from it than the sum computed in order (2e-6, from 32 or 64 input
channels): direct, F(2) and F(4). ``fast`` adds F(6), with 6e-6; whole networks of ten such layers stayed below 1e-5.
"""

LARGEST_TILE: dict[Precision, int] = {"exact": 4, "fast": 6}

PER_CYCLE = 2
"""Vector multiply-adds started a cycle; loads too."""

IN_FLIGHT = 8
"""Sums a register tile needs so that none waits for its own last multiply-add."""

LINE = 64
"""Bytes of a cache line."""

NEAR_CYCLES, FAR_CYCLES = 0.5, 10.0
"""Cycles by which a line delays the work it is for when it comes from the second-level cache, or from beyond."""

SECOND_LEVEL = 1 << 21
"""Bytes of the second-level cache."""

LARGEST_REGISTER_TILE = 14
"""Pixels or tiles; with more, code grows and speed does not."""

WIDEST_UNROLLED = 7
"""Taps of a row whose weights a depthwise convolution keeps in registers."""

Conv = DirectConv | WinogradConv | DepthwiseConv


class Candidate(NamedTuple):
    """A kernel and its predicted cost in cycles."""

    kernel: Conv
    cycles: float


class Choice(NamedTuple):
    """A kernel with the reason for it: the cheapest candidate of each algorithm, cheapest first."""

    ranking: tuple[Candidate, ...]

    @property
    def kernel(self) -> Conv:
        """What was chosen."""
        return self.ranking[0].kernel

    def __str__(self) -> str:
        best, *others = self.ranking
        text = f"{algorithm(best.kernel)}, {best.cycles / 1e3:.0f} kcycles predicted"
        if not others:
            return text
        return f"{text}; {algorithm(others[0].kernel)} {others[0].cycles / best.cycles:.2f} times as many"


def algorithm(kernel: Conv) -> str:
    """What a report calls the kernel."""
    if isinstance(kernel, WinogradConv):
        return f"Winograd F({kernel.m}x{kernel.m}, 3x3)"
    return "depthwise" if isinstance(kernel, DepthwiseConv) else "direct"


def select_conv(
    target: Target,
    shape: ConvShape,
    attributes: ConvAttributes,
    shuffle: int,
    steps: tuple[Step, ...],
    operands: tuple[Operand, ...],
    precision: Precision = "fast",
) -> Choice:
    """The candidate with the least predicted cost."""
    problem = _Problem(target, shape, attributes, shuffle, steps, operands)
    kernels: list[Conv] = [_direct(problem)]
    if _is_winograd(problem):
        kernels += (kernel for m in range(2, LARGEST_TILE[precision] + 1, 2) for kernel in _winograd(problem, m))
    ranking = sorted((Candidate(kernel, predicted_cycles(kernel)) for kernel in kernels), key=attrgetter("cycles"))
    firsts = {algorithm(candidate.kernel): candidate for candidate in reversed(ranking)}
    return Choice(tuple(sorted(firsts.values(), key=attrgetter("cycles"))))


def select_depthwise(
    target: Target,
    shape: ConvShape,
    attributes: ConvAttributes,
    steps: tuple[Step, ...],
    operands: tuple[Operand, ...],
) -> Choice:
    """The kernel of a convolution that keeps channels apart, between blocked layouts; there is but one."""
    taps, width = shape.window[1], shape.target_shape[3]
    unroll = taps if taps <= WIDEST_UNROLLED else 1
    # One register for each weight and one for the pixel; the rest are sums.
    most = min(target.registers - unroll - 1, LARGEST_REGISTER_TILE)
    tile = -(-width // -(-width // most))
    window = attributes.stride, attributes.padding, attributes.dilation
    kernel = DepthwiseConv(*shape, *window, steps, operands, target.lanes, tile, unroll)
    return Choice((Candidate(kernel, predicted_cycles(kernel)),))


class _Problem(NamedTuple):
    """What `select_conv` is asked."""

    target: Target
    shape: ConvShape
    attributes: ConvAttributes
    shuffle: int
    steps: tuple[Step, ...]
    operands: tuple[Operand, ...]

    def vectors(self, *preferred: int) -> int:
        """Vectors of output channels in a register tile: the first that leaves no block empty.

        It does not depend on the picture's size, so that one copy of the weights serves all patches.
        """
        blocks = -(-self.shape.target_shape[1] // self.target.lanes)
        return next(v for v in preferred if blocks % v == 0)


def _direct(problem: _Problem) -> DirectConv:
    """The register tile that fills the register file, tiles of a row about equally wide."""
    target, shape, attributes, shuffle, steps, operands = problem
    channels, width = shape.source_shape[1], shape.target_shape[3]
    unroll = 4 if shape.source.block > 1 else max(u for u in (1, 2, 3, 4) if channels % u == 0)
    window = attributes.stride, attributes.padding, attributes.dilation
    vectors = problem.vectors(2, 3, 1)
    if shape.target.block == 1:  # only a tile of all channels can be turned into planes
        vectors = -(-shape.target_shape[1] // target.lanes)
    # One register for each weight vector and one for the pixel; the rest are sums.
    most = max(min((target.registers - vectors - 1) // vectors, LARGEST_REGISTER_TILE), 1)
    tile = -(-width // -(-width // most))
    return DirectConv(*shape, *window, shuffle, steps, operands, target.lanes, tile, vectors, unroll)


def _is_winograd(problem: _Problem) -> bool:
    """Whether the convolution is one that `WinogradConv` computes."""
    shape, attributes = problem.shape, problem.attributes
    unit = attributes.stride == attributes.dilation == (1, 1)
    return unit and shape.window == (3, 3) and shape.source.block == problem.target.lanes


def _winograd(problem: _Problem, m: int) -> Iterator[WinogradConv]:
    """Batches from half of what the register file holds, so that a patch fills the last one, too."""
    target, shape, attributes, shuffle, steps, operands = problem
    stored = attributes.padding, shuffle, steps, operands
    by_lane = target.lanes == UNROLL and target.triple.startswith("aarch64")
    vectors = problem.vectors(*((4, 3, 2, 1) if _reads_weights_fast(problem) else (2, 3, 1)))
    # A quarter of the registers is left for weights and pixels; by lane, each tile's inputs take one more.
    most = max(min(target.registers * 3 // 4 // (vectors + by_lane), LARGEST_REGISTER_TILE), 1)
    for batch in range(-(-most // 2), most + 1):
        yield WinogradConv(*shape[:4], *stored, target.lanes, m, batch, vectors, by_lane)


def _reads_weights_fast(problem: _Problem) -> bool:
    """Whether weights come from the second-level cache, a vector a cycle, so that batches may be small."""
    target, shape = problem.target, problem.shape
    largest = (max(LARGEST_TILE.values()) + 2) ** 2 * shape.source_shape[1] * shape.target_shape[1] * 4
    return target.lanes * 4 == LINE and largest <= SECOND_LEVEL // 2


def predicted_cycles(kernel: Conv) -> float:
    """What all of the kernel's work is predicted to take on one core."""
    if isinstance(kernel, DepthwiseConv):
        return _depthwise_cycles(kernel)
    return _direct_cycles(kernel) if isinstance(kernel, DirectConv) else _winograd_cycles(kernel)


def _product_cycles(tile: int, vectors: int, loads: float) -> float:
    """One input channel into a register tile."""
    return max(tile * vectors, IN_FLIGHT, loads) / PER_CYCLE


def _far_cycles(size: int, times: int = 1) -> float:
    """Streaming `size` bytes again and again: what does not stay in the second-level cache arrives late."""
    return max(size - SECOND_LEVEL, 0) / LINE * FAR_CYCLES * times


def _direct_cycles(k: DirectConv) -> float:
    whole, rest = divmod(k.target_shape[3], k.tile)
    taps = k.window[0] * k.window[1]
    row = sum(
        taps * k.channels * _product_cycles(pixels, k.vectors, pixels + k.vectors) + 2 * k.passes * pixels * k.vectors
        for pixels in [k.tile] * whole + [rest] * bool(rest)
    )
    return k.extent * k.groups * row + _store_cycles(k)


def _depthwise_cycles(k: DepthwiseConv) -> float:
    whole, rest = divmod(k.target_shape[3], k.tile)
    runs = k.window[0] * k.window[1] // k.unroll
    row = sum(
        runs * _product_cycles(pixels, k.unroll, _columns(k, pixels) + k.unroll) + 2 * pixels
        for pixels in [k.tile] * whole + [rest] * bool(rest)
    )
    return k.extent * row + _far_cycles((k.parameters()["x"].floats + k.parameters()["y"].floats) * 4)


def _columns(k: DepthwiseConv, pixels: int) -> int:
    """Columns of the picture under a run of taps of all pixels of a tile."""
    return len({t * k.stride[1] + tap * k.dilation[1] for t in range(pixels) for tap in range(k.unroll)})


def _winograd_cycles(k: WinogradConv) -> float:
    weights = k.parameters()["u"].floats * 4
    loads = k.batch / (UNROLL if k.by_lane else 1) + k.vectors
    sums = k.channels * _product_cycles(k.batch, k.vectors, loads) + 2 * k.batch * k.vectors
    products = k.extent * (k.points**2 * k.groups * sums + weights / LINE * NEAR_CYCLES)
    into, back = input_work(k.m).operations, output_work(k.m).operations
    # Each element passes through memory between the two directions, and V and M through the second-level cache.
    lines = k.points**2 * k.lanes * 4 / LINE
    inward = 2 * k.points * into / PER_CYCLE + 2 * k.points**2 + lines
    outward = (k.points + k.m) * back / PER_CYCLE + k.m * (k.points + k.m) + lines
    blocks = k.source.blocks(k.source_shape[1])
    transforms = k.count * (blocks * inward + k.groups * k.vectors * outward)
    return products + transforms + _far_cycles(weights + k.scratch * 4, k.extent) + _store_cycles(k)


def _store_cycles(k: DirectConv | WinogradConv) -> float:
    """The pictures' way through memory, and one store for each run of pixels that is moved to planes."""
    named = k.parameters()
    turned = prod(k.target_shape) // k.shuffle if k.planar else 0
    return turned + _far_cycles((named["x"].floats + named["y"].floats) * 4)


def stores_planes(target: Target, channels: int) -> bool:
    """Whether a register tile holds all channels, so that the store can turn it into planes."""
    return -(-channels // target.lanes) <= (4 if target.registers > 16 else 3)
