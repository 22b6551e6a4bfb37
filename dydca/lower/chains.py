"""Which calls run depth-first: those between which pictures would leave the fast caches."""

from __future__ import annotations

from collections.abc import Sequence

from dydca.lower.calls import Branch, Call, Calls, Step, Value, calls_of
from dydca.lower.cost import call_cycles, chain_cycles, ring_bytes
from dydca.lower.kernels.rows import RowKernel
from dydca.lower.schedule import Schedule, schedule
from dydca.lower.targets import Target

SCALES = 1, 2, 4
"""How many times the fewest rows a step may have: fewer calls, but longer rings."""


def form_chains(calls: Calls, target: Target, price: float = 0.0) -> None:
    """Joins calls into chains where that is predicted to be faster.

    Args:
        calls: Changed in place; `cycles` becomes what is predicted.
        target: The processor.
        price: Cycles that are given for a byte less between two calls.
    """
    touching: dict[Value, set[Call]] = {}
    for call in calls.calls:
        for value in call.values:
            touching.setdefault(value, set()).add(call)
    former = _Former(touching, target, price)
    calls.steps = former.formed(calls.steps)
    calls.cycles = former.cycles


class _Former:
    """Looks for chains in one program; `touching` are the calls that read or write a value.

    Attributes:
        cycles: What is predicted of all calls so far, those in chains and those alone.
    """

    def __init__(self, touching: dict[Value, set[Call]], target: Target, price: float) -> None:
        self.touching, self.target, self.price, self.cycles = touching, target, price, 0.0

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
            self.cycles += sum(call_cycles(call, self.target) for call in calls_of(step))
            if isinstance(step, Branch):
                step.arms = [self.formed(arm) for arm in step.arms]
            done.append(step)
        return done + self.cut(run)

    def cut(self, run: Sequence[Call]) -> list[Step]:
        """A run of row kernels in chains and single calls: each time the chain from here on that saves most."""
        done: list[Step] = []
        while run:
            best = self.best(run)
            self.cycles += call_cycles(run[0], self.target) if best is None else chain_cycles(best, self.target)
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
                spared = sum(value.bytes - ring_bytes(value, rows) for value, rows in found.rings.items())
                if (saved := alone - chain_cycles(found, self.target) + self.price * spared) > most:
                    best, most = found, saved
        return best

    def inside(self, run: Sequence[Call]) -> set[Value]:
        """The values that nothing outside the run touches."""
        members = set(run)
        written = (value for call in run for value in call.writes)
        return {value for value in written if value.storage == "arena" and self.touching[value] <= members}
