"""The class of every operator: what decides the shape of its result. Source: SoD2 (ASPLOS 2024), section 3.

A class follows from how the shape came about. Where a rule brought up a size of its own, execution decides it; where a
computed number that no input size tells entered the shape, a value does. What looks at shapes alone says so itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sympy
import torch
from torch.fx import Node

from dydca.analysis.facts import Fact, Facts, OperatorClass
from dydca.analysis.rules.registry import STATED_CLASSES


def operator_class(node: Node, facts: Facts) -> OperatorClass:
    """The class of one node, with the facts of its operands known.

    A value that the facts know, as a number or as an expression over the sizes of the inputs, is no value any more: the
    operator degrades to the class that needs none.
    """
    if any(facts.unknown[symbol].node is node for symbol in _symbols(facts[node], facts)):
        return OperatorClass.EDO
    operands = [facts[operand] for operand in node.all_input_nodes]
    taken = {symbol for fact in operands if not _is_tensor(fact) for symbol in _value_symbols(fact, facts)}
    if taken and taken & _symbols(facts[node], facts) - {s for fact in operands for s in _symbols(fact, facts)}:
        return OperatorClass.ISVDOS
    stated = STATED_CLASSES.get(node.target)
    if stated is None or taken:
        made = not any(map(_is_tensor, operands)) and not taken and not _draws(node)
        return OperatorClass.ISDO if made else OperatorClass.ISDOS
    return stated


def takes_value(node: Node, facts: Facts) -> bool:
    """Whether the operator has a computed number among its operands, so that it is ISVDOS before any value is known."""
    return any(not _is_tensor(facts[operand]) for operand in node.all_input_nodes)


def _is_tensor(fact: Fact) -> bool:
    return fact.dtype is not None or bool(fact.items)


def _draws(node: Node) -> bool:
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def _symbols(fact: Fact, facts: Facts) -> set[sympy.Symbol]:
    """The numbers in a shape that only execution tells."""
    if not facts.unknown:
        return set()
    return {symbol for part in (fact, *fact.items) for size in part.shape for symbol in _unknown(size, facts)}


def _value_symbols(fact: Fact, facts: Facts) -> Iterator[sympy.Symbol]:
    for value in fact.value if isinstance(fact.value, tuple) else (fact.value,):
        yield from _unknown(value, facts)


def _unknown(value: Any, facts: Facts) -> Iterator[sympy.Symbol]:
    if isinstance(value, sympy.Basic):
        yield from value.free_symbols & facts.unknown.keys()
