"""Operators that work on each element: broadcasting, type promotion, and values where these are small integers."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Node

from dydca.analysis.facts import Fact, Scalar, plain
from dydca.analysis.rules.arithmetic import either, equal, floordiv, largest, modulo, smallest
from dydca.analysis.rules.promotion import Operand, as_float, broadcast, promoted, require_stretches
from dydca.analysis.rules.registry import require, rule, shape_text

aten = torch.ops.aten


@rule(
    aten.relu.default, aten.leaky_relu.default, aten.gelu.default, aten.silu.default, aten.softplus.default,
    aten.hardtanh.default, aten.relu6.default, aten.hardsigmoid.default, aten.hardswish.default, aten.elu.default,
    aten.mish.default, aten.selu.default, aten.celu.default, aten.log_sigmoid.default, aten.threshold.default,
    aten.softshrink.default, aten.hardshrink.default, aten.neg.default, aten.abs.default, aten.sign.default,
    aten.floor.default, aten.ceil.default, aten.round.default, aten.round.decimals, aten.trunc.default,
    aten.frac.default, aten.bitwise_not.default, aten.dropout.default, aten.positive.default,
    aten.zero.default, aten.fill.Scalar, aten.fill.Tensor, aten.tril.default, aten.triu.default,
    aten.nan_to_num.default,
)  # fmt: skip
def same(node: Node, x: Fact, *settings: object, **options: object) -> Fact:
    """The shape and type of the operand."""
    return Fact(x.shape, x.dtype)


@rule(
    aten.clone.default, aten.contiguous.default, aten.detach.default, aten.alias.default, aten.lift_fresh_copy.default
)
def copied(node: Node, x: Fact, **options: object) -> Fact:
    """The operand itself, its value included."""
    return x


@rule(
    aten.sigmoid.default, aten.tanh.default, aten.exp.default, aten.exp2.default, aten.expm1.default, aten.log.default,
    aten.log2.default, aten.log10.default, aten.log1p.default, aten.sqrt.default, aten.rsqrt.default,
    aten.reciprocal.default, aten.sin.default, aten.cos.default, aten.tan.default, aten.asin.default,
    aten.acos.default, aten.atan.default, aten.sinh.default, aten.cosh.default, aten.erf.default, aten.erfc.default,
    aten.logit.default,
)  # fmt: skip
def fractional(node: Node, x: Fact, *settings: object) -> Fact:
    """A fraction per element; integers become floats."""
    assert x.dtype is not None
    return Fact(x.shape, as_float(x.dtype))


@rule(aten.prelu.default)
def prelu(node: Node, x: Fact, slope: Fact) -> Fact:
    """``max(0, x) + slope * min(0, x)``, one slope for all or one per channel."""
    channels = x.shape[1] if len(x.shape) > 1 else 1
    count = slope.shape[0] if slope.shape else 1
    fits = either(equal(count, 1), equal(count, channels))
    require(node, fits, "the slopes do not match the channels", got=shape_text(slope.shape), want=f"1 or {channels}")
    return Fact(x.shape, x.dtype)


_VALUES: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "floor_divide": floordiv, "remainder": modulo,
    "maximum": largest, "minimum": smallest, "rsub": lambda a, b: b - a,
}  # fmt: skip


@rule(
    aten.add.Tensor, aten.add.Scalar, aten.sub.Tensor, aten.sub.Scalar, aten.mul.Tensor, aten.mul.Scalar,
    aten.rsub.Tensor, aten.rsub.Scalar, aten.floor_divide.default, aten.floor_divide.Scalar, aten.remainder.Tensor,
    aten.remainder.Scalar, aten.fmod.Tensor, aten.fmod.Scalar, aten.maximum.default, aten.minimum.default,
    aten.max.other, aten.min.other, aten.pow.Tensor_Tensor, aten.pow.Tensor_Scalar, aten.pow.Scalar,
    aten.bitwise_and.Tensor, aten.bitwise_and.Scalar, aten.bitwise_or.Tensor, aten.bitwise_or.Scalar,
    aten.bitwise_xor.Tensor, aten.bitwise_xor.Scalar, aten.__and__.Tensor, aten.__and__.Scalar, aten.__or__.Tensor,
    aten.__or__.Scalar, aten.__xor__.Tensor, aten.__xor__.Scalar,
)  # fmt: skip
def binary(node: Node, a: Operand, b: Operand, alpha: Scalar = 1) -> Fact:
    """Two operands, broadcast and promoted."""
    shape, dtype = broadcast(node, a, b), promoted(a, b)
    fold = _VALUES.get(node.target._schema.name.split("::")[1])  # type: ignore[union-attr]
    if fold is None or dtype.is_floating_point or alpha != 1:
        return Fact(shape, dtype)
    return Fact(shape, dtype, _folded(fold, a, b))


def _folded(fold: Callable[[Any, Any], Any], a: Operand, b: Operand) -> Any:
    """The values combined, if both are known and of rank 0 or 1."""
    left, right = (operand.value if isinstance(operand, Fact) else operand for operand in (a, b))
    if left is None or right is None:
        return None
    if not isinstance(left, tuple) and not isinstance(right, tuple):
        return plain(fold(left, right))
    count = max(len(value) if isinstance(value, tuple) else 1 for value in (left, right))
    rows = [_stretched(value, count) for value in (left, right)]
    return tuple(plain(fold(m, n)) for m, n in zip(*rows, strict=True))


def _stretched(value: Any, count: int) -> tuple[Any, ...]:
    values = value if isinstance(value, tuple) else (value,)
    return values * count if len(values) == 1 else values


@rule(aten.square.default)
def square(node: Node, x: Fact) -> Fact:
    """``x ** 2``; the square of a truth value is an integer."""
    return Fact(x.shape, promoted(x, 2))


@rule(
    aten.div.Tensor, aten.div.Scalar, aten.atan2.default, aten.hypot.default, aten.true_divide.Tensor, aten.xlogy.Tensor
)
def divide(node: Node, a: Operand, b: Operand) -> Fact:
    """Two operands with a fraction as result."""
    return Fact(broadcast(node, a, b), as_float(promoted(a, b)))


@rule(aten.div.Tensor_mode, aten.div.Scalar_mode)
def divide_rounding(node: Node, a: Operand, b: Operand, rounding_mode: str | None = None) -> Fact:
    """Division that rounds keeps integers integer."""
    dtype = promoted(a, b)
    return Fact(broadcast(node, a, b), as_float(dtype) if rounding_mode is None else dtype)


@rule(
    aten.eq.Tensor, aten.eq.Scalar, aten.ne.Tensor, aten.ne.Scalar, aten.lt.Tensor, aten.lt.Scalar, aten.le.Tensor,
    aten.le.Scalar, aten.gt.Tensor, aten.gt.Scalar, aten.ge.Tensor, aten.ge.Scalar, aten.logical_and.default,
    aten.logical_or.default, aten.logical_xor.default, aten.logical_not.default, aten.isnan.default,
    aten.isinf.default, aten.isfinite.default, aten.signbit.default,
)  # fmt: skip
def truth(node: Node, *operands: Operand) -> Fact:
    """A truth value per element."""
    return Fact(broadcast(node, *operands), torch.bool)


@rule(
    aten.clamp.default, aten.clamp.Tensor, aten.clamp_min.default, aten.clamp_max.default, aten.clamp_min.Tensor,
    aten.clamp_max.Tensor,
)  # fmt: skip
def clamp(node: Node, x: Fact, low: Operand = None, high: Operand = None, **bounds: Operand) -> Fact:
    """``min(max(x, low), high)``; the bounds take part in the promotion."""
    operands = (x, low, high, *bounds.values())
    return Fact(broadcast(node, *operands), promoted(*operands))


@rule(aten.where.self, aten.where.ScalarSelf, aten.where.ScalarOther, aten.where.Scalar)
def where(node: Node, condition: Fact, a: Operand, b: Operand) -> Fact:
    """One of two operands per element."""
    return Fact(broadcast(node, condition, a, b), promoted(a, b))


@rule(aten.masked_fill.Scalar, aten.masked_fill.Tensor)
def masked_fill(node: Node, x: Fact, mask: Fact, value: Operand) -> Fact:
    """`x` where the mask is false; the mask may stretch `x`, the value never changes its type."""
    return Fact(broadcast(node, x, mask), x.dtype)


@rule(aten.lerp.Scalar, aten.lerp.Tensor, aten.addcmul.default, aten.addcdiv.default)
def three(node: Node, a: Operand, b: Operand, c: Operand, value: Scalar = 1) -> Fact:
    """Three operands, broadcast and promoted."""
    return Fact(broadcast(node, a, b, c), promoted(*(operand for operand in (a, b, c) if isinstance(operand, Fact))))


@rule(aten._to_copy.default, aten.to.dtype, aten.to.dtype_layout)
def to_copy(
    node: Node,
    x: Fact,
    target: torch.dtype | None = None,
    *options: object,
    dtype: torch.dtype | None = None,
    **others: object,
) -> Fact:
    """`x` in another type; a known integer stays known as long as the type is one of integers."""
    kind = dtype or target or x.dtype
    whole = kind is not None and not kind.is_floating_point and kind is not torch.bool
    return Fact(x.shape, kind, x.value if whole else None)


@rule(aten.type_as.default)
def type_as(node: Node, x: Fact, other: Fact) -> Fact:
    """`x` in the type of another tensor."""
    return to_copy(node, x, other.dtype)


@rule(aten.copy.default)
def copy(node: Node, x: Fact, source: Fact, non_blocking: bool = False) -> Fact:
    """The values of `source`, stretched to the shape and converted to the type of `x`."""
    require_stretches(node, source.shape, x.shape, "the source does not fit")
    return to_copy(node, Fact(x.shape, source.dtype, source.value if source.shape == x.shape else None), x.dtype)
