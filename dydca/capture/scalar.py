"""What ``tensor.item()`` gives while a path is traced: a number that keeps the tensor it was taken from."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from dydca.capture.decisions import Recorder


class Scalar:
    """A number whose arithmetic stays in the graph, and which becomes a decision where Python has to know it."""

    def __init__(self, recorder: Recorder, tensor: Tensor) -> None:
        self.recorder, self.tensor = recorder, tensor

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], _types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Never reached while the recorder stands before it, but makes torch's functions take it for one of theirs."""
        return func(*map(_unwrap, args), **{key: _unwrap(value) for key, value in (kwargs or {}).items()})

    def __bool__(self) -> bool:
        return self.recorder.truth(self.tensor)

    def __int__(self) -> int:
        return self.recorder.index(self.tensor)

    __index__ = __int__

    def __float__(self) -> float:
        return float(self._written("float()", "leave float() away: what is done with the number is then recorded"))

    def __hash__(self) -> int:
        return hash(self._written("a key", "choose by comparisons, or by an integer of known range"))

    def __str__(self) -> str:
        return str(self._written("a text", "leave the formatting away"))

    def __format__(self, form: str) -> str:
        return format(self._written("a text", "leave the formatting away"), form)

    def __repr__(self) -> str:
        return "<a number that is traced>"

    def _written(self, got: str, fix: str) -> int:
        """The number itself, where it is one of few."""
        return self.recorder.number(self.tensor, got, fix)

    def __floor__(self) -> Scalar:
        return Scalar(self.recorder, torch.floor(self.tensor).long())

    def __ceil__(self) -> Scalar:
        return Scalar(self.recorder, torch.ceil(self.tensor).long())

    def __trunc__(self) -> Scalar:
        return Scalar(self.recorder, torch.trunc(self.tensor).long())

    def __round__(self, digits: int | None = None) -> Scalar:
        rounded = torch.round(self.tensor, decimals=digits or 0)
        return Scalar(self.recorder, rounded.long() if digits is None else rounded)

    def __divmod__(self, other: Any) -> tuple[Any, Any]:
        return self // other, self % other


def _unwrap(value: Any) -> Any:
    return value.tensor if isinstance(value, Scalar) else value


def _computed(compute: Callable[..., Any], *, turned: bool = False) -> Callable[..., Any]:
    def method(self: Scalar, *others: Any) -> Any:
        operands = (self.tensor, *map(_unwrap, others))
        result = compute(*(reversed(operands) if turned else operands))
        return result if any(isinstance(other, Tensor) for other in others) else Scalar(self.recorder, result)

    return method


for _name in ("lt", "le", "gt", "ge", "eq", "ne", "neg", "abs", "invert"):
    setattr(Scalar, f"__{_name}__", _computed(getattr(operator, _name)))
for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and_", "or_", "xor"):
    setattr(Scalar, f"__{_name.rstrip('_')}__", _computed(getattr(operator, _name)))
    setattr(Scalar, f"__r{_name.rstrip('_')}__", _computed(getattr(operator, _name), turned=True))
