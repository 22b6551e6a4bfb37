"""Broadcasting and type promotion, exactly as PyTorch does them.

Source: https://docs.pytorch.org/docs/stable/tensor_attributes.html#type-promotion-doc and, for the order of
the categories, ``aten/src/ATen/native/TypeProperties.cpp``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import sympy
import torch
from torch.fx import Node

from dydca.analysis.facts import Fact, Scalar, Size
from dydca.analysis.rules.arithmetic import either, equal, largest
from dydca.analysis.rules.registry import require, shape_text, told
from dydca.analysis.sizes import Condition

Operand: TypeAlias = Fact | Scalar | None


def scalar_dtype(value: Scalar) -> torch.dtype:
    """The type a tensor made of one Python scalar would have."""
    if isinstance(value, bool) or getattr(value, "is_Boolean", False):
        return torch.bool
    if isinstance(value, float):
        return torch.get_default_dtype()
    if isinstance(value, sympy.Basic) and value.atoms(sympy.Float) and not value.is_integer:  # floor(0.5*h) is one
        return torch.get_default_dtype()
    return torch.int64


def promoted(*operands: Operand) -> torch.dtype:
    """The common type: tensors outrank 0-dimensional tensors, which outrank Python scalars, within a category."""
    ranks: list[torch.dtype | None] = [None, None, None]
    for operand in operands:
        if operand is None:
            continue
        if isinstance(operand, Fact):
            rank, dtype = 0 if operand.shape else 1, operand.dtype
        else:
            rank, dtype = 2, scalar_dtype(operand)
        ranks[rank] = _joined(ranks[rank], dtype)
    result = _outranked(ranks[0], _outranked(ranks[1], ranks[2]))
    assert result is not None, "an operator has at least one operand"
    return result


def _joined(a: torch.dtype | None, b: torch.dtype | None) -> torch.dtype | None:
    if a is None or b is None or a is b:
        return b if a is None else a
    return torch.promote_types(a, b)


def _outranked(higher: torch.dtype | None, lower: torch.dtype | None) -> torch.dtype | None:
    if higher is None or lower is None:
        return lower if higher is None else higher
    if higher.is_floating_point or higher.is_complex:
        return torch.promote_types(higher, lower) if lower.is_complex and not higher.is_complex else higher
    widens = higher is torch.bool or lower.is_floating_point or lower.is_complex
    return torch.promote_types(higher, lower) if widens else higher


def as_float(dtype: torch.dtype) -> torch.dtype:
    """The type of a result that is a fraction: integers become the default float type."""
    return dtype if dtype.is_floating_point or dtype.is_complex else torch.get_default_dtype()


def summed_dtype(x: Fact, dtype: torch.dtype | None) -> torch.dtype | None:
    """The type of a sum: those of integers are int64 unless told."""
    assert x.dtype is not None
    return dtype or (x.dtype if x.dtype.is_floating_point or x.dtype.is_complex else torch.int64)


def broadcast(node: Node, *operands: Operand) -> tuple[Size, ...]:
    """The common shape of the operands.

    Raises:
        ShapeError: DYD202, two sizes differ and neither is 1.
    """
    return common_shape(node, (operand.shape for operand in operands if isinstance(operand, Fact)))


def common_shape(node: Node, shapes: Iterable[tuple[Size, ...]]) -> tuple[Size, ...]:
    """The shape that all shapes broadcast to.

    Raises:
        ShapeError: DYD202, two sizes differ and neither is 1.
    """
    shape: tuple[Size, ...] = ()
    for other in shapes:
        shape = broadcast_shapes(node, shape, other)
    return shape


def broadcast_shapes(node: Node, a: tuple[Size, ...], b: tuple[Size, ...]) -> tuple[Size, ...]:
    """The common shape of two shapes.

    Raises:
        ShapeError: DYD202, two sizes differ and neither is 1.
    """
    if a == b:
        return a
    rank = max(len(a), len(b))
    left, right = (1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b
    return tuple(_stretched(node, m, n, a, b) for m, n in zip(left, right, strict=True))


def _stretched(node: Node, m: Size, n: Size, a: tuple[Size, ...], b: tuple[Size, ...]) -> Size:
    if m == n or n == 1:
        return m
    if m == 1:
        return n
    choices = [equal(m, n), *(equal(size, 1) for size in (m, n) if not isinstance(size, int))]
    if choices[0] is True:
        return m
    if all(choice is False for choice in choices):
        got, want = f"{shape_text(a)} and {shape_text(b)}", "equal sizes, or 1"
        require(node, False, "the shapes do not broadcast", got=got, want=want)
    return _undecided(node, m, n, choices)


def _undecided(node: Node, m: Size, n: Size, choices: Sequence[Condition]) -> Size:
    """Either size may still be 1; a number other than 1 settles it, else valid operands make it the larger one."""
    require(node, sympy.Or(*choices), "the shapes do not broadcast")
    return n if isinstance(n, int) else m if isinstance(m, int) else largest(m, n)


def require_stretches(node: Node, source: tuple[Size, ...], target: tuple[Size, ...], what: str) -> None:
    """Refuses a shape that does not broadcast to the target without changing it.

    Raises:
        ShapeError: DYD202.
    """
    got, want = shape_text(source), told("stretches to {}", target)
    require(node, len(source) <= len(target), what, got, want)
    for size, wanted in zip(source, target[len(target) - len(source) :], strict=True):
        if size != wanted and size != 1:
            require(node, either(equal(size, wanted), equal(size, 1)), what, got, want)
