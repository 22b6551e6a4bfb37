"""The dimension symbols of a route, with what its region says of them.

sympy decides ``Max(0, H - 2)`` only if it knows that H is at least 2. Inside the analysis every size is therefore
written as a nonnegative symbol plus its least value, ``H = H' + 2``, and turned back into H afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import sympy

from dydca.analysis.facts import Assumption, Fact, Size, Unknown, plain
from dydca.program import Program, Route


class Symbols:
    """Translates between the symbols of a program and those the analysis of one route works with.

    Args:
        program: Owner of the symbols.
        route: Its regions fix some sizes and bound others.
    """

    def __init__(self, program: Program, route: Route) -> None:
        self._conditions = [[guard.condition for guard in region] for region in route.regions]
        dims = [dim for tensor in program.inputs for dim in tensor.dims]
        equal = self._equalities(dims)
        self._inner: dict[sympy.Basic, sympy.Basic] = {}
        self._outer: dict[sympy.Basic, sympy.Basic] = {}
        for dim in dims:
            if dim not in equal:
                shifted = sympy.Symbol(f"{dim.name}'", integer=True, nonnegative=True)
                self._inner[dim] = shifted + self._least(dim)
                self._outer[shifted] = dim - self._least(dim)
        for dim, value in equal.items():
            self._inner[dim] = value.xreplace(self._inner)
        self._translated: dict[sympy.Basic, object] = {}

    def _equalities(self, dims: Iterable[sympy.Symbol]) -> dict[sympy.Symbol, sympy.Basic]:
        """Sizes that every region fixes to the same number or expression of other sizes."""
        found: dict[sympy.Symbol, sympy.Basic] = {}
        for dim in dims:
            values = {self._fixed(dim, region, found) for region in self._conditions}
            if len(values) == 1 and (value := values.pop()) is not None and dim not in value.free_symbols:
                found[dim] = value
        return found

    @staticmethod
    def _fixed(
        dim: sympy.Symbol, region: Sequence[sympy.Basic], found: Mapping[sympy.Symbol, sympy.Basic]
    ) -> sympy.Basic | None:
        for condition in region:
            if isinstance(condition, sympy.Eq) and dim in condition.args:
                other = condition.rhs if condition.lhs == dim else condition.lhs
                value = other.xreplace(dict(found))
                if value.is_Integer or (
                    value.free_symbols and dim not in value.free_symbols and not value.has(sympy.Mod)
                ):
                    return value
        return None

    def _least(self, dim: sympy.Symbol) -> int:
        """The least value any region allows; sizes are at least 1."""
        return min((max(self._bounds(dim, region), default=1) for region in self._conditions), default=1)

    @staticmethod
    def _bounds(dim: sympy.Symbol, region: Sequence[sympy.Basic]) -> list[int]:
        bounds = [1]
        for condition in region:
            relation = (
                condition.reversed
                if isinstance(condition, sympy.core.relational.Relational) and condition.rhs == dim
                else condition
            )
            if getattr(relation, "lhs", None) != dim or not relation.rhs.is_Integer:
                continue
            if isinstance(relation, sympy.Ge | sympy.Eq):
                bounds.append(int(relation.rhs))
            elif isinstance(relation, sympy.Gt):
                bounds.append(int(relation.rhs) + 1)
        return bounds

    def inner(self, dim: sympy.Symbol) -> Size:
        """The size as the analysis writes it."""
        return plain(self._inner[dim])

    def inner_sizes(self, sizes: Mapping[sympy.Symbol, int]) -> dict[sympy.Symbol, int]:
        """Sizes of one patch by inner symbol."""
        numbers = {dim: sympy.Integer(size) for dim, size in sizes.items()}
        return {shifted: int(value.xreplace(numbers)) for shifted, value in self._outer.items()}

    def outer(self, value: object) -> object:
        """A value of the analysis over the program's own symbols."""
        if isinstance(value, tuple):
            return tuple(map(self.outer, value))
        if not isinstance(value, sympy.Basic):
            return value
        if value not in self._translated:
            self._translated[value] = plain(_tidy(value.xreplace(self._outer)))
        return self._translated[value]

    def outer_fact(self, fact: Fact) -> Fact:
        """A fact over the program's own symbols."""
        items = tuple(map(self.outer_fact, fact.items))
        shape: tuple[Size, ...] = self.outer(fact.shape)  # type: ignore[assignment]
        return replace(fact, shape=shape, value=self.outer(fact.value), items=items)

    def outer_unknown(self, entry: Unknown) -> Unknown:
        """Bounds of a number over the program's own symbols."""
        return replace(entry, low=self.outer(entry.low), high=self.outer(entry.high))

    def outer_assumptions(self, assumed: Iterable[Assumption]) -> list[Assumption]:
        """What is assumed beyond the regions themselves, each condition once, with the first node that needs it."""
        kept: dict[sympy.Basic, Assumption] = {}
        for entry in assumed:
            condition = self.outer(entry.condition)
            if isinstance(condition, sympy.Basic) and not self._implied(condition):
                condition = _solved(condition)
                kept.setdefault(condition, Assumption(condition, entry.node, entry.what))
        return _independent(list(kept.values()))

    def _implied(self, condition: sympy.Basic) -> bool:
        return bool(self._conditions) and all(condition in region for region in self._conditions)


def _solved(condition: sympy.Basic) -> sympy.Basic:
    """``4*C == 12`` as ``C == 3``."""
    if not isinstance(condition, sympy.Eq) or len(condition.free_symbols) != 1:
        return condition
    (symbol,) = condition.free_symbols
    difference = condition.lhs - condition.rhs
    if not difference.is_polynomial(symbol) or sympy.degree(difference, symbol) != 1:
        return condition
    return sympy.Eq(symbol, sympy.solve(difference, symbol)[0])


def _independent(assumed: Sequence[Assumption]) -> list[Assumption]:
    """Without those that follow from an assumed size or an assumed divisor."""
    known: dict[sympy.Basic, sympy.Basic] = {}
    settled = []
    for entry in assumed:
        if not isinstance(entry.condition, sympy.Eq):
            continue
        left, right = entry.condition.args
        if isinstance(left, sympy.Symbol) and right.is_Integer and left not in known:
            known[left] = right
            settled.append(entry)
        elif isinstance(left, sympy.Mod) and left.args[0].is_Symbol and right == 0 and left.args[0] not in known:
            symbol, divisor = left.args
            known[symbol] = divisor * sympy.Symbol(f"{symbol.name}/{divisor}", integer=True, positive=True)
            settled.append(entry)
    rest = (entry for entry in assumed if entry not in settled)
    return [*settled, *(entry for entry in rest if entry.condition.xreplace(known) != sympy.true)]


def _tidy(value: sympy.Basic) -> sympy.Basic:
    """Products multiplied out where that is the shorter form, as ``2*(H - 2) + 4`` is."""
    if value.is_Relational or value.is_Boolean:
        return value
    expanded = sympy.expand(value)
    return expanded if sympy.count_ops(expanded) <= sympy.count_ops(value) else value
