"""What is read of every value: a sweep from the outputs back to the inputs.

Every node passes on what is wanted of it; what several readers want is united. A graph is straight-line, so once all
readers of a node have been seen, which the reverse order guarantees, nothing more can be wanted of it: one sweep is a
fixpoint. Facts do not depend on demand, so the forward sweep need not be repeated either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch.fx import Node

from dydca.analysis.boxes import Box, clipped, united, whole
from dydca.analysis.facts import Fact, Facts
from dydca.analysis.rules import load_rules
from dydca.analysis.rules.registry import DEMAND_RULES
from dydca.analysis.solver import operands
from dydca.program import Graph, op_name


class Demand:
    """What is read of every node; nothing at all of those that are dead."""

    def __init__(self) -> None:
        self._wanted: dict[Node, dict[int, Box]] = {}

    def __contains__(self, node: Node) -> bool:
        return node in self._wanted

    def box(self, node: Node, place: int = 0) -> Box | None:
        """What is read of a result of the node; ``()`` for a scalar, None for nothing."""
        return self._wanted.get(node, {}).get(place)

    def add(self, node: Node, box: Box, place: int = 0) -> None:
        """Something more is read."""
        results = self._wanted.setdefault(node, {})
        joint = united(results.get(place), box)
        assert joint is not None
        results[place] = joint


def demanded(graph: Graph, facts: Facts, wanted: Mapping[Node, Box] | None = None, *, clip: bool = True) -> Demand:
    """One backward sweep.

    Args:
        graph: Any straight-line graph of ATen operators.
        facts: Of the graph, for one patch.
        wanted: What is wanted of some nodes; by default all of every output.
        clip: Whether runs end where axes do. Else they go on over padding, and an axis that is read whole is endless.
    """
    load_rules()
    demand = Demand()
    for node, box in (wanted or {node: whole(facts[node].shape) for node in graph.outputs}).items():
        if (inside := clipped(box) if clip else box) is not None:
            demand.add(node, inside)
    for node in reversed(graph.fx.nodes):
        if node not in demand or node.op != "call_function":
            continue
        for operand, place, box in _read(node, demand, facts):
            inside = clipped(box) if clip else box
            if inside is not None:
                demand.add(operand, inside, place)
    return demand


def dead(graph: Graph, facts: Facts) -> list[Node]:
    """Operators that compute what no output depends on, in the order of the graph."""
    demand = demanded(graph, facts)
    return [node for node in graph if node.op == "call_function" and node not in demand]


def _read(node: Node, demand: Demand, facts: Facts) -> Iterator[tuple[Node, int, Box]]:
    """What a node reads: operand, which of its results, and the box."""
    source = node.args[0] if node.args else None
    if op_name(node) == "getitem" and isinstance(source, Node) and facts[source].items:
        box = demand.box(node)
        assert box is not None
        yield source, int(node.args[1]), box  # type: ignore[arg-type]  # the place among several results
        return
    boxes = iter(_demands(node, demand, facts))
    for operand in _nodes((node.args, node.kwargs)):
        fact = facts[operand]
        if not _is_tensor(fact):
            yield operand, 0, ()
            continue
        for place, shape in enumerate([item.shape for item in fact.items] or [fact.shape]):
            if (box := next(boxes, whole(shape, node))) is not None:
                yield operand, place, box


def _demands(node: Node, demand: Demand, facts: Facts) -> Any:
    rule = DEMAND_RULES.get(node.target)
    if rule is None:
        return ()
    fact = facts[node]
    args, kwargs = operands(node, facts)
    wanted = [demand.box(node, place) for place, _ in enumerate(fact.items)] if fact.items else demand.box(node)
    return rule(node, wanted, fact, *args, **kwargs)


def _is_tensor(fact: Fact) -> bool:
    return fact.dtype is not None or bool(fact.items)


def _nodes(operand: Any) -> Iterator[Node]:
    """The nodes among operands, those in lists included, as often and in the order they stand there."""
    if isinstance(operand, Node):
        yield operand
    elif isinstance(operand, dict):
        yield from _nodes(tuple(operand.values()))
    elif isinstance(operand, list | tuple):
        for entry in operand:
            yield from _nodes(entry)
