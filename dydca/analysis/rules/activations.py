"""Functions of single elements: activations, roots, exponentials and rounding."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import Node

from dydca.analysis.boxes import Box
from dydca.analysis.facts import Fact, Scalar
from dydca.analysis.intervals import Interval, spanning
from dydca.analysis.rules.arithmetic import either, equal
from dydca.analysis.rules.promotion import as_float, promoted
from dydca.analysis.rules.registry import (
    Demands,
    bounds,
    demand_rule,
    elementwise,
    interval_rule,
    require,
    rule,
    shape_text,
)

aten = torch.ops.aten
INFINITY = math.inf
_ULPS = 2.0**-20
"""What approximations of exp, erf and the like may be off in float32, absolutely and as a part of the result."""


_SAME = (
    aten.relu.default, aten.leaky_relu.default, aten.gelu.default, aten.silu.default, aten.softplus.default,
    aten.hardtanh.default, aten.relu6.default, aten.hardsigmoid.default, aten.hardswish.default, aten.elu.default,
    aten.mish.default, aten.selu.default, aten.celu.default, aten.log_sigmoid.default, aten.threshold.default,
    aten.softshrink.default, aten.hardshrink.default, aten.neg.default, aten.abs.default, aten.sign.default,
    aten.floor.default, aten.ceil.default, aten.round.default, aten.round.decimals, aten.trunc.default,
    aten.frac.default, aten.bitwise_not.default, aten.dropout.default, aten.positive.default,
    aten.tril.default, aten.triu.default,
    aten.nan_to_num.default,
)  # fmt: skip
_FRACTIONS = (
    aten.sigmoid.default, aten.tanh.default, aten.exp.default, aten.exp2.default, aten.expm1.default, aten.log.default,
    aten.log2.default, aten.log10.default, aten.log1p.default, aten.sqrt.default, aten.rsqrt.default,
    aten.reciprocal.default, aten.sin.default, aten.cos.default, aten.tan.default, aten.asin.default,
    aten.acos.default, aten.atan.default, aten.sinh.default, aten.cosh.default, aten.erf.default, aten.erfc.default,
    aten.logit.default,
)  # fmt: skip
demand_rule(*_SAME, *_FRACTIONS, aten.square.default, aten.prelu.default)(elementwise)


@rule(*_SAME)
def same(node: Node, x: Fact, *settings: object, **options: object) -> Fact:
    """The shape and type of the operand."""
    return Fact(x.shape, x.dtype)


@rule(*_FRACTIONS)
def fractional(node: Node, x: Fact, *settings: object) -> Fact:
    """A fraction per element; integers become floats."""
    assert x.dtype is not None
    return Fact(x.shape, as_float(x.dtype))


@rule(aten.square.default)
def square(node: Node, x: Fact) -> Fact:
    """``x ** 2``; the square of a truth value is an integer."""
    return Fact(x.shape, promoted(x, 2))


@rule(aten.prelu.default)
def prelu(node: Node, x: Fact, slope: Fact) -> Fact:
    """``max(0, x) + slope * min(0, x)``, one slope for all or one per channel."""
    channels = x.shape[1] if len(x.shape) > 1 else 1
    count = slope.shape[0] if slope.shape else 1
    fits = either(equal(count, 1), equal(count, channels))
    require(node, fits, "the slopes do not match the channels", got=shape_text(slope.shape), want=f"1 or {channels}")
    return Fact(x.shape, x.dtype)


def turning(
    *points: float, domain: tuple[float, float] = (-INFINITY, INFINITY), range_: tuple[float, float] | None = None
) -> Callable[..., Interval]:
    """The interval rule of a function that is monotone between the points where it turns.

    The operator itself is run, in float64, on the ends of its operand and on the points between them.

    Args:
        points: Where the function turns; a jump counts as turning on both sides.
        domain: Outside it the function has no value.
        range_: The function's own range if it is an approximation; None for an exact one.
    """
    turns = np.array(points, np.float64).reshape(-1, 1, 1)

    def ruled(node: Node, result: Fact, x: Fact, *settings: Any, **options: Any) -> Interval:
        inside = x.bounds.clipped(*domain)
        rows = np.concatenate([inside.ends[None], np.clip(turns, *inside.ends)[:, :1].repeat(2, 1)])

        def run(at: NDArray[np.float64]) -> NDArray[np.float64]:
            values: Tensor = node.target(torch.from_numpy(at), *settings, **options)  # type: ignore[operator]
            return values.double().numpy()

        values = run(rows)
        if vague := bool(np.isnan(values).any()):  # as x * sigmoid(x) at minus infinity
            values = np.where(np.isnan(values), run(np.clip(rows, -1e300, 1e300)), values)
        ends = np.stack([values.min((0, 1)), values.max((0, 1))])
        found = Interval(ends, inside.axis, vague or inside.nan or not x.bounds.within(*domain))
        return found if range_ is None else found.stretched(_ULPS, _ULPS).clipped(*range_)

    return ruled


_EXACT: dict[Any, Callable[..., Interval]] = {
    aten.relu.default: turning(), aten.relu6.default: turning(), aten.hardtanh.default: turning(),
    aten.leaky_relu.default: turning(0.0), aten.abs.default: turning(0.0), aten.neg.default: turning(),
    aten.sign.default: turning(), aten.floor.default: turning(), aten.ceil.default: turning(),
    aten.round.default: turning(), aten.trunc.default: turning(), aten.positive.default: turning(),
    aten.square.default: turning(0.0), aten.sqrt.default: turning(domain=(0, INFINITY)),
}  # fmt: skip
_ALL = (-INFINITY, INFINITY)
_APPROXIMATE: dict[Any, Callable[..., Interval]] = {
    aten.gelu.default: turning(-0.751791, -0.752462, range_=(-0.1701, INFINITY)),  # exact, and approximated by tanh
    aten.silu.default: turning(-1.278465, range_=(-0.27847, INFINITY)),
    aten.mish.default: turning(-1.192443, range_=(-0.30885, INFINITY)),
    aten.hardswish.default: turning(-1.5, range_=(-0.37501, INFINITY)),
    aten.hardsigmoid.default: turning(range_=(0, 1)),
    aten.softplus.default: turning(range_=(0, INFINITY)),
    aten.elu.default: turning(range_=_ALL), aten.selu.default: turning(range_=_ALL),
    aten.celu.default: turning(range_=_ALL), aten.log_sigmoid.default: turning(range_=(-INFINITY, 0)),
    aten.sigmoid.default: turning(range_=(0, 1)), aten.tanh.default: turning(range_=(-1, 1)),
    aten.erf.default: turning(range_=(-1, 1)), aten.erfc.default: turning(range_=(0, 2)),
    aten.exp.default: turning(range_=(0, INFINITY)), aten.exp2.default: turning(range_=(0, INFINITY)),
    aten.expm1.default: turning(range_=(-1, INFINITY)), aten.atan.default: turning(range_=(-1.5707964, 1.5707964)),
    aten.sinh.default: turning(range_=_ALL), aten.cosh.default: turning(0.0, range_=(1, INFINITY)),
    aten.log.default: turning(domain=(0, INFINITY), range_=_ALL),
    aten.log2.default: turning(domain=(0, INFINITY), range_=_ALL),
    aten.log10.default: turning(domain=(0, INFINITY), range_=_ALL),
    aten.log1p.default: turning(domain=(-1, INFINITY), range_=_ALL),
    aten.rsqrt.default: turning(domain=(0, INFINITY), range_=(0, INFINITY)),
    aten.asin.default: turning(domain=(-1, 1), range_=(-1.5707964, 1.5707964)),
    aten.acos.default: turning(domain=(-1, 1), range_=(0, 3.1415928)),
}  # fmt: skip
for _operator, _rule in (_EXACT | _APPROXIMATE).items():
    interval_rule(_operator)(_rule)


@interval_rule(aten.sin.default, aten.cos.default)
def wave(node: Node, result: Fact, x: Fact) -> Interval:
    """-1 to 1; the sine of infinity has no value."""
    return spanning(-1, 1, nan=not x.bounds.bounded)


@interval_rule(aten.reciprocal.default)
def reciprocal(node: Node, result: Fact, x: Fact) -> Interval:
    """``1 / x``."""
    return spanning(1, 1) / x.bounds


@interval_rule(aten.frac.default)
def fraction(node: Node, result: Fact, x: Fact) -> Interval:
    """What follows the point, with the operand's sign."""
    return (x.bounds | spanning(0, 0)).clipped(-1, 1)


