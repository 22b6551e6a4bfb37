"""Which calls run depth-first: those between which pictures would leave the fast caches."""

from __future__ import annotations

from collections.abc import Sequence

from dydca.lower.calls import Branch, Call, Calls, Step, Value
from dydca.lower.cost import call_cycles, chain_cycles
from dydca.lower.kernels.rows import RowKernel
from dydca.lower.schedule import Schedule, schedule
from dydca.lower.targets import Target

SCALES = 1, 2, 4
"""How many times the fewest rows a step may have: fewer calls, but longer rings."""


def form_chains(calls: Calls, target: Target) -> None:
    """Joins calls into chains where that is predicted to be faster."""
    touching: dict[Value, set[Call]] = {}
    for call in calls.calls:
        for value in call.values:
            touching.setdefault(value, set()).add(call)
    calls.steps = _Former(touching, target).formed(calls.steps)


class _Former:
    """Looks for chains in one program; `touching` are the calls that read or write a value."""

    def __init__(self, touching: dict[Value, set[Call]], target: Target) -> None:
        self.touching, self.target = touching, target

    def formed(self, steps: Sequence[Step]) -> list[Step]:
        """The steps with chains in place of calls, arms of branches likewise."""
        done: list[Step] = []
        run: list[Call] = []
        for step in steps:
            if isinstance(step, Call) and isinstance(step.kernel, RowKernel) and isinstance(step.reads[0], Value):
                run.append(step)
                continue
            done += self.cut(run)
            run = []
            if isinstance(step, Branch):
                step.arms = [self.formed(arm) for arm in step.arms]
            done.append(step)
        return done + self.cut(run)

    def cut(self, run: Sequence[Call]) -> list[Step]:
        """A run of row kernels in chains and single calls: each time the chain from here on that saves most."""
        done: list[Step] = []
        while run:
            best = self.best(run)
            done.append(run[0] if best is None else best.chain())
            run = run[1 if best is None else len(best.paces) :]
        return done

    def best(self, run: Sequence[Call]) -> Schedule | None:
        """The chain of the first calls, however many, that saves most; None if none does."""
        best, most, alone = None, 0.0, 0.0
        for number, call in enumerate(run, 1):
            alone += call_cycles(call, self.target)
            for scale in SCALES if number > 1 else ():
                found = schedule(run[:number], self.inside(run[:number]), scale)
                if found is None:
                    break
                if (saved := alone - chain_cycles(found, self.target)) > most:
                    best, most = found, saved
        return best

    def inside(self, run: Sequence[Call]) -> set[Value]:
        """The values that nothing outside the run touches."""
        members = set(run)
        written = (value for call in run for value in call.writes)
        return {value for value in written if value.storage == "arena" and self.touching[value] <= members}
