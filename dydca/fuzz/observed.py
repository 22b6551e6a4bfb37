"""What execution shows beside what was predicted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import sympy
import torch
from torch import Tensor, fx
from torch.fx import Node

from dydca.analysis import Fact, Facts
from dydca.analysis.sizes import span

Sizes = Mapping[sympy.Symbol, int]


class Recorder(fx.Interpreter):
    """Runs a graph and keeps every value.

    Attributes:
        values: By node of the graph the module was made from; nodes after the one that failed have none.
    """

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph, garbage_collect_values=False)
        self.values: dict[str, Any] = {}

    def run_node(self, n: Node) -> Any:
        """Runs one node."""
        self.values[n.name] = value = super().run_node(n)
        return value


def lies_within(value: Tensor, fact: Fact) -> bool:
    """Whether no element lies outside the bounds of its entry, or is not a number where all are."""
    if not value.numel() or value.is_complex():
        return True
    bounds = fact.bounds
    low, high = torch.from_numpy(bounds.ends.copy())
    if bounds.axis is not None:
        if len(low) not in (1, value.shape[bounds.axis]):
            return False
        low, high = (end.reshape(-1, *[1] * (-bounds.axis - 1)) for end in (low, high))
    elements = value.double()
    inside = (low <= elements) & (elements <= high)
    return bool((inside | elements.isnan() if bounds.nan else inside).all())


def violations(facts: Facts, fact: Fact, value: Any, sizes: Sizes) -> Iterator[str]:
    """What a fact says wrongly of an observed value.

    Args:
        facts: Owner of the numbers that only execution tells.
        fact: What was predicted.
        value: What PyTorch made.
        sizes: Of the inputs, by symbol.
    """
    if isinstance(value, Tensor):
        yield from _of_tensor(facts, fact, value, sizes)
    elif isinstance(value, list | tuple):
        if len(fact.items) != len(value):
            yield f"{len(fact.items)} results predicted, {len(value)} observed"
        for item, part in zip(fact.items, value, strict=False):
            yield from violations(facts, item, part, sizes)
    elif value is not None and fact.value is not None and not _is(facts, fact.value, value, sizes):
        yield f"the number {fact.value} predicted, {value} observed"


def _of_tensor(facts: Facts, fact: Fact, value: Tensor, sizes: Sizes) -> Iterator[str]:
    observed = tuple(value.shape)
    if len(fact.shape) != len(observed) or not all(
        _is(facts, size, number, sizes) for size, number in zip(fact.shape, observed, strict=True)
    ):
        yield f"the shape {fact.shape} predicted, {observed} observed"
    if fact.dtype != value.dtype:
        yield f"{fact.dtype} predicted, {value.dtype} observed"
    if not lies_within(value, fact):
        yield f"elements in {fact.bounds} predicted, {value.min()}..{value.max()} observed"
    if fact.tensor is not None and not torch.equal(fact.tensor.nan_to_num(), value.nan_to_num()):
        yield "another constant predicted"
    known = fact.value if isinstance(fact.value, tuple) else (fact.value,)
    if fact.value is not None and not all(
        _is(facts, entry, number, sizes) for entry, number in zip(known, value.flatten().tolist(), strict=True)
    ):
        yield f"the elements {fact.value} predicted, {value.tolist()} observed"


def _is(facts: Facts, predicted: Any, observed: float, sizes: Sizes) -> bool:
    """Whether a number is what was predicted, or within the bounds of what only execution tells."""
    if not isinstance(predicted, sympy.Basic):
        return bool(predicted == observed) or predicted != predicted
    numbers = {symbol: sympy.Integer(size) for symbol, size in sizes.items()}
    bound = predicted.xreplace(numbers)
    if bound.is_number or bound in (sympy.true, sympy.false):
        return bool(float(bound) == float(observed)) if bound.is_number else bool(bound) == observed
    ranges = {name: tuple(sympy.sympify(end).xreplace(numbers) for end in ends) for name, ends in facts.ranges.items()}
    low, high = span(bound, ranges) if isinstance(bound, sympy.Expr) else (-sympy.oo, sympy.oo)
    low, high = (sympy.sympify(end).xreplace(numbers) for end in (low, high))
    return not (low.is_number and low > observed) and not (high.is_number and high < observed)
