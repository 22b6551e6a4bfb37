"""Operators without a rule: PyTorch's own meta kernels tell the shape and the type, nothing tells the value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sympy
import torch
from torch import Tensor
from torch.fx import Node

from dydca.analysis.facts import Fact, Size
from dydca.analysis.rules.registry import Hints, unknown
from dydca.errors import ShapeError
from dydca.program import where


def meta_fact(node: Node, args: Sequence[Any], kwargs: Mapping[str, Any], sizes: Hints) -> Fact:
    """The fact of a node whose operator no rule knows.

    For a concrete patch the shape is exact. With symbolic operands the operator runs at the sizes of one patch, and
    every size of the result gets a fresh symbol named after the node, whose size at that patch is added to `sizes`.

    Raises:
        ShapeError: DYD202, the meta kernel refuses the operands, or there is none.
    """
    symbolic = _has_symbols([*args, *kwargs.values()])
    try:
        result = node.target(  # type: ignore[operator]
            *(_meta(arg, sizes) for arg in args),
            **{name: _meta(arg, sizes) for name, arg in kwargs.items() if name != "device"},
        )
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        message = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        what = (
            "PyTorch's meta kernel refuses the operands"
            if not isinstance(error, NotImplementedError)
            else ("there is neither a rule nor a meta kernel")
        )
        raise ShapeError("DYD202", what, where=where(node), got=message) from error
    if isinstance(result, Tensor):
        return _fact(node, result, sizes if symbolic else None, "")
    parts = result if isinstance(result, list | tuple) else ()
    return Fact(
        items=tuple(_fact(node, part, sizes if symbolic else None, f"_{place}") for place, part in enumerate(parts))
    )


def _has_symbols(operands: Any) -> bool:
    if isinstance(operands, Fact):
        return _has_symbols(operands.shape)
    if isinstance(operands, list | tuple):
        return any(map(_has_symbols, operands))
    return isinstance(operands, sympy.Basic)


def _meta(operand: Any, sizes: Mapping[sympy.Symbol, sympy.Integer]) -> Any:
    if isinstance(operand, Fact):
        return torch.empty([_number(size, sizes) for size in operand.shape], dtype=operand.dtype, device="meta")
    if isinstance(operand, list | tuple):
        return [_meta(entry, sizes) for entry in operand]
    if isinstance(operand, torch.device):
        return torch.device("meta")
    return _number(operand, sizes) if isinstance(operand, sympy.Basic) else operand


def _number(size: Size, sizes: Mapping[sympy.Symbol, sympy.Integer]) -> int:
    if isinstance(size, int):
        return size
    return int(size.xreplace(sizes))


def _fact(node: Node, result: object, sizes: Hints | None, suffix: str) -> Fact:
    if not isinstance(result, Tensor):
        return Fact()
    if sizes is None:
        return Fact(tuple(result.shape), result.dtype)
    shape = []
    for axis, size in enumerate(result.shape):
        symbol = unknown(node, 0, sympy.oo, f"{suffix}_{axis}")
        sizes[symbol] = sympy.Integer(size)
        shape.append(symbol)
    return Fact(tuple(shape), result.dtype)
