"""What is done to a value between its computation and its store: bias, activation, scale, residual, clamp.

A step works on a vector of channels (blocked layouts) or of pixels (plain ones) alike; its operand is either one
value per channel, or a tensor of the same shape as the value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from dydca.lower.tvm_api import T

Load = Callable[[int], Any]
"""Gives the vector of the step operand with this number, at the place of the value."""


class Step(NamedTuple):
    """One elementwise operation.

    Attributes:
        op: A key of `OPERATIONS`.
        scalars: Its numbers, e.g. the slope of leaky_relu.
        operand: The number of the tensor it reads besides the value, None if it reads none.
    """

    op: str
    scalars: tuple[float, ...] = ()
    operand: int | None = None


class Operand(NamedTuple):
    """A tensor read by a step: one value per channel (`halo` is None) or one per element, in a layout of this halo."""

    halo: int | None


def splat(value: float, lanes: int) -> Any:
    """A vector of equal lanes, or the scalar itself for one lane."""
    return T.float32(value) if lanes == 1 else T.Broadcast(T.float32(value), lanes)


def _relu(v: Any, _s: Sequence[float], _o: Any, lanes: int) -> Any:
    return T.max(v, splat(0.0, lanes))


def _slope(v: Any, slope: Any, lanes: int) -> Any:
    """``max(v, 0) + slope * min(v, 0)``: one multiply, no comparison mask."""
    zero = splat(0.0, lanes)
    return T.max(v, zero) + T.min(v, zero) * slope


OPERATIONS: dict[str, Callable[[Any, Sequence[float], Any, int], Any]] = {
    "relu": _relu,
    "leaky_relu": lambda v, s, _o, lanes: _slope(v, splat(s[0], lanes), lanes),
    "prelu": lambda v, _s, o, lanes: _slope(v, o, lanes),
    "clamp_min": lambda v, s, _o, lanes: T.max(v, splat(s[0], lanes)),
    "clamp_max": lambda v, s, _o, lanes: T.min(v, splat(s[0], lanes)),
    "scale": lambda v, s, _o, lanes: v * splat(s[0], lanes),
    "shift": lambda v, s, _o, lanes: v + splat(s[0], lanes),
    "add": lambda v, _s, o, _lanes: v + o,
    "subtract": lambda v, _s, o, _lanes: v - o,
    "multiply": lambda v, _s, o, _lanes: v * o,
}


def apply(steps: Sequence[Step], value: Any, load: Load, lanes: int) -> Any:
    """The value after all steps, as SSA expressions."""
    for step in steps:
        operand = None if step.operand is None else load(step.operand)
        value = T.bind(OPERATIONS[step.op](value, step.scalars, operand, lanes))
    return value
