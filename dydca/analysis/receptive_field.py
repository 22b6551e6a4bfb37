"""How far every output of a network sees: which input pixels each of its pixels depends on.

What a row of an output reads is found by sending it alone through the backward sweep of `dydca.analysis.demand`, with
runs that go on over padding, so that the answer does not depend on the size of the picture. A network of strides and
upsampling repeats itself: moved by `step` input pixels it computes the same, moved. This is checked on every node, not
only at the inputs, where a wide window would hide a narrow one of another rhythm. So one table of `step` pixels holds
for pictures of any size, and says how much of its surroundings a tile needs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from torch.fx import Node

from dydca.analysis.boxes import Run, every, only, run
from dydca.analysis.demand import Demand, demanded
from dydca.analysis.facts import Facts
from dydca.program import Graph

LONGEST_STEP = 256
"""Output pixels after which a network that has not repeated itself is taken never to."""

_FAR = math.factorial(8)
"""Far enough to be a multiple of what networks divide by, near enough for float32 to count pixels."""


@dataclass(frozen=True)
class Sight:
    """What one output sees of one input along one axis.

    Attributes:
        scale: Output pixels per input pixel.
        step: Input pixels by which the picture may be moved; a tile that begins at a multiple of it computes the same.
        table: The first and the last input pixel that each of ``step * scale`` output pixels sees, counted from where
            the output's own pixel 0 lies; pixel ``p + step * scale`` sees the same, `step` further on.
        unbounded: The node that lets every output pixel see the whole axis, or see where in the picture it lies; then
            the table is empty. None if every output pixel sees a window.
    """

    scale: Fraction
    step: int
    table: tuple[tuple[int, int], ...]
    unbounded: Node | None = None

    @property
    def before(self) -> int | None:
        """How many input pixels before its own first one a tile sees; None if unbounded."""
        return None if self.unbounded else max(0, -min(low for low, _ in self.table))

    @property
    def after(self) -> int | None:
        """How many input pixels behind its own last one a tile sees; None if unbounded."""
        return None if self.unbounded else max(0, max(high for _, high in self.table) - (self.step - 1))

    def window(self, first: int, last: int | None = None) -> tuple[int, int]:
        """The first and the last input pixel that the output pixels ``first..last`` see, beyond the picture included.

        Raises:
            ValueError: They see the whole axis.
        """
        if self.unbounded:
            raise ValueError(f"%{self.unbounded.name} sees the whole axis")
        last, period = first if last is None else last, len(self.table)
        starts = range(first, min(last, first + period - 1) + 1)  # what lies further on begins further on
        ends = range(max(first, last - period + 1), last + 1)
        return min(self._one(place)[0] for place in starts), max(self._one(place)[1] for place in ends)

    def _one(self, place: int) -> tuple[int, int]:
        periods, rest = divmod(place, len(self.table))
        low, high = self.table[rest]
        return low + periods * self.step, high + periods * self.step


@dataclass(frozen=True)
class ReceptiveField:
    """What the pictures of an output see of the pictures of an input; the other axes are taken to be seen whole."""

    output: Node
    input: Node
    rows: Sight
    columns: Sight


def receptive_field(graph: Graph, facts: Facts) -> tuple[ReceptiveField, ...]:
    """One entry for each output of at least two axes and each input of at least two that it depends on.

    Args:
        graph: Any straight-line graph of ATen operators. Ask the graph of a route rather than that of a patch: where
            sizes have become numbers it does not show any more that they are used as values.
        facts: Of the graph, for one patch; the answer does not depend on it, as long as the patch is no smaller than
            what the network does at its borders.
    """
    found = []
    for output in dict.fromkeys(graph.outputs):
        if len(facts[output].shape) < 2:
            continue
        rows, columns = (_Axis(graph, facts, output, axis) for axis in (-2, -1))
        seen = [node for node in graph.inputs if node in rows.at(0) and len(facts[node].shape) >= 2]
        found += [ReceptiveField(output, node, rows.sight(node), columns.sight(node)) for node in seen]
    return tuple(found)


class _Axis:
    """The rows or the columns of one output, each sent back alone."""

    def __init__(self, graph: Graph, facts: Facts, output: Node, axis: int) -> None:
        self.graph, self.facts, self.output, self.axis = graph, facts, output, axis
        size = facts[output].shape[axis]
        self.middle = size // 2 if isinstance(size, int) else 0
        self._sent: dict[int, Demand] = {}
        self.period, self.culprit = self._repeats()

    def at(self, place: int) -> Demand:
        """What an output pixel reads of every node; places count from the middle of the picture."""
        if place not in self._sent:
            shape = self.facts[self.output].shape
            box = [only(size, 0, size - 1) if isinstance(size, int) else every(size) for size in shape]
            box[self.axis] = only(shape[self.axis], self.middle + place)
            self._sent[place] = demanded(self.graph, self.facts, {self.output: tuple(box)}, clip=False)
        return self._sent[place]

    def sight(self, node: Node) -> Sight:
        """Of one input, which the output depends on."""
        here = self._seen(node, 0)
        if here.endless:
            return Sight(Fraction(1), 1, (), here.cause or self.output)
        if self.period is None:
            return Sight(Fraction(1), 1, (), self.culprit)
        step = int(self._seen(node, self.period).low - here.low)
        if step <= 0:  # it sees the same pixels wherever it lies
            return Sight(Fraction(1), 1, (), self.output)
        periods, rest = divmod(self.middle, self.period)
        first = [self._seen(node, place - rest) for place in range(self.period)]
        table = tuple((int(one.low) - periods * step, int(one.high) - periods * step) for one in first)
        return Sight(Fraction(self.period, step), step, table)

    def _seen(self, node: Node, place: int) -> Run:
        box = self.at(place).box(node)
        assert box is not None, "an output pixel reads every input that another one reads"
        return run(box[self.axis])

    def _repeats(self) -> tuple[int | None, Node]:
        """The least distance of output pixels that read the same, moved, on every node; else the node that breaks it.

        All that rules do to a run is to scale it and to divide it, rounding down. What is read far away tells the rate
        at which every run moves; a distance at which all runs move by whole numbers has divided without rounding.
        """
        here, there, period = self.at(0), self.at(_FAR), 1
        for node in self.graph:
            if (node in here) != (node in there):
                return None, node
            moves = [self._rate(*pair) for pair in self._digits(node, here, there)] if node in here else []
            if None in moves or (any(moves) and self._is_fixed(node)):
                return None, node
            period = math.lcm(period, *(move.denominator for move in moves if move is not None))
        return (period, self.output) if period <= LONGEST_STEP else (None, self.output)

    def _digits(self, node: Node, here: Demand, there: Demand) -> Iterator[tuple[Run, Run]]:
        for place in range(max(len(self.facts[node].items), 1)):
            for mine, other in zip(here.box(node, place) or (), there.box(node, place) or (), strict=True):
                yield from zip(mine, other, strict=True)

    @staticmethod
    def _rate(here: Run, there: Run) -> Fraction | None:
        """How far a run moves for each output pixel; None if it changes its length."""
        if here.endless and there.endless:
            return Fraction(0)
        same = here.high - here.low == there.high - there.low
        return Fraction(int(there.low - here.low), _FAR) if same and not there.endless else None

    def _is_fixed(self, node: Node) -> bool:
        """Whether its values stay where they are when the picture moves."""
        fact = self.facts[node]
        return fact.constant and fact.bounds.low != fact.bounds.high
