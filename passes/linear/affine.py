"""The algebra of affine convolutions: what a region of linear operators computes, as one kernel per base tensor.

``t[o, y, x] = bias[o] + sum over bases, i, a, b of taps[o, i, a, b] * base[i, y + a - top, x + b - left]`` where every
base is extended by zeros without end. All numbers are float64, so that a region is rounded once, when it is written
back. Source: Ding et al., "Diverse Branch Block", CVPR 2021, section 3; borders and several bases are our addition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.fx import Node
from torch.nn import functional

Pads = tuple[int, int, int, int]
"""What is added above, below, left and right; negative where the picture is cut."""

NO_PADS: Pads = (0, 0, 0, 0)

_WORK_LIMIT = 1 << 30
"""Multiply-adds that composing two kernels may take: about a second."""

_ROUNDING = 2.0**-21
"""A sum of biases below this part of its terms is zero: they were equal before they were rounded to float32."""


class NotAffine(Exception):  # noqa: N818  not an error: a refusal on its way to a Miss
    """The operator does not keep the form; the text says why, in lower case, without full stop."""


@dataclass(frozen=True)
class Window:
    """A kernel and how it lies over its base.

    Attributes:
        taps: float64 ``[O, I, kh, kw]``.
        pads: Zeros the base is extended by, so that a valid convolution has the size of the result.
    """

    taps: Tensor
    pads: Pads = NO_PADS

    def widened(self, pads: Pads) -> Window:
        """The same function written with zero taps around it, so that it lies over its base as `pads` says."""
        top, bottom, left, right = (wanted - own for wanted, own in zip(pads, self.pads, strict=True))
        return Window(functional.pad(self.taps, (left, right, top, bottom)), pads)

    def trimmed(self) -> Window:
        """The same function without zero taps at its rim; one tap stays."""
        used = self.taps.ne(0).any(0).any(0)
        (first, last), (left, right) = _span(used.any(1)), _span(used.any(0))
        height, width = used.shape
        gone = (first, height - 1 - last, left, width - 1 - right)
        taps = self.taps[:, :, first : last + 1, left : right + 1]
        return Window(taps, _minus(self.pads, gone))

    def sees_base_from_outside(self, pads: Pads) -> bool:
        """Whether a pixel up to `pads` beyond the result's border still has a pixel of the base in its window."""
        window = self.trimmed()
        if not window.taps.any():
            return False
        reach = [size - 1 for size in window.taps.shape[2:] for _ in range(2)]
        return any(pad > 0 and own < far for pad, own, far in zip(pads, window.pads, reach, strict=True))


