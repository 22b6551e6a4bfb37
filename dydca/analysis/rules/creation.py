"""Operators that make tensors from sizes and numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import sympy
import torch
from torch.fx import Node

from dydca.analysis.boxes import Box
from dydca.analysis.facts import Fact, OperatorClass, Scalar, Size
from dydca.analysis.intervals import Interval, point, spanning, union
from dydca.analysis.rules.arithmetic import at_least, ceildiv
from dydca.analysis.rules.promotion import scalar_dtype
from dydca.analysis.rules.registry import Demands, bounds, demand_rule, interval_rule, require, rule, unknown

aten = torch.ops.aten
Kind: TypeAlias = torch.dtype | None
LARGEST_VALUE = 64
"""Longer integer tensors are not followed element by element."""


@rule(aten.zeros.default, aten.ones.default, aten.empty.memory_format, aten.rand.default, aten.randn.default)
def zeros(node: Node, size: Sequence[Size], *, dtype: Kind = None, **options: object) -> Fact:
    """A tensor of the given sizes, of the default float type unless told."""
    for extent in size:
        require(node, at_least(extent, 0), "a size is negative", got=extent, want=">= 0")
    return Fact(tuple(size), dtype or torch.get_default_dtype())


@rule(aten.full.default)
def full(node: Node, size: Sequence[Size], value: Scalar, *, dtype: Kind = None, **options: object) -> Fact:
    """A tensor of one number, of that number's type unless told."""
    return zeros(node, size, dtype=dtype or scalar_dtype(value))


@rule(
    aten.zeros_like.default, aten.ones_like.default, aten.empty_like.default, aten.full_like.default,
    kind=OperatorClass.ISDO,
)  # fmt: skip
@rule(aten.rand_like.default, aten.randn_like.default)
def zeros_like(node: Node, x: Fact, value: object = None, *, dtype: Kind = None, **options: object) -> Fact:
    """A tensor of the operand's shape."""
    return Fact(x.shape, dtype or x.dtype)


@rule(
    aten.new_zeros.default, aten.new_ones.default, aten.new_empty.default, aten.new_full.default,
    kind=OperatorClass.ISDO,
)  # fmt: skip
def new_zeros(
    node: Node, x: Fact, size: Sequence[Size], value: object = None, *, dtype: Kind = None, **options: object
) -> Fact:
    """A tensor of the operand's type."""
    return zeros(node, size, dtype=dtype or x.dtype)


@rule(aten.arange.default)
def arange(node: Node, end: Scalar, *, dtype: Kind = None, **options: object) -> Fact:
    """``0, 1, ..., end - 1``."""
    return arange_step(node, 0, end, dtype=dtype)


@rule(aten.arange.start, aten.arange.start_step)
def arange_step(
    node: Node, start: Scalar, end: Scalar, step: Scalar = 1, *, dtype: Kind = None, **options: object
) -> Fact:
    """``start, start + step, ...``, before `end`; known element by element where short."""
    kinds = [scalar_dtype(number) for number in (start, end, step)]
    kind = dtype or next((found for found in kinds if found.is_floating_point), torch.int64)
    require(node, step != 0, "the step is 0", got=step, want="another number")
    count = ceildiv(end - start, step)
    count = int(count) if isinstance(count, float) else count
    ahead = at_least((end - start) * step, 0)
    require(node, ahead, "the step leads away from the end", got=(start, end, step), want="a step towards it")
    known = isinstance(count, int) and count <= LARGEST_VALUE and not kind.is_floating_point
    value = tuple(start + place * step for place in range(count)) if known else None
    return Fact((count,), kind, value)


@rule(aten.linspace.default)
def linspace(node: Node, start: Scalar, end: Scalar, steps: Size, *, dtype: Kind = None, **options: object) -> Fact:
    """`steps` numbers at equal distances."""
    return zeros(node, (steps,), dtype=dtype)


@rule(aten.eye.default)
def eye(node: Node, n: Size, *, dtype: Kind = None, **options: object) -> Fact:
    """The unit matrix."""
    return zeros(node, (n, n), dtype=dtype)


