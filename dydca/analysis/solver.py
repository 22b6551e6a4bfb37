"""Carries facts through a graph, from its inputs to its outputs.

Facts run forward along the nodes in order; a graph is straight-line, so one sweep is a fixpoint. What an operator
needs of its operands and cannot decide on symbols is kept as an assumption about the *input* symbols, so no
backward sweep is needed to state which patches a network accepts.

Each node is asked three questions: its rule for shape, type and small values; PyTorch for the whole value where all
operands are constants; its interval rule for what the elements lie between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sympy
import torch
from torch.fx import Node

from dydca.analysis.classes import operator_class
from dydca.analysis.facts import Fact, Facts, Size, plain
from dydca.analysis.intervals import Interval, spanning
from dydca.analysis.rules import load_rules
from dydca.analysis.rules.creation import stored
from dydca.analysis.rules.fallback import meta_fact
from dydca.analysis.rules.registry import INTERVAL_RULES, Hints, premises
from dydca.analysis.sizes import Ranges
from dydca.analysis.symbols import Symbols
from dydca.errors import ShapeError
from dydca.inputs import Input
from dydca.program import Graph, Program, Route
from dydca.shapes import Patch, patch_label

Transfer = Callable[[Fact], Fact]


def analyze(
    graph: Graph,
    inputs: Sequence[Fact],
    hints: Mapping[sympy.Symbol, int] | None = None,
    ranges: Ranges | None = None,
) -> Facts:
    """One forward sweep.

    Args:
        graph: Any straight-line graph of ATen operators.
        inputs: One fact per placeholder; sizes are ints for a concrete patch, sympy expressions otherwise.
        hints: One valid size per symbol; only operators without a rule of their own ask for it.
        ranges: What symbols of the inputs lie between, as far as that is declared.

    Raises:
        ShapeError: DYD202, an operator refuses its operands; the message names the source line.
    """
    facts, rules, feed = Facts(), load_rules(), iter(inputs)
    sizes = {symbol: sympy.Integer(size) for symbol, size in (hints or {}).items()}
    symbolic = any(not isinstance(size, int) for fact in inputs for size in fact.shape)
    with premises(ranges or {}, sizes) as held:
        for node in graph.fx.nodes:
            if node.op == "call_function":
                fact = _transferred(node, facts, rules.get(node.target), sizes)
                facts[node] = _simplified(fact) if symbolic else fact
            elif node.op == "get_attr":
                facts[node] = stored(graph.constants[str(node.target)])
            else:
                facts[node] = next(feed) if node.op == "placeholder" else Fact()
    facts.assumptions, facts.unknown = held.assumed, held.unknown
    facts.classes = {node: operator_class(node, facts) for node in graph.fx.nodes if node.op == "call_function"}
    return facts


def _transferred(node: Node, facts: Facts, rule: Callable[..., Fact] | None, sizes: Hints) -> Fact:
    args, kwargs = operands(node, facts)
    if rule is None:
        facts.unruled.append(node)
        fact = meta_fact(node, args, kwargs, sizes)
    else:
        fact = rule(node, *args, **kwargs)
    if fact.items:
        fact = Fact(items=tuple(_with_constancy(item, node, facts) for item in fact.items))
    fact = _with_constancy(fact, node, facts)
    return _computed(fact, node, args, kwargs) or _bounded(fact, node, args, kwargs)


def _computed(fact: Fact, node: Node, args: list[Any], kwargs: dict[str, Any]) -> Fact | None:
    """With the value itself, where all operands are known and it is small enough."""
    items = fact.items or (fact,)
    if not all(item.constant and item.dtype and _is_small(item) for item in items) or _is_empty(node):
        return None
    try:
        operands = [_value(arg) for arg in args], {name: _value(arg) for name, arg in kwargs.items()}
        with torch.no_grad():
            result = node.target(*operands[0], **operands[1])  # type: ignore[operator]
    except (LookupError, RuntimeError):  # an operand is not known, or PyTorch refuses what only the rule can explain
        return None
    if fact.items:
        return replace(fact, items=tuple(replace(item, tensor=part) for item, part in zip(items, result, strict=True)))
    return replace(fact, tensor=result)


LARGEST_TENSOR = 1 << 18
"""Elements of a constant that is computed during the analysis; the weights of a layer have fewer."""


def _is_small(fact: Fact) -> bool:
    sizes = fact.shape
    return all(isinstance(size, int) for size in sizes) and math.prod(sizes) <= LARGEST_TENSOR


def _is_empty(node: Node) -> bool:
    """Whether the operator leaves its result as the memory happens to be."""
    return "empty" in getattr(node.target, "__name__", "")


def _value(operand: Any) -> Any:
    """What PyTorch is to be called with.

    Raises:
        LookupError: It is not known.
    """
    if isinstance(operand, Fact):
        if operand.tensor is None:
            raise LookupError
        return operand.tensor
    if isinstance(operand, list | tuple):
        return [_value(entry) for entry in operand]
    if isinstance(operand, sympy.Basic):
        raise LookupError  # noqa: TRY004  # not a wrong type, a size of no patch in particular
    return operand


def _bounded(fact: Fact, node: Node, args: list[Any], kwargs: dict[str, Any]) -> Fact:
    """With its interval, rounded outward to the numbers of its type."""
    rule = INTERVAL_RULES.get(node.target)
    if rule is None or (fact.dtype is None and not fact.items):
        return fact
    found = rule(node, fact, *args, **kwargs)
    if found is None:
        return fact
    if isinstance(found, Interval):
        return replace(fact, interval=found.rounded(fact.dtype))
    pairs = zip(fact.items, found, strict=True)
    return replace(fact, items=tuple(replace(item, interval=one and one.rounded(item.dtype)) for item, one in pairs))


def operands(node: Node, facts: Facts) -> tuple[list[Any], dict[str, Any]]:
    """The arguments as rules see them: facts of tensors, values of scalars."""
    return [_operand(arg, facts) for arg in node.args], {
        name: _operand(arg, facts) for name, arg in node.kwargs.items()
    }


def _operand(arg: Any, facts: Facts) -> Any:
    """What a rule sees: the fact of a tensor, the value of a scalar."""
    if isinstance(arg, Node):
        fact = facts[arg]
        return fact if fact.dtype is not None or fact.items or fact.value is None else fact.value
    if isinstance(arg, list | tuple):
        return [_operand(entry, facts) for entry in arg]
    return arg


def _with_constancy(fact: Fact, node: Node, facts: Facts) -> Fact:
    """A value is constant if all it is made from is, or if it is a known number whatever it is made from."""
    known = isinstance(fact.value, int | float) or (isinstance(fact.value, tuple) and _numeric(fact.value))
    constant = known or (all(facts[operand].constant for operand in node.all_input_nodes) and not _draws(node))
    return fact if fact.constant == constant else replace(fact, constant=constant)


def _numeric(values: tuple[Any, ...]) -> bool:
    return all(isinstance(value, int | float) for value in values)


def _draws(node: Node) -> bool:
    """Whether the operator draws random numbers."""
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def _simplified(fact: Fact) -> Fact:
    """Numbers that came out of symbolic arithmetic as Python numbers."""
    shape = tuple(plain(size) for size in fact.shape)
    value = fact.value
    value = tuple(plain(entry) for entry in value) if isinstance(value, tuple) else plain(value)
    return replace(fact, shape=shape, value=value, items=tuple(map(_simplified, fact.items)))


def analyze_patch(program: Program, route: Route, patch: Patch) -> Facts:
    """The facts of one route for one patch; every size is a number unless the data decides it.

    Raises:
        ShapeError: DYD201 the patch does not fit the inputs, DYD202 an operator does not accept it.
    """
    ranks = tuple(len(tensor.dims) for tensor in program.inputs)
    if tuple(map(len, patch)) != ranks:
        raise ShapeError("DYD201", "the patch has another rank than the inputs", got=patch_label(patch), want=ranks)
    return analyze(route.graph, [_promised(*pair) for pair in zip(program.inputs, patch, strict=True)])


def _promised(tensor: Input, shape: tuple[Size, ...]) -> Fact:
    """What is known of an input: no more than its shape and type, unless a range was declared."""
    return Fact(shape, tensor.dtype, interval=spanning(*tensor.range) if tensor.promised else None)


def analyze_route(program: Program, route: Route) -> Facts:
    """The facts of one route over the symbols of the inputs, for all patches that take it.

    Sizes that the route fixes (``C = 3``) are numbers. The facts hold under `Facts.assumptions`.

    Raises:
        ShapeError: DYD202, an operator refuses whatever patch takes this route.
    """
    symbols = Symbols(program, route)
    inputs = [_promised(tensor, tuple(map(symbols.inner, tensor.dims))) for tensor in program.inputs]
    inner = analyze(route.graph, inputs, symbols.inner_sizes(program.sizes(route.example)))
    facts = Facts()
    facts.update((node, symbols.outer_fact(fact)) for node, fact in inner.items())
    facts.unruled, facts.classes = inner.unruled, inner.classes
    facts.unknown = {symbol: symbols.outer_unknown(entry) for symbol, entry in inner.unknown.items()}
    facts.assumptions = symbols.outer_assumptions(inner.assumptions)
    return facts
