"""Computes once, at compile time, what depends on no input."""

from __future__ import annotations

import math
from collections.abc import Callable
from os.path import commonprefix
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.passes.base import Miss, Pass
from dydca.program import Graph

GROWTH_LIMIT = 1 << 20
"""Bytes that a folded tensor may take beyond those of the constants it is made of."""

_TOLERANCE = 1e-4


class FoldConstants(Pass):
    """``f(constants)`` becomes a constant; weight norm ``g * v / |v|`` disappears this way.

    A region of constant operators is computed as a whole, in float64, and rounded once to the element type of its
    result. Where that differs from PyTorch's own result by more than rounding, a step was discontinuous (``floor`` of a
    quotient that rounds to an integer) and PyTorch's own result is kept. Refused where the result is much larger than
    what it is made of (`GROWTH_LIMIT`): an ``expand`` costs less than the memory it would fill.
    """

    def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
        region = _region(node, facts)
        if region is None or facts[node].dtype is None:
            return None
        if grown := _growth(graph, node, region, facts):
            return Miss(node, f"the result takes {grown} bytes more than its operands, over {GROWTH_LIMIT}")
        if node.users and all(_is_foldable(graph, user, facts) for user in node.users):
            return None  # computed with its readers, so that it is rounded once
        return graph.const(_fold(graph, node), _name(node, region), before=node)


def _region(node: Node, facts: Facts) -> set[Node] | None:
    """All nodes behind `node`, itself included; None if one of them depends on an input or on chance."""
    region: set[Node] = set()
    waiting = [node]
    while waiting:
        current = waiting.pop()
        if current in region:
            continue
        if current not in facts or not facts[current].constant or current.op == "placeholder":
            return None
        region.add(current)
        waiting += current.all_input_nodes
    return region


def _is_foldable(graph: Graph, node: Node, facts: Facts) -> bool:
    region = _region(node, facts)
    return region is not None and not _growth(graph, node, region, facts)


def _growth(graph: Graph, node: Node, region: set[Node], facts: Facts) -> int:
    """Bytes of the result beyond those of the constants in its region, 0 if they are within the limit."""
    fact = facts[node]
    if fact.dtype is None:
        return 0
    made_of = {id(tensor): tensor.nbytes for tensor in map(graph.constant, region) if tensor is not None}
    grown = fact.dtype.itemsize * math.prod(facts.shape(node)) - sum(made_of.values())
    return grown if grown > GROWTH_LIMIT else 0


def _name(node: Node, region: set[Node]) -> str:
    """``head_weight`` for what is made of ``head_weight_g`` and ``head_weight_v``; else the node's own name."""
    stem = commonprefix([str(leaf.target) for leaf in region if leaf.op == "get_attr"])  # noqa: RUF071  characters meant
    return stem.rstrip("_") or node.name


def _fold(graph: Graph, node: Node) -> Tensor:
    native: Tensor = _compute(graph, node, lambda value: value)
    if not native.is_floating_point():
        return native.contiguous()
    try:
        exact: Tensor = _compute(graph, node, _doubled).to(native.dtype)
    except (RuntimeError, NotImplementedError):  # operators without a float64 form, or that fix a type of their own
        return native.contiguous()
    scale = float(native.abs().max()) if native.numel() else 0.0
    agree = exact.shape == native.shape and torch.allclose(exact, native, rtol=0, atol=_TOLERANCE * scale)
    return (exact if agree else native).contiguous()


def _doubled(value: Any) -> Any:
    """The float64 form of a floating tensor or of a floating element type named as an argument."""
    if isinstance(value, Tensor):
        return value.double() if value.is_floating_point() else value
    return torch.float64 if isinstance(value, torch.dtype) and value.is_floating_point else value


def _compute(graph: Graph, node: Node, form: Callable[[Any], Any]) -> Any:
    """The value of a constant node, every tensor and type named on the way put into `form`."""
    values: dict[Node, Any] = {}

    def value(operand: Node) -> Any:
        if operand not in values:
            constant = graph.constant(operand)
            values[operand] = form(constant if constant is not None else call(operand))
        return values[operand]

    def call(operand: Node) -> Any:
        args = map(form, fx.map_arg(operand.args, value))
        kwargs = {key: form(argument) for key, argument in fx.map_arg(operand.kwargs, value).items()}
        return operand.target(*args, **kwargs)  # type: ignore[operator]

    with torch.no_grad():
        return value(node)
