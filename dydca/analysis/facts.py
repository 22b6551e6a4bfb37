"""What is known of a value before anything runs. Facts live in a table beside the graph, never in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

import numpy as np
import sympy
import torch
from torch import Tensor
from torch.fx import Node

from dydca.analysis.intervals import UNKNOWN, Interval, interval_of, point, spanning, union

Size: TypeAlias = int | sympy.Expr
"""A size: a number for a concrete patch, or an expression over the input symbols for all patches at once."""

Scalar: TypeAlias = int | float | bool | sympy.Basic
"""A Python number, or an expression or condition over the input symbols."""


@dataclass(frozen=True)
class Fact:
    """What is known of one node's value.

    Attributes:
        shape: Sizes of a tensor; empty for scalars.
        dtype: Element type; None for Python scalars and sequences.
        value: The value where it is known: a Python number, a sympy expression for a symbolic size, a tuple of
            these for small integer tensors and lists of sizes; None where it is not known.
        constant: The value depends on no input.
        items: One fact per element where the node yields several values (split, chunk); empty otherwise.
        interval: What a tensor's elements lie between; None where nothing is known. Ask `bounds`, which knows more.
        tensor: The whole value of a constant tensor that is small enough to be computed; None otherwise.

    Scalars and sequences of values have no dtype; what has a dtype is a tensor.
    """

    shape: tuple[Size, ...] = ()
    dtype: torch.dtype | None = None
    value: Any = None
    constant: bool = False
    items: tuple[Fact, ...] = ()
    interval: Interval | None = None
    tensor: Tensor | None = field(default=None, compare=False, repr=False)

    @property
    def bounds(self) -> Interval:
        """What the elements lie between, from the interval, the value, or the element type."""
        if self.interval is not None:
            return self.interval
        if self.tensor is not None:
            return interval_of(self.tensor)
        if self.value is not None:
            return bounds_of(self.value)
        if self.dtype is None or self.dtype.is_floating_point or self.dtype.is_complex:
            return UNKNOWN
        if self.dtype is torch.bool:
            return spanning(0, 1)
        limits = torch.iinfo(self.dtype)
        return spanning(limits.min, limits.max)


@dataclass(frozen=True)
class Assumption:
    """A condition on the input sizes without which an operator refuses its operands.

    Attributes:
        condition: A sympy relation over the dimension symbols, e.g. ``Eq(Mod(H, 2), 0)``.
        node: The node that needs it.
        what: What the node would say if it did not hold.
    """

    condition: sympy.Basic
    node: Node
    what: str


@dataclass(frozen=True)
class Unknown:
    """A whole number that only execution tells: how many elements a mask has, or what `item` returns.

    Attributes:
        node: Where it comes from.
        low: The least value it can have.
        high: The largest; an expression over the input symbols in the facts of all patches, infinite if unbounded.
    """

    node: Node
    low: Size
    high: Size


class OperatorClass(Enum):
    """What decides the shape of an operator's result. Source: SoD2 (ASPLOS 2024), section 3.

    An operator whose shape is decided by a value that is known before execution is in the class that needs none.
    """

    ISDO = "input shapes decide shape and value"
    ISDOS = "input shapes decide the shape"
    ISVDOS = "input shapes and values decide the shape"
    EDO = "execution decides the shape"


class Facts(dict[Node, Fact]):
    """The facts of one graph for one patch (numbers) or for all patches of its route (symbols).

    Attributes:
        unruled: Nodes whose operator has no rule of its own; their shape came from PyTorch's meta kernels.
        assumptions: What symbolic facts rest on. In the facts of one patch only conditions on unknown sizes are left,
            which the data may break.
        unknown: The symbols in the facts that stand for no size of an input.
        classes: Of every operator.
    """

    def __init__(self) -> None:
        super().__init__()
        self.unruled: list[Node] = []
        self.assumptions: list[Assumption] = []
        self.unknown: dict[sympy.Symbol, Unknown] = {}
        self.classes: dict[Node, OperatorClass] = {}

    @property
    def ranges(self) -> dict[sympy.Symbol, tuple[Size, Size]]:
        """What the unknown numbers lie between; `dydca.analysis.sizes.span` carries it on to any size."""
        return {symbol: (entry.low, entry.high) for symbol, entry in self.unknown.items()}

    def shape(self, node: Node) -> tuple[int, ...]:
        """The concrete shape of `node`.

        Raises:
            ValueError: A size is still symbolic; only facts of one patch are concrete.
        """
        shape = self[node].shape
        if not all(isinstance(size, int) for size in shape):
            raise ValueError(f"%{node.name} has the symbolic shape {shape}")
        return shape


def plain(value: Scalar) -> Scalar:
    """Turns a sympy number into Python's, leaves expressions alone."""
    if isinstance(value, sympy.Integer):
        return int(value)
    if isinstance(value, sympy.logic.boolalg.BooleanAtom):
        return bool(value)
    return float(value) if isinstance(value, sympy.Number) else value


def bounds_of(value: Any) -> Interval:
    """What a known number, an expression over sizes, or a tuple of these lies between as float32."""
    if isinstance(value, tuple):
        return union([bounds_of(entry) for entry in value]) if value else UNKNOWN
    if isinstance(value, sympy.Basic):
        return spanning(0 if value.is_nonnegative else -np.inf, np.inf)
    rounded = point(value).rounded(torch.float32)
    assert rounded is not None
    return rounded
