"""What every kernel template has: parameters, an amount of work, and a function it emits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod
from typing import Self

from dydca.lower.tvm_api import PrimFunc

ALIGNED = 64
UNALIGNED = 4
"""Buffers of the arena and weights are aligned to a cache line; a caller's own tensors to one float only."""


class Parameter(tuple[tuple[int, ...], int]):
    """The shape of a float32 buffer argument and the alignment it is promised to have, in bytes."""

    @property
    def floats(self) -> int:
        """How many elements the buffer has."""
        return prod(self[0])


def aligned(*shape: int) -> Parameter:
    """A buffer of the arena or of the weights."""
    return Parameter((shape, ALIGNED))


def callers(*shape: int) -> Parameter:
    """A buffer that may be a caller's own tensor."""
    return Parameter((shape, UNALIGNED))


@dataclass(frozen=True)
class Kernel(ABC):
    """One native function. Equality of all fields means the same machine code.

    A kernel's work is cut into `extent` units of about equal cost; a call computes [begin, end) of them.
    """

    def __deepcopy__(self, _memo: object) -> Self:
        """Itself: it never changes."""
        return self

    @property
    @abstractmethod
    def extent(self) -> int:
        """How many units of work there are."""

    @property
    def scratch(self) -> int:
        """Floats of memory a call needs for itself."""
        return 0

    @property
    def macs(self) -> int:
        """Multiply-adds of the whole extent, as the network's author would count them."""
        return 0

    @abstractmethod
    def parameters(self) -> dict[str, Parameter]:
        """The buffers, in the order of the C function's arguments; outputs last, then scratch if there is any."""

    @abstractmethod
    def emit(self) -> PrimFunc:
        """The function in TIR."""

    @property
    def stem(self) -> str:
        """The template's name in C."""
        return "".join(f"_{c.lower()}" if c.isupper() else c for c in type(self).__name__).lstrip("_")
