"""One call that runs passes over a network and checks operators, refusals, shapes and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from dydca.capture import capture
from dydca.capture.signature import PatchShapes
from dydca.passes import Difference, Outcome, Pass, PassReport, run_passes
from dydca.passes.running.subject import Subject
from dydca.program import Program

PATCHES = ((1, 3, 12, 10),)


@dataclass(frozen=True)
class Checked:
    """What the last of the passes did to the first graph.

    Attributes:
        report: Rewrites, misses, operators before and after, times.
        before: The graph as text.
        after: The same after the pass.
        differences: Of every output of every graph on every patch: largest and mean absolute difference, SQNR.
        outcome: The finished graphs.
    """

    report: PassReport
    before: str
    after: str
    differences: tuple[Difference, ...]
    outcome: Outcome

    @property
    def text(self) -> str:
        """The graph before and after, for a golden."""
        return f"{self.before}\n\n{self.report.name}:\n\n{self.after}"


def check_pass(
    model: nn.Module | Program,
    *passes: Pass,
    patches: PatchShapes = PATCHES,
    ops: Mapping[str, int] | None = None,
    rewrites: int | None = None,
    misses: Sequence[str] = (),
) -> Checked:
    """Runs `passes` with proof by execution on every route and patch, and checks what the last one left.

    Shapes and types of all outputs are checked after every pass, and their values against the graph before it.

    Args:
        model: A network, captured on `patches`, or a program as it is.
        passes: The last is the one under test; those before it prepare.
        patches: As for `dydca.compile`.
        ops: Wanted number of operators by name in the first graph; those not named are not checked.
        rewrites: Wanted number of rewrites in the first graph; not checked if None.
        misses: Wanted reasons of refusals in the first graph.

    Raises:
        AssertionError: Operators, rewrites or refusals are not those wanted.
        PassError: DYD301 to DYD303, a pass broke its contract.
    """
    program = model if isinstance(model, Program) else capture(model, patches)
    texts = {0: Subject(program, program.routes[0]).text()}
    done: list[tuple[int, PassReport]] = []

    def note(step: int, report: PassReport, subject: Subject) -> None:
        done.append((step, report))
        texts.setdefault(step, subject.text())

    outcome = run_passes(program, passes, verify=True, observers=[note])
    last = [report for step, report in done if step == len(passes)]
    report, differences = last[0], tuple(difference for report in last for difference in report.differences)
    if ops is not None:
        _compare("operators", {name: report.ops_after.get(name, 0) for name in ops}, dict(ops))
    if rewrites is not None:
        _compare("rewrites", report.rewrites, rewrites)
    _compare("refusals", [miss["reason"] for miss in report.misses], list(misses))
    return Checked(report, texts[len(passes) - 1], texts[len(passes)], differences, outcome)


def _compare(what: str, got: object, want: object) -> None:
    if got != want:
        raise AssertionError(f"{what}: got {got}, want {want}")
