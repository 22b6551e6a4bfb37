"""Interpolation of pictures to other sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.fx import Node

from dydca.analysis.boxes import Box, Extent, every, only, run, whole
from dydca.analysis.facts import Fact, Size
from dydca.analysis.intervals import Interval, spanning
from dydca.analysis.rules.arithmetic import at_least, scaled
from dydca.analysis.rules.registry import Demands, demand_rule, interval_rule, require, require_rank, rule
from dydca.program import arguments, op_name

aten = torch.ops.aten


def _resized(node: Node, x: Fact, size: Sequence[Size] | None, scales: Sequence[float] | None) -> Fact:
    """Either a size, or ``floor(H * scale)``."""
    require_rank(node, x, 4)
    extents = x.shape[2:]
    if size is None:
        size = [scaled(extent, scale) for extent, scale in zip(extents, scales or (), strict=True)]
    for before, after in zip(extents, size, strict=True):
        require(node, at_least(before, 1), "the picture is empty", got=before, want=">= 1")
        require(node, at_least(after, 1), "the resized picture is empty", got=after, want=">= 1")
    return Fact((*x.shape[:2], *size), x.dtype)


@rule(aten.upsample_nearest2d.vec, aten._upsample_nearest_exact2d.vec)
def upsample_nearest(
    node: Node, x: Fact, size: Sequence[Size] | None, scale_factors: Sequence[float] | None = None
) -> Fact:
    """The nearest pixel."""
    return _resized(node, x, size, scale_factors)


@rule(
    aten.upsample_bilinear2d.vec, aten.upsample_bicubic2d.vec, aten._upsample_bilinear2d_aa.vec,
    aten._upsample_bicubic2d_aa.vec,
)  # fmt: skip
def upsample_smooth(
    node: Node,
    x: Fact,
    size: Sequence[Size] | None,
    align_corners: bool,
    scale_factors: Sequence[float] | None = None,
) -> Fact:
    """A weighted mean of near pixels."""
    return _resized(node, x, size, scale_factors)


@rule(
    aten.upsample_nearest2d.default, aten._upsample_nearest_exact2d.default, aten.upsample_bilinear2d.default,
    aten.upsample_bicubic2d.default, aten._upsample_bilinear2d_aa.default, aten._upsample_bicubic2d_aa.default,
)  # fmt: skip
def upsample_sized(node: Node, x: Fact, size: Sequence[Size], *settings: object) -> Fact:
    """A given size; the scales that may follow only place the samples."""
    return _resized(node, x, size, None)


@rule(aten.grid_sampler.default, aten.grid_sampler_2d.default)
def grid_sampler(node: Node, x: Fact, grid: Fact, *settings: object) -> Fact:
    """``x[N, C, H, W]`` sampled at ``grid[N, H', W', 2]``."""
    require_rank(node, x, 4)
    require_rank(node, grid, 4)
    return Fact((*x.shape[:2], *grid.shape[1:3]), x.dtype)


@interval_rule(
    aten.upsample_nearest2d.vec, aten._upsample_nearest_exact2d.vec, aten.upsample_nearest2d.default,
    aten._upsample_nearest_exact2d.default,
)  # fmt: skip
def nearest_interval(node: Node, result: Fact, x: Fact, *settings: object) -> Interval:
    """Elements of the operand."""
    return x.bounds.along(-3)


@interval_rule(
    aten.upsample_bilinear2d.vec, aten.upsample_bilinear2d.default, aten._upsample_bilinear2d_aa.vec,
    aten._upsample_bilinear2d_aa.default,
)  # fmt: skip
def bilinear_interval(node: Node, result: Fact, x: Fact, *settings: object) -> Interval:
    """Means with weights of 0 and more."""
    return x.bounds.along(-3).stretched(2.0**-20)


BICUBIC_NEGATIVE = 2 * 1.1875 * 0.1875
"""Sum of the negative weights of 4 x 4 pixels where it is largest, half way between: Keys' kernel with a = -0.75."""


@interval_rule(aten.upsample_bicubic2d.vec, aten.upsample_bicubic2d.default)
def bicubic_interval(node: Node, result: Fact, x: Fact, *settings: object) -> Interval:
    """Weights that add up to one, some of them negative, so that a step overshoots."""
    own = x.bounds.along(-3)
    if not own.bounded:
        return spanning(-float("inf"), float("inf"), nan=True)
    over = BICUBIC_NEGATIVE * (own.ends[1] - own.ends[0])
    return Interval(own.ends + np.stack([-over, over]), own.axis).stretched(2.0**-18, 2.0**-18 * own.magnitude)


@interval_rule(aten.grid_sampler.default, aten.grid_sampler_2d.default)
def grid_sampler_interval(
    node: Node, result: Fact, x: Fact, grid: Fact, interpolation: int, padding: int, align: bool
) -> Interval | None:
    """Weighted means of pixels, and 0 outside the picture if so told."""
    if interpolation == 2:
        return None
    return (x.bounds.along(-3) | spanning(0, 0)).stretched(2.0**-18)


