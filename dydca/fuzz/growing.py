"""A graph of ATen operators that grows one operator at a time, on values that PyTorch computes along the way."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from dydca.program import Graph
from dydca.testing import Builder

aten = torch.ops.aten

LARGEST = 20_000
"""Elements of a tensor; larger ones cost time and show nothing new."""


class Refused(Exception):  # noqa: N818  # no error, a draw that does not fit
    """PyTorch does not take the operands that were drawn."""


class Growing:
    """A graph with the values of one patch.

    Args:
        random: Draws everything.
        shapes: Of the inputs.
    """

    def __init__(self, random: Random, shapes: Sequence[tuple[int, ...]]) -> None:
        self.random, self.builder = random, Builder()
        self.values: dict[Node, Any] = {}
        self.generator = torch.Generator().manual_seed(random.randrange(1 << 30))
        for name, shape in zip("xyz", shapes, strict=False):
            self.values[self.builder.input(name)] = torch.rand(shape, generator=self.generator) * 2 - 0.5

    def grow(self, families: Mapping[Callable[[Growing], object], int], count: int) -> Graph:
        """So many operators more or a few less, and all that nobody reads as outputs, with one value from within.

        Args:
            families: What adds an operator, with how often it is drawn.
            count: How many are drawn.
        """
        for _ in range(count):
            family = self.random.choices(list(families), list(families.values()))[0]
            known = list(self.values)
            try:
                family(self)
            except (Refused, IndexError, ValueError):  # ValueError: a scalar has no axis
                for node in reversed([node for node in self.values if node not in known]):
                    del self.values[node]
                    self.builder.fx.erase_node(node)
        tensors = [node for node in self.values if isinstance(self.values[node], Tensor)]
        ends = [node for node in tensors if not node.users and node.op == "call_function"]
        return self.builder.output(*(ends or tensors[-1:]), self.random.choice(tensors))

    def call(self, op: Callable[..., Any], *args: Any, **kwargs: Any) -> Node:
        """One operator more.

        Raises:
            Refused: PyTorch does not take the operands.
        """
        try:
            with torch.no_grad():
                value = op(*map(self._value, args), **{name: self._value(arg) for name, arg in kwargs.items()})
        except (RuntimeError, ValueError, IndexError, TypeError, ZeroDivisionError, OverflowError) as error:
            raise Refused from error
        if any(isinstance(part, Tensor) and part.numel() > LARGEST for part in _parts(value)):
            raise Refused
        node = self.builder.call(op, *args, **kwargs)
        self.values[node] = list(value) if isinstance(value, tuple) else value
        return node

    def _value(self, arg: Any) -> Any:
        if isinstance(arg, list):
            return [self._value(entry) for entry in arg]
        return self.values[arg] if isinstance(arg, Node) else arg

    def const(self, *shape: int) -> Node:
        """A random constant, now and then of whole numbers or of one sign."""
        drawn = torch.randn(shape, generator=self.generator) / math.sqrt(max(math.prod(shape[1:]), 1))
        node = self.builder.const(self.random.choice([drawn, drawn, drawn, drawn.abs(), drawn.round()]))
        self.values[node] = self.builder.constants[str(node.target)]
        return node

    def tensor(self, accepts: Callable[[Tensor], bool] = lambda x: x.is_floating_point()) -> Node:
        """A value so far, rather a late one.

        Raises:
            IndexError: There is none.
        """
        fitting = [node for node, value in self.values.items() if isinstance(value, Tensor) and accepts(value)]
        fitting = [node for node in fitting if node.op != "get_attr"]
        return self.random.choice(fitting[-3:] if self.random.random() < 0.7 else fitting)

    def picture(self) -> Node:
        """A float tensor of rank 4 with something in it."""
        return self.tensor(lambda x: x.dim() == 4 and x.is_floating_point() and x.numel() > 0)

    def shape(self, node: Node) -> torch.Size:
        """Of a value so far."""
        shape: torch.Size = self.values[node].shape
        return shape

    def axis(self, node: Node) -> int:
        """An axis, counted from the front or from the back."""
        rank = len(self.shape(node))
        return self.random.randrange(-rank, rank)

    def size(self, node: Node, axis: int | None = None) -> Node:
        """A size that is read when the graph runs."""
        return self.call(aten.sym_size.int, node, self.axis(node) % len(self.shape(node)) if axis is None else axis)

    def number(self, node: Node) -> Any:
        """A whole number: fixed, a size, or made from sizes."""
        if self.random.random() < 0.4:
            return self.random.choice([0, 1, 1, 2, 2, 3, 4, -1, -2])
        made: Any = self.size(node)
        for _ in range(self.random.choice([0, 0, 1, 1, 2])):
            other = self.random.choice([1, 1, 2, 2, 3, 4, self.size(node)])
            op = self.random.choice([operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod])
            made = self.call(op, made, other)
        return made


def _parts(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]