@interval_rule(aten.prelu.default)
def prelu_interval(node: Node, result: Fact, x: Fact, slope: Fact) -> Interval:
    """Linear on both sides of 0."""
    return _two_slopes(x, slope.bounds.moved(1 - len(x.shape)))


def _two_slopes(x: Fact, slope: Interval) -> Interval:
    return x.bounds.clipped(low=0) + slope * x.bounds.clipped(high=0)


@interval_rule(aten.dropout.default)
def dropout(node: Node, result: Fact, x: Fact, p: float, train: bool) -> Interval:
    """The operand while it sleeps; else some elements are 0 and the others grow."""
    return x.bounds if not train or p == 0 else (x.bounds / spanning(1 - p, 1 - p)).stretched(_ULPS) | spanning(0, 0)


@interval_rule(aten.tril.default, aten.triu.default, aten.hardshrink.default, aten.softshrink.default)
def towards_zero(node: Node, result: Fact, x: Fact, *settings: object) -> Interval:
    """Elements of the operand, smaller ones, or 0."""
    return x.bounds | spanning(0, 0)


@rule(aten.zero.default, aten.fill.Scalar, aten.fill.Tensor)
def overwritten(node: Node, x: Fact, *value: object) -> Fact:
    """The shape and type of the operand."""
    return Fact(x.shape, x.dtype)


@demand_rule(aten.zero.default, aten.fill.Scalar, aten.fill.Tensor)
def overwritten_demand(node: Node, wanted: Box, result: Fact, *operands: object) -> Demands:
    """Nothing of the operand; all of the value."""
    return [None]


@interval_rule(aten.zero.default)
def zero(node: Node, result: Fact, x: Fact) -> Interval:
    """0."""
    return spanning(0, 0)


@interval_rule(aten.fill.Scalar, aten.fill.Tensor)
def filled(node: Node, result: Fact, x: Fact, value: Fact | Scalar) -> Interval:
    """The value alone."""
    return bounds(value).collapsed()


@interval_rule(aten.nan_to_num.default)
def nan_to_num(
    node: Node, result: Fact, x: Fact, nan: float | None = None, high: float | None = None, low: float | None = None
) -> Interval:
    """Numbers in place of what is none, and of infinities."""
    if result.dtype is None or not result.dtype.is_floating_point:
        return x.bounds
    most = torch.finfo(result.dtype).max
    finite = Interval(np.clip(x.bounds.ends, -most, most), x.bounds.axis)
    for end, instead in ((-INFINITY, low), (INFINITY, high)):
        if instead is not None and end in (x.bounds.low, x.bounds.high):
            finite |= spanning(instead, instead)
    return finite | spanning(nan or 0, nan or 0) if x.bounds.nan else finite
