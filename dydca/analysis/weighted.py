"""Intervals of weighted sums with known weights: convolutions and matrix products."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from dydca.analysis.intervals import UNKNOWN, Ends, Flags, Interval, growth

_HUGE = 1e200
_SAFE = 1e100
"""The one stands for infinity, so that 0 times it is 0; beyond the other no sum of finite float32 products comes."""


class Taps(NamedTuple):
    """The weights of each output over each input, summed over the window and by sign.

    Attributes:
        signed: ``[O, 2 I]``: the positive sums, then the negative ones.
        absolute: The same without signs.
        terms: How many products a sum has.
    """

    signed: Ends
    absolute: Ends
    terms: int


_summed: MutableMapping[Tensor, dict[bytes, tuple[Taps, Taps | None]]] = WeakIdKeyDictionary()


def taps(weight: Tensor, inside: Flags) -> tuple[Taps, Taps | None]:
    """Of ``[O, I, *window]`` all, and those outside the mask if there are any; remembered while the weight lives."""
    known = _summed.setdefault(weight, {})
    key = inside.tobytes()
    if key not in known:
        values = weight.detach().double().numpy().reshape(*weight.shape[:2], -1)
        outside = None if inside.all() else _signed(values[..., ~inside.ravel()])
        known[key] = _signed(values), outside
    return known[key]


def _signed(values: Ends) -> Taps:
    parts = np.concatenate([np.maximum(values, 0).sum(-1), np.minimum(values, 0).sum(-1)], 1)
    return Taps(parts, np.abs(parts), values.shape[1] * values.shape[2])


def weighted_sum(
    x: Interval,
    parts: tuple[Taps, Taps | None],
    groups: int,
    bias: Interval | None,
    dtype: torch.dtype | None,
    axis: int,
) -> Interval:
    """Of ``sum(weight * x) + bias`` per output, in any order of summation.

    Args:
        x: Of the inputs, told apart along `axis` or not.
        parts: All weights, and those that may meet padding by zeros.
        groups: Inputs and outputs fall into so many groups.
        bias: Per output.
        dtype: Of the computation.
        axis: Where inputs and outputs lie.
    """
    if x is UNKNOWN:
        return UNKNOWN
    whole, border = parts
    inputs = whole.signed.shape[1] // 2 * groups
    ends = x.along(axis).entries(inputs).clip(-_HUGE, _HUGE)
    total, size = _products(whole, ends, groups)
    if border is not None and not ((ends[0] <= 0) & (ends[1] >= 0)).all():
        nearer = np.stack([np.minimum(ends[0], 0) - ends[0], np.maximum(ends[1], 0) - ends[1]])
        shift, moved = _products(border, nearer, groups)
        total, size = total + shift, size + moved
    if bias is not None:
        given = bias.entries(len(total[0]))
        total, size = total + given, size + np.abs(given)
    by = growth(whole.terms + 1, dtype) * size
    low = np.where(size[0] < _SAFE, total[0] - by[0], -np.inf)
    high = np.where(size[1] < _SAFE, total[1] + by[1], np.inf)
    return Interval(np.stack([low, high]), axis, not x.bounded or (bias is not None and not bias.bounded))


def _products(taps: Taps, ends: Ends, groups: int) -> tuple[Ends, Ends]:
    """Both ends of the sum, and the sums of the terms' absolute values at them, each ``[2, O]``."""
    low, high = ends.reshape(2, groups, -1)
    columns = np.concatenate([np.stack([low, high], -1), np.stack([high, low], -1)], 1)  # [groups, 2 I, 2]
    signed, absolute = (part.reshape(groups, -1, part.shape[1]) for part in taps[:2])
    return (signed @ columns).reshape(-1, 2).T, (absolute @ np.abs(columns)).reshape(-1, 2).T
