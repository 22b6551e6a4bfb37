"""Where each value of a patch's program lies in the arena."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, combinations

from dydca.lower.calls import Branch, Calls, Step, Value
from dydca.lower.order import touched

TRIES = 64
"""Placements tried beyond the first ones while none is as small as it can be."""

Lives = Mapping[Value, tuple[int, int]]
"""The first and the last step that touch each arena value, on one way through."""


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

    One after the other, each at the lowest offset that is free for its whole life: largest first, or first those that
    are alive when most are. While the best is above the lower bound, what lies topmost is placed first instead.
    """
    ways = [_lives(way) for way in _ways(calls.steps)]
    values = list(dict.fromkeys(value for way in ways for value in way))
    rivals = _rivals(values, ways)
    bound, crowd = max(map(_most_alive, ways), default=(0, set[Value]()), key=lambda found: found[0])
    tried = [
        _placed(order := sorted(values, key=key), rivals)
        for key in (lambda value: -value.bytes, lambda value: (value not in crowd, -value.bytes))
    ]
    while min(map(_size, tried)) > bound and len(tried) < TRIES:
        order = _topmost_first(order, tried[-1])
        tried.append(_placed(order, rivals))
    best = min(tried, key=_size)
    return Arena({value: best[value] for value in values}, _size(best), bound)


def _ways(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """The steps of every way through; arms of a branch never run together, so what is in them may overlap."""
    *body, end = steps
    if not isinstance(end, Branch):
        yield list(steps)
        return
    for arm in end.arms:
        for way in _ways(arm):
            yield [*body, end, *way]


def _lives(way: Sequence[Step]) -> Lives:
    lives: dict[Value, tuple[int, int]] = {}
    for number, step in enumerate(way):
        for value in touched(step):
            if value.storage == "arena":
                lives[value] = (lives.get(value, (number, number))[0], number)
    return lives


def _rivals(values: Sequence[Value], ways: Sequence[Lives]) -> dict[Value, set[Value]]:
    """By value, those that are alive together with it on some way."""
    rivals: dict[Value, set[Value]] = {value: set() for value in values}
    for lives in ways:
        for (one, (first, last)), (other, (begin, end)) in combinations(lives.items(), 2):
            if begin <= last and first <= end:
                rivals[one].add(other)
                rivals[other].add(one)
    return rivals


def _most_alive(lives: Lives) -> tuple[int, set[Value]]:
    """The most bytes alive at once, and the values that are alive then."""
    steps = max((last for _, last in lives.values()), default=0) + 1
    alive = [0] * (steps + 1)
    for value, (first, last) in lives.items():
        alive[first] += value.bytes
        alive[last + 1] -= value.bytes
    sums = list(accumulate(alive))
    fullest = sums.index(max(sums))
    return sums[fullest], {value for value, (first, last) in lives.items() if first <= fullest <= last}


def _placed(order: Sequence[Value], rivals: Mapping[Value, set[Value]]) -> dict[Value, int]:
    """The offsets, each the lowest that is free."""
    offsets: dict[Value, int] = {}
    for value in order:
        offset = 0
        for start, end in sorted(
            (offsets[rival], offsets[rival] + rival.bytes) for rival in rivals[value] & offsets.keys()
        ):
            if offset + value.bytes <= start:
                break
            offset = max(offset, end)
        offsets[value] = offset
    return offsets


def _topmost_first(order: Sequence[Value], offsets: Mapping[Value, int]) -> list[Value]:
    """The order with the values that end highest before all others."""
    top = _size(offsets)
    return sorted(order, key=lambda value: offsets[value] + value.bytes < top)


def _size(offsets: Mapping[Value, int]) -> int:
    return max((offset + value.bytes for value, offset in offsets.items()), default=0)
