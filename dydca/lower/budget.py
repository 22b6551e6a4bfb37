"""Programs that keep within a given memory, at the least predicted cost of doing so."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

from dydca.errors import LoweringError
from dydca.lower.calls import Calls
from dydca.lower.chains import form_chains
from dydca.lower.in_place import write_in_place
from dydca.lower.memory import place
from dydca.lower.order import order_steps
from dydca.lower.targets import Target

PRICES = 0.0, 1 / 16, 1 / 4, 1.0, 4.0, 1e6
"""Cycles that a byte less between two calls may cost: nothing, up to the chains that hold the fewest rows."""

UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


@dataclass(frozen=True)
class Budget:
    """What a loaded network may allocate for values and scratch.

    Attributes:
        bytes: In all.
        threads: How many share the work; so many patches can be in work at once, each in an arena of its own.
    """

    bytes: int
    threads: int

    @classmethod
    def of(cls, memory: str | int, threads: int) -> Self:
        """The budget of a number of bytes, or of a text like ``8MB``, ``7.5 MiB``.

        Raises:
            LoweringError: DYD421, it is neither.
        """
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]i?b|)", str(memory).strip(), re.IGNORECASE)
        if found is None or not float(found[1]):
            fix = "a whole number of bytes, or one with KB, MB, GB, KiB, MiB or GiB"
            raise LoweringError("DYD421", "not an amount of memory", got=repr(memory), want=fix)
        return cls(int(float(found[1]) * UNITS[found[2].upper()]), threads)

    def needed(self, arena: int, scratch: int) -> int:
        """What the runtime allocates: an arena for each thread, scratch for each caller and each worker of its team."""
        return self.threads * arena + (2 * self.threads - 1) * scratch

    def room(self, scratch: int) -> int:
        """How large an arena may be beside so much scratch."""
        return (self.bytes - (2 * self.threads - 1) * scratch) // self.threads


class _Arranged(NamedTuple):
    """A program whose steps are settled, and the bytes that it needs."""

    calls: Calls
    arena: int
    scratch: int


def arrange(programs: Sequence[Calls], target: Target, budget: Budget | None) -> list[Calls]:
    """The programs with their calls in chains, in place and in order; the fastest that keep within the budget.

    Raises:
        LoweringError: DYD420, there are none.
    """
    if budget is None:
        return [_arranged(calls, target, 0.0).calls for calls in programs]
    tried = [[_arranged(copy.deepcopy(calls), target, price) for price in PRICES] for calls in programs]
    ways = [_way(tried, budget, cap) for cap in {each.scratch for variants in tried for each in variants}]
    best = min(filter(None, ways), key=lambda way: (max(_needed(way, budget), budget.bytes), _cycles(way)))
    if (needed := _needed(best, budget)) > budget.bytes:
        alone = _needed(best, replace(budget, threads=1))
        raise LoweringError(
            "DYD420",
            "the memory is not enough",
            where=max(best, key=lambda each: each.arena).calls.name,
            got=f"{budget.bytes:,} bytes for {budget.threads} thread{'s' * (budget.threads > 1)}",
            want=f"{needed:,} bytes or more",
            fix=f"smaller patches{f', or one thread, which needs {alone:,} bytes' * (budget.threads > 1)}",
        )
    for kept, variants in zip(best, tried, strict=True):
        kept.calls.given_up = kept.calls.cycles / variants[0].calls.cycles - 1
    return [kept.calls for kept in best]


def _arranged(calls: Calls, target: Target, price: float) -> _Arranged:
    form_chains(calls, target, price)
    write_in_place(calls)
    order_steps(calls)
    return _Arranged(calls, place(calls).bytes, calls.scratch)


def _way(tried: Sequence[Sequence[_Arranged]], budget: Budget, cap: int) -> list[_Arranged] | None:
    """Of each program, the first variant that fits beside scratch of `cap` bytes, else the smallest."""
    capped = [[each for each in variants if each.scratch <= cap] for variants in tried]
    if not all(capped):
        return None
    room = budget.room(cap)
    return [
        next((each for each in variants if each.arena <= room), min(variants, key=lambda each: each.arena))
        for variants in capped
    ]


def _needed(way: Sequence[_Arranged], budget: Budget) -> int:
    return budget.needed(max(each.arena for each in way), max(each.scratch for each in way))


def _cycles(way: Sequence[_Arranged]) -> float:
    return sum(each.calls.cycles for each in way)
