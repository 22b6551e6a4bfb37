"""Regions of linear operators: what each computes over a base, what a merge would free, and what it costs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import prod

from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.passes.linear.affine import Affine, NotAffine
from dydca.passes.linear.context import Context
from dydca.passes.linear.rules import form, linear_operands
from dydca.program import Graph, op_name

_BASES_LIMIT = 48
"""Bases tried for one node, nearest first."""

_ARITHMETIC = ("conv2d", "avg_pool2d", "batch_norm", "_native_batch_norm_legit_no_training")


@dataclass(frozen=True)
class Region:
    """All that lies between a base and a node that is affine in it.

    Attributes:
        nodes: In graph order; the last is the result, the base is not among them.
        dying: Those that nobody outside reads, so that they go when the result is computed from the base.
    """

    nodes: tuple[Node, ...]
    dying: frozenset[Node]

    @property
    def kept(self) -> list[Node]:
        """Those that stay, since something else reads them."""
        return [node for node in self.nodes if node not in self.dying]

    @property
    def arithmetic(self) -> int:
        """How many operators weigh with constants; sums and moves do not count."""
        return sum(op_name(node) in _ARITHMETIC for node in self.nodes)


class LinearRegions:
    """The linear structure of one graph.

    A form is a statement about values, so it stays true while a pass rewrites the graph value for value; only the
    names of bases change (`renamed`).
    """

    def __init__(self, graph: Graph, facts: Facts) -> None:
        self.context = Context(graph, facts)
        self.order = {node: place for place, node in enumerate(graph)}
        self.operands: dict[Node, tuple[Node, ...]] = {}
        self._bases: dict[Node, tuple[Node, ...]] = {}
        for node in self.order:
            found = linear_operands(self.context, node) if node in facts else None
            if found is not None:
                self.operands[node] = found
            self._bases[node] = (node, *self._common(found or ()))[:_BASES_LIMIT]
        self._forms: dict[tuple[Node, Node], Affine | NotAffine] = {}
        self._names: dict[Node, Node] = {}

    def _common(self, operands: tuple[Node, ...]) -> tuple[Node, ...]:
        if not operands:
            return ()
        others = [set(self._bases[operand]) for operand in operands[1:]]
        return tuple(base for base in self._bases[operands[0]] if all(base in other for other in others))

    def bases(self, node: Node) -> tuple[Node, ...]:
        """The tensors through which all of a linear node's inputs pass, nearest first."""
        return self._bases[node][1:]

    def rename(self, old: Node, new: Node) -> None:
        """Notes that `new` has taken the place of `old`."""
        self._names[old] = new

    def renamed(self, node: Node) -> Node:
        """The node that now holds the value of `node`."""
        while node in self._names:
            node = self._names[node]
        return node

    def region(self, node: Node, base: Node, staying: Collection[Node] = ()) -> Region:
        """The nodes from `base`, one of its `bases`, to `node`; those `staying` do not die, whoever reads them now."""
        found, waiting = {node}, [node]
        while waiting:
            current = waiting.pop()
            around = self.operands[current]
            if op_name(current) == "getitem":  # the operator behind it lies between
                found.add(current.args[0])  # type: ignore[arg-type]
            fresh = [operand for operand in around if operand is not base and operand not in found]
            found.update(fresh)
            waiting += fresh
        nodes = tuple(sorted(found, key=self.order.__getitem__))
        dying: set[Node] = {node}
        for current in reversed(nodes):
            if current not in staying and all(user in dying for user in current.users):
                dying.add(current)
        return Region(nodes, frozenset(dying))

    def affine(self, node: Node, base: Node) -> Affine | NotAffine:
        """What `node` is over `base`, one of its `bases`, or why it is not a convolution of it."""
        if (node, base) not in self._forms:
            try:
                self._forms[base, base] = Affine.of(base, channels_of(self.context.facts, base))
            except NotAffine as refusal:
                return refusal
            for current in self.region(node, base).nodes:
                if current in self.operands and (current, base) not in self._forms:
                    self._forms[current, base] = self._step(current, base)
        return self._forms[node, base]

    def _step(self, node: Node, base: Node) -> Affine | NotAffine:
        forms = {operand: self._forms[operand, base] for operand in self.operands[node]}
        for refused in forms.values():
            if isinstance(refused, NotAffine):
                return refused
        try:
            return form(self.context, node, forms)  # type: ignore[arg-type]
        except NotAffine as refusal:
            return refusal

    def over_nearest(self, node: Node) -> Affine:
        """What `node` is over the nearest tensors that are not linear in anything; itself if it is one.

        Raises:
            NotAffine: A border between, mostly.
        """
        found, waiting = {node}, [node]
        while waiting:
            fresh = set(self.operands.get(waiting.pop(), ())) - found
            found |= fresh
            waiting += fresh
        forms: dict[Node, Affine] = {}
        for current in sorted(found, key=self.order.__getitem__):
            if current in self.operands:
                forms[current] = form(self.context, current, forms)
            else:
                forms[current] = Affine.of(current, channels_of(self.context.facts, current))
        return forms[node]

    def refused_at(self, node: Node, base: Node) -> bool:
        """Whether the form ends at `node` itself rather than before it."""
        operands = (self.affine(operand, base) for operand in self.operands[node] if operand is not base)
        return not any(isinstance(operand, NotAffine) for operand in operands)

    def cost(self, region: Region) -> int:
        """Multiply-adds a pixel of what dies: the numbers in its kernels."""
        weights = [self.context.facts[node.args[1]] for node in region.dying if op_name(node) == "conv2d"]  # type: ignore[index]
        return sum(prod(weight.shape) for weight in weights)


def channels_of(facts: Facts, node: Node) -> int:
    """The channels of a batch of pictures.

    Raises:
        NotAffine: It is something else.
    """
    shape = facts[node].shape
    if len(shape) != 4 or not isinstance(shape[1], int):
        raise NotAffine(f"%{node.name} has no single axis of channels")
    return shape[1]
