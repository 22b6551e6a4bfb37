"""Writes an affine convolution back into the graph, in the cheapest form that `conv2d` has."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from math import gcd

import torch
from torch import Tensor
from torch.fx import Node

from dydca.passes.linear.affine import NO_PADS, Pads, Window
from dydca.program import Graph

aten = torch.ops.aten


@dataclass(frozen=True)
class Convolution:
    """One call of ``conv2d``, behind a pad of the picture where the four sides differ.

    Attributes:
        weight: float64 ``[O, I / groups, kh, kw]``.
        bias: float64 ``[O]``.
        pads: What a pad before it adds or cuts.
        padding: The convolution's own zero padding, height and width.
        dilation: Height and width.
        groups: As in ``conv2d``.
    """

    weight: Tensor
    bias: Tensor
    pads: Pads
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    @property
    def macs(self) -> int:
        """Multiply-adds per pixel."""
        return self.weight.numel()

    @property
    def nodes(self) -> int:
        """Operators it takes."""
        return 1 + (self.pads != NO_PADS)

    @staticmethod
    def of(window: Window, bias: Tensor, limit: int) -> Convolution:
        """The cheapest convolution; taps that spare a pad before it are taken in up to `limit` multiply-adds."""
        lean = window.trimmed()
        wide = _convolution(lean.widened(_symmetric(lean.pads)), bias)
        return wide if wide.macs <= limit and wide.pads == NO_PADS else _convolution(lean, bias)

    def emit(self, graph: Graph, base: Node, stem: str, dtype: torch.dtype, *, before: Node) -> Node:
        """Adds it to the graph, rounded to `dtype`."""
        if self.pads != NO_PADS:
            top, bottom, left, right = self.pads
            base = graph.add(aten.constant_pad_nd.default, base, [left, right, top, bottom], 0.0, before=before)
        weight = graph.const(self.weight.to(dtype).contiguous(), f"{stem}_weight", before=before)
        bias = graph.const(self.bias.to(dtype), f"{stem}_bias", before=before) if self.bias.any() else None
        sizes = ([1, 1], list(self.padding), list(self.dilation), self.groups)
        return graph.add(aten.conv2d.default, base, weight, bias, *sizes, before=before)


def _symmetric(pads: Pads) -> Pads:
    high, wide = max(*pads[:2], 0), max(*pads[2:], 0)
    return (high, high, wide, wide)


def _convolution(window: Window, bias: Tensor) -> Convolution:
    top, bottom, left, right = window.pads
    alike = top == bottom >= 0 and left == right >= 0
    taps, dilation = _undilated(window.taps)
    groups = _groups(taps)
    rows, columns = len(taps) // groups, taps.shape[1] // groups
    blocks = [taps[g * rows : (g + 1) * rows, g * columns : (g + 1) * columns] for g in range(groups)]
    pads, padding = (NO_PADS, (top, left)) if alike else (window.pads, (0, 0))
    return Convolution(torch.cat(blocks), bias, pads, padding, dilation, groups)


def _undilated(taps: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Without the rows and columns between taps, where the kernel is an outspread smaller one."""
    used = taps.ne(0).any(0).any(0)
    high, wide = (max(1, reduce(gcd, line.nonzero().flatten().tolist(), 0)) for line in (used.any(1), used.any(0)))
    fits = (taps.shape[2] - 1) % high == 0 and (taps.shape[3] - 1) % wide == 0
    return (taps[:, :, ::high, ::wide], (high, wide)) if fits else (taps, (1, 1))


def _groups(taps: Tensor) -> int:
    """The most groups of channels of which none reads another's; 1 where all do."""
    used = taps.flatten(2).ne(0).any(2)
    rows, columns = used.shape
    most = gcd(rows, columns)
    for groups in (count for count in range(most, 1, -1) if most % count == 0):
        blocks = used.reshape(groups, rows // groups, groups, columns // groups)
        outside = ~torch.eye(groups, dtype=torch.bool)[:, None, :, None]
        if not (blocks & outside).any():
            return groups
    return 1
