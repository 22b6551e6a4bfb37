"""Turns a transposed convolution into an ordinary one at the input's resolution and a pixel shuffle."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.passes.base import Miss, Pass
from dydca.program import Graph, arguments

aten = torch.ops.aten

_TO_THE_END = 2**63 - 1

_CHEAP = 3
"""Fewer taps are no gain worth a slice: three are what Winograd kernels take."""


class SplitTransposed(Pass):
    """``conv_transpose2d(x, w, b, s, p)`` becomes ``pixel_shuffle(conv2d(x, v, b'), s)`` behind a slice.

    Written for one axis, with K taps::

        y[q] = sum_k w[k] x[i]  where  q + p = s i + k
        q = s m + r - a   =>   y = sum_d v_r[d] x[m - d],  v_r[d] = w[r + p - a + s d]

    so each of the s phases r is a convolution of its own over x, and the shuffle interleaves them. Taps outside
    0..K-1 are zero. The phase shift a, 0 <= a < s, is the first with the fewest taps, up to three alike; the a pixels
    that it puts before the picture are sliced off, as are those of a padding that must be alike on both sides. Exact:
    weights only move.
    Source: Shi et al., "Is the deconvolution layer the same as a convolutional layer?", 2016, arXiv 1609.07009.
    """

    root = ("conv_transpose2d",)
    after = ("fold_constants",)

    def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
        named = arguments(node)
        stride, padding, extra = (_pair(named[name]) for name in ("stride", "padding", "output_padding"))
        weight, bias = graph.constant(named["weight"]), graph.constant(named["bias"])
        if weight is None or (named["bias"] is not None and bias is None):
            return Miss(node, "weights or bias are not constants")
        if stride[0] != stride[1]:
            return Miss(node, f"strides {stride[0]} and {stride[1]} differ, a pixel shuffle has one factor")
        if named["groups"] != 1:
            return Miss(node, f"{named['groups']} groups")
        if _pair(named["dilation"]) != (1, 1):
            return Miss(node, f"dilation {_pair(named['dilation'])}")
        axes = [_Axis(weight.shape[2 + i], stride[0], padding[i], extra[i]) for i in (0, 1)]
        picture = _convolved(graph, node, weight, bias, axes)
        if stride[0] > 1:
            picture = graph.add(aten.pixel_shuffle.default, picture, stride[0], before=node)
        for dim, axis in zip((-2, -1), axes, strict=True):
            if axis.before or axis.behind:
                end = -axis.behind or _TO_THE_END
                picture = graph.add(aten.slice.Tensor, picture, dim, axis.before, end, before=node)
        return picture


@dataclass(frozen=True)
class _Axis:
    """One axis of a transposed convolution."""

    taps: int
    stride: int
    padding: int
    extra: int

    @property
    def shift(self) -> int:
        """The phase shift a."""
        return min(range(self.stride), key=lambda shift: max(len(self._steps(shift)), _CHEAP))

    def _steps(self, shift: int) -> range:
        """Every d for which some phase has a tap."""
        padding = self.padding - shift
        return range(-((self.stride - 1 + padding) // self.stride), (self.taps - 1 - padding) // self.stride + 1)

    @property
    def steps(self) -> range:
        """Every d, in order; the convolution's taps are these backwards."""
        return self._steps(self.shift)

    @property
    def around(self) -> int:
        """The convolution's padding: as much as the more needy side needs."""
        # q runs to s (H - 1) - 2 p + K + extra - 1, and the last m reads x[m - d] for the least d.
        rows = -(-(self.taps + self.extra + self.shift - 2 * self.padding - self.stride) // self.stride)
        return max(self.steps[-1], rows - self.steps[0], 0)

    @property
    def before(self) -> int:
        """Pixels to slice off in front."""
        return self.shift + (self.around - self.steps[-1]) * self.stride

    @property
    def behind(self) -> int:
        """Pixels to slice off at the end."""
        made = self.stride * (2 * self.around - len(self.steps) + 1)  # beyond s H
        return made - self.before + self.stride + 2 * self.padding - self.taps - self.extra

    def phases(self) -> list[list[int]]:
        """The tap of the transposed kernel behind each tap of each phase; those out of 0..K-1 are zero."""
        first = self.padding - self.shift
        return [[phase + first + self.stride * d for d in reversed(self.steps)] for phase in range(self.stride)]


def _convolved(graph: Graph, node: Node, weight: Tensor, bias: Tensor | None, axes: list[_Axis]) -> Node:
    """The convolution whose channels are the phases; its weights are ``[O s s, C, T, T]``."""
    stride = axes[0].stride
    spread = _picked(_picked(weight, 2, axes[0].phases()), 4, axes[1].phases())  # [C, O, s, T, s, T]
    kernel = spread.permute(1, 2, 4, 0, 3, 5).reshape(-1, len(weight), len(axes[0].steps), len(axes[1].steps))
    taken = graph.const(kernel.contiguous(), f"{node.name}_weight", before=node)
    shift = None
    if bias is not None:
        shift = graph.const(bias.repeat_interleave(stride * stride), f"{node.name}_bias", before=node)
    around = [axis.around for axis in axes]
    return graph.add(aten.conv2d.default, node.args[0], taken, shift, [1, 1], around, [1, 1], 1, before=node)


def _picked(weight: Tensor, dim: int, phases: list[list[int]]) -> Tensor:
    """The taps of each phase, two axes in place of `dim`; zeros for numbers that are no tap."""
    number = torch.tensor(phases)
    inside = (number >= 0) & (number < weight.shape[dim])
    taps = weight.index_select(dim, number.clamp(0, weight.shape[dim] - 1).flatten())
    spread = taps.reshape(*weight.shape[:dim], *number.shape, *weight.shape[dim + 1 :])
    return spread * inside.to(weight.dtype).reshape(*number.shape, *[1] * (weight.dim() - dim - 1))


def _pair(value: object) -> tuple[int, int]:
    numbers = [value, value] if isinstance(value, int) else list(value)  # type: ignore[call-overload]
    return int(numbers[0]), int(numbers[-1])
