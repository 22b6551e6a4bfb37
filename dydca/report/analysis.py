"""The report as data; `dydca.report.text` writes it out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

SCHEMA = {"name": "dydca.analysis", "version": 1}
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
class TensorReport:
    """A value of a route.

    Attributes:
        name: Of the node.
        op: The operator, or ``placeholder``, ``get_attr``.
        line: ``file.py:41`` in the user's source, None if not known.
        dtype: Element type; empty for scalars and for several values at once.
        shape: Sizes for all patches of the route.
        shapes: Sizes by patch.
        value: A symbolic size or a small integer tensor as text, None where the value is not known.
        macs: Multiply-adds by patch.
        bytes: Of the tensor, by patch.
        constant: Depends on no input.
        unruled: The operator has no rule; its shape came from PyTorch's meta kernel.
    """

    name: str
    op: str
    line: str | None
    dtype: str
    shape: Sizes
    shapes: dict[str, tuple[int | str, ...]]
    value: str | None
    macs: dict[str, int]
    bytes: dict[str, int]
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
        dead: Nodes whose value reaches no output.
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

    def tensors(self) -> str:
        """A table of every computed tensor of every route, as text."""
        from dydca.report.text import tensor_tables

        return tensor_tables(self)

    def __str__(self) -> str:
        """The report as text: aligned columns, no colour."""
        from dydca.report.text import summary

        return summary(self)
