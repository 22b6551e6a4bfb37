"""Where each value of a patch's program lies in the arena."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from dydca.lower.calls import Branch, Calls, Step, Value, calls_of


@dataclass(frozen=True)
class Arena:
    """A placement.

    Attributes:
        offsets: Byte offset of every arena value, a multiple of 64.
        bytes: The arena's size.
        lower_bound: The most bytes alive at once; no placement can be smaller.
    """

    offsets: dict[Value, int]
    bytes: int
    lower_bound: int


def place(calls: Calls) -> Arena:
    """Gives values that are never alive together the same bytes.

    Largest first, each at the lowest offset that is free for its whole life: the greedy-by-size placement, which
    is within a few percent of the lower bound on graphs of this kind; the report shows both figures.
    """
    lives = _lives(calls)
    offsets: dict[Value, int] = {}
    for value in sorted(lives, key=lambda value: (-value.bytes, lives[value])):
        first, last = lives[value]
        taken = sorted(
            (offsets[other], offsets[other] + other.bytes)
            for other in offsets
            if lives[other][0] <= last and first <= lives[other][1]
        )
        offset = 0
        for start, end in taken:
            if offset + value.bytes <= start:
                break
            offset = max(offset, end)
        offsets[value] = offset
    size = max((offset + value.bytes for value, offset in offsets.items()), default=0)
    return Arena(offsets, size, _most_alive(calls, lives))


def _lives(calls: Calls) -> dict[Value, tuple[int, int]]:
    """First and last step that touch each arena value; arms follow one another, so theirs never live together."""
    lives: dict[Value, tuple[int, int]] = {}
    for number, step in enumerate(calls.flat):
        for value in _touched(step):
            if value.storage == "arena":
                lives[value] = (lives.get(value, (number, number))[0], number)
    return lives


def _touched(step: Step) -> list[Value]:
    return [step.predicate] if isinstance(step, Branch) else [v for call in calls_of(step) for v in call.values]


def _most_alive(calls: Calls, lives: dict[Value, tuple[int, int]]) -> int:
    alive = [0] * (len(calls.flat) + 1)
    for value, (first, last) in lives.items():
        alive[first] += value.bytes
        alive[last + 1] -= value.bytes
    return max(accumulate(alive))