def _span(used: Tensor) -> tuple[int, int]:
    places = used.nonzero().flatten().tolist()
    return (places[0], places[-1]) if places else (len(used) // 2, len(used) // 2)


def _plus(one: Pads, other: Pads) -> Pads:
    return tuple(a + b for a, b in zip(one, other, strict=True))  # type: ignore[return-value]


def _minus(one: Pads, other: Pads) -> Pads:
    return tuple(a - b for a, b in zip(one, other, strict=True))  # type: ignore[return-value]


@dataclass(frozen=True)
class Affine:
    """A tensor as an affine convolution of base tensors.

    Attributes:
        windows: One per base.
        bias: float64 ``[O]``.
        channels: How the O rows lie between the batch axis and the two picture axes, ``(O,)`` but for reshaped tensors.
    """

    windows: dict[Node, Window]
    bias: Tensor
    channels: tuple[int, ...] = field(default=())

    def __post_init__(self) -> None:
        if not self.channels:
            object.__setattr__(self, "channels", (len(self.bias),))

    @staticmethod
    def of(base: Node, channels: int) -> Affine:
        """The base itself."""
        taps = torch.eye(channels, dtype=torch.float64)[:, :, None, None]
        return Affine({base: Window(taps)}, torch.zeros(channels, dtype=torch.float64))

    def plus(self, other: Affine) -> Affine:
        """The sum of two tensors of the same size."""
        windows = dict(self.windows)
        for base, window in other.windows.items():
            windows[base] = _sum(windows[base], window) if base in windows else window
        return Affine(windows, cancelled(self.bias, other.bias))

    def shifted(self, value: Tensor) -> Affine:
        """Plus one value per channel."""
        return replace(self, bias=cancelled(self.bias, value))

    def scaled(self, factor: Tensor) -> Affine:
        """Times one value per channel."""
        if bool(factor.eq(1).all()):
            return self
        column = factor[:, None, None, None]
        windows = {base: replace(window, taps=window.taps * column) for base, window in self.windows.items()}
        return replace(self, windows=windows, bias=self.bias * factor)

    def selected(self, rows: Tensor, channels: tuple[int, ...]) -> Affine:
        """Some of the channels, in any order, any number of times."""
        windows = {base: replace(window, taps=window.taps[rows]) for base, window in self.windows.items()}
        return Affine(windows, self.bias[rows], channels)

    def padded(self, pads: Pads, value: Tensor, name: str = "the operand") -> Affine:
        """With a frame of one value per channel around it, or cut where `pads` are negative.

        Raises:
            NotAffine: The frame is not what the form gives beyond the picture.
        """
        if any(pad > 0 for pad in pads):
            for base, window in self.windows.items():
                if window.sees_base_from_outside(pads):
                    size = "x".join(map(str, window.trimmed().taps.shape[2:]))
                    raise NotAffine(f"{name} is padded, where its own {size} window over %{base.name} is not constant")
            if cancelled(self.bias, -value).any():
                raise NotAffine(f"{name} is padded with another value than its bias")
        windows = {base: replace(window, pads=_plus(window.pads, pads)) for base, window in self.windows.items()}
        return replace(self, windows=windows)

    def convolved(self, taps: Tensor, bias: Tensor) -> Affine:
        """Through a dense convolution without padding: ``taps`` is float64 ``[P, O, kh, kw]``.

        Raises:
            NotAffine: The kernels are too large to compose.
        """
        windows = {base: Window(_compose(taps, window.taps), window.pads) for base, window in self.windows.items()}
        return Affine(windows, bias + taps.sum((2, 3)) @ self.bias)


def stacked(parts: Sequence[Affine]) -> Affine:
    """The channels of all parts, one part after the other."""
    total, windows = sum(len(part.bias) for part in parts), {}
    for base in dict.fromkeys(base for part in parts for base in part.windows):
        blocks = [(part.windows.get(base), len(part.bias)) for part in parts]
        windows[base] = _stacked_windows(blocks)
    assert total
    return Affine(windows, torch.cat([part.bias for part in parts]))


def _stacked_windows(blocks: list[tuple[Window | None, int]]) -> Window:
    """Kernels under each other; None stands for rows of zeros."""
    alike = aligned([window for window, _ in blocks if window is not None])
    feed = iter(alike)
    like = alike[0].taps
    rows = [
        next(feed).taps if window is not None else like.new_zeros(count, *like.shape[1:]) for window, count in blocks
    ]
    return Window(torch.cat(rows), alike[0].pads)


def aligned(windows: Sequence[Window]) -> list[Window]:
    """Windows over bases of one size, with results of one size, widened to lie over them alike."""
    top, bottom, left, right = (max(sides) for sides in zip(*(window.pads for window in windows), strict=True))
    pads = (top, bottom, left, right)
    wide = [window.widened(pads) for window in windows]
    if len({window.taps.shape[2:] for window in wide}) > 1:
        raise NotAffine("the sizes of the parts differ")
    return wide


def _sum(one: Window, other: Window) -> Window:
    first, second = aligned([one, other])
    return Window(first.taps + second.taps, first.pads)


def cancelled(one: Tensor, other: Tensor) -> Tensor:
    """``one + other``, where what is left of a cancellation by rounding alone is zero."""
    total = one + other
    if not total.numel():
        return total
    noise = _ROUNDING * max(float(one.abs().max()), float(other.abs().max()))
    return torch.where((total.abs() <= noise) & (one * other < 0), 0.0, total)


def _compose(outer: Tensor, inner: Tensor) -> Tensor:
    """``K[o, i, u] = sum over m and a + b = u of outer[o, m, a] * inner[m, i, b]``."""
    out_rows, middle, high, wide = outer.shape
    columns, *size = inner.shape[1:]
    if inner.shape[2:] == (1, 1) and middle == columns and torch.equal(inner[:, :, 0, 0], torch.eye(middle).double()):
        return outer
    work = out_rows * middle * columns * high * wide * (size[0] + high - 1) * (size[1] + wide - 1)
    if work > _WORK_LIMIT:
        raise NotAffine(f"composing its kernels would take {work:.2g} multiply-adds")
    if inner.shape[2:] == (1, 1):
        return torch.einsum("omyx,mi->oiyx", outer, inner[:, :, 0, 0])
    if outer.shape[2:] == (1, 1):
        return torch.einsum("om,miyx->oiyx", outer[:, :, 0, 0], inner)
    turned = functional.conv2d(inner.transpose(0, 1), outer.flip(2, 3), padding=(high - 1, wide - 1))
    return turned.transpose(0, 1)
