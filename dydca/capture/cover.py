"""Whether the regions found so far cover a declared range of patches, decided exactly.

A box of sizes is cut until every part is decided. Conditions that interval arithmetic proves for all of a part drop
out; a size that the others meet in no condition is reduced to one representative for each pattern of truth its
conditions take over the range; what is left is evaluated at every point, or cut in halves where that would be too many
points. Sizes come from finite ranges, so this ends, and every point is either evaluated, represented by one on which
all conditions are equally true, or lies in a part for which they are proven. Congruences (``H % 2 == 0``) need no rule:
they are conditions on one size and fall into few patterns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import sympy
from torch.utils._sympy.value_ranges import ValueRanges, bound_sympy

from dydca.analysis.sizes import truth
from dydca.errors import CaptureError
from dydca.inputs import Input
from dydca.shapes import Dim, Patch, PatchRange

Region = Sequence[sympy.Basic]
Box = Mapping[sympy.Symbol, range]

POINTS = 2**22
"""Evaluated at once; more are cut into parts."""

PARTS = 2**10
"""Looked at before the question is given up."""


def uncovered_patch(declared: PatchRange, inputs: Sequence[Input], regions: Sequence[Region]) -> Patch | None:
    """A patch of the range that lies in no region; None if there is none.

    Args:
        declared: The range.
        inputs: Owners of the symbols.
        regions: Each a conjunction of conditions on the symbols.

    Raises:
        CaptureError: DYD108, the question is too large to be decided.
    """
    symbols: dict[str, sympy.Symbol] = {}
    bound: dict[sympy.Basic, sympy.Basic] = {}
    for shape, tensor in zip(declared.shapes, inputs, strict=True):
        for size, dim in zip(shape, tensor.dims, strict=True):
            bound[dim] = symbols.setdefault(size.name, dim) if isinstance(size, Dim) else sympy.Integer(size)
    box = {symbols[dim.name]: dim.sizes for dim in declared.dims}
    open_parts, parts = list[Box]([box]), 0
    while open_parts:
        if (parts := parts + 1) > PARTS:
            raise CaptureError("DYD108", "the routes over a range of sizes cannot be told apart", got=declared)
        found = _search(open_parts.pop(), [[condition.xreplace(bound) for condition in region] for region in regions])
        if isinstance(found, dict):
            return declared.patch({name: found[symbol] for name, symbol in symbols.items()})
        open_parts += found
    return None


def _search(box: Box, regions: Sequence[Region]) -> dict[sympy.Symbol, int] | Sequence[Box]:
    """A point of the box in no region, or the parts of the box that are still to be searched."""
    bounds = {symbol: ValueRanges(sizes[0], sizes[-1]) for symbol, sizes in box.items()}
    undecided: list[list[sympy.Basic]] = []
    for region in regions:
        truths = [bound_sympy(condition, bounds) for condition in region]
        if any(truth.upper == sympy.false for truth in truths):
            continue
        undecided.append([c for c, truth in zip(region, truths, strict=True) if truth.lower != sympy.true])
        if not undecided[-1]:
            return []
    conditions = [condition for region in undecided for condition in region]
    joined = {s for condition in conditions if len(condition.free_symbols) > 1 for s in condition.free_symbols}
    kept = {s: np.array(sizes) if s in joined else _representatives(s, sizes, conditions) for s, sizes in box.items()}
    if math.prod(map(len, kept.values())) > POINTS:
        return _halves(box, max(joined, key=lambda symbol: len(box[symbol])))
    return _point(kept, undecided) or []


def _representatives(symbol: sympy.Symbol, sizes: range, conditions: Sequence[sympy.Basic]) -> np.ndarray:
    """The first size of every pattern of truth that the conditions on this size alone take."""
    values = np.array(sizes)
    own = [condition for condition in conditions if condition.free_symbols == {symbol}]
    patterns = np.stack([truth(condition, {symbol: values}) for condition in own] or [np.ones(len(values), bool)])
    _, first = np.unique(patterns, axis=1, return_index=True)
    chosen: np.ndarray = values[np.sort(first)]
    return chosen


def _point(sizes: Mapping[sympy.Symbol, np.ndarray], regions: Sequence[Region]) -> dict[sympy.Symbol, int] | None:
    """A point of the grid of sizes at which every region has a false condition."""
    grid = dict(zip(sizes, np.meshgrid(*sizes.values(), indexing="ij", sparse=True), strict=True))
    outside = np.ones([len(values) for values in sizes.values()], bool)
    for region in regions:
        inside = np.ones((1,) * outside.ndim, bool)
        for condition in region:
            inside = inside & truth(condition, grid)
        outside &= ~inside
    if not outside.any():
        return None
    at = np.unravel_index(int(outside.argmax()), outside.shape)
    return {symbol: int(values[index]) for (symbol, values), index in zip(sizes.items(), at, strict=True)}


def _halves(box: Box, symbol: sympy.Symbol) -> tuple[Box, Box]:
    sizes, middle = box[symbol], len(box[symbol]) // 2
    return {**box, symbol: sizes[:middle]}, {**box, symbol: sizes[middle:]}
