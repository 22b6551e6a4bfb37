"""The report as data; `dydca.report.text` writes it out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

from dydca.errors import UsageError

SCHEMA = {"name": "dydca.analysis", "version": 2}
"""Of `Analysis.to_dict`; the version rises when a key changes its meaning or goes."""

Sizes = tuple[int | str, ...]
"""Numbers, and expressions over the symbols of the inputs as text."""


@dataclass(frozen=True)
class InputReport:
    """An input of the network; `read` says whether any route reads it."""

    name: str
    dtype: str
    dims: tuple[str, ...]
    read: bool


@dataclass(frozen=True)
class NeedReport:
    """What an operator needs of the patches of a route, e.g. ``Eq(Mod(H, 2), 0)``, and where in the source."""

    condition: str
    node: str
    reason: str


@dataclass(frozen=True)
class UnknownReport:
    """A number that only execution tells, what it lies between, and the node it comes from."""

    symbol: str
    low: str
    high: str
    node: str


@dataclass(frozen=True)
class SightReport:
    """What the pixels of an output see of an input along one axis.

    Attributes:
        output: Of the network.
        input: Of the network.
        axis: ``rows`` or ``columns``.
        scale: Output pixels per input pixel, ``2`` or ``3/2``.
        step: Input pixels by which the picture may be moved; a tile that begins at a multiple of it computes the same.
        before: Input pixels that are seen before a tile's own first one, None if all are.
        after: Behind its own last one.
        unbounded: The node that sees the whole axis, or None.
    """

    output: str
    input: str
    axis: str
    scale: str
    step: int
    before: int | None
    after: int | None
    unbounded: str | None


@dataclass(frozen=True)
class TensorReport:
    """A value of a route.

    Attributes:
        name: Of the node.
        op: The operator, or ``placeholder``, ``get_attr``.
        kind: Of the operator: ``ISDO``, ``ISDOS``, ``ISVDOS`` or ``EDO``; None for what is no operator.
        line: ``file.py:41`` in the user's source, None if not known.
        dtype: Element type; empty for scalars and for several values at once.
        shape: Sizes for all patches of the route.
        shapes: Sizes by patch.
        value: A symbolic size or a small integer tensor as text, None where the value is not known.
        interval: The least and the largest value of any element, None for an end that is not known.
        macs: Multiply-adds by patch.
        bytes: Of the tensor, by patch.
        live: Bytes of all activations alive while it is computed, by patch; without patches whose sizes data decides.
        constant: Depends on no input.
        unruled: The operator has no rule; its shape came from PyTorch's meta kernel.
    """

    name: str
    op: str
    kind: str | None
    line: str | None
    dtype: str
    shape: Sizes
    shapes: dict[str, tuple[int | str, ...]]
    value: str | None
    interval: tuple[float | None, float | None]
    macs: dict[str, int]
    bytes: dict[str, int]
    live: dict[str, int]
    constant: bool
    unruled: bool


@dataclass(frozen=True)
class PatchReport:
    """One declared patch on its route.

    Attributes:
        label: ``108x96``.
        inputs: Shapes of the inputs.
        outputs: Shapes of the outputs; a size that the data decides is a text.
        macs: Multiply-adds, None if a size depends on the data.
        activation_bytes: Of all activations together, views not counted; None as above.
        peak_bytes: The most that is live at once in the graph's own order; None as above.
        bound_bytes: What no order can do with less than; None as above.
    """

    label: str
    inputs: tuple[Sizes, ...]
    outputs: tuple[Sizes, ...]
    macs: int | None
    activation_bytes: int | None
    peak_bytes: int | None
    bound_bytes: int | None


@dataclass(frozen=True)
class RouteReport:
    """One path through the network.

    Attributes:
        name: ``route0``.
        predicate: The user's own conditions, ``always`` if there are none.
        lines: Where the source decides on them.
        share: Part of the declared patches that takes this route or, where values decide, may take it; 0..1.
        nodes: Operators of the graph.
        parameters: Trained numbers the route reads.
        macs: For all patches of the route, as an expression.
        needs: What operators ask of the patches beyond the predicate.
        classes: How many operators are of each class.
        sights: What the outputs see of the inputs.
        unknown: Numbers that only execution tells.
        dead: Operators that no output depends on, with their source lines.
        unruled: Operators without a rule.
        patches: The declared patches that take the route.
        tensors: Every value.
    """

    name: str
    predicate: str
    lines: tuple[str, ...]
    share: float
    nodes: int
    parameters: int
    macs: str
    needs: tuple[NeedReport, ...]
    classes: dict[str, int]
    sights: tuple[SightReport, ...]
    unknown: tuple[UnknownReport, ...]
    dead: tuple[str, ...]
    unruled: tuple[str, ...]
    patches: tuple[PatchReport, ...]
    tensors: tuple[TensorReport, ...]


@dataclass(frozen=True)
class Analysis:
    """What is known of a network before anything runs.

    Attributes:
        model: Name of the network's class.
        inputs: In order.
        outputs: Names of the results.
        parameters: Trained numbers of the network.
        unread: Parameters that no route reads, by name.
        uncovered: Regions that the network distinguishes and no declared patch enters.
        routes: The paths that declared patches take.
    """

    model: str
    inputs: tuple[InputReport, ...]
    outputs: tuple[str, ...]
    parameters: int
    unread: tuple[str, ...]
    uncovered: tuple[str, ...]
    routes: tuple[RouteReport, ...]

    def to_dict(self) -> dict[str, object]:
        """The report as plain lists, dicts, numbers and texts, ready for JSON."""
        return {"schema": SCHEMA, **dataclasses.asdict(self)}

    def expected_macs(self, frequencies: Mapping[str, float]) -> float:
        """Multiply-adds of a patch on average; within a route, its declared patches are equally frequent.

        Args:
            frequencies: How often each route is taken, by its name, in any unit; 0 for a route that is not named.

        Raises:
            UsageError: DYD850, a name is of no route; DYD851, the frequencies are no frequencies, or the cost of a
                route is not known because data decides sizes, or because only ranges of sizes were declared.
        """
        costs = {route.name: [patch.macs for patch in route.patches] for route in self.routes}
        if unknown := sorted(frequencies.keys() - costs.keys()):
            raise UsageError("DYD850", "there is no such route", got=", ".join(unknown), want=", ".join(costs))
        if not all(0 <= each < math.inf for each in frequencies.values()) or not (total := sum(frequencies.values())):
            raise UsageError("DYD851", "these are no frequencies", got=dict(frequencies))
        expected = 0.0
        for name, frequency in frequencies.items():
            known = [count for count in costs[name] if count is not None]
            if frequency and (len(known) < len(costs[name]) or not known):
                raise UsageError("DYD851", "the cost of a route is not known", got=name)
            expected += frequency / total * sum(known) / max(len(known), 1)
        return expected

    def tensors(self) -> str:
        """A table of every computed tensor of every route, as text."""
        from dydca.report.text import tensor_tables

        return tensor_tables(self)

    def html(self) -> str:
        """The report as one HTML document that needs nothing from elsewhere."""
        from dydca.report.page import page

        return page(self)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from dydca.report.page import fragment

        return fragment(self)

    def __str__(self) -> str:
        """The report as text: aligned columns, no colour."""
        from dydca.report.text import summary

        return summary(self)
