"""The straight-line program of one (route, patch): kernel calls over values, before memory is laid out."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

from numpy.typing import NDArray

from dydca.lower.kernels.kernel import Kernel
from dydca.lower.layout import PLAIN, Layout


@dataclass(eq=False)
class Value:
    """A buffer that calls write and read.

    Attributes:
        name: After the node it holds.
        shape: The buffer's own shape.
        storage: ``arena``, ``input`` or ``output``.
        index: Which input or output.
        layout: How a picture lies in it.
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
        return -(-prod(self.shape) * self.itemsize // 64) * 64


@dataclass(eq=False)
class Weight:
    """A constant of the network in the form a kernel reads."""

    name: str
    array: NDArray[Any]


@dataclass(eq=False)
class Call:
    """One kernel call.

    Attributes:
        kernel: What runs.
        reads: Operands in the order of the kernel's parameters.
        writes: The results, the last parameters before scratch.
        nodes: Names of the graph's nodes this call computes, for the report.
    """

    kernel: Kernel
    reads: list[Value | Weight]
    writes: list[Value]
    nodes: tuple[str, ...] = ()


@dataclass
class Calls:
    """All calls of one (route, patch) in order, with the values a caller hands in and out."""

    name: str
    inputs: list[Value]
    outputs: list[Value]
    calls: list[Call] = field(default_factory=list)

    @property
    def cost(self) -> int:
        """Predicted cost: multiply-adds, plus an eighth of the elements stored for what does not multiply."""
        stored = sum(prod(value.shape) for call in self.calls for value in call.writes)
        return sum(call.kernel.macs for call in self.calls) + stored // 8
