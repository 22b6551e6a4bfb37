"""How a fact came about, and what widened one that stayed unknown: the facts read backwards, as data."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Literal

from torch.fx import Node

from dydca.analysis.facts import Fact, Facts, OperatorClass
from dydca.analysis.notation import size_text
from dydca.program import source_line, where

About = Literal["shape", "interval"]
"""Which part of a fact: sizes and values of scalars, or what elements lie between."""


@dataclass(frozen=True)
class Step:
    """One operator, input or constant of a derivation.

    Attributes:
        node: What it is.
        fact: What is known of its result.
        kind: The class of the operator; None for inputs and constants.
        sources: The earlier steps that the fact rests on.
        without_rule: Whether the operator has no rule, so that PyTorch's meta kernel was asked.
    """

    node: Node
    fact: Fact
    kind: OperatorClass | None
    sources: tuple[Node, ...]
    without_rule: bool = False

    @property
    def line(self) -> str | None:
        """``file.py:41``, None if it is not known."""
        return source_line(self.node)

    def __str__(self) -> str:
        """``%relu = relu (model.py:41): [1, 24, H, W] in [0, inf], from %conv2d``."""
        origin = f", from {', '.join(f'%{source.name}' for source in self.sources)}" if self.sources else ""
        return f"{where(self.node)}: {fact_text(self.fact)}{origin}"


@dataclass(frozen=True)
class Widening:
    """Where knowledge was lost.

    Attributes:
        node: The operator or input.
        reason: In words, to be read behind the name of the node.
    """

    node: Node
    reason: str

    def __str__(self) -> str:
        """``%nonzero = nonzero (model.py:41): its size is only known when it runs, 0..H*W``."""
        return f"{where(self.node)}: {self.reason}"


def fact_text(fact: Fact) -> str:
    """``[1, 24, H, W] float32 in [0, 6]``, the value of a scalar, or one text per result."""
    if fact.items:
        return "; ".join(map(fact_text, fact.items))
    if fact.dtype is None:
        return size_text(fact.value)
    text = f"[{', '.join(map(size_text, fact.shape))}] {str(fact.dtype).removeprefix('torch.')}"
    return text if _told(fact, "interval") is None else f"{text} in {fact.bounds}"


def why(facts: Facts, node: Node, about: About = "shape") -> tuple[Step, ...]:
    """The derivation of what is known of a node, from the inputs to the node.

    Operators that pass the fact of an operand on as it is are left out, and so are all operands of one whose result
    is known whatever they are.

    Args:
        facts: Of one patch, or of all patches of a route.
        node: Any node of the graph.
        about: Whether sizes are asked for, or what the elements lie between.

    Returns:
        The steps in the order of the graph; the last is the node, and the sources of each step come before it.
    """
    steps: dict[Node, Step] = {}
    pending = [node]
    while pending:
        if (each := pending.pop()) in steps:
            continue
        sources = tuple(dict.fromkeys(_origin(facts, source, about) for source in _sources(facts, each, about)))
        steps[each] = Step(each, facts[each], facts.classes.get(each), sources, each in facts.unruled)
        pending += sources
    return tuple(steps[each] for each in facts if each in steps)


def _sources(facts: Facts, node: Node, about: About) -> list[Node]:
    """The operands that a fact rests on; constants only where nothing else is read."""
    if about == "interval" and _told(facts[node], about) is None:
        return []
    computed = [operand for operand in node.all_input_nodes if not facts[operand].constant]
    return computed or node.all_input_nodes


def _origin(facts: Facts, node: Node, about: About) -> Node:
    """Where the fact of a node was made that others only passed on."""
    told = _told(facts[node], about)
    while told is not None:
        same = (operand for operand in node.all_input_nodes if _told(facts[operand], about) == told)
        if (before := next(same, None)) is None:
            break
        node = before
    return node


def _told(fact: Fact, about: About) -> Hashable:
    """What is compared between a node and its operands; None where nothing is known."""
    if about == "interval":
        bounds = fact.bounds if fact.dtype is not None else None
        return None if bounds is None or (bounds.low, bounds.high) == (-math.inf, math.inf) else bounds
    return fact.shape, fact.value, tuple(item.shape for item in fact.items)


def widened_by(facts: Facts, node: Node) -> tuple[Widening, ...]:
    """What made a fact wider than it could be: sizes that only execution tells, and elements without bounds.

    Args:
        facts: Of one patch, or of all patches of a route.
        node: Any node of the graph.

    Returns:
        Each operator or input at which knowledge was lost on the way to the node, in the order of the graph; empty if
        every size is known and every element has finite bounds.
    """
    return (*_open_sizes(facts, node), *_open_intervals(facts, node))


def _open_sizes(facts: Facts, node: Node) -> Iterator[Widening]:
    parts = (facts[node], *facts[node].items)
    sizes = [size for part in parts for size in (*part.shape, part.value)]
    symbols = {symbol for size in sizes for symbol in getattr(size, "free_symbols", ())}
    for symbol, entry in facts.unknown.items():
        if symbol in symbols:
            ends = f"{size_text(entry.low)}..{size_text(entry.high)}"
            yield Widening(entry.node, f"only execution tells {symbol}, which is in {ends}")


def _open_intervals(facts: Facts, node: Node) -> Iterator[Widening]:
    culprits = _first(facts, node, lambda operand: not _is_bounded(facts[operand]))
    for each in (each for each in facts if each in culprits):
        yield Widening(each, _lost(facts, each))


def _first(facts: Facts, node: Node, holds: Callable[[Node], bool]) -> set[Node]:
    """The nodes on the way to `node` for which something holds and for no operand of which it does."""
    found: set[Node] = set()
    seen: set[Node] = set()
    pending = [node] if holds(node) else []
    while pending:
        if (each := pending.pop()) in seen:
            continue
        seen.add(each)
        before = [operand for operand in each.all_input_nodes if holds(operand)]
        pending += before
        if not before:
            found.add(each)
    return found


def _is_bounded(fact: Fact) -> bool:
    return all(item.dtype is None or math.isfinite(item.bounds.magnitude) for item in fact.items or (fact,))


def _lost(facts: Facts, node: Node) -> str:
    if node.op == "placeholder":
        return "no range of its values is declared"
    if node.op == "get_attr":
        return "the constant has elements that are not finite"
    if node in facts.unruled:
        return "the operator has no rule"
    fact = facts[node]
    if fact.interval is None and not fact.items:
        return "the operator has no rule for intervals, or its rule tells nothing"
    return f"its elements lie in {fact.bounds}"
