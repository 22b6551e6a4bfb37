"""Intervals of weighted sums with known weights: convolutions and matrix products."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from dydca.analysis.intervals import Ends, Flags, Interval, growth

_HUGE = 1e200
_SAFE = 1e100
"""The one stands for infinity, so that 0 times it is 0; beyond the other no sum of finite float32 products comes."""


class Taps(NamedTuple):
    """The weights of each output over each input, summed by sign over the window: two of ``[O, I]``, and how many."""

    positive: Ends
    negative: Ends
    number: int


_summed: MutableMapping[Tensor, dict[bytes, tuple[Taps, Taps]]] = WeakIdKeyDictionary()


def taps(weight: Tensor, inside: Flags) -> tuple[Taps, Taps]:
    """Of ``[O, I, *window]`` those inside the mask and those outside; remembered as long as the weight lives."""
    known = _summed.setdefault(weight, {})
    key = inside.tobytes()
    if key not in known:
        values = weight.detach().double().numpy().reshape(*weight.shape[:2], -1)
        known[key] = _signed(values[..., inside.ravel()]), _signed(values[..., ~inside.ravel()])
    return known[key]


def _signed(values: Ends) -> Taps:
    return Taps(np.maximum(values, 0).sum(-1), np.minimum(values, 0).sum(-1), values.shape[1] * values.shape[2])


def weighted_sum(
    x: Interval, parts: tuple[Taps, Taps], groups: int, bias: Interval | None, dtype: torch.dtype | None, axis: int
) -> Interval:
    """Of ``sum(weight * x) + bias`` per output, in any order of summation.

    Args:
        x: Of the inputs, told apart along `axis` or not.
        parts: Weights that always meet an input, and weights that may meet padding by zeros.
        groups: Inputs and outputs fall into so many groups.
        bias: Per output.
        dtype: Of the computation.
        axis: Where inputs and outputs lie.
    """
    sure, border = parts
    outputs, inner = sure.positive.shape
    ends = np.clip(x.along(axis).entries(inner * groups), -_HUGE, _HUGE).reshape(2, groups, inner, 1)
    nearer = np.stack([np.minimum(ends[0], 0), np.maximum(ends[1], 0)])
    up, down = np.zeros((2, outputs)), np.zeros((2, outputs))  # positive and negative terms of both ends
    for (positive, negative, _), (low, high) in ((sure, ends), (border, nearer)):
        plus, minus = (part.reshape(groups, -1, inner) for part in (positive, negative))
        for end, first, second in ((0, low, high), (1, high, low)):
            up[end] += (plus @ np.maximum(first, 0) + minus @ np.minimum(second, 0)).ravel()
            down[end] += (plus @ np.minimum(first, 0) + minus @ np.maximum(second, 0)).ravel()
    if bias is not None:
        given = bias.entries(outputs)
        up, down = up + np.maximum(given, 0), down + np.minimum(given, 0)
    by = growth(sure.number + border.number + 1, dtype) * (up - down)
    low = np.where(down[0] < -_SAFE, -np.inf, np.minimum(up[0] + down[0] - by[0], _SAFE))
    high = np.where(up[1] > _SAFE, np.inf, np.maximum(up[1] + down[1] + by[1], -_SAFE))
    return Interval(np.stack([low, high]), axis, not x.bounded or (bias is not None and not bias.bounded))
