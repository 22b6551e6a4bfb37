"""Numbers that are known while a path is traced, as tensors of ONNX hold them: sizes, axes, pads, scales.

ONNX computes sizes by the same operators as pictures. What starts from ``Shape`` or from a constant stays Python's own
arithmetic on sizes, which the trace follows exactly; a tensor is made of it only where a tensor is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

Number: TypeAlias = Any
"""int, float, bool, torch.SymInt, torch.SymFloat or torch.SymBool."""

FEW = 64
"""A constant of more elements stays a tensor."""


@dataclass(frozen=True)
class Numbers:
    """A tensor of rank 0 or 1.

    Attributes:
        values: Its elements.
        dtype: Their type.
        scalar: Whether its rank is 0.
    """

    values: tuple[Number, ...]
    dtype: torch.dtype
    scalar: bool = False

    def like(self, values: Sequence[Number], *, scalar: bool = False) -> Numbers:
        """Others of the same type."""
        return Numbers(tuple(values), self.dtype, scalar)

    def tensor(self) -> Tensor:
        """As a tensor, even where it holds sizes that are free."""
        if all(type(value) in (int, float, bool) for value in self.values):
            return torch.tensor(self.values[0] if self.scalar else self.values, dtype=self.dtype)
        scalars = [torch.scalar_tensor(value, dtype=self.dtype) for value in self.values]
        return scalars[0] if self.scalar else torch.stack(scalars)


Value: TypeAlias = Tensor | Numbers | None


def tensor_of(value: Value) -> Tensor:
    """The tensor that a value is or stands for."""
    assert value is not None
    return value.tensor() if isinstance(value, Numbers) else value


def numbers_of(tensor: Tensor) -> Numbers | None:
    """A constant as numbers, None if its rank or size is too large."""
    if tensor.dim() > 1 or tensor.numel() > FEW or tensor.is_complex():
        return None
    return Numbers(tuple(tensor.reshape(-1).tolist()), tensor.dtype, tensor.dim() == 0)
