"""Sizes read from tensors and the Python arithmetic on them."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import sympy
import torch
from torch.fx import Node

from dydca.analysis.boxes import Box
from dydca.analysis.facts import Fact, OperatorClass, Scalar, plain
from dydca.analysis.rules.arithmetic import at_least, decided, equal, floordiv, largest, modulo, product, smallest
from dydca.analysis.rules.registry import Demands, axis_of, demand_rule, require, rule

aten = torch.ops.aten


@rule(aten.sym_size.int, kind=OperatorClass.ISDO)
def sym_size(node: Node, x: Fact, dim: int) -> Fact:
    """One size of a tensor."""
    return Fact(value=x.shape[axis_of(node, dim, len(x.shape))])


@rule(aten.sym_numel.default, kind=OperatorClass.ISDO)
def sym_numel(node: Node, x: Fact) -> Fact:
    """The number of elements of a tensor."""
    return Fact(value=product(x.shape))


@rule(operator.getitem)
def getitem(node: Node, several: Fact | Sequence[Any], place: int) -> Fact:
    """One of several results."""
    count = len(several.items if isinstance(several, Fact) else several)
    require(node, -count <= place < count, "there is no such result", got=place, want=f"one of {count}")
    return several.items[place] if isinstance(several, Fact) else Fact(value=several[place])


def _symbolic(*values: object) -> bool:
    return any(isinstance(value, sympy.Basic) for value in values)


@rule(operator.add, operator.sub, operator.mul, operator.neg, operator.pow, operator.abs, abs, pow)
def arithmetic(node: Node, *values: Scalar) -> Fact:
    """Arithmetic that is the same on numbers and on expressions."""
    return Fact(value=plain(node.target(*values)))  # type: ignore[operator]


@rule(operator.floordiv)
def floor_division(node: Node, a: Scalar, b: Scalar) -> Fact:
    """``a // b``."""
    return Fact(value=plain(floordiv(a, b)))


@rule(operator.mod)
def remainder(node: Node, a: Scalar, b: Scalar) -> Fact:
    """``a % b``."""
    return Fact(value=plain(modulo(a, b)))


@rule(operator.truediv)
def true_division(node: Node, a: Scalar, b: Scalar) -> Fact:
    """``a / b``, a float whatever the operands."""
    return Fact(value=plain(sympy.Float(1) * a / b) if _symbolic(a, b) else a / b)


@rule(math.floor, math.trunc, int, torch.sym_int)
def floor(node: Node, a: Scalar) -> Fact:
    """The whole part; sizes are not negative, so rounding down and towards zero are the same for expressions."""
    return Fact(value=plain(sympy.floor(a)) if _symbolic(a) else node.target(a))  # type: ignore[operator]


@rule(math.ceil)
def ceil(node: Node, a: Scalar) -> Fact:
    """Rounded up."""
    return Fact(value=plain(sympy.ceiling(a)) if _symbolic(a) else math.ceil(a))


@rule(round)
def rounded(node: Node, a: Scalar) -> Fact:
    """Rounded to the nearest whole number, halves to even."""
    if not _symbolic(a):
        return Fact(value=round(a))
    down = sympy.floor(a)
    twice = 2 * (a - down)
    up = sympy.Or(twice > 1, sympy.And(sympy.Eq(twice, 1), sympy.Eq(sympy.Mod(down, 2), 1)))
    return Fact(value=sympy.Piecewise((down + 1, up), (down, True)))


@rule(torch.sym_float, float)
def to_float(node: Node, a: Scalar) -> Fact:
    """The number as a float."""
    return Fact(value=plain(sympy.Float(1) * a) if _symbolic(a) else float(a))


@rule(torch.sym_sqrt, math.sqrt)
def sqrt(node: Node, a: Scalar) -> Fact:
    """The square root, a float."""
    return Fact(value=sympy.sqrt(sympy.Float(1) * a) if _symbolic(a) else math.sqrt(a))


@rule(torch.sym_max, max)
def maximum(node: Node, a: Scalar, b: Scalar) -> Fact:
    """The larger number."""
    return Fact(value=plain(largest(a, b)))


@rule(torch.sym_min, min)
def minimum(node: Node, a: Scalar, b: Scalar) -> Fact:
    """The smaller number."""
    return Fact(value=plain(smallest(a, b)))


def _not(condition: bool | sympy.Basic) -> bool | sympy.Basic:
    return not condition if isinstance(condition, bool) else decided(sympy.Not(condition))


@rule(operator.eq, operator.ne)
def same(node: Node, a: Scalar, b: Scalar) -> Fact:
    """Whether two numbers are equal, or differ."""
    return Fact(value=equal(a, b) if node.target is operator.eq else _not(equal(a, b)))


@rule(operator.ge, operator.lt)
def ordered(node: Node, a: Scalar, b: Scalar) -> Fact:
    """``a >= b`` or ``a < b``."""
    return Fact(value=at_least(a, b) if node.target is operator.ge else _not(at_least(a, b)))


@rule(operator.le, operator.gt)
def ordered_back(node: Node, a: Scalar, b: Scalar) -> Fact:
    """``a <= b`` or ``a > b``."""
    return Fact(value=at_least(b, a) if node.target is operator.le else _not(at_least(b, a)))


@rule(operator.and_, operator.or_, torch.sym_not, operator.not_)
def logic(node: Node, *conditions: bool | sympy.Basic) -> Fact:
    """Conditions joined or reversed."""
    if node.target in (torch.sym_not, operator.not_):
        return Fact(value=_not(conditions[0]))
    if _symbolic(*conditions):
        joined = (sympy.And if node.target is operator.and_ else sympy.Or)(*conditions)
        return Fact(value=decided(joined))
    return Fact(value=node.target(*conditions))  # type: ignore[operator]


@rule(torch.sym_ite)
def choice(node: Node, condition: bool | sympy.Basic, a: Scalar, b: Scalar) -> Fact:
    """One of two numbers."""
    if isinstance(condition, bool):
        return Fact(value=a if condition else b)
    return Fact(value=sympy.Piecewise((a, condition), (b, True)))


@rule(
    aten._assert_scalar.default, aten._assert_async.msg, aten._assert_tensor_metadata.default,
    aten.sym_constrain_range_for_size.default, aten.sym_constrain_range.default,
)  # fmt: skip
def assertion(node: Node, *operands: object, **options: object) -> Fact:
    """A check that yields nothing."""
    return Fact()


@demand_rule(aten.sym_size.int, aten.sym_numel.default)
def size_demand(node: Node, wanted: Box, result: Fact, x: Fact, *axis: int) -> Demands:
    """Nothing but the shape."""
    return [None]
