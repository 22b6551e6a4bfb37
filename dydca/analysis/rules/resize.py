"""Interpolation of pictures to other sizes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.fx import Node

from dydca.analysis.facts import Fact, Size
from dydca.analysis.rules.arithmetic import at_least, scaled
from dydca.analysis.rules.registry import require, require_rank, rule

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
