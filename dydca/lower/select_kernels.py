"""The kernel of a convolution: candidates, and the one predicted to be the fastest on this patch."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from operator import attrgetter
from typing import Literal, NamedTuple

from torch.fx import Node

from dydca.errors import LoweringError
from dydca.lower.cost import LINE, kernel_cycles
from dydca.lower.kernels.depthwise import DepthwiseConv
from dydca.lower.kernels.direct import DirectConv
from dydca.lower.kernels.layer import Conv
from dydca.lower.kernels.rows import ConvKernel
from dydca.lower.kernels.winograd import WinogradConv
from dydca.lower.kernels.winograd_loops import UNROLL
from dydca.lower.targets import Target
from dydca.program import arguments, where


class ConvAttributes(NamedTuple):
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


Precision = Literal["exact", "fast"]
"""How far from the exact result a convolution may be, as a part of the largest output.

``exact`` keeps to kernels that are not further from it than the sum computed in order (2e-6, from 32 or 64 input
channels): direct, and Winograd on up to 6 points, F(4, 3) or F(2, 5). ``fast`` adds 8 points, F(6, 3) or F(4, 5), with
6e-6; whole networks of ten such layers stayed below 1e-5.
"""

MOST_POINTS: dict[Precision, int] = {"exact": 6, "fast": 8}
"""Of Winograd's interpolation in each direction; so many inputs a tile has."""

LARGEST_REGISTER_TILE = 14
"""Pixels or tiles; with more, code grows and speed does not."""

WIDEST_UNROLLED = 7
"""Taps of a row whose weights a depthwise convolution keeps in registers."""


class Candidate(NamedTuple):
    """A kernel and its predicted cost in cycles."""

    kernel: ConvKernel
    cycles: float


class Choice(NamedTuple):
    """A kernel with the reason for it: the cheapest candidate of each algorithm, the chosen one first."""

    ranking: tuple[Candidate, ...]

    @property
    def kernel(self) -> ConvKernel:
        """What was chosen."""
        return self.ranking[0].kernel

    def among(self, algorithms: Collection[str]) -> Choice | None:
        """The choice from these algorithms only, None if there is none."""
        chosen = next((candidate for candidate in self.ranking if algorithm(candidate.kernel) in algorithms), None)
        others = (candidate for candidate in self.ranking if candidate is not chosen)
        return None if chosen is None else Choice((chosen, *others))

    def __str__(self) -> str:
        best, *others = self.ranking
        text = f"{algorithm(best.kernel)}, {best.cycles / 1e3:.0f} kcycles predicted"
        if not others:
            return text
        text += f"; {algorithm(others[0].kernel)} {others[0].cycles / best.cycles:.2f} times as many"
        return text if best.cycles <= others[0].cycles else f"{text}, but a copy of the weights for it"


def algorithm(kernel: ConvKernel) -> str:
    """What a report calls the kernel."""
    if isinstance(kernel, WinogradConv):
        return f"Winograd F({kernel.m}x{kernel.m}, {kernel.taps}x{kernel.taps})"
    return "depthwise" if isinstance(kernel, DepthwiseConv) else "direct"


def select_kernel(target: Target, layer: Conv, precision: Precision = "fast") -> Choice:
    """The candidate with the least predicted cost.

    Args:
        target: The processor.
        layer: What is computed.
        precision: See `Precision`.
    """
    kernels = candidates(target, layer, precision)
    ranking = sorted((Candidate(kernel, kernel_cycles(kernel)) for kernel in kernels), key=attrgetter("cycles"))
    firsts = {algorithm(candidate.kernel): candidate for candidate in reversed(ranking)}
    return Choice(tuple(sorted(firsts.values(), key=attrgetter("cycles"))))


