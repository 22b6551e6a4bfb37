"""Sizes and conditions as text, in the notation of Python: ``(H - 1) // 2``, ``H % 2 == 0``."""

from __future__ import annotations

import sympy
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.str import StrPrinter


class SizePrinter(StrPrinter):  # type: ignore[misc]
    """Writes whole divisions, remainders and equalities as the user would."""

    def _print_floor(self, expression: sympy.Basic) -> str:
        above, below = expression.args[0].as_numer_denom()
        if below == 1:
            return f"floor({self._print(above)})"
        return f"{self._operand(above)} // {self._operand(below)}"

    def _print_Mod(self, expression: sympy.Basic) -> str:  # noqa: N802 - sympy's naming
        return " % ".join(map(self._operand, expression.args))

    def _print_Relational(self, expression: sympy.Basic) -> str:  # noqa: N802
        return f"{self._print(expression.lhs)} {expression.rel_op} {self._print(expression.rhs)}"

    def _operand(self, expression: sympy.Basic) -> str:
        return str(self.parenthesize(expression, PRECEDENCE["Mul"], strict=False))

    def parenthesize(self, item: sympy.Basic, level: int, strict: bool = False) -> str:
        """Brackets round whole divisions and remainders inside sums and products."""
        text = self._print(item)
        if isinstance(item, sympy.floor | sympy.Mod) and not text.startswith("floor("):
            return f"({text})"
        return str(super().parenthesize(item, level, strict))


def size_text(size: object) -> str:
    """A size, a condition or a tuple of these as text."""
    if isinstance(size, tuple):
        return f"({', '.join(map(size_text, size))})"
    return str(SizePrinter().doprint(size)) if isinstance(size, sympy.Basic) else str(size)


def factored(size: object) -> object:
    """A sum of products as one product where sympy finds it quickly."""
    if not isinstance(size, sympy.Basic) or sympy.count_ops(size) > 400:
        return size
    return sympy.factor(size)
