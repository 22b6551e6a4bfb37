"""Every rule against PyTorch itself: the same operands, the same verdict, the same shape and type, values in bounds.

An operator is called eagerly on random tensors, then its rules are asked twice: with the sizes as numbers, and with
sizes as symbols whose answer must come out the same once the numbers are put in. Where eager refuses, the rule must
refuse, or the assumptions of the symbolic answer must be false. The operands' own intervals are handed over, told
apart by channel or not; many of their elements lie at the ends, where a wrong interval of the result shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest
import sympy
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, fx

from dydca.analysis import Fact, analyze
from dydca.analysis.intervals import interval_of
from dydca.errors import ShapeError
from dydca.program import Graph
from tests.analysis.agreement import lies_within

Symbols = dict[sympy.Symbol, sympy.Integer]


@dataclass(frozen=True)
class Operand:
    """A tensor to be made."""

    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32
    limit: int = 2

    def make(self, random: Random) -> Tensor:
        """Random values in a random range, a third of them at each end; integers stay below the limit."""
        if not self.dtype.is_floating_point:
            return torch.randint(0, self.limit, self.shape).to(self.dtype)
        low, width = random.choice([0.0, 0.0, -1.0, 0.5, -20.0, 3.0]), random.choice([1.0, 1.0, 0.1, 40.0])
        parts = (torch.rand(self.shape) * 3 - 1).clamp(0, 1)
        return (low + width * parts).to(self.dtype)

    def fact(self, value: Tensor, random: Random) -> Fact:
        """What is known of the value: its interval, told apart or not, or nothing."""
        if random.random() < 0.2:
            return Fact(self.shape, self.dtype)
        known = interval_of(value)
        return Fact(self.shape, self.dtype, interval=known if random.random() < 0.6 else known.collapsed())


@dataclass(frozen=True)
class Call:
    """An operator with its operands."""

    op: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def operands(self) -> list[Operand]:
        """All tensors, those in lists included."""
        return list(_operands(self.args))


def call(op: Callable[..., Any], *args: Any, **kwargs: Any) -> Call:
    """An operator with its operands."""
    return Call(op, args, kwargs)


def _operands(args: Any) -> Iterator[Operand]:
    for arg in args:
        if isinstance(arg, Operand):
            yield arg
        elif isinstance(arg, list):
            yield from _operands(arg)


def tensors(low: int, high: int | None = None, *, least: int = 1, most: int = 6) -> st.SearchStrategy[Operand]:
    """Float tensors of rank `low` to `high`."""
    sizes = st.integers(least, most)
    ranks = st.integers(low, low if high is None else high)
    return ranks.flatmap(lambda rank: st.tuples(*[sizes] * rank)).map(Operand)


def agrees(
    strategy: Callable[[Callable[..., Any]], Call], *, examples: int = 30, symbols: float = 0.7
) -> Callable[[], None]:
    """A comparison over a composite strategy; `symbols` is the share of sizes that become symbols."""

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(st.composite(strategy)(), st.randoms(use_true_random=False))
    def compared(made: Call, random: Any) -> None:
        compare(made, random, symbols)

    return compared


def compare(made: Call, random: Random, symbols: float) -> None:
    """One comparison; `symbols` is the share of sizes that become symbols."""
    values = [operand.make(random) for operand in made.operands()]
    try:
        expected = _eager(made, values)
    except TypeRefusal:
        return  # types do not depend on the patch: what eager refuses for its type is refused at capture
    if "conv" in str(made.op) and isinstance(expected, Tensor) and not expected.numel():
        return  # whether eager refuses an empty output depends on the kernel it picks
    graph = _graph(made)
    concrete = [operand.fact(value, random) for operand, value in zip(made.operands(), values, strict=True)]
    sizes: Symbols = {}
    lettered = [
        replace(fact, shape=tuple(_symbol(size, sizes, lambda: random.random() < symbols) for size in fact.shape))
        for fact in concrete
    ]
    if expected is None:
        with pytest.raises(ShapeError, match="DYD202"):
            analyze(graph, concrete)
        with pytest.raises((ShapeError, Refuted)):
            _checked(graph, lettered, sizes)
        return
    _same(made, analyze(graph, concrete)[graph.outputs[0]], expected, {})
    _same(made, _checked(graph, lettered, sizes), expected, sizes)


class Refuted(Exception):  # noqa: N818 - a verdict, not a fault
    """An assumption of the symbolic answer is false."""


class TypeRefusal(Exception):  # noqa: N818
    """Eager refuses the element types."""


def _checked(graph: Graph, inputs: list[Fact], sizes: Symbols) -> Fact:
    facts = analyze(graph, inputs)
    for entry in facts.assumptions:
        if entry.condition.xreplace(sizes) != sympy.true:
            raise Refuted(entry)
    return facts[graph.outputs[0]]


def _symbol(size: int, sizes: Symbols, symbolic: Callable[[], bool]) -> int | sympy.Symbol:
    if not symbolic():
        return size
    symbol = sympy.Symbol(f"d{len(sizes)}", integer=True, positive=size > 0, nonnegative=True)
    sizes[symbol] = sympy.Integer(size)
    return symbol


def _eager(made: Call, values: list[Tensor]) -> Any:
    feed = iter(values)
    try:
        return made.op(*_replaced(made.args, lambda _: next(feed)), **made.kwargs)
    except (RuntimeError, IndexError, ValueError) as error:
        if re.search(
            r"not implemented|not supported|dtype|data type|[Bb]ool|Integers to neg|ZeroDiv|same type", str(error)
        ):
            raise TypeRefusal from error
        return None


def _replaced(arg: Any, replace: Callable[[Operand], Any]) -> Any:
    if isinstance(arg, Operand):
        return replace(arg)
    if isinstance(arg, list | tuple):
        return type(arg)(_replaced(entry, replace) for entry in arg)
    return arg


def _graph(made: Call) -> Graph:
    graph = fx.Graph()
    places = [graph.placeholder(f"x{place}") for place, _ in enumerate(made.operands())]
    feed = iter(places)
    node = graph.call_function(made.op, _replaced(made.args, lambda _: next(feed)), dict(made.kwargs))
    graph.output((node,))
    return Graph(graph, {})


def _same(made: Call, fact: Fact, value: Any, sizes: Symbols) -> None:
    if isinstance(value, list | tuple):
        assert len(fact.items) == len(value), made
        for item, part in zip(fact.items, value, strict=True):
            _same(made, item, part, sizes)
    else:
        shape = tuple(int(sympy.sympify(size).xreplace(sizes)) for size in fact.shape)
        assert shape == tuple(value.shape), (made, fact.shape)
        assert fact.dtype == value.dtype, made
        assert lies_within(value, fact), (made, str(fact.bounds), fact.bounds.ends, value)
