"""Interpolation of pictures to other sizes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.fx import Node

from dydca.analysis.facts import Fact, Size
from dydca.analysis.intervals import Interval, spanning
from dydca.analysis.rules.arithmetic import at_least, scaled
from dydca.analysis.rules.registry import interval_rule, require, require_rank, rule

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
