"""Results written over an operand that nothing needs afterwards: the sum of a residual, a chain of activations."""

from __future__ import annotations

from dataclasses import replace

from dydca.lower.calls import Branch, Call, Calls, Value, Weight
from dydca.lower.kernels.rows import RowKernel
from dydca.lower.order import touched


def write_in_place(calls: Calls) -> None:
    """Lets kernels store over what stands beside, where that lies just as the result does and is not needed again."""
    steps: dict[Value, list[int]] = {}
    for number, step in enumerate(calls.flat):
        for value in touched(step):
            steps.setdefault(value, []).append(number)
    for call in calls.calls:
        if isinstance(call.kernel, RowKernel) and call.kernel.stores_once:
            for name, operand in zip(call.kernel.beside, _beside(call, call.kernel), strict=True):
                if isinstance(operand, Value) and _may_end(call, operand, steps):
                    steps[operand] += steps.pop(call.writes[0])
                    call.kernel = replace(call.kernel, over=name)
                    _replace(calls, call.writes[0], operand)
                    break


def _beside(call: Call, kernel: RowKernel) -> list[Value | Weight]:
    """What the kernel reads at the place where it stores, in the order of `RowKernel.beside`."""
    reads = dict(zip(kernel.inputs, call.reads, strict=True))
    return [reads[name] for name in kernel.beside]


def _may_end(call: Call, operand: Value, steps: dict[Value, list[int]]) -> bool:
    """Whether the operand's last reader is this call, and the result could have its place."""
    assert isinstance(call.kernel, RowKernel)
    (result,) = call.writes
    alike = (operand.shape, operand.layout, operand.itemsize) == (result.shape, result.layout, result.itemsize)
    if (
        operand is result
        or not alike
        or result.layout != call.kernel.layer.target
        or not operand.storage == result.storage == "arena"
        or call.reads.count(operand) > 1
    ):
        return False
    here = steps[result][0]
    return max(steps[operand]) == here and steps[operand].count(here) == 1  # no other link of a chain reads it


def _replace(calls: Calls, old: Value, new: Value) -> None:
    for call in calls.calls:
        call.reads = [new if operand is old else operand for operand in call.reads]
        call.writes = [new if value is old else value for value in call.writes]
    for step in calls.flat:
        if isinstance(step, Branch) and step.predicate is old:
            step.predicate = new
