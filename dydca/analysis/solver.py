"""Carries facts through a graph, from its inputs to its outputs.

Facts run forward along the nodes in order; a graph is straight-line, so one sweep is a fixpoint. What an operator
needs of its operands and cannot decide on symbols is kept as an assumption about the *input* symbols, so no
backward sweep is needed to state which patches a network accepts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sympy
import torch
from torch.fx import Node

from dydca.analysis.facts import Fact, Facts, plain
from dydca.analysis.rules import load_rules
from dydca.analysis.rules.creation import stored
from dydca.analysis.rules.fallback import meta_fact
from dydca.analysis.rules.registry import assumptions
from dydca.analysis.symbols import Symbols
from dydca.errors import ShapeError
from dydca.program import Graph, Program, Route
from dydca.shapes import Patch, patch_label

Transfer = Callable[[Fact], Fact]


def analyze(graph: Graph, inputs: Sequence[Fact], hints: Mapping[sympy.Symbol, int] | None = None) -> Facts:
    """One forward sweep.

    Args:
        graph: Any straight-line graph of ATen operators.
        inputs: One fact per placeholder; sizes are ints for a concrete patch, sympy expressions otherwise.
        hints: One valid size per symbol; only operators without a rule of their own ask for it.

    Raises:
        ShapeError: DYD202, an operator refuses its operands; the message names the source line.
    """
    facts, rules, feed = Facts(), load_rules(), iter(inputs)
    sizes = dict(hints or {})
    symbolic = any(not isinstance(size, int) for fact in inputs for size in fact.shape)
    with assumptions() as assumed:
        for node in graph.fx.nodes:
            if node.op == "call_function":
                fact = _transferred(node, facts, rules.get(node.target), sizes)
                facts[node] = _simplified(fact) if symbolic else fact
            elif node.op == "get_attr":
                facts[node] = stored(graph.constants[str(node.target)])
            else:
                facts[node] = next(feed) if node.op == "placeholder" else Fact()
    facts.assumptions = assumed
    return facts


def _transferred(node: Node, facts: Facts, rule: Callable[..., Fact] | None, sizes: dict[sympy.Symbol, int]) -> Fact:
    args = [_operand(arg, facts) for arg in node.args]
    kwargs = {name: _operand(arg, facts) for name, arg in node.kwargs.items()}
    if rule is None:
        facts.unruled.append(node)
        fact = meta_fact(node, args, kwargs, sizes)
    else:
        fact = rule(node, *args, **kwargs)
    if fact.items:
        fact = Fact(items=tuple(_with_constancy(item, node, facts) for item in fact.items))
    return _with_constancy(fact, node, facts)


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
    return fact if fact.constant == constant else Fact(fact.shape, fact.dtype, fact.value, constant, fact.items)


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
    return Fact(shape, fact.dtype, value, fact.constant, tuple(_simplified(item) for item in fact.items))


def analyze_patch(program: Program, route: Route, patch: Patch) -> Facts:
    """The facts of one route for one patch; every size is a number unless the data decides it.

    Raises:
        ShapeError: DYD201 the patch does not fit the inputs, DYD202 an operator does not accept it.
    """
    ranks = tuple(len(tensor.dims) for tensor in program.inputs)
    if tuple(map(len, patch)) != ranks:
        raise ShapeError("DYD201", "the patch has another rank than the inputs", got=patch_label(patch), want=ranks)
    inputs = [Fact(shape, tensor.dtype) for tensor, shape in zip(program.inputs, patch, strict=True)]
    return analyze(route.graph, inputs)


def analyze_route(program: Program, route: Route) -> Facts:
    """The facts of one route over the symbols of the inputs, for all patches that take it.

    Sizes that the route fixes (``C = 3``) are numbers. The facts hold under `Facts.assumptions`.

    Raises:
        ShapeError: DYD202, an operator refuses whatever patch takes this route.
    """
    symbols = Symbols(program, route)
    inputs = [Fact(tuple(map(symbols.inner, tensor.dims)), tensor.dtype) for tensor in program.inputs]
    inner = analyze(route.graph, inputs, symbols.inner_sizes(program.sizes(route.example)))
    facts = Facts()
    facts.update((node, symbols.outer_fact(fact)) for node, fact in inner.items())
    facts.unruled = inner.unruled
    facts.assumptions = symbols.outer_assumptions(inner.assumptions)
    return facts
