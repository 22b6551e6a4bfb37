"""What is known of a value before anything runs. Facts live in a table beside the graph, never in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import sympy
import torch
from torch.fx import Node

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

    Scalars and sequences of values have no dtype; what has a dtype is a tensor.
    """

    shape: tuple[Size, ...] = ()
    dtype: torch.dtype | None = None
    value: Any = None
    constant: bool = False
    items: tuple[Fact, ...] = ()


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


class Facts(dict[Node, Fact]):
    """The facts of one graph for one patch (numbers) or for all patches of its route (symbols).

    Attributes:
        unruled: Nodes whose operator has no rule of its own; their shape came from PyTorch's meta kernels.
        assumptions: What symbolic facts rest on; empty for the facts of one patch, where all is decided.
    """

    def __init__(self) -> None:
        super().__init__()
        self.unruled: list[Node] = []
        self.assumptions: list[Assumption] = []

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
