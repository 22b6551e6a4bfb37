"""What the compiler made of a network: the analysis, what each pass did, which kernels run, and the memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dydca.lower.calls import Call, Calls
from dydca.lower.memory import Arena
from dydca.passes import PassReport
from dydca.report.analysis import Analysis
from dydca.report.text import summary, table

SCHEMA = {"name": "dydca.compiled", "version": 3}


@dataclass(frozen=True)
class KernelReport:
    """One kernel call: its template, the nodes it computes, its multiply-adds, and why it was chosen."""

    kernel: str
    nodes: tuple[str, ...]
    macs: int
    reason: str


@dataclass(frozen=True)
class ProgramReport:
    """What one patch runs.

    Attributes:
        name: Of the function in the generated C.
        kernels: In the order of the text; of a branch, all arms.
        arena_bytes: Allocated for its values.
        bound_bytes: The most that is alive at once; no placement can do with less.
        scratch_bytes: Beside the arena, for each thread.
        given_up: How many more cycles are predicted than without a limit on memory, as a part of these.
    """

    name: str
    kernels: tuple[KernelReport, ...]
    arena_bytes: int
    bound_bytes: int
    scratch_bytes: int
    given_up: float


@dataclass(frozen=True)
class BuildReport:
    """What was made for one target.

    Attributes:
        target: Its name and its processor's.
        programs: One per patch.
        kernels: Distinct kernels in the library.
        library_bytes: Of the shared library.
        weight_bytes: Of these, the weights.
        checked: In what way its results were compared with the user's own network.
    """

    target: str
    programs: tuple[ProgramReport, ...]
    kernels: int
    library_bytes: int
    weight_bytes: int
    checked: str

    def lines(self) -> list[list[str]]:
        """Blocks of lines."""
        code = self.library_bytes - self.weight_bytes
        library = (
            f"library for {self.target}: {self.kernels} kernels, {self.library_bytes / 1024:,.0f} KiB, of these "
            f"{self.weight_bytes / 1024:,.0f} KiB weights and {code / 1024:,.0f} KiB code"
        )
        return [*map(_program, self.programs), [library, f"checked: {self.checked}"]]


@dataclass(frozen=True)
class CompiledReport:
    """The whole of it.

    Attributes:
        analysis: What was known before the passes.
        passes: One per pass and graph, in the order they ran.
        builds: One per target.
    """

    analysis: Analysis
    passes: tuple[PassReport, ...]
    builds: tuple[BuildReport, ...]

    def to_dict(self) -> dict[str, object]:
        """Plain data for JSON; `schema` names its version."""
        return {"schema": SCHEMA, **dataclasses.asdict(self), "analysis": self.analysis.to_dict()}

    def __str__(self) -> str:
        blocks = [[summary(self.analysis)], self._passes()]
        for build in self.builds:
            blocks += build.lines()
        return "\n\n".join("\n".join(block) for block in blocks)

    def _passes(self) -> list[str]:
        head = ("pass", "graph", "rewrites", "refused", "nodes", "ms")
        rows = [
            (
                report.name,
                report.subject,
                str(report.rewrites),
                str(len(report.misses)),
                f"{sum(report.ops_before.values())} -> {sum(report.ops_after.values())}",
                f"{report.milliseconds:.1f}",
            )
            for report in self.passes
            if report.rewrites or report.misses
        ]
        return table([head, *rows], right=(2, 3, 5))


def describe_programs(calls: Sequence[Calls], arenas: Mapping[str, Arena]) -> tuple[ProgramReport, ...]:
    """One report per patch."""
    return tuple(
        ProgramReport(
            *(each.name, tuple(map(_kernel, each.calls))),
            *(arenas[each.name].bytes, arenas[each.name].lower_bound, each.scratch),
            given_up=each.given_up,
        )
        for each in calls
    )


def _kernel(call: Call) -> KernelReport:
    return KernelReport(call.kernel.stem, call.nodes, call.kernel.macs, call.reason)


def _program(program: ProgramReport) -> list[str]:
    head = ("kernel", "computes", "MMAC", "because")
    rows = [
        (kernel.kernel, _nodes(kernel.nodes), f"{kernel.macs / 1e6:.1f}", kernel.reason) for kernel in program.kernels
    ]
    sizes = program.arena_bytes, program.bound_bytes, program.scratch_bytes
    arena, bound, scratch = (f"{size / 1024:,.0f} KiB" for size in sizes)
    title = f"{program.name}: {len(rows)} calls, arena {arena}, {bound} alive at once, scratch {scratch} a thread"
    if program.given_up:
        title += f"; {program.given_up:.0%} more cycles predicted, given up to keep within the memory"
    return [title, *table([head, *rows], right=(2,))]


def _nodes(names: Sequence[str]) -> str:
    return " ".join(names) if names else "(change of layout)"
