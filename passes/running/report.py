"""What a pass did to one graph, as data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from dydca.passes.base import Miss


@dataclass(frozen=True)
class Difference:
    """How far one output moved when a pass rewrote the graph, on seeded random inputs.

    Attributes:
        patch: Label of the shapes that ran.
        output: Position of the output.
        max_abs: Largest absolute difference.
        mean_abs: Mean absolute difference.
        sqnr_db: ``10 log10(sum before^2 / sum difference^2)``; None if nothing moved.
        tolerance: What `max_abs` may be at most.
    """

    patch: str
    output: int
    max_abs: float
    mean_abs: float
    sqnr_db: float | None
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the output stayed within the tolerance; a NaN on one side only does not."""
        return self.max_abs <= self.tolerance

    @staticmethod
    def between(before: Tensor, after: Tensor, *, rtol: float, patch: str, output: int) -> Difference:
        """Measures two tensors of one shape in float64; the tolerance is `rtol` of the largest finite value before."""
        old, new = before.double(), after.double()
        same = (old == new) | (old.isnan() & new.isnan())
        moved = torch.where(same, 0.0, (new - old).abs()).flatten()
        finite = old[old.isfinite()]
        noise, signal = float(moved.square().sum()), float(finite.square().sum())
        return Difference(
            patch,
            output,
            max_abs=float(moved.max()) if moved.numel() else 0.0,
            mean_abs=float(moved.mean()) if moved.numel() else 0.0,
            sqnr_db=None if noise == 0 else 10 * math.log10(signal / noise) if signal > 0 < noise else -math.inf,
            tolerance=rtol * float(finite.abs().max()) if finite.numel() else 0.0,
        )

    def __str__(self) -> str:
        sqnr = "exact" if self.sqnr_db is None else f"SQNR {self.sqnr_db:.1f} dB"
        return f"output {self.output} on {self.patch}: max {self.max_abs:.3g}, mean {self.mean_abs:.3g}, {sqnr}"


@dataclass(frozen=True)
class PassReport:
    """What one pass did to one graph.

    Attributes:
        name: The pass.
        subject: The graph: ``route0``, or ``route0.108x96`` once every patch has its own.
        rewrites: How often `rewrite` put something in place.
        misses: Refusals that stood when the pass came to rest.
        ops_before: Operators by name, how many of each.
        ops_after: The same after the pass.
        milliseconds: Time of the pass and of bringing the facts up to date.
        proof_milliseconds: Time of executing the graph for the proof.
        differences: One entry per executed patch and output; empty if the graph was not executed.
    """

    name: str
    subject: str
    rewrites: int
    misses: tuple[dict[str, str], ...]
    ops_before: dict[str, int]
    ops_after: dict[str, int]
    milliseconds: float
    proof_milliseconds: float
    differences: tuple[Difference, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data for JSON."""
        return asdict(self)


def misses_as_data(misses: list[Miss]) -> tuple[dict[str, str], ...]:
    """The refusals, each once, in node order."""
    return tuple({str(data): data for data in (miss.to_dict() for miss in misses)}.values())
