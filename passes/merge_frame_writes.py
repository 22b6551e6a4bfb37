"""Merges the writes that put one value per channel around a picture into one pad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.passes.base import Miss, Pass
from dydca.program import Graph, arguments, op_name

aten = torch.ops.aten

_WRITES = ("slice_scatter", "select_scatter")
_PADS = ("pad", "constant_pad_nd")
_END = 2**63 - 1


class MergeFrameWrites(Pass):
    """A padded picture whose whole frame is then overwritten by v becomes ``pad(y - v, 0) + v``.

    ``y = pad(conv(x)); y[:, :, 0:1] = v; y[:, :, -1:] = v; ...`` is how networks write "pad by the bias" (ECB,
    RT4KSR, DBB); each line arrives as a slice, a copy and one or two scatters. Where v is the same number for every
    channel the result is ``pad(y, v)``. The subtraction and addition round once each, to float32, unless
    `merge_linear` takes them up, for which they are what says that y continues beyond its border by v.

    Refused: a frame of several values, and writes that reach into the picture.
    """

    root = _WRITES
    after = ("drop_identity", "fold_constants")

    def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
        painting = _Painter(graph, facts).painted(node)
        if painting is None or any(_base(user) is node for user in node.users):
            return None  # no frame, or one that is still being written
        values = painting.values()
        if values is None:
            return Miss(node, f"the writes reach into the picture %{painting.picture.name}")
        if any(not torch.equal(value, values[0]) for value in values):
            return Miss(node, f"the frame of %{painting.picture.name} holds {len(values)} different values")
        return _framed(graph, painting, values[0], node)


def _framed(graph: Graph, painting: _Painting, value: Tensor, node: Node) -> Node:
    top, bottom, left, right = painting.pads
    pads, picture = [left, right, top, bottom], painting.picture
    if bool((value == value[0]).all()):
        return graph.add(aten.constant_pad_nd.default, picture, pads, float(value[0]), before=node)
    frame = graph.const(value[:, None, None], f"{node.name}_frame", before=node)
    moved = graph.add(aten.sub.Tensor, picture, frame, before=node)
    padded = graph.add(aten.constant_pad_nd.default, moved, pads, 0.0, before=node)
    return graph.add(aten.add.Tensor, padded, frame, before=node)


def _base(write: Node) -> object:
    """What a scatter writes into, directly or through a slice of it."""
    return write.args[0] if op_name(write) in (*_WRITES, "slice") else None


Cells = NDArray[np.object_]
"""A picture seen from afar: one cell for each row and column of the frame, one for all that lies between.

