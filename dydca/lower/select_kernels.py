"""The kernel of a convolution group and its register tile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch.fx import Node

from dydca.errors import LoweringError
from dydca.lower.kernels.direct import DirectConv
from dydca.lower.kernels.epilogue import Operand, Step
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


def select_conv(
    target: Target,
    shape: ConvShape,
    attributes: ConvAttributes,
    shuffle: int,
    steps: tuple[Step, ...],
    operands: tuple[Operand, ...],
) -> DirectConv:
    """The direct kernel with a register tile that fills the register file."""
    channels, width = shape.source_shape[1], shape.target_shape[3]
    blocks = -(-shape.target_shape[1] // target.lanes)
    vectors = blocks if shape.target.block == 1 else next(v for v in (2, 3, 1) if blocks % v == 0)
    # One register for each weight vector and one for the pixel; the rest are sums.
    most = max(min((target.registers - vectors - 1) // vectors, 14), 1)
    return DirectConv(
        *shape,
        stride=attributes.stride,
        padding=attributes.padding,
        dilation=attributes.dilation,
        shuffle=shuffle,
        steps=steps,
        operands=operands,
        lanes=target.lanes,
        tile=-(-width // -(-width // most)),
        vectors=vectors,
        unroll=4 if shape.source.block > 1 else max(u for u in (1, 2, 3, 4) if channels % u == 0),
    )


def stores_planes(target: Target, channels: int) -> bool:
    """Whether a register tile holds all channels, so that the store can turn it into planes."""
    return -(-channels // target.lanes) <= (4 if target.registers > 16 else 3)
