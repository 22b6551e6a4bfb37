"""How forward is called with the tensors that a network takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from dydca.runtime.structure import Structure, rebuild


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