A cell holds the value written there, one per channel, or None for the picture as it was.
"""


@dataclass(frozen=True)
class _Painting:
    """A padded picture, or a part of it, and what was written over it.

    Attributes:
        picture: What was padded.
        pads: Above, below, left, right.
        rows: Which cells' rows this part has, and `columns` which columns.
        cells: By row and column of the part.
    """

    picture: Node
    pads: tuple[int, int, int, int]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    cells: Cells

    def values(self) -> list[Tensor] | None:
        """The different values of the whole frame; None if a write hit the picture or some is not written."""
        inner = (self.rows.index(self.pads[0]), self.columns.index(self.pads[2]))
        if self.cells[inner] is not None:
            return None
        found: list[Tensor] = []
        for place in np.ndindex(*self.cells.shape):
            value = self.cells[place]
            if place != inner and not any(torch.equal(value, known) for known in found):
                found.append(value)
        return found

    def part(self, axis: int, chosen: list[int]) -> _Painting:
        """Some rows (axis 0) or columns (axis 1), by their places in this part."""
        names = (self.rows, self.columns)[axis]
        picked = tuple(names[place] for place in chosen)
        cells = self.cells.take(chosen, axis)
        rows, columns = (picked, self.columns) if axis == 0 else (self.rows, picked)
        return _Painting(self.picture, self.pads, rows, columns, cells)

    def overpainted(self, axis: int, chosen: list[int], by: _Painting | Tensor) -> _Painting:
        """With some rows or columns replaced."""
        cells = self.cells.copy()
        part = cells.swapaxes(0, 1) if axis else cells
        if isinstance(by, _Painting):
            other = by.cells.swapaxes(0, 1) if axis else by.cells
            for place, row in zip(chosen, other, strict=True):
                part[place] = row
        else:
            for place in np.ndindex(len(chosen), part.shape[1]):
                part[chosen[place[0]], place[1]] = by
        return _Painting(self.picture, self.pads, self.rows, self.columns, cells)


class _Painter:
    """Follows the writes over a padded picture."""

    def __init__(self, graph: Graph, facts: Facts) -> None:
        self.graph, self.facts = graph, facts

    def painted(self, node: object) -> _Painting | None:
        """What `node` is if it is a padded picture, a part of one, or one written over; None if anything else."""
        if not isinstance(node, Node) or node.op != "call_function" or node not in self.facts:
            return None
        if op_name(node) in _PADS:
            return self._padded(node)
        if op_name(node) != "slice" and op_name(node) not in _WRITES:
            return None
        below = self.painted(node.args[0])
        chosen = None if below is None else self._chosen(below, node)
        if below is None or chosen is None:
            return None
        axis, places = chosen
        if op_name(node) == "slice":
            return below.part(axis, places)
        by = self._uniform(node.args[1], below.picture)
        if by is None:
            by = self.painted(node.args[1])
        return None if by is None else below.overpainted(axis, places, by)

    def _padded(self, node: Node) -> _Painting | None:
        named, shape = arguments(node), self.facts[node].shape
        pads, value, picture = [*named["pad"], 0, 0][:4], named["value"] or 0.0, named["self"]
        fits = len(shape) == 4 and len(named["pad"]) <= 4 and isinstance(shape[1], int)
        if not fits or named.get("mode", "constant") != "constant" or any(type(pad) is not int or pad < 0 for pad in pads):
            return None
        left, right, top, bottom = pads
        rows, columns = tuple(range(top + 1 + bottom)), tuple(range(left + 1 + right))
        cells: Cells = np.empty((len(rows), len(columns)), object)
        fill = torch.full((shape[1],), float(value), dtype=self.facts[node].dtype)  # type: ignore[arg-type]
        for place in np.ndindex(*cells.shape):
            cells[place] = None if place == (top, left) else fill
        return _Painting(picture, (top, bottom, left, right), rows, columns, cells)

    def _chosen(self, below: _Painting, node: Node) -> tuple[int, list[int]] | None:
        """The axis of a slice or scatter and the places it takes; None if its border runs through the picture."""
        named, rank = arguments(node), 4
        axis = int(named["dim"]) % rank - 2
        if axis < 0 or named.get("step", 1) != 1:
            return None
        names, middle = ((below.rows, below.pads[0]), (below.columns, below.pads[2]))[axis]
        size = self.facts[below_node(node)].shape[2 + axis]
        if "index" in named:
            start, end = named["index"], named["index"] + 1 or _END
        else:
            start, end = named["start"] or 0, _END if named["end"] is None else named["end"]
        borders = [_border(place, size, names, middle) for place in (start, end)]
        return None if None in borders else (axis, list(range(*borders)))  # type: ignore[arg-type]

    def _uniform(self, source: object, picture: Node) -> Tensor | None:
        """The one value per channel that a written tensor consists of."""
        channels = self.facts[picture].shape[1]
        if isinstance(source, Node) and op_name(source) == "fill":
            number = source.args[1]
            constant = self.graph.constant(number)
            value = constant if constant is not None else number
            return None if isinstance(value, Node) else torch.full((channels,), float(value), dtype=self.facts[source].dtype)  # type: ignore[arg-type]
        expanded = isinstance(source, Node) and op_name(source) == "expand"
        constant = self.graph.constant(source.args[0] if expanded else source)  # type: ignore[union-attr]
        return None if constant is None else _per_channel(constant, channels, source, self.facts)


def below_node(node: Node) -> Node:
    """The tensor that a slice or a scatter takes a part of."""
    base = node.args[0]
    assert isinstance(base, Node)
    return base


def _border(place: Any, size: Any, names: tuple[int, ...], middle: int) -> int | None:
    """The cell before which a position lies, counted from whichever end it is near; None if amid the picture."""
    if middle not in names:
        return max(0, min(place + len(names) if place < 0 else place, len(names))) if isinstance(place, int) else None
    before, after = names.index(middle), len(names) - 1 - names.index(middle)
    if place == _END:
        return len(names)
    if isinstance(place, int) and 0 <= place <= before:
        return place
    left = -place if isinstance(place, int) and place < 0 else size - place
    if not (isinstance(left, int) or getattr(left, "is_Integer", False)) or not 0 <= left <= after:
        return None
    return len(names) - int(left)


def _per_channel(constant: Tensor, channels: Any, source: object, facts: Facts) -> Tensor | None:
    """``[C]`` of a constant that has one value per channel wherever it lies."""
    rank = len(facts[source].shape)  # type: ignore[index]
    whole = constant.reshape((1,) * (rank - constant.dim()) + tuple(constant.shape))
    rows = whole.transpose(0, 1).reshape(whole.shape[1], -1)
    if rows.shape[0] not in (1, channels) or not bool((rows == rows[:, :1]).all()):
        return None
    return rows[:, 0].expand(channels)
