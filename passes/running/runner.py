"""Runs passes over a program and proves each of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dydca.passes.base import Pass
from dydca.passes.running.order import check_order
from dydca.passes.running.proof import ExecutionProof, StructureProof, Verify
from dydca.passes.running.report import PassReport, misses_as_data
from dydca.passes.running.rewriting import Rewriting
from dydca.passes.running.sharing import share_constants
from dydca.passes.running.subject import Subject, Variant
from dydca.program import Program

Observer = Callable[[int, PassReport, Subject], None]
"""Is called after every pass on every graph with the pass's number, from 1, what it did, and the graph it left."""


@dataclass(frozen=True)
class Outcome:
    """What the passes made of a program.

    Attributes:
        variants: One finished graph per declared patch, in the order of routes and their patches.
        reports: One per pass and graph, in the order they ran.
    """

    variants: tuple[Variant, ...]
    reports: tuple[PassReport, ...]


def run_passes(
    program: Program, passes: Sequence[Pass], *, verify: Verify = "fast", observers: Sequence[Observer] = ()
) -> Outcome:
    """Runs `passes` in order on every route, from the first `per_patch` pass on every patch apart.

    Args:
        program: Its routes are rewritten in place.
        passes: In the order to run; a pass may stand in it more than once.
        verify: True executes each graph before and after each pass that rewrote it, on every declared patch; "fast"
            on one patch a route, cut small while sizes are free; False checks the structure only.
        observers: See every graph after every pass, e.g. `Dump`.

    Raises:
        PassError: DYD301 the order is not possible, DYD302 a pass broke a graph, DYD303 it changed the values.
    """
    check_order(passes)
    treated = [_Treatment(Subject(program, route), verify) for route in program.routes]
    reports: list[PassReport] = []
    apart = False
    for step, pass_ in enumerate(passes, start=1):
        if pass_.per_patch and not apart:
            treated, apart = _apart(program, verify), True
        for treatment in treated:
            reports.append(treatment.run(pass_))
            for observe in observers:
                observe(step, reports[-1], treatment.subject)
    if not apart:
        treated = _apart(program, False)
    share_constants([treatment.subject.graph for treatment in treated])
    return Outcome(tuple(treatment.subject.variant() for treatment in treated), tuple(reports))


def _apart(program: Program, verify: Verify) -> list[_Treatment]:
    return [_Treatment(Subject(program, route, patch), verify) for route, patch in program.patches]


class _Treatment:
    """One graph on its way through the passes."""

    def __init__(self, subject: Subject, verify: Verify) -> None:
        self.subject = subject
        self.execution = ExecutionProof(subject, verify)

    def run(self, pass_: Pass) -> PassReport:
        """Runs one pass, checks the result and reports."""
        subject, blame = self.subject, f"{pass_.name} on {self.subject.label}"
        structure, operators = StructureProof(subject), subject.operators()
        self.execution.remember()
        start = time.perf_counter()
        done = Rewriting(pass_, subject)
        done.run()
        rewritten = time.perf_counter()
        structure.check(subject, blame)
        differences = self.execution.check(blame) if done.rewrites else ()
        proven = time.perf_counter()
        return PassReport(
            pass_.name,
            subject.label,
            done.rewrites,
            misses_as_data(done.misses),
            operators,
            subject.operators(),
            milliseconds=1e3 * (rewritten - start),
            proof_milliseconds=1e3 * (proven - rewritten),
            differences=differences,
        )
