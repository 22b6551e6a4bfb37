"""From the routes of one patch to kernel calls, branching where values choose between routes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import fx
from torch.fx import Node

from dydca.errors import LoweringError
from dydca.lower.calls import Branch, Call, Calls, Value
from dydca.lower.layout import picture
from dydca.lower.straight import Held, StraightLine
from dydca.lower.targets import Target
from dydca.passes import Variant
from dydca.program import where


def lower(variants: Sequence[Variant], name: str, target: Target) -> Calls:
    """Lowers one patch: its only route, or the tree of routes that values choose from.

    Raises:
        LoweringError: DYD401 an operator has no native form, DYD402 an input or output is not float32, DYD403 the
            routes' outputs differ in shape, DYD405 a size depends on values.
    """
    for variant in variants:
        _refuse_open_sizes(variant)
    paths = [_Path(variant) for variant in variants]
    shapes = [[path.facts.shape(node) for node in path.outputs] for path in paths]
    if any(shape != shapes[0] for shape in shapes):
        got = " or ".join(sorted({str(shape) for shape in shapes}))
        raise LoweringError("DYD403", "routes chosen by value differ in the shape of their outputs", got=got)
    first = paths[0]
    for node in (*first.graph.inputs, *first.outputs):
        if first.facts[node].dtype != torch.float32:
            raise LoweringError("DYD402", "not a float32 tensor", where=where(node), got=first.facts[node].dtype)
    inputs = [Value(n.name, first.picture(n), "input", i) for i, n in enumerate(first.graph.inputs)]
    outputs = [Value(n.name, first.picture(n), "output", i) for i, n in enumerate(first.outputs)]
    keys: dict[object, int] = {}
    for path in paths:
        path.number(keys)
    held = {first.key[node]: [value] for node, value in zip(first.graph.inputs, inputs, strict=True)}
    return Calls(name, inputs, outputs, _lower_tree(paths, 0, held, outputs, target))


def _refuse_open_sizes(variant: Variant) -> None:
    for node in variant.graph:
        fact = variant.facts.get(node)
        if fact is not None and not all(isinstance(size, int) for size in fact.shape):
            raise LoweringError("DYD405", "a size depends on values", where=where(node), got=fact.shape)


class _Path:
    """One route on one patch; `key` numbers its nodes so that equal computations of all routes have equal numbers."""

    def __init__(self, variant: Variant) -> None:
        self.graph, self.facts, self.decisions = variant.graph, variant.facts, variant.route.decisions
        results = self.graph.outputs
        self.outputs = results[: len(results) - len(self.decisions)]
        self.predicates = results[len(self.outputs) :]
        self.key: dict[Node, int] = {}

    def number(self, keys: dict[object, int]) -> None:
        """Numbers the nodes; `keys` holds what other routes have numbered."""
        for node in self.graph:
            if (tensor := self.graph.constant(node)) is not None:
                described: object = id(tensor)
            elif node.op == "placeholder":
                described = ("input", self.graph.inputs.index(node))
            else:
                operands = fx.node.map_arg((node.args, node.kwargs), lambda operand: f"%{self.key[operand]}")
                described = (node.op, str(node.target), str(operands))
            self.key[node] = keys.setdefault(described, len(keys))

    def picture(self, node: Node) -> tuple[int, int, int, int]:
        return picture(self.facts.shape(node))


def _lower_tree(
    paths: Sequence[_Path], depth: int, held: Held, outputs: list[Value], target: Target
) -> list[Call | Branch]:
    """The steps from here on: what the next predicate needs, then an arm per outcome, or the end of the only path."""
    path = paths[0]
    lowering = StraightLine(path.graph, path.facts, path.key, held, target)
    if depth == len(path.decisions):
        lowering.finish(path.outputs, outputs)
        return lowering.steps
    decided = path.graph.constant(path.predicates[depth])
    if decided is not None:
        taken = [other for other in paths if other.decisions[depth].outcome == int(decided)]
        return _lower_tree(taken, depth + 1, held, outputs, target)
    predicate = lowering.scalar(path.predicates[depth])
    arms = []
    for outcome in range(path.decisions[depth].arity):
        taken = [other for other in paths if other.decisions[depth].outcome == outcome]
        copied = {key: list(values) for key, values in lowering.held.items()}
        arms.append(_lower_tree(taken, depth + 1, copied, outputs, target))
    return [*lowering.steps, Branch(predicate, arms)]
