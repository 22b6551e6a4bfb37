"""What the rules of linear operators read: constants and sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.passes.linear.affine import Affine
from dydca.program import Graph

Forms = Mapping[Node, Affine]


@dataclass(frozen=True)
class Context:
    """What rules read: constants and sizes."""

    graph: Graph
    facts: Facts

    def rows(self, operand: object, node: Node) -> Tensor | None:
        """A number, or a constant that is one per channel, as float64 ``[C]`` for the channels of `node`."""
        shape = self.facts[node].shape
        if len(shape) != 4 or not isinstance(shape[1], int):
            return None
        if isinstance(operand, int | float):
            return torch.full((shape[1],), float(operand), dtype=torch.float64)
        constant = self.graph.constant(operand)
        if constant is None or constant.dim() > 4 or constant.is_complex():
            return None
        whole = constant.reshape((1,) * (4 - constant.dim()) + tuple(constant.shape))
        if whole.shape[1] not in (1, shape[1]) or whole.numel() != whole.shape[1]:
            return None
        return whole.reshape(-1).double().expand(shape[1])

    def constants(self, *operands: object) -> bool:
        """Whether each is a constant tensor or absent."""
        return all(operand is None or self.graph.constant(operand) is not None for operand in operands)

    def alike(self, one: Node, other: Node) -> bool:
        """Whether two tensors agree in batch, height, width and type; channels may differ."""
        first, second = self.facts[one], self.facts[other]
        same = (first.shape[:1], first.shape[-2:]) == (second.shape[:1], second.shape[-2:])
        return same and first.dtype == second.dtype


@dataclass(frozen=True)
class Rule:
    """One operator.

    Attributes:
        operands: The tensors the result is linear in, None where the operator, so called, is none of ours.
        form: The form of the result from theirs; raises `NotAffine`.
    """

    operands: Callable[[Context, Node], Iterable[Node] | None]
    form: Callable[[Context, Node, Forms], Affine]
