"""Patches that are not accepted: what they break, the nearest that are, and ranges that hold some."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import sympy

from dydca.analysis.acceptance import Acceptance, Constraint, acceptance, accepted_by, arrays
from dydca.analysis.notation import size_text
from dydca.analysis.sizes import Flags, Sizes, truth
from dydca.errors import ShapeError
from dydca.program import Program, where
from dydca.shapes import Patch, PatchRange, patch_label

MOST_PATCHES = 1 << 20
"""Patches that are looked at together."""


def broken(program: Program, patch: Patch) -> Constraint | None:
    """The constraint that a patch breaks on the route it takes, or on any if it takes no known one; None for none."""
    sizes = program.sizes(patch)
    routes = [acceptance(program, route) for route in program.routes]
    taken = [each for each in routes if each.takes(arrays(sizes))]
    return next((found for each in taken or routes if (found := each.broken(sizes))), None)


def nearest_accepted(program: Program, patch: Patch, count: int = 2) -> tuple[Patch, ...]:
    """The patches nearest to `patch` that the known routes accept, nearest first, of equal ones the larger.

    Only sizes that a condition of a route or of an operator speaks of are changed, and those that must equal them.
    """
    routes = [acceptance(program, route) for route in program.routes]
    sizes = program.sizes(patch)
    axes = _tried_axes(routes, sizes)
    grid = dict(zip(axes, np.meshgrid(*axes.values(), indexing="ij", sparse=True), strict=True))
    everywhere = arrays(sizes) | grid
    accepted = np.broadcast_to(accepted_by(routes, everywhere), [len(values) for values in axes.values()])
    distance = sum((np.abs(values - sizes[symbol]) - 1e-6 * values for symbol, values in grid.items()), np.array(0.0))
    order = np.argsort(np.where(accepted, distance, np.inf), axis=None, kind="stable")[:count]
    chosen = [np.unravel_index(place, accepted.shape) for place in order if accepted.flat[place]]
    found = [sizes | {s: int(axes[s][at]) for s, at in zip(axes, place, strict=True)} for place in chosen]
    return tuple(tuple(tuple(each[dim] for dim in tensor.dims) for tensor in program.inputs) for each in found)


def _tried_axes(routes: Sequence[Acceptance], sizes: Mapping[sympy.Symbol, int]) -> dict[sympy.Symbol, Sizes]:
    """The sizes to try, for those symbols that may have to change."""
    regions = [guard.condition for each in routes for region in each.route.regions for guard in region]
    needs = [each.condition for route in routes for each in route.constraints]
    moving = _in_failing(needs, sizes) or _in_failing(regions, sizes)
    for condition in (*needs, *regions):  # what is tied to a size moves with it
        if (
            isinstance(condition, sympy.Eq)
            and all(side.is_Symbol for side in condition.args)
            and condition.free_symbols & moving
        ):
            moving |= condition.free_symbols
    reach = int(MOST_PATCHES ** (1 / max(len(moving), 1))) // 2
    return {s: np.arange(max(1, sizes[s] - reach), sizes[s] + reach) for s in sorted(moving & sizes.keys(), key=str)}


def _in_failing(conditions: Sequence[sympy.Basic], sizes: Mapping[sympy.Symbol, int]) -> set[sympy.Basic]:
    failing = [condition for condition in conditions if not truth(condition, arrays(sizes)).all()]
    return {symbol for condition in failing for symbol in condition.free_symbols}


def require_accepted(program: Program) -> None:
    """Refuses a declared range of patches of which some are not accepted.

    Raises:
        ShapeError: DYD204, with a patch that is refused, what it breaks, and where.
    """
    routes = [acceptance(program, route) for route in program.routes if program.ranges]
    for declared in program.ranges:
        for sizes in _grids(declared, program):
            accepted = accepted_by(routes, sizes)
            if not accepted.all():
                patch = _first(sizes, ~accepted, program)
                raise refusal(program, patch, f"the range {declared} holds patches that are not accepted")


def _grids(declared: PatchRange, program: Program) -> Iterator[dict[sympy.Symbol, Sizes]]:
    """All sizes of a range, one value of the first dimension at a time where they are many."""
    pairs = [
        pair
        for shape, tensor in zip(declared.shapes, program.inputs, strict=True)
        for pair in zip(shape, tensor.dims, strict=True)
    ]
    values = {dim.name: np.array(dim.sizes) for dim in declared.dims}
    first = next(iter(values))
    parts = (
        [values]
        if np.prod([float(len(each)) for each in values.values()]) < MOST_PATCHES
        else [values | {first: each[None]} for each in values[first]]
    )
    for part in parts:
        grid = dict(zip(part, np.meshgrid(*part.values(), indexing="ij", sparse=True), strict=True))
        yield {symbol: np.array(size) if isinstance(size, int) else grid[size.name] for size, symbol in pairs}


def _first(sizes: Mapping[sympy.Symbol, Sizes], wanted: Flags, program: Program) -> Patch:
    """The first patch of a grid for which a flag is set."""
    everywhere = dict(zip(sizes, np.broadcast_arrays(*sizes.values()), strict=True))
    at = np.unravel_index(int(np.argmax(np.broadcast_to(wanted, next(iter(everywhere.values())).shape))), wanted.shape)
    return tuple(tuple(int(everywhere[dim][at]) for dim in tensor.dims) for tensor in program.inputs)


def refusal(program: Program, patch: Patch, what: str = "the network does not accept the patch") -> ShapeError:
    """The error for a patch that is not accepted: the condition it breaks, where it stands, and what to declare."""
    constraint = broken(program, patch)
    near = " or ".join(map(patch_label, nearest_accepted(program, patch)))
    fix = f"Declare {near}, the nearest that are accepted." if near else None
    if constraint is None:
        return ShapeError("DYD204", what, got=patch_label(patch), fix=fix)
    return ShapeError(
        "DYD204",
        what,
        where=where(constraint.node),
        got=patch_label(patch),
        want=size_text(constraint.condition),
        fix=fix,
    )
