"""Runs passes over a program and proves each of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dydca.errors import FileError
from dydca.passes.base import Pass
from dydca.passes.running.order import check_order
from dydca.passes.running.proof import ExecutionProof, StructureProof, Verify
from dydca.passes.running.report import PassReport, misses_as_data
from dydca.passes.running.rewriting import rewrite_to_rest
from dydca.passes.running.sharing import share_constants
from dydca.passes.running.subject import Subject, Variant
from dydca.program import Program


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
    program: Program, passes: Sequence[Pass], *, verify: Verify = "fast", dump: Path | None = None
) -> Outcome:
    """Runs `passes` in order on every route, from the first `per_patch` pass on every patch apart.

    Args:
        program: Its routes are rewritten in place.
        passes: In the order to run; a pass may stand in it more than once.
        verify: True executes each graph before and after each pass that rewrote it, on every declared patch; "fast"
            on one patch a route, cut small while sizes are free; False checks the structure only.
        dump: Folder for the graphs as text, one file per pass and graph, ``03_drop_identity.route0.txt``.

    Raises:
        PassError: DYD301 the order is not possible, DYD302 a pass broke a graph, DYD303 it changed the values.
        FileError: DYD705 a dump cannot be written.
    """
    check_order(passes)
    treated = [_Treatment(Subject(program, route), verify, dump) for route in program.routes]
    reports: list[PassReport] = []
    apart = False
    for step, pass_ in enumerate(passes, start=1):
        if pass_.per_patch and not apart:
            treated, apart = _apart(program, verify, dump), True
        reports += [treatment.run(pass_, step) for treatment in treated]
    if not apart:
        treated = _apart(program, False, dump)
    share_constants([treatment.subject.graph for treatment in treated])
    return Outcome(tuple(treatment.subject.variant() for treatment in treated), tuple(reports))


def _apart(program: Program, verify: Verify, dump: Path | None) -> list[_Treatment]:
    return [_Treatment(Subject(program, route, patch), verify, dump) for route, patch in program.patches]


class _Treatment:
    """One graph on its way through the passes."""

    def __init__(self, subject: Subject, verify: Verify, dump: Path | None) -> None:
        self.subject, self.dump = subject, dump
        self.execution = ExecutionProof(subject, verify)

    def run(self, pass_: Pass, step: int) -> PassReport:
        """Runs one pass, checks the result and reports."""
        subject, blame = self.subject, f"{pass_.name} on {self.subject.label}"
        structure, operators = StructureProof(subject), subject.operators()
        self.execution.remember()
        start = time.perf_counter()
        done = rewrite_to_rest(pass_, subject)
        rewritten = time.perf_counter()
        structure.check(subject, blame)
        differences = self.execution.check(blame) if done.rewrites else ()
        proven = time.perf_counter()
        self._write(f"{step:02}_{pass_.name}")
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

    def _write(self, stem: str) -> None:
        if self.dump is None:
            return
        path = self.dump / f"{stem}.{self.subject.label}.txt"
        try:
            self.dump.mkdir(parents=True, exist_ok=True)
            path.write_text(self.subject.graph.text() + "\n", encoding="utf-8")
        except OSError as error:
            raise FileError("DYD705", "a graph cannot be dumped", where=str(path), got=error) from error
