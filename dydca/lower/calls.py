"""What one patch runs: kernel calls over values, branches where values decide, before memory is laid out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dydca.lower.kernels.kernel import Kernel
from dydca.lower.kernels.rows import RowKernel
from dydca.lower.layout import PLAIN, Layout, picture


@dataclass(eq=False)
class Value:
    """A buffer that calls write and read.

    Attributes:
        name: After the node it holds.
        shape: Of the tensor.
        storage: ``arena``, ``input`` or ``output``.
        index: Which input or output.
        layout: How it lies in the buffer; a tensor that is no picture is plain.
        itemsize: Bytes of an element.
    """

    name: str
    shape: tuple[int, ...]
    storage: str = "arena"
    index: int = 0
    layout: Layout = PLAIN
    itemsize: int = 4

    @property
    def bytes(self) -> int:
        """Its size in the arena."""
        floats = prod(self.shape if self.layout == PLAIN else self.layout.buffer(picture(self.shape)))
        return -(-floats * self.itemsize // 64) * 64


@dataclass(eq=False)
class Weight:
    """A constant of the network in the form a kernel reads."""

    name: str
    array: NDArray[Any]

    def __deepcopy__(self, _memo: object) -> Weight:
        """Itself: a copy of a program has the same constants."""
        return self


@dataclass(eq=False)
class Call:
    """One kernel call.

    Attributes:
        kernel: What runs.
        reads: Operands in the order of the kernel's parameters.
        writes: The results, the last parameters before scratch.
        nodes: Names of the graph's nodes this call computes, for the report.
        reason: Why this kernel, where there was a choice.
    """

    kernel: Kernel
    reads: list[Value | Weight]
    writes: list[Value]
    nodes: tuple[str, ...] = ()
    reason: str = ""

    @property
    def arguments(self) -> list[Value | Weight]:
        """The operands that the kernel's function takes: all but the one over which the result is stored."""
        kernel = self.kernel
        over = kernel.inputs.index(kernel.over) if isinstance(kernel, RowKernel) and kernel.over else None
        return [*(operand for number, operand in enumerate(self.reads) if number != over), *self.writes]

    @property
    def values(self) -> list[Value]:
        """What it reads and writes, without the constants."""
        return [operand for operand in (*self.reads, *self.writes) if isinstance(operand, Value)]


@dataclass(eq=False)
class Link:
    """One call of a chain.

    Attributes:
        call: Its kernel is a `RowKernel`.
        start: The band with which step 0 begins; one before the first leaves the link idle for some steps.
        count: Bands that a step adds.
    """

    call: Call
    start: int
    count: int

    @property
    def kernel(self) -> RowKernel:
        """The kernel as what it is."""
        assert isinstance(self.call.kernel, RowKernel)
        return self.call.kernel


@dataclass(eq=False)
class Chain:
    """Calls that run depth-first: each step lets every call add some bands of rows, in order, to what it has made.

    A row is read soon after it was written, so what lies between two calls stays in a fast cache, in a ring.
    """

    links: list[Link]
    steps: int


@dataclass(eq=False)
class Branch:
    """A choice by value: one arm for each outcome of the predicate, a bool or an integer 0..n-1."""

    predicate: Value
    arms: list[list[Step]]


@dataclass(frozen=True)
class Finish:
    """The end of a way through: which of the results the outputs now hold."""

    result: int


Step: TypeAlias = Call | Chain | Branch | Finish


class TensorType(NamedTuple):
    """What a caller sees of a tensor: the name of its element type, as numpy and torch have it, and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def initialiser(self) -> str:
        """A ``dydca_tensor`` without data, in C."""
        size, sizes = prod(self.shape) * np.dtype(self.dtype).itemsize, ", ".join(map(str, self.shape)) or "0"
        return f"{{0, {size}, DYDCA_{self.dtype.upper()}, {len(self.shape)}, {{{sizes}}}}}"


@dataclass
class Calls:
    """All that one patch runs, in order.

    Attributes:
        name: Of the function in C.
        inputs: What a caller hands in.
        results: What a run may write, each the types of all outputs; several where values decide a shape.
        steps: Every way through ends in a `Finish`.
        cycles: Predicted of all ways together, once chains are formed.
        given_up: How much more that is than without a limit on memory, as a part of it.
    """

    name: str
    inputs: tuple[TensorType, ...]
    results: tuple[tuple[TensorType, ...], ...]
    steps: list[Step] = field(default_factory=list)
    cycles: float = 0.0
    given_up: float = 0.0

    @property
    def scratch(self) -> int:
        """Bytes that each thread needs beside the arena."""
        return -(-max((call.kernel.scratch for call in self.calls), default=0) * 4 // 64) * 64

    @property
    def largest(self) -> tuple[TensorType, ...]:
        """By output, the result with the most elements."""
        return tuple(max(types, key=lambda tensor: prod(tensor.shape)) for types in zip(*self.results, strict=True))

    @property
    def flat(self) -> list[Step]:
        """Every step, a branch before its arms and these one after the other."""
        return list(_flat(self.steps))

    @property
    def calls(self) -> list[Call]:
        """Every kernel call, whatever arm or chain it stands in."""
        return [call for step in self.flat for call in calls_of(step)]

    @property
    def cost(self) -> int:
        """Predicted cost of the dearest way through: multiply-adds, and an eighth of what is stored."""
        return _cost(self.steps)


def calls_of(step: Step) -> list[Call]:
    """The kernel calls of a step, without those of a branch's arms."""
    if isinstance(step, Chain):
        return [link.call for link in step.links]
    return [step] if isinstance(step, Call) else []


def _flat(steps: Iterable[Step]) -> Iterator[Step]:
    for step in steps:
        yield step
        if isinstance(step, Branch):
            for arm in step.arms:
                yield from _flat(arm)


def _cost(steps: Iterable[Step]) -> int:
    return sum(map(_step_cost, steps))


def _step_cost(step: Step) -> int:
    if isinstance(step, Branch):
        return max(map(_cost, step.arms))
    return sum(call.kernel.macs + sum(prod(value.shape) for value in call.writes) // 8 for call in calls_of(step))
