"""The order of steps in which the least memory is alive at once.

Between two decisions all orders are searched that keep each value's writers, readers and overwriters in turn: which
values are alive depends only on the set of steps that have run, so the best way to each such set is enough (dynamic
programming over downsets). Sets grow step by step; of those of one size `WIDTH` are kept. Where there are never more,
no order is better than the one found, else it is a beam search.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import NamedTuple

from dydca.lower.calls import Branch, Calls, Finish, Step, Value, calls_of

WIDTH = 512
"""Sets of steps kept of each size."""


def order_steps(calls: Calls) -> None:
    """Reorders steps where less memory is alive at once so; they stay where no order is better."""
    calls.steps = _ordered(calls.steps, set())


def _ordered(steps: Sequence[Step], before: Set[Value]) -> list[Step]:
    """The steps of one way from one decision to the next, and those behind it; `before` is what is alive already."""
    body = [step for step in steps if not isinstance(step, Branch | Finish)]
    end = [step for step in steps if isinstance(step, Branch | Finish)]
    behind = {value for step in end for value in _all_touched(step)}
    inner = _Search(body, before, behind).best()
    known = before | {value for step in body for value in touched(step)}
    for step in end:
        if isinstance(step, Branch):
            step.arms = [_ordered(arm, known) for arm in step.arms]
    return [*inner, *end]


def touched(step: Step) -> list[Value]:
    """The values that a step reads or writes, without those of a branch's arms."""
    return [step.predicate] if isinstance(step, Branch) else [v for call in calls_of(step) for v in call.values]


def _all_touched(step: Step) -> list[Value]:
    arms = step.arms if isinstance(step, Branch) else []
    return touched(step) + [value for arm in arms for inner in arm for value in _all_touched(inner)]


class _State(NamedTuple):
    """The best way to a set of steps.

    Attributes:
        peak: The most bytes alive at once on it.
        alive: The bytes alive behind it.
        order: The steps by number.
    """

    peak: int
    alive: int
    order: tuple[int, ...]


class _Search:
    """The orders of steps without a decision; sets of steps are the bits of integers.

    Args:
        steps: In an order in which they can run.
        before: The values alive before the first.
        behind: The values read after the last.
    """

    def __init__(self, steps: Sequence[Step], before: Set[Value], behind: Set[Value]) -> None:
        self.steps, self.before, self.behind = steps, before, behind
        self.values = [list(dict.fromkeys(v for v in touched(step) if v.storage == "arena")) for step in steps]
        self.touching: dict[Value, int] = {}
        for number, values in enumerate(self.values):
            for value in values:
                self.touching[value] = self.touching.get(value, 0) | 1 << number
        self.earlier = [self._must_precede(number) for number in range(len(steps))]

    def _must_precede(self, number: int) -> int:
        """The steps before that write what this one touches, or touch what it writes; parts of a value are no order."""
        reads, writes = _reads_and_writes(self.steps[number])
        found = 0
        for other in range(number):
            read, written = _reads_and_writes(self.steps[other])
            if written & reads or writes & read:
                found |= 1 << other
        return found

    def best(self) -> Sequence[Step]:
        """The order with the least peak."""
        start = _State(0, self._alive(0, self.before), ())
        given = start
        for number in range(len(self.steps)):
            given = self._after(given, sum(1 << done for done in given.order), number)
        least = max((sum(value.bytes for value in values) for values in self.values), default=0)
        if given.peak <= max(least, start.alive):
            return self.steps
        states = {0: start}
        for _ in self.steps:
            states = self._grown(states, given.peak)
        return [self.steps[number] for state in states.values() for number in state.order] or self.steps

    def _grown(self, states: dict[int, _State], limit: int) -> dict[int, _State]:
        """The sets with a step more, reached with less than `limit` bytes."""
        grown: dict[int, _State] = {}
        for done, state in states.items():
            for number, earlier in enumerate(self.earlier):
                if done >> number & 1 or earlier & ~done:
                    continue
                new, after = done | 1 << number, self._after(state, done, number)
                if after.peak < limit and (new not in grown or after.peak < grown[new].peak):
                    grown[new] = after
        return dict(sorted(grown.items(), key=lambda entry: entry[1][:2])[:WIDTH])

    def _after(self, state: _State, done: int, number: int) -> _State:
        """The state with a step more."""
        own = self.values[number]
        begun = sum(value.bytes for value in own if not self._is_alive(value, done))
        ended = sum(value.bytes for value in own if not self._is_alive(value, done | 1 << number))
        peak = state.alive + begun
        return _State(max(state.peak, peak), peak - ended, (*state.order, number))

    def _alive(self, done: int, values: Set[Value]) -> int:
        return sum(value.bytes for value in values if value.storage == "arena" and self._is_alive(value, done))

    def _is_alive(self, value: Value, done: int) -> bool:
        """Whether a value has been written, and is still to be read, after some steps."""
        touching = self.touching.get(value, 0)
        return bool((value in self.before or touching & done) and (value in self.behind or touching & ~done))


def _reads_and_writes(step: Step) -> tuple[set[Value], set[Value]]:
    calls = calls_of(step)
    reads = {operand for call in calls for operand in call.reads if isinstance(operand, Value)}
    return reads, {value for call in calls for value in call.writes}
