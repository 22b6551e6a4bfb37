"""Follows writes over a padded picture: which value each part of the frame ends up with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.passes.linear.affine import Pads
from dydca.program import Graph, arguments, op_name

WRITES = ("slice_scatter", "select_scatter")
"""What writes into a part of a tensor once a graph is functional."""

_PADS = ("pad", "constant_pad_nd")
_END = 2**63 - 1

Cells = tuple[tuple[Tensor | None, ...], ...]
"""A picture seen from afar: one cell for each row and column of the frame, one for all that lies between.

A cell holds the value written there, one per channel, or one if it is the same for all; None for the picture as it was.
"""


@dataclass(frozen=True)
class Painting:
    """A padded picture, or a part of it, and what was written over it.

    Attributes:
        picture: What was padded.
        pads: Above, below, left, right.
        cells: By row and column.
        middle: The row and the column of `cells` that the picture lies in; None where this part has none of it.
    """

    picture: Node
    pads: Pads
    cells: Cells
    middle: tuple[int | None, int | None]

    @property
    def whole(self) -> bool:
        """Whether it is all of the padded picture."""
        top, bottom, left, right = self.pads
        return (len(self.cells), len(self.cells[0])) == (top + 1 + bottom, left + 1 + right)

    @property
    def values(self) -> list[Tensor] | None:
        """The different values of the frame of a whole painting; None if the picture itself was written over."""
        found: list[Tensor] = []
        for row, line in enumerate(self.cells):
            for column, value in enumerate(line):
                if (value is None) != ((row, column) == self.middle):
                    return None
                if value is not None and not any(torch.equal(value, known) for known in found):
                    found.append(value)
        return found

    def part(self, axis: int, first: int, end: int) -> Painting:
        """The rows (axis 0) or columns (axis 1) from `first` up to `end`."""
        cells = _turned(_turned(self.cells, axis)[first:end], axis)
        middle = list(self.middle)
        own = middle[axis]
        middle[axis] = own - first if own is not None and first <= own < end else None
        return replace(self, cells=cells, middle=(middle[0], middle[1]))

    def overpainted(self, axis: int, first: int, end: int, by: Painting | Tensor) -> Painting:
        """With some rows or columns replaced, by others or by one value."""
        lines = list(_turned(self.cells, axis))
        if isinstance(by, Painting):
            lines[first:end] = _turned(by.cells, axis)
        else:
            lines[first:end] = [tuple(by for _ in line) for line in lines[first:end]]
        return replace(self, cells=_turned(tuple(lines), axis))


def _turned(cells: Cells, axis: int) -> Cells:
    return tuple(zip(*cells, strict=True)) if axis else cells


def painted(graph: Graph, facts: Facts, node: object) -> Painting | None:
    """What `node` is if it is a padded picture, a part of one, or one written over; None if it is anything else."""
    if not isinstance(node, Node) or node.op != "call_function" or node not in facts:
        return None
    if op_name(node) in _PADS:
        return _padded(facts, node)
    if op_name(node) != "slice" and op_name(node) not in WRITES:
        return None
    below = painted(graph, facts, node.args[0])
    place = None if below is None else _place(facts, below, node)
    if below is None or place is None:
        return None
    if op_name(node) == "slice":
        return below.part(*place)
    uniform = _uniform(graph, facts, node.args[1])
    by = painted(graph, facts, node.args[1]) if uniform is None else uniform
    return None if by is None else below.overpainted(*place, by)


def _padded(facts: Facts, node: Node) -> Painting | None:
    named, fact = arguments(node), facts[node]
    pads, picture = [*named["pad"], 0, 0][:4], named["self"]
    whole = len(fact.shape) == 4 and len(named["pad"]) <= 4 and all(isinstance(pad, int) and pad >= 0 for pad in pads)
    if not whole or named.get("mode", "constant") != "constant":
        return None
    left, right, top, bottom = pads
    fill = torch.full((1,), float(named["value"] or 0.0), dtype=fact.dtype)
    cells = tuple(
        tuple(None if (row, column) == (top, left) else fill for column in range(left + 1 + right))
        for row in range(top + 1 + bottom)
    )
    return Painting(picture, (top, bottom, left, right), cells, (top, left))


def _place(facts: Facts, below: Painting, node: Node) -> tuple[int, int, int] | None:
    """The axis, first and end cell of a slice or scatter; None if its border runs through the picture."""
    named, base = arguments(node), node.args[0]
    axis = int(named["dim"]) % 4 - 2
    if axis < 0 or named.get("step", 1) != 1:
        return None
    assert isinstance(base, Node)
    if "index" in named:
        start, end = named["index"], named["index"] + 1 or _END
    else:
        start, end = named["start"] or 0, _END if named["end"] is None else named["end"]
    count = len(_turned(below.cells, axis))
    borders = [_border(place, facts[base].shape[2 + axis], count, below.middle[axis]) for place in (start, end)]
    first, last = borders
    return None if first is None or last is None else (axis, first, max(first, last))


def _border(place: Any, size: Any, count: int, middle: int | None) -> int | None:
    """The cell before which a position lies, counted from the end it is near; None if it is amid the picture."""
    if place == _END:
        return count
    before, after = (count, count) if middle is None else (middle, count - 1 - middle)
    if isinstance(place, int) and 0 <= place <= before:
        return place
    left = -place if isinstance(place, int) and place < 0 else size - place
    number = isinstance(left, int) or getattr(left, "is_Integer", False)
    return count - int(left) if number and 0 <= left <= after else None


def _uniform(graph: Graph, facts: Facts, source: object) -> Tensor | None:
    """The one value per channel that a written tensor consists of; of one element if it is the same for all."""
    if not isinstance(source, Node):
        return None
    if op_name(source) == "fill":
        number = source.args[1]
        value = graph.constant(number) if isinstance(number, Node) else number
        known = isinstance(value, int | float | Tensor)
        return torch.full((1,), float(value), dtype=facts[source].dtype) if known else None  # type: ignore[arg-type]
    constant = graph.constant(source.args[0] if op_name(source) == "expand" else source)
    if constant is None:
        return None
    whole = constant.reshape((1,) * (len(facts[source].shape) - constant.dim()) + tuple(constant.shape))
    rows = whole.transpose(0, 1).reshape(whole.shape[1], -1)
    if not bool((rows == rows[:, :1]).all()):
        return None
    return rows[:1, 0] if bool((rows == rows[0, 0]).all()) else rows[:, 0]
