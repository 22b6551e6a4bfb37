"""Moves between the lanes of vectors: transposing, interleaving, and combining across."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dydca.lower.tvm_api import T


def transposed(vectors: Sequence[Any], grain: int = 1) -> list[Any]:
    """As many vectors as they have runs of `grain` lanes; run j of vector i becomes run i of vector j.

    A matrix is transposed by exchanging the off-diagonal quarters of all submatrices of 2, 4, 8, ... rows.
    """
    rows, lanes = list(vectors), len(vectors) * grain
    step = 1
    while step < len(rows):
        low = [lane if not lane // grain & step else lanes + lane - step * grain for lane in range(lanes)]
        high = [lane + step * grain if not lane // grain & step else lanes + lane for lane in range(lanes)]
        for first in (row for row in range(len(rows)) if not row & step):
            pair = [rows[first], rows[first + step]]
            rows[first], rows[first + step] = (T.bind(T.Shuffle(pair, order)) for order in (low, high))
        step *= 2
    return rows


def interleaved(vectors: Sequence[Any], lanes: int) -> list[Any]:
    """The lanes 0 of all vectors, then their lanes 1, and so on, in as many vectors."""
    order = [lane % len(vectors) * lanes + lane // len(vectors) for lane in range(len(vectors) * lanes)]
    return [T.bind(T.Shuffle(list(vectors), order[start : start + lanes])) for start in range(0, len(order), lanes)]


def spread(vectors: Sequence[Any], start: int, lanes: int) -> Any:
    """Every n-th of the lanes of n vectors one after the other, from `start` on."""
    return T.bind(T.Shuffle(list(vectors), [start + len(vectors) * lane for lane in range(lanes)]))


def across(vectors: Sequence[Any], combine: Callable[[Any, Any], Any]) -> Any:
    """For as many vectors as they have lanes: one vector, whose lane i combines all lanes of vector i."""
    lanes, rows = len(vectors), list(vectors)
    even, odd = (list(range(start, 2 * lanes, 2)) for start in (0, 1))
    while len(rows) > 1:
        pairs = zip(rows[::2], rows[1::2], strict=True)
        rows = [T.bind(combine(*(T.bind(T.Shuffle([a, b], order)) for order in (even, odd)))) for a, b in pairs]
    return rows[0]
