"""Which patches a network accepts: what its operators need of the sizes of the inputs, and where that stands.

What an operator needs is stated on the input symbols by the forward sweep. Here it is collected per route without the
region of the route, so that it shows what the operators need and not what was assumed when the route was captured;
put in simple words; and decided, exactly, on patches and on ranges of patches. A patch is accepted if a route has it in
its region and all routes that values choose from there accept it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import sympy
from torch.fx import Node

from dydca.analysis.sizes import Flags, Sizes, truth
from dydca.analysis.solver import analyze_route
from dydca.errors import ShapeError
from dydca.program import Guard, Program, Route, source_line

LARGEST_SIZE = 4096
"""Conditions on one size are put in simple words by what they say of sizes up to this one."""


@dataclass(frozen=True)
class Constraint:
    """A condition on the sizes of the inputs.

    Attributes:
        condition: In its simplest form, e.g. ``Eq(Mod(H, 2), 0)``, ``H >= 5``, ``Eq(W, H)``.
        node: The operator that needs it.
        what: What the operator would say.
    """

    condition: sympy.Basic
    node: Node
    what: str

    @property
    def line(self) -> str | None:
        """``file.py:41``, None if it is not known."""
        return source_line(self.node)


@dataclass(frozen=True)
class Acceptance:
    """What one route accepts.

    Attributes:
        route: The route.
        constraints: What its operators need, each condition once, none that follows from the others.
    """

    route: Route
    constraints: tuple[Constraint, ...]

    @property
    def telling(self) -> tuple[Constraint, ...]:
        """What to show: the constraints without those on several sizes that hold wherever they were tried."""
        return tuple(each for each in self.constraints if _refuses_some(each.condition))

    def broken(self, sizes: Mapping[sympy.Symbol, int]) -> Constraint | None:
        """The first constraint that the sizes break."""
        return next((each for each in self.constraints if not truth(each.condition, arrays(sizes)).all()), None)

    def takes(self, sizes: Mapping[sympy.Symbol, Sizes]) -> Flags:
        """Whether sizes lie in a region of the route, for arrays that broadcast."""
        regions = [_all([guard.condition for guard in region], sizes) for region in self.route.regions]
        inside: Flags = np.logical_or.reduce(np.broadcast_arrays(*regions))
        return inside

    def meets(self, sizes: Mapping[sympy.Symbol, Sizes]) -> Flags:
        """Whether sizes meet the constraints, for arrays that broadcast."""
        return _all([each.condition for each in self.constraints], sizes)


def arrays(sizes: Mapping[sympy.Symbol, int]) -> dict[sympy.Symbol, Sizes]:
    """One patch in the form of many."""
    return {symbol: np.array(size) for symbol, size in sizes.items()}


def _all(conditions: Sequence[sympy.Basic], sizes: Mapping[sympy.Symbol, Sizes]) -> Flags:
    holds: Flags = np.array(True)
    for condition in conditions:
        holds = holds & truth(condition, sizes)
    return holds


def acceptance(program: Program, route: Route) -> Acceptance:
    """What the operators of a route need.

    Once of all patches, which shows what one size must be, and once of those with the least sizes and the numbers that
    the capture took for granted, without which a condition on several sizes is as good as none: it sets sizes of 1
    apart, which broadcast.
    """
    of_all = [need for need in _needs(program, route, bounded=False) if len(need.condition.free_symbols) == 1]
    needs = [*of_all, *_needs(program, route, bounded=True)]
    return Acceptance(route, _strongest([replace(each, condition=_simplified(each.condition)) for each in needs]))


def _needs(program: Program, route: Route, *, bounded: bool) -> list[Constraint]:
    """What rules assume of the sizes of inputs, over bounded sizes or over all."""
    several = tuple(Guard(dim >= 2) for dim, size in program.sizes(route.example).items() if size > 1)
    bounds = [(*several, *(guard for guard in region if _is_bound(guard.condition))) for region in route.regions]
    try:
        assumed = analyze_route(program, replace(route, regions=tuple(bounds) if bounded else ())).assumptions
    except ShapeError:  # what the capture took for granted is needed to see that an operator fits
        return _needs(program, route, bounded=True) if not bounded else []
    dims = {dim for tensor in program.inputs for dim in tensor.dims}
    return [Constraint(need.condition, need.node, need.what) for need in assumed if need.condition.free_symbols <= dims]


def _is_bound(condition: sympy.Basic) -> bool:
    return bool(condition.is_Relational and condition.lhs.is_Symbol and condition.rhs.is_Integer)


def _refuses_some(condition: sympy.Basic) -> bool:
    """Whether a condition fails for some of the smaller sizes; 1, by which operands broadcast, is set apart."""
    symbols = sorted(condition.free_symbols, key=str)
    tried = np.arange(2, 2 + int(LARGEST_SIZE ** (1 / max(len(symbols), 1))))
    grid = np.meshgrid(*[tried] * len(symbols), indexing="ij", sparse=True)
    return not truth(condition, dict(zip(symbols, grid, strict=True))).all()


_TRIED = np.arange(1, LARGEST_SIZE + 1)


def _simplified(condition: sympy.Basic) -> sympy.Basic:
    """A condition on one size as a least or largest size, a number, or a remainder, if it is one of these."""
    condition = _reduced(condition)
    if len(condition.free_symbols) != 1:
        return condition
    (symbol,) = condition.free_symbols
    holds = truth(condition, {symbol: _TRIED})
    found = _TRIED[holds]
    if not len(found):
        return sympy.false
    first, last = int(found[0]), int(found[-1])
    step = int(found[1]) - first if len(found) > 1 else 1
    candidates = [
        sympy.Eq(symbol, first),
        sympy.Ge(symbol, first),
        sympy.Le(symbol, last),
        sympy.Eq(sympy.Mod(symbol, step), first % step),
    ]
    return next((each for each in candidates if np.array_equal(_tried(each, symbol), holds)), condition)


def _reduced(condition: sympy.Basic) -> sympy.Basic:
    """An equation without the factors that both sides have in common."""
    if not isinstance(condition, sympy.Eq) or len(condition.free_symbols) < 2:
        return condition
    factors = sympy.Mul.make_args(sympy.factor(condition.lhs - condition.rhs))
    left, right = sympy.Mul(*(factor for factor in factors if not factor.is_positive)), sympy.S.Zero
    symbols = sorted(left.free_symbols, key=str)
    if len(symbols) == 2 and left in (symbols[0] - symbols[1], symbols[1] - symbols[0]):
        left, right = symbols
    return sympy.Eq(left, right)


def _tried(condition: sympy.Basic, symbol: sympy.Symbol) -> Flags:
    return np.broadcast_to(truth(condition, {symbol: _TRIED}), _TRIED.shape)


def _strongest(constraints: Sequence[Constraint]) -> tuple[Constraint, ...]:
    """Each condition once, without those that always hold or follow from others on the same size."""
    kept = {each.condition: each for each in reversed(constraints) if each.condition != sympy.true}
    single = {condition: next(iter(condition.free_symbols)) for condition in kept if len(condition.free_symbols) == 1}
    tables = {condition: _tried(condition, symbol) for condition, symbol in single.items()}
    for condition, symbol in single.items():
        others = [table for other, table in tables.items() if other is not condition and single[other] == symbol]
        if np.logical_and.reduce([*others, ~tables[condition]]).any():
            continue
        del kept[condition], tables[condition]
    return tuple(reversed(kept.values()))


def accepted_by(routes: Sequence[Acceptance], sizes: Mapping[sympy.Symbol, Sizes]) -> Flags:
    """Whether some route has the sizes in its region and all that have accept them; for arrays that broadcast."""
    inside = [each.takes(sizes) for each in routes]
    meets = [~within | each.meets(sizes) for within, each in zip(inside, routes, strict=True)]
    some, none_refuses = np.broadcast_arrays(*inside), np.broadcast_arrays(*meets)
    accepted: Flags = np.logical_or.reduce(some) & np.logical_and.reduce(none_refuses)
    return accepted
