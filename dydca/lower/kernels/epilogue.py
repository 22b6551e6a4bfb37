"""What is done to a value between its computation and its store: bias, activation, scale, residual, clamp.

The steps are a small program: each reads the value before it, or earlier ones, and at most one operand, a tensor or a
constant in which an axis of size 1 serves all places along it. A step works on a vector of channels (blocked layouts)
or of pixels (plain ones) alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from dydca.lower.kernels import activations
from dydca.lower.kernels.activations import splat
from dydca.lower.layout import Layout, PictureShape
from dydca.lower.tvm_api import T

Load = Callable[[int], Any]
"""Gives the vector of the step operand with this number, at the place of the value."""


class Step(NamedTuple):
    """One elementwise operation.

    Attributes:
        op: A key of `OPERATIONS`.
        scalars: Its numbers, e.g. the slope of leaky_relu.
        operand: The number of the tensor it reads besides the value, None if it reads none.
        values: The earlier values it reads, 0 the one the steps began with, k that of the k-th step; if empty, the
            value of the step before.
    """

    op: str
    scalars: tuple[float, ...] = ()
    operand: int | None = None
    values: tuple[int, ...] = ()


class Operand(NamedTuple):
    """What a step reads besides the value.

    Attributes:
        layout: How it lies: as the value does, but plain if it has one channel.
        shape: [N, C, H, W], each axis as long as the value's or 1.
    """

    layout: Layout
    shape: PictureShape


def _slope(v: Any, slope: Any, lanes: int) -> Any:
    """``max(v, 0) + slope * min(v, 0)``: one multiply, no comparison mask."""
    zero = splat(0.0, lanes)
    return T.max(v, zero) + T.min(v, zero) * slope


OPERATIONS: dict[str, Callable[..., Any]] = {
    "relu": lambda v, lanes: T.max(v, splat(0.0, lanes)),
    "leaky_relu": lambda v, slope, lanes: _slope(v, splat(slope, lanes), lanes),
    "prelu": _slope,
    "clamp_min": lambda v, bound, lanes: T.max(v, splat(bound, lanes)),
    "clamp_max": lambda v, bound, lanes: T.min(v, splat(bound, lanes)),
    "scale": lambda v, factor, lanes: v * splat(factor, lanes),
    "shift": lambda v, amount, lanes: v + splat(amount, lanes),
    "divide_number": lambda v, number, lanes: splat(number, lanes) / v,
    "add": lambda v, other, _lanes: v + other,
    "subtract": lambda v, other, _lanes: v - other,
    "multiply": lambda v, other, _lanes: v * other,
    "divide": lambda v, other, _lanes: v / other,
    "divide_into": lambda v, other, _lanes: other / v,
    "maximum": lambda v, other, _lanes: T.max(v, other),
    "minimum": lambda v, other, _lanes: T.min(v, other),
    "square": lambda v, _lanes: v * v,
    **{function.__name__: function for function in activations.ALL},
}
"""By name: a function of the value, the operand or second value if there is one, the numbers, and the lanes."""


def apply(steps: Sequence[Step], value: Any, load: Load, lanes: int) -> Any:
    """The value after all steps, as SSA expressions."""
    values = [value]
    for step in steps:
        read = [values[number] for number in step.values or (-1,)]
        if step.operand is not None:
            read.append(load(step.operand))
        values.append(T.bind(OPERATIONS[step.op](*read, *step.scalars, lanes)))
    return values[-1]
