"""What a network takes: its tensors, and how forward is called with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sympy
import torch
from torch import Tensor

from dydca.errors import ShapeError
from dydca.runtime.structure import Structure, rebuild
from dydca.shapes import Patch

Range = tuple[float, float]


def ordered(name: str, ends: Range) -> Range:
    """The two ends as numbers.

    Raises:
        ShapeError: DYD203, they are not two, or not in order.
    """
    try:
        low, high = map(float, ends)
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if not low <= high or low == math.inf or high == -math.inf:
        raise ShapeError("DYD203", f"the range of {name} is not understood", got=ends, want="(least, largest)")
    return low, high


@dataclass(frozen=True)
class Input:
    """An input of the network.

    Attributes:
        name: Of the argument of forward.
        dtype: Element type.
        dims: One symbol per axis.
        range: The least and the largest value that a caller promises to pass, either of which may be infinite.
    """

    name: str
    dtype: torch.dtype
    dims: tuple[sympy.Symbol, ...]
    range: Range = (-math.inf, math.inf)

    @property
    def promised(self) -> bool:
        """Whether anything is promised of its values."""
        return self.range != (-math.inf, math.inf)

    def example(self, shape: Sequence[int], generator: torch.Generator) -> Tensor:
        """A random tensor whose values keep the promise: normal where it leaves them free, else uniform."""
        low, high = self.range
        if math.isfinite(high - low):
            drawn = low + (high - low) * torch.rand(tuple(shape), generator=generator, dtype=torch.float64)
        else:
            drawn = torch.randn(tuple(shape), generator=generator, dtype=torch.float64)
            drawn = (drawn if self.dtype.is_floating_point else 4 * drawn).clamp(low, high)
        return drawn.to(self.dtype).clamp(low, high).to(self.dtype)  # whole numbers clamped by infinity become floats


def bind_sizes(inputs: Sequence[Input], patch: Patch) -> dict[sympy.Symbol, int]:
    """The dimension symbols of the inputs with the sizes of a patch."""
    return {
        dim: size
        for tensor, shape in zip(inputs, patch, strict=True)
        for dim, size in zip(tensor.dims, shape, strict=True)
    }


@dataclass(frozen=True)
class Argument:
    """One argument of forward.

    Attributes:
        name: As forward calls it.
        structure: A tensor, or a nest of tensors, by their numbers.
        by_name: Whether it has to be given by name.
    """

    name: str
    structure: Structure
    by_name: bool = False


def call(forward: Callable[..., Any], arguments: Sequence[Argument], *tensors: Tensor) -> Any:
    """Calls forward with one tensor per input."""
    given = [(argument, rebuild(argument.structure, tensors)) for argument in arguments]
    positional = [value for argument, value in given if not argument.by_name]
    return forward(*positional, **{argument.name: value for argument, value in given if argument.by_name})