def candidates(target: Target, layer: Conv, precision: Precision) -> Iterator[ConvKernel]:
    """Every kernel that may be the fastest."""
    if layer.groups > 1:
        yield _depthwise(target, layer)
        return
    yield _direct(target, layer)
    unit = layer.stride == layer.dilation == (1, 1)
    taps = layer.window[0]
    if unit and layer.window in ((3, 3), (5, 5)) and layer.source.block == target.lanes:
        for m in range(2, MOST_POINTS[precision] - taps + 2, 2):
            yield _winograd(target, layer, m)


def _depthwise(target: Target, layer: Conv) -> DepthwiseConv:
    taps = layer.window[1]
    unroll = taps if taps <= WIDEST_UNROLLED else 1
    # One register for each weight and one for the pixel; the rest are sums.
    most = min(target.registers - unroll - 1, LARGEST_REGISTER_TILE)
    return DepthwiseConv(layer, target.lanes, _even(layer.target_shape[3], most), unroll)


def _direct(target: Target, layer: Conv) -> DirectConv:
    """The register tile that fills the register file, tiles of a row about equally wide."""
    channels = layer.source_shape[1]
    unroll = 4 if layer.source.block > 1 else max(u for u in (1, 2, 3, 4) if channels % u == 0)
    vectors = _vectors(target, layer, 2, 3, 1)
    if layer.target.block == 1:  # only a tile of all channels can be turned into planes
        vectors = -(-layer.target_shape[1] // target.lanes)
    by_lane = _multiplies_by_lane(target) and layer.source.block == unroll
    # One register for each weight vector, and one for the pixel or, by lane, for each; the rest are sums.
    most = (target.registers - vectors) // (vectors + 1) if by_lane else (target.registers - vectors - 1) // vectors
    tile = _even(layer.target_shape[3], max(min(most, LARGEST_REGISTER_TILE), 1))
    return DirectConv(layer, target.lanes, tile, vectors, unroll, by_lane)


def _even(width: int, most: int) -> int:
    """Pixels of a tile, at most `most`, so that the tiles of a row are about equally wide."""
    return -(-width // -(-width // most))


def _vectors(target: Target, layer: Conv, *preferred: int) -> int:
    """Vectors of output channels in a register tile: the first that leaves no block empty.

    It does not depend on the picture's size, so that one copy of the weights serves all patches.
    """
    blocks = -(-layer.target_shape[1] // target.lanes)
    return next(v for v in preferred if blocks % v == 0)


def _winograd(target: Target, layer: Conv, m: int) -> WinogradConv:
    """The batch that a patch fills best, among those that fill the register file at least by half."""
    by_lane = _multiplies_by_lane(target)
    vectors = _vectors(target, layer, *((4, 3, 2, 1) if _reads_weights_fast(target, layer) else (2, 3, 1)))
    # A quarter of the registers is left for weights and pixels. By lane, each tile's inputs take one more, and LLVM may
    # load the weights of a whole iteration at once.
    free = target.registers - UNROLL * vectors - 1 if by_lane else target.registers * 3 // 4
    most = max(min(free // (vectors + by_lane), LARGEST_REGISTER_TILE), 1)
    widest = WinogradConv(layer, target.lanes, m, most, vectors, by_lane)
    return widest.suited(widest.extent)


def _multiplies_by_lane(target: Target) -> bool:
    """Whether one instruction multiplies by a lane of a vector."""
    return target.lanes == UNROLL and target.triple.startswith("aarch64")


def _reads_weights_fast(target: Target, layer: Conv) -> bool:
    """Whether weights come from the second-level cache, a vector a cycle, so that batches may be small."""
    largest = max(MOST_POINTS.values()) ** 2 * layer.source_shape[1] * layer.target_shape[1] * 4
    return target.lanes * 4 == LINE and largest <= target.caches[0]


def stores_planes(target: Target, channels: int) -> bool:
    """Whether a register tile holds all channels, so that the store can turn it into planes."""
    return -(-channels // target.lanes) <= (4 if target.registers > 16 else 3)
