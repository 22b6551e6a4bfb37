"""How calls run as one chain: how far each is ahead of its readers, and how many rows are held between them.

By the end of step s, call i has made its rows below ``pace_i * s + lead_i``, as far as there are any. It is just so far
ahead that its readers find what they need in the same step: so a row is held for one step and the readers' reach.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import NamedTuple

from dydca.lower.calls import Call, Chain, Link, Value, Weight
from dydca.lower.kernels.rows import Reach, RowKernel
from dydca.lower.layout import Layout, picture


class Edge(NamedTuple):
    """A value that one call of a run writes and another one reads."""

    value: Value
    writer: int
    reader: int
    reach: Reach


class Pace(NamedTuple):
    """One call of a schedule.

    Attributes:
        call: What it was.
        kernel: What runs instead.
        rows: Rows that a step adds, before any shuffle; whole bands.
        lead: Rows made by the end of step 0, counted from the top of the picture.
    """

    call: Call
    kernel: RowKernel
    rows: int
    lead: int


@dataclass(frozen=True)
class Schedule:
    """How a run of calls becomes a chain.

    Attributes:
        paces: The calls.
        edges: What flows between them.
        rings: Rows that must be held of each value that nothing outside touches; none if all of them must be.
    """

    paces: tuple[Pace, ...]
    edges: tuple[Edge, ...]
    rings: dict[Value, int]

    @property
    def idle(self) -> int:
        """The last step by whose end nothing has been made, not even a halo above."""
        return min(
            (min(kernel.first, -(kernel.layer.target.halo // kernel.layer.shuffle)) - lead) // rows
            for _, kernel, rows, lead in self.paces
        )

    @property
    def steps(self) -> int:
        """Steps from there until all has been made."""
        done = max(
            -((lead - kernel.layer.target_shape[2] - -(-kernel.layer.target.halo // kernel.layer.shuffle)) // rows)
            for _, kernel, rows, lead in self.paces
        )
        return done - self.idle

    def chain(self) -> Chain:
        """The calls as a chain, the values between them in rings."""
        for value, rows in self.rings.items():
            value.layout = value.layout._replace(rows=rows)
        return Chain([self._link(pace) for pace in self.paces], self.steps)

    def _link(self, pace: Pace) -> Link:
        call, kernel, rows, lead = pace
        layer = kernel.layer
        beside = call.reads[len(call.reads) - len(layer.operands) :]
        operands = [_ringed(o.layout, read) for o, read in zip(layer.operands, beside, strict=True)]
        source, target = _ringed(layer.source, call.reads[0]), _ringed(layer.target, call.writes[0])
        call.kernel = kernel.relaid(source, target, operands)
        return Link(call, (rows * self.idle + lead - kernel.first) // kernel.band, rows // kernel.band)


def schedule(run: Sequence[Call], inside: Set[Value], scale: int) -> Schedule | None:
    """The schedule with the fewest rows a step that whole bands allow, times `scale`; None if rows do not match.

    Args:
        run: Calls of row kernels, in an order in which they can run.
        inside: The values that may be held in rings.
        scale: At least 1.
    """
    kernels = [call.kernel for call in run if isinstance(call.kernel, RowKernel)]
    edges = _edges(run, kernels)
    ratios = None if edges is None else _ratios(kernels, edges)
    if edges is None or ratios is None or len({kernel.layer.target_shape[0] for kernel in kernels}) > 1:
        return None
    unit = scale * lcm(*((ratio / kernel.band).denominator for ratio, kernel in zip(ratios, kernels, strict=True)))
    rows = [int(ratio * unit) for ratio in ratios]
    leads = _leads(kernels, edges)
    paces = [
        Pace(call, kernel.as_link(pace, lead), pace, lead)
        for call, kernel, pace, lead in zip(run, kernels, rows, leads, strict=True)
    ]
    held = {value: _held(paces, [edge for edge in edges if edge.value is value]) for _, value in _written(run)}
    return Schedule(tuple(paces), edges, {value: count for value, count in held.items() if value in inside and count})


def _ringed(layout: Layout, operand: Value | Weight) -> Layout:
    """How a picture lies once its value lies in a ring, or not."""
    return layout._replace(rows=operand.layout.rows) if isinstance(operand, Value) else layout


def _written(run: Sequence[Call]) -> list[tuple[int, Value]]:
    return [(number, value) for number, call in enumerate(run) for value in call.writes]


def _edges(run: Sequence[Call], kernels: Sequence[RowKernel]) -> tuple[Edge, ...] | None:
    """What flows between the calls; None if one reads what another one writes otherwise than row by row."""
    writers: dict[Value, list[int]] = {}
    for number, value in _written(run):
        writers.setdefault(value, []).append(number)
    edges = []
    for reader, (call, kernel) in enumerate(zip(run, kernels, strict=True)):
        for place, (operand, reach) in enumerate(zip(call.reads, kernel.reaches, strict=True)):
            height = (kernel.layer.target_shape if place else kernel.layer.source_shape)[2]
            if isinstance(operand, Weight):
                continue
            for writer in (number for number in writers.get(operand, ()) if number < reader):
                if reach is None or height != kernels[writer].layer.stored_shape[2]:  # a reshape lies between
                    return None
                edges.append(Edge(operand, writer, reader, reach))
    return tuple(edges)


def _ratios(kernels: Sequence[RowKernel], edges: Sequence[Edge]) -> list[Fraction] | None:
    """Rows of each call for each row of the first; None if the calls are not connected, or in several ratios."""
    rows = {0: Fraction(1)}
    for _ in kernels:
        for _, writer, reader, reach in edges:
            ratio = Fraction(kernels[writer].layer.shuffle, reach.stride)  # rows of the reader for one of the writer
            if writer in rows:
                rows.setdefault(reader, rows[writer] * ratio)
            elif reader in rows:
                rows[writer] = rows[reader] / ratio
    if len(rows) < len(kernels):
        return None
    alike = all(rows[e.writer] * kernels[e.writer].layer.shuffle == rows[e.reader] * e.reach.stride for e in edges)
    return [rows[number] for number in range(len(kernels))] if alike else None


def _leads(kernels: Sequence[RowKernel], edges: Sequence[Edge]) -> list[int]:
    """What the readers of each call need; the last calls, which have none in the chain, lead by nothing."""
    leads = [0] * len(kernels)
    for number in reversed(range(len(kernels))):
        needed = [
            edge.reach.stride * (leads[edge.reader] - 1) + edge.reach.below + 1
            for edge in edges
            if edge.writer == number
        ]
        leads[number] = max((-(-rows // kernels[number].layer.shuffle) for rows in needed), default=0)
    return leads


def _held(paces: Sequence[Pace], edges: Sequence[Edge]) -> int:
    """Rows of a value from the oldest one still touched to the newest one; 0 if that is all of them, or none are read.

    Several calls may write it, each some of its channels.
    """
    if not edges:
        return 0
    writers = [pace for pace in paces if edges[0].value in pace.call.writes]
    readers = [(paces[edge.reader], edge.reach) for edge in edges]
    newest = max(writer.lead * writer.kernel.layer.shuffle for writer in writers)
    read = (reach.stride * (reader.lead - reader.rows) - reach.above for reader, reach in readers)
    written = ((writer.lead - writer.rows) * writer.kernel.layer.shuffle for writer in writers)
    oldest = min(*read, *written)
    layer = writers[0].kernel.layer
    everything = picture(layer.stored_shape)[2] + 2 * layer.target.halo
    return newest - oldest if newest - oldest < everything else 0