Reach = Callable[[float, float], float]
"""The first or the last pixel that an output reads, of its place and the ratio of the sizes."""


def _sampled(node: Node, wanted: Box, result: Fact, x: Fact, first: Reach, last: Reach) -> Demands:
    """From the first pixel of the first wanted output to the last of the last."""
    named = arguments(node)
    scales = named.get("scale_factors") or (named.get("scales_h"), named.get("scales_w"))
    axes: list[Extent] = []
    for extent, before, after, scale in zip(wanted[2:], x.shape[2:], result.shape[2:], scales, strict=True):
        axis = run(extent)
        if axis.endless or not isinstance(before, int) or not isinstance(after, int):
            axes.append(every(before, axis.cause or node))
        elif before == after:
            axes.append((axis,))
        else:
            ratio = (before - 1) / max(after - 1, 1) if named.get("align_corners") else before / after
            ratio = 1 / scale if scale and not named.get("align_corners") else ratio
            axes.append(only(before, first(axis.low, ratio), last(axis.high, ratio)))
    return [(*wanted[:2], *axes)]


@demand_rule(aten.upsample_nearest2d.vec, aten.upsample_nearest2d.default)
def nearest_demand(node: Node, wanted: Box, result: Fact, x: Fact, *settings: object) -> Demands:
    """The pixel that holds the left edge of the output, as float32 finds it."""

    def edge(place: float, ratio: float) -> float:
        return math.floor(np.float32(place) * np.float32(ratio))

    return _sampled(node, wanted, result, x, edge, edge)


@demand_rule(aten._upsample_nearest_exact2d.vec, aten._upsample_nearest_exact2d.default)
def nearest_exact_demand(node: Node, wanted: Box, result: Fact, x: Fact, *settings: object) -> Demands:
    """The pixel that holds the centre of the output, as float32 finds it."""

    def centre(place: float, ratio: float) -> float:
        return math.floor(np.float32(place + 0.5) * np.float32(ratio))

    return _sampled(node, wanted, result, x, centre, centre)


@demand_rule(
    aten.upsample_bilinear2d.vec, aten.upsample_bilinear2d.default, aten.upsample_bicubic2d.vec,
    aten.upsample_bicubic2d.default,
)  # fmt: skip
def smooth_demand(node: Node, wanted: Box, result: Fact, x: Fact, *settings: object) -> Demands:
    """The pixels on both sides of the centre of the output; none but the one that it falls on."""
    beyond = 0 if "bilinear" in op_name(node) else 1
    corners = arguments(node)["align_corners"]

    def sample(place: float, ratio: float, side: int) -> float:
        return place * ratio + side * _slack(ratio) if corners else (place + 0.5) * ratio - 0.5 + side * _slack(ratio)

    def first(place: float, ratio: float) -> float:
        at = sample(place, ratio, -1)
        return math.floor(at) - (beyond if at != math.floor(at) else 0)

    def last(place: float, ratio: float) -> float:
        at = sample(place, ratio, 1)
        return math.ceil(at) + (beyond if at != math.ceil(at) else 0)

    return _sampled(node, wanted, result, x, first, last)


def _slack(ratio: float) -> float:
    """Where float32 cannot hold the ratio, a sample that falls on a pixel may come to lie on either side."""
    exact = float(ratio * 1024).is_integer()
    return 0.0 if exact else 1e-3


@demand_rule(
    aten._upsample_bilinear2d_aa.vec, aten._upsample_bilinear2d_aa.default, aten._upsample_bicubic2d_aa.vec,
    aten._upsample_bicubic2d_aa.default,
)  # fmt: skip
def smoothed_demand(node: Node, wanted: Box, result: Fact, x: Fact, *settings: object) -> Demands:
    """The pixels under a kernel that is as much wider as the picture shrinks."""
    width = 1.0 if "bilinear" in op_name(node) else 2.0

    def first(place: float, ratio: float) -> float:
        return math.floor((place + 0.5) * ratio - width * max(ratio, 1.0) + 0.5 - 1e-3)

    def last(place: float, ratio: float) -> float:
        return math.floor((place + 0.5) * ratio + width * max(ratio, 1.0) + 0.5 + 1e-3) - 1

    return _sampled(node, wanted, result, x, first, last)


@demand_rule(aten.grid_sampler.default, aten.grid_sampler_2d.default)
def grid_sampler_demand(node: Node, wanted: Box, result: Fact, x: Fact, grid: Fact, *settings: object) -> Demands:
    """All of the picture at the wanted places of the grid."""
    return [(*wanted[:2], *whole(x.shape[2:], node)), (wanted[0], *wanted[2:], every(2, node))]
