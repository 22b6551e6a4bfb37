"""Finds the pass, and within it the rewriting, after which a network computes something else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dydca.errors import PassError
from dydca.passes.base import Pass
from dydca.passes.running.order import check_order
from dydca.passes.running.proof import Execution, StructureProof, seeded_inputs
from dydca.passes.running.report import Difference
from dydca.passes.running.rewriting import Rewriting
from dydca.passes.running.subject import Subject
from dydca.program import Program


@dataclass(frozen=True)
class Culprit:
    """The pass that is to blame, and the first of its rewritings that is.

    Attributes:
        step: Which of the passes, from 1.
        name: The pass.
        subject: The graph, ``route0`` or ``route0.108x96``.
        rewrite: Which rewriting of the pass, from 1; None if it is at fault, but not by one of them.
        rewrites: How many there were.
        node: The node that was rewritten, with its source line; None without `rewrite`.
        fault: How far an output moved, or how the pass broke the graph.
    """

    step: int
    name: str
    subject: str
    rewrite: int | None
    rewrites: int
    node: str | None
    fault: Difference | PassError

    def __str__(self) -> str:
        place = f"rewriting {self.rewrite} of {self.rewrites}: {self.node}" if self.node else "by no single rewriting"
        return f"{self.name}, pass {self.step}, is to blame on {self.subject}\n  {place}\n  {self.fault}"


def find_culprit(program: Program, passes: Sequence[Pass], tolerance: float) -> Culprit | None:
    """Runs the passes, and after each compares all outputs on every declared patch with those of the captured network.

    Args:
        program: Its routes are rewritten in place.
        passes: In the order to run.
        tolerance: Largest difference that is let pass, as a part of the output's largest value; float64 has the last
            word where float32 exceeds it.

    Raises:
        PassError: DYD301, the order is not possible.
    """
    check_order(passes)
    captured = {
        (route.name, patch): Execution(route.graph.copy(), seeded_inputs(program, patch))
        for route, patch in program.patches
    }
    subjects = [Subject(program, route) for route in program.routes]
    apart = False
    for step, pass_ in enumerate(passes, start=1):
        if pass_.per_patch and not apart:
            subjects, apart = [Subject(program, route, patch) for route, patch in program.patches], True
        for subject in subjects:
            references = [captured[subject.route.name, patch] for patch in subject.patches]
            suspect = _Suspect(pass_, subject, references, tolerance)
            if (fault := suspect.fault()) is not None:
                return suspect.narrowed(step, fault)
    return None


class _Suspect:
    """One pass on one graph, which can be run again up to any of its rewritings."""

    def __init__(self, pass_: Pass, subject: Subject, captured: Sequence[Execution], tolerance: float) -> None:
        self.pass_, self.subject, self.captured, self.tolerance = pass_, subject, captured, tolerance
        self.before, self.done = subject.graph.copy(), Rewriting(pass_, subject)

    def fault(self, limit: float = math.inf) -> Difference | PassError | None:
        """What is wrong with the graph after the pass, or after its first `limit` rewritings."""
        structure = StructureProof(self.subject)
        self.done = Rewriting(self.pass_, self.subject, limit)
        try:
            self.done.run()
            return self._moved(structure) if self.done.rewrites else None
        except PassError as error:
            return error

    def _moved(self, structure: StructureProof) -> Difference | None:
        blame = f"{self.pass_.name} on {self.subject.label}"
        structure.check(self.subject, blame)
        for captured in self.captured:
            now = Execution(self.subject.graph, captured.inputs)
            for moved in captured.moved(now, blame, self.tolerance):
                if not moved.holds:
                    return moved
        return None

    def narrowed(self, step: int, fault: Difference | PassError) -> Culprit:
        """The first rewriting after which the graph is at fault, found by halving."""
        rewritten, good, bad = self.done.rewritten, 0, self.done.rewrites
        first = self._again(bad) if bad else None
        while first is not None and bad - good > 1:
            middle = (good + bad) // 2
            if (found := self._again(middle)) is None:
                good = middle
            else:
                bad, first = middle, found
        number, node = (None, None) if first is None else (bad, rewritten[bad - 1])
        return Culprit(step, self.pass_.name, self.subject.label, number, len(rewritten), node, first or fault)

    def _again(self, limit: int) -> Difference | PassError | None:
        self.subject.graph = self.before.copy()
        self.subject.facts = self.subject.analyze()
        return self.fault(limit)