@rule(aten.scalar_tensor.default)
def scalar_tensor(node: Node, value: Scalar, *, dtype: Kind = None, **options: object) -> Fact:
    """A number as a tensor of rank 0."""
    kind = dtype or torch.get_default_dtype()
    whole = not kind.is_floating_point and not isinstance(value, float)
    return Fact((), kind, value if whole and kind is not torch.bool else None)


def stored(tensor: torch.Tensor) -> Fact:
    """The fact of a constant, with its elements where these are few integers."""
    integral = not (tensor.dtype.is_floating_point or tensor.dtype.is_complex or tensor.dtype is torch.bool)
    if not (integral and tensor.dim() <= 1 and tensor.numel() <= LARGEST_VALUE):
        return Fact(tuple(tensor.shape), tensor.dtype, constant=True, tensor=tensor)
    elements = tensor.tolist()
    value = tuple(elements) if tensor.dim() else elements
    return Fact(tuple(tensor.shape), tensor.dtype, value, constant=True, tensor=tensor)


@rule(aten.item.default, aten._local_scalar_dense.default)
def item(node: Node, x: Fact) -> Fact:
    """The number in a tensor of one element; unknown integers and floats get a symbol named after the node."""
    known = x.value[0] if isinstance(x.value, tuple) else x.value
    if known is not None:
        return Fact(value=known)
    if x.dtype is None or x.dtype.is_floating_point:
        return Fact(value=sympy.Symbol(f"u_{node.name}", real=True))
    return Fact(value=unknown(node, _whole(x.bounds.low), _whole(x.bounds.high)))


def _whole(end: float) -> Size:
    return int(end) if math.isfinite(end) else sympy.oo if end > 0 else -sympy.oo


@interval_rule(aten.zeros.default, aten.zeros_like.default, aten.new_zeros.default)
def zeros_interval(node: Node, result: Fact, *sizes: object, **options: object) -> Interval:
    """0."""
    return point(0)


@interval_rule(aten.ones.default, aten.ones_like.default, aten.new_ones.default)
def ones_interval(node: Node, result: Fact, *sizes: object, **options: object) -> Interval:
    """1."""
    return point(1)


@interval_rule(aten.full.default)
def full_interval(node: Node, result: Fact, size: object, value: Scalar, **options: object) -> Interval:
    """The number."""
    return bounds(value)


@interval_rule(aten.full_like.default)
def full_like_interval(node: Node, result: Fact, x: Fact, value: Scalar, **options: object) -> Interval:
    """The number."""
    return bounds(value)


@interval_rule(aten.new_full.default)
def new_full_interval(node: Node, result: Fact, x: Fact, size: object, value: Scalar, **options: object) -> Interval:
    """The number."""
    return bounds(value)


@interval_rule(aten.rand.default, aten.rand_like.default, aten.eye.default)
def part_interval(node: Node, result: Fact, *sizes: object, **options: object) -> Interval:
    """0 to 1."""
    return spanning(0, 1)


@interval_rule(aten.arange.default, aten.arange.start, aten.arange.start_step)
def arange_interval(node: Node, result: Fact, *numbers: Scalar, **options: object) -> Interval:
    """From the first to the last number."""
    return union([bounds(number) for number in (*numbers[:2], *((0,) if len(numbers) == 1 else ()))])


@interval_rule(aten.linspace.default)
def linspace_interval(
    node: Node, result: Fact, start: Scalar, end: Scalar, *steps: object, **options: object
) -> Interval:
    """Between the two numbers."""
    both = bounds(start) | bounds(end)
    return both.stretched(2.0**-20, 2.0**-22 * both.magnitude)


@interval_rule(aten.scalar_tensor.default)
def scalar_tensor_interval(node: Node, result: Fact, value: Scalar, **options: object) -> Interval:
    """The number."""
    return bounds(value)


@demand_rule(
    aten.zeros_like.default, aten.ones_like.default, aten.empty_like.default, aten.full_like.default,
    aten.rand_like.default, aten.randn_like.default, aten.new_zeros.default, aten.new_ones.default,
    aten.new_empty.default, aten.new_full.default,
)  # fmt: skip
def like_demand(node: Node, wanted: Box, result: Fact, *operands: object, **options: object) -> Demands:
    """Nothing but shape and type."""
    return [None]
