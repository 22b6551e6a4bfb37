"""Which nodes become one kernel: a convolution or nothing, and the elementwise operators and shuffle behind it."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace

import torch
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.lower.kernels.epilogue import Step
from dydca.lower.recipes import Recipe, find_recipe
from dydca.lower.steps import Line, Reading, is_picture, read_lines
from dydca.program import Graph, arguments

aten = torch.ops.aten

CONVOLUTIONS = (aten.conv2d.default, aten.conv2d.padding)
SHUFFLE = aten.pixel_shuffle.default


@dataclass
class Group:
    """Nodes that become one kernel.

    Attributes:
        nodes: In graph order; the last one is the result.
        root: The convolution, the operator of the recipe, or one that TVM legalises; None for elementwise ones alone.
        source: The picture that flows in.
        recipe: How the root is computed, where that is no choice.
        steps: The epilogue, its operand numbers counting `readings`.
        readings: What the steps read besides.
        shuffle: Pixel-shuffle factor at the store.
        computed: The value before the steps, in whose shape the kernel works.
        numbers: The values inside, by what the steps call them.
    """

    nodes: list[Node]
    root: Node | None
    source: Node
    recipe: Recipe | None = None
    steps: list[Step] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    shuffle: int = 1
    computed: Node = field(init=False)
    numbers: dict[Node, int] = field(init=False)

    def __post_init__(self) -> None:
        self.computed = self.source if self.root is None else self.root
        self.numbers = {self.computed: 0}

    @property
    def result(self) -> Node:
        """The node whose value the kernel stores."""
        return self.nodes[-1]

    @property
    def is_conv(self) -> bool:
        """Whether the root is a convolution."""
        return self.root is not None and self.root.target in CONVOLUTIONS

    @property
    def fallback(self) -> bool:
        """Whether TVM's own legalisation lowers it."""
        return self.root is not None and self.recipe is None and not self.is_conv

    def copy(self) -> Group:
        """A group that can grow apart."""
        copied = replace(self, nodes=list(self.nodes), steps=list(self.steps), readings=list(self.readings))
        copied.numbers = dict(self.numbers)
        return copied

    def add(self, line: Line, value: int) -> None:
        """Appends a step on an earlier value."""
        inside = self.numbers.get(line.reading) if isinstance(line.reading, Node) else None
        operand = None
        if line.reading is not None and inside is None:
            operand = len(self.readings)
            self.readings.append(line.reading)
        values = (value,) if inside is None else (value, inside)
        self.steps.append(Step(line.op, line.scalars, operand, () if values == (len(self.steps),) else values))


def form_groups(graph: Graph, facts: Facts, wanted: Set[Node]) -> list[Group]:
    """Cuts the wanted nodes of a static graph into groups, in an order in which they can run.

    A value that something outside `wanted` reads as well is never lost inside a group.
    """
    groups: list[Group] = []
    taken: set[Node] = set()
    order = {node: position for position, node in enumerate(graph)}
    for node in graph:
        if node not in wanted or node in taken:
            continue
        group = _start(graph, facts, node, wanted - taken)
        if not group.fallback:
            group = _grown(graph, facts, group, wanted - taken, order)
        taken.update(group.nodes)
        groups.append(group)
    return sorted(groups, key=lambda group: order[group.result])


def _start(graph: Graph, facts: Facts, node: Node, free: Set[Node]) -> Group:
    if node.target in CONVOLUTIONS:
        return Group([node], node, node.all_input_nodes[0])
    if (recipe := find_recipe(graph, facts, node)) is not None and free >= set(recipe.nodes):
        return _begun(recipe)
    for value in node.all_input_nodes:
        chain = Group([], None, value)
        if is_picture(facts, value) and graph.constant(value) is None and _absorb(graph, facts, chain, node):
            return chain
    return Group([node], node, node.all_input_nodes[0] if node.all_input_nodes else node)


def _begun(recipe: Recipe) -> Group:
    group = Group(list(recipe.nodes), recipe.nodes[-1], recipe.source, recipe)
    for line in recipe.lines:
        group.add(line, len(group.steps))
    group.numbers[group.computed] = len(group.steps)
    return group


def _grown(graph: Graph, facts: Facts, group: Group, free: Set[Node], order: Mapping[Node, int]) -> Group:
    """The group with all that can ride along.

    Readers are taken in in graph order, each value kept, until one cannot be; what counts is the largest group on the
    way of which only the result is read from outside.
    """
    largest, growing = group, group.copy()
    while True:
        inside = set(growing.nodes)
        outside = {reader for node in growing.nodes for reader in node.users} - inside
        open_values = [node for node in growing.nodes if not inside.issuperset(node.users)]
        if open_values == [growing.result]:
            largest = growing.copy()
        reader = min(outside, key=lambda node: order.get(node, len(order)), default=None)
        if reader is None or reader not in free or not _absorb(graph, facts, growing, reader):
            return largest


def _absorb(graph: Graph, facts: Facts, group: Group, node: Node) -> bool:
    """Takes the node in if it is an elementwise operator on values of the group, or the shuffle of the last one."""
    value = group.result if group.nodes else group.source
    if node.target == SHUFFLE and group.shuffle == 1 and is_picture(facts, value) and node.args[0] is value:
        group.shuffle = int(arguments(node)["upscale_factor"])
        group.nodes.append(node)
        group.numbers = {node: len(group.steps)}  # the values before have another shape
        return True
    for operand in (operand for operand in node.all_input_nodes if operand in group.numbers):
        lines = read_lines(graph, facts, node, operand)
        if lines is None or (group.shuffle > 1 and any(_is_outside(group, line) for line in lines)):
            continue
        number = group.numbers[operand]
        for line in lines:
            group.add(line, number)
            number = len(group.steps)
        group.nodes.append(node)
        group.numbers[node] = number
        return True
    return False


def _is_outside(group: Group, line: Line) -> bool:
    """Whether it reads what is not a value of the group."""
    return line.reading is not None and not (isinstance(line.reading, Node) and line.reading in group.numbers)
