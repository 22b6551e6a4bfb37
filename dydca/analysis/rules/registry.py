"""The table of rules, and how a rule refuses its operands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from torch.fx import Node

from dydca.analysis.boxes import Box, stretched
from dydca.analysis.facts import Assumption, Fact, Scalar, Size, bounds_of
from dydca.analysis.intervals import Interval
from dydca.analysis.rules.arithmetic import Condition
from dydca.errors import ShapeError
from dydca.program import where

Rule = Callable[..., Fact]
RULES: dict[Any, Rule] = {}
"""Rules by ATen overload or Python function."""

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
_assumed: ContextVar[list[Assumption] | None] = ContextVar("assumed", default=None)


def rule(*operators: Any) -> Callable[[_AnyRule], _AnyRule]:
    """Registers a transfer rule ``(node, *arguments, **keywords) -> Fact``.

    The arguments are the node's own, with each tensor operand replaced by its `Fact` and each scalar operand
    (a size, a product of sizes) by its value: an int for a concrete patch, a sympy expression for all patches.

    Raises:
        ValueError: One of the operators has a rule already.
    """
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
    return operand.bounds if isinstance(operand, Fact) else bounds_of(operand)


def require(node: Node, holds: Condition, what: str, got: object = None, want: object = None) -> None:
    """Refuses the operands unless the condition holds; an undecided condition is noted as an assumption.

    Raises:
        ShapeError: DYD202, the condition is false.
    """
    if holds is True:
        return
    if holds is False:
        raise ShapeError("DYD202", what, where=where(node), got=_text(got), want=_text(want))
    if (assumed := _assumed.get()) is not None:
        assumed.append(Assumption(holds, node, what))


def _text(value: object) -> object:
    return str(value) if isinstance(value, Told) else value


@contextmanager
def assumptions() -> Iterator[list[Assumption]]:
    """Collects the conditions that rules assume inside the block."""
    collected: list[Assumption] = []
    token = _assumed.set(collected)
    try:
        yield collected
    finally:
        _assumed.reset(token)


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
