"""The table of rules, and how a rule refuses its operands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, TypeVar

import sympy
from torch.fx import Node

from dydca.analysis.boxes import Box, stretched
from dydca.analysis.facts import Assumption, Fact, OperatorClass, Scalar, Size, Unknown, bounds_of
from dydca.analysis.intervals import Interval
from dydca.analysis.sizes import Condition, Span, decide, span
from dydca.errors import ShapeError
from dydca.program import where

Hints: TypeAlias = dict[sympy.Symbol, sympy.Integer]
"""One valid value for each symbol, as far as they are known."""

Rule = Callable[..., Fact]
RULES: dict[Any, Rule] = {}
"""Rules by ATen overload or Python function."""

STATED_CLASSES: dict[Any, OperatorClass] = {}
"""The classes of operators that do not follow from their facts."""

Intervals: TypeAlias = Interval | Sequence[Interval | None] | None
IntervalRule = Callable[..., Intervals]
INTERVAL_RULES: dict[Any, IntervalRule] = {}
"""The same for the intervals of values."""

Demands: TypeAlias = Sequence[Box | None]
DemandRule = Callable[..., Demands]
DEMAND_RULES: dict[Any, DemandRule] = {}
"""The same for what is read of the operands."""

_AnyRule = TypeVar("_AnyRule", bound=Rule)
_AnyIntervalRule = TypeVar("_AnyIntervalRule", bound=IntervalRule)
_AnyDemandRule = TypeVar("_AnyDemandRule", bound=DemandRule)


class Premises(NamedTuple):
    """What one sweep collects and may use.

    Attributes:
        assumed: Conditions that could not be decided.
        unknown: Numbers that only execution tells.
        ranges: What symbols lie between.
        hints: One valid value per symbol, as far as they are known.
    """

    assumed: list[Assumption]
    unknown: dict[sympy.Symbol, Unknown]
    ranges: dict[sympy.Symbol, Span]
    hints: Hints


_premises: ContextVar[Premises | None] = ContextVar("premises", default=None)


def rule(*operators: Any, kind: OperatorClass | None = None) -> Callable[[_AnyRule], _AnyRule]:
    """Registers a transfer rule ``(node, *arguments, **keywords) -> Fact``.

    The arguments are the node's own, with each tensor operand replaced by its `Fact` and each scalar operand
    (a size, a product of sizes) by its value: an int for a concrete patch, a sympy expression for all patches.

    Args:
        operators: ATen overloads or Python functions.
        kind: Their class where it does not follow from how shapes come about: ISDO for what reads nothing but the
            shape of a tensor operand.

    Raises:
        ValueError: One of the operators has a rule already.
    """
    STATED_CLASSES.update(dict.fromkeys(operators, kind) if kind else {})
    return _registering(RULES, operators)


def interval_rule(*operators: Any) -> Callable[[_AnyIntervalRule], _AnyIntervalRule]:
    """Registers what the elements of a result lie between: ``(node, result, *arguments, **keywords) -> Interval``.

    `result` is the fact that the operator's `rule` has made; the arguments are those that `rule` gets, and
    ``x.bounds`` is the interval of a tensor operand, never None. The answer may be one per result for an operator with
    several, and None where nothing can be told. It is over the real numbers, and sound before the one rounding to the
    element type of the result, which the sweep adds; what rounds more often must widen its answer itself.

    Raises:
        ValueError: One of the operators has an interval rule already.
    """
    return _registering(INTERVAL_RULES, operators)


def demand_rule(*operators: Any) -> Callable[[_AnyDemandRule], _AnyDemandRule]:
    """Registers what is read of the operands: ``(node, wanted, result, *arguments, **keywords) -> [box, ...]``.

    `wanted` is the `Box` of elements wanted of the result (one per result, or None, for an operator with several),
    `result` its fact, the arguments are those that `rule` gets. The answer has one box per tensor operand, in their
    order; None reads nothing, and operands beyond its end are read whole. Runs may reach beyond an axis. An operator
    without such a rule reads all of everything.

    Raises:
        ValueError: One of the operators has a demand rule already.
    """
    return _registering(DEMAND_RULES, operators)


def tensors(*operands: Any) -> list[Fact]:
    """The tensors among operands, those in lists included, in their order."""
    found: list[Fact] = []
    for operand in operands:
        if isinstance(operand, list | tuple):
            found += tensors(*operand)
        elif isinstance(operand, Fact) and (operand.dtype is not None or operand.items):
            found.append(operand)
    return found


def elementwise(node: Node, wanted: Box, result: Fact, *operands: Any, **named: Any) -> Demands:
    """The demand rule of operators that read the same place of every operand, stretched as broadcasting does."""
    return [stretched(wanted, operand.shape) for operand in tensors(*operands, *named.values())]


def _registering(table: dict[Any, Any], operators: Sequence[Any]) -> Callable[[Any], Any]:
    def register(function: Any) -> Any:
        for operator in operators:
            if operator in table:
                raise ValueError(f"{operator} has a rule already: {table[operator].__name__}")
            table[operator] = function
        return function

    return register


def bounds(operand: Fact | Scalar) -> Interval:
    """What an operand lies between, be it a tensor or a number."""
    if isinstance(operand, Fact):
        return operand.bounds
    if isinstance(operand, sympy.Expr) and (held := _premises.get()) is not None:
        ends = [sympy.sympify(end) for end in span(operand, held.ranges)]
        if all(end.is_number for end in ends):
            return bounds_of(float(ends[0])) | bounds_of(float(ends[1]))
    return bounds_of(operand)


def require(node: Node, holds: Condition, what: str, got: object = None, want: object = None) -> None:
    """Refuses the operands unless the condition holds; an undecided condition is noted as an assumption.

    Raises:
        ShapeError: DYD202, the condition is false.
    """
    if holds is True:
        return
    premises = _premises.get()
    if premises is not None:
        holds = decide(holds, premises.ranges)
    if holds is False:
        raise ShapeError("DYD202", what, where=where(node), got=_text(got), want=_text(want))
    if holds is not True and premises is not None:
        premises.assumed.append(Assumption(holds, node, what))


def unknown(node: Node, low: Size, high: Size, suffix: str = "") -> sympy.Symbol:
    """A whole number in ``low..high`` that only execution tells, named after the node."""
    symbol = sympy.Symbol(f"u_{node.name}{suffix}", integer=True, nonnegative=_is_nonnegative(low) or None)
    if (premises := _premises.get()) is not None:
        premises.unknown[symbol] = Unknown(node, low, high)
        premises.ranges[symbol] = (low, high)
        hint = sympy.sympify(high).xreplace(premises.hints)
        if hint.is_Integer:
            premises.hints[symbol] = hint
    return symbol


def _is_nonnegative(size: Size) -> bool:
    return bool(sympy.sympify(size).is_nonnegative)


def _text(value: object) -> object:
    return str(value) if isinstance(value, Told) else value


@contextmanager
def premises(ranges: Mapping[sympy.Symbol, Span], hints: Hints) -> Iterator[Premises]:
    """Collects what rules assume and bring up inside the block; `hints` grows with it."""
    held = Premises([], {}, dict(ranges), hints)
    token = _premises.set(held)
    try:
        yield held
    finally:
        _premises.reset(token)


def axis_of(node: Node, axis: int, rank: int) -> int:
    """The axis counted from the front.

    Raises:
        ShapeError: DYD202, there is no such axis.
    """
    span = max(rank, 1)
    require(node, -span <= axis < span, "there is no such axis", got=axis, want=f"{-span}..{span - 1}")
    return axis % span


def require_rank(node: Node, fact: Fact, *ranks: int) -> None:
    """Refuses a tensor of another rank.

    Raises:
        ShapeError: DYD202.
    """
    if len(fact.shape) not in ranks:
        want = " or ".join(map(str, ranks)) + " axes"
        require(node, False, "a tensor has another rank", got=shape_text(fact.shape), want=want)


@dataclass(frozen=True)
class Told:
    """A text that is put together only if somebody reads it; printing symbolic sizes costs more than a rule."""

    pattern: str
    values: tuple[object, ...]

    def __str__(self) -> str:
        """The text."""
        return self.pattern.format(*map(_shown, self.values))


def _shown(value: object) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list | tuple) else str(value)


def told(pattern: str, *values: object) -> Told:
    """``told("{} beside axis {}", shape, axis)``: sequences are shown as ``[1, 3, H, W]``."""
    return Told(pattern, values)


def shape_text(shape: Sequence[Size]) -> Told:
    """``[1, 3, H, W]``."""
    return Told("{}", (tuple(shape),))
