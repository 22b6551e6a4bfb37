"""Routes by value: what forward asks a tensor, and the answer it gets.

While a path is traced, a torch-function mode stands between the network and Python. Where Python wants a value
(``if tensor``, ``int(index)``, ``score.item() > 0.5``) the mode records the tensor as a predicate and answers from a
script of outcomes; replaying forward with every script yields one straight-line graph per route.
"""

from __future__ import annotations

import operator
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from dydca.errors import CaptureError

_TORCH = str(Path(torch.__file__).parent)
_OWN = str(Path(__file__).parent)

KEEPS_BOUNDS = frozenset(
    {"squeeze", "unsqueeze", "reshape", "view", "flatten", "expand", "__getitem__", "select"}
    | {"clone", "detach", "contiguous", "long", "int", "to"}
)
"""Tensor methods whose result has no element its first argument had not."""

MAX_DECISIONS = 64
"""On one path. A loop that only a value ends would be traced for ever."""


class Asked(NamedTuple):
    """One question: its predicate as a scalar tensor, the answers it may have, the one given, and who asked."""

    predicate: Tensor
    arity: int
    outcome: int
    line: str | None


class Recorder(TorchFunctionMode):
    """Answers questions about values from `script`, with 0 beyond its end.

    Attributes:
        asked: The questions of this path, in order.
    """

    def __init__(self, script: Sequence[int]) -> None:
        super().__init__()
        self.script = tuple(script)
        self.asked: list[Asked] = []
        self._bounds: dict[int, tuple[Tensor, int]] = {}  # the tensor is kept, so that its id stays its own

    def __torch_function__(
        self, func: Callable[..., Any], _types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Answers what needs a value; runs everything else and notes what is known of its result."""
        name = getattr(func, "__name__", "")
        if name in _QUESTIONS and args and isinstance(args[0], Tensor):
            return _QUESTIONS[name](self, args[0])
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and (count := self._count(name, args, kwargs or {}, result)) is not None:
            self._bounds[id(result)] = (result, count)
        return result

    def choose(self, predicate: Tensor, arity: int) -> int:
        """Records a question and gives its answer."""
        if len(self.asked) >= MAX_DECISIONS:
            got = f"over {MAX_DECISIONS} decisions on one path"
            raise CaptureError("DYD105", "a loop that values end may never end", where=asking_line(), got=got)
        outcome = self.script[len(self.asked)] if len(self.asked) < len(self.script) else 0
        self.asked.append(Asked(predicate.reshape(()), arity, outcome, asking_line()))
        return outcome

    def truth(self, tensor: Tensor) -> bool:
        """``bool(tensor)``."""
        return self.choose(tensor if tensor.dtype == torch.bool else tensor != 0, 2) == 1

    def index(self, tensor: Tensor) -> int:
        """``int(tensor)`` of a value that is known to be one of 0..n-1."""
        kept = self._bounds.get(id(tensor))
        if kept is None:
            fix = "take an argmax, or clamp(0, n - 1) it first, so that its values are known"
            raise CaptureError(
                "DYD104", "an integer of unknown range decides", where=asking_line(), got="int()", fix=fix
            )
        return self.choose(tensor, kept[1])

    def _count(self, name: str, args: Sequence[Any], kwargs: dict[str, Any], result: Tensor) -> int | None:
        """How many values 0..n-1 the integers of a result may have, None if not known."""
        if name in ("argmax", "argmin"):
            dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
            return int(args[0].numel() if dim is None else args[0].shape[dim])
        if name == "clamp" and not result.is_floating_point():
            low, high = (kwargs.get(key, args[at] if len(args) > at else None) for at, key in ((1, "min"), (2, "max")))
            return int(high) + 1 if low == 0 and isinstance(high, int) else None
        if name in KEEPS_BOUNDS and args and id(args[0]) in self._bounds and not result.is_floating_point():
            return self._bounds[id(args[0])][1]
        return None


def _scalar(recorder: Recorder, tensor: Tensor) -> Any:
    if tensor.dtype == torch.bool:
        return recorder.truth(tensor)
    return Scalar(recorder, tensor)


def _swallowed(_recorder: Recorder, tensor: Tensor) -> Any:
    fix = "write .item() in place of float(): what is done with the number is then recorded"
    raise CaptureError("DYD104", "Python takes a number without a trace", where=asking_line(), got="float()", fix=fix)


_QUESTIONS: dict[str, Callable[[Recorder, Tensor], Any]] = {
    "__bool__": Recorder.truth,
    "is_nonzero": Recorder.truth,
    "__int__": Recorder.index,
    "__index__": Recorder.index,
    "item": _scalar,
    "__float__": _swallowed,
}


class Scalar:
    """What ``tensor.item()`` gives while a path is traced: a number whose comparisons become predicates."""

    def __init__(self, recorder: Recorder, tensor: Tensor) -> None:
        self.recorder, self.tensor = recorder, tensor

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], _types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Lets torch operators take it as the tensor it was."""
        plain = {key: _unwrap(value) for key, value in (kwargs or {}).items()}
        return func(*map(_unwrap, args), **plain)

    def __bool__(self) -> bool:
        return self.recorder.truth(self.tensor)

    def __int__(self) -> int:
        return self.recorder.index(self.tensor)

    __index__ = __int__

    def __float__(self) -> float:
        return float(_swallowed(self.recorder, self.tensor))

    def __hash__(self) -> int:
        return id(self)


def _unwrap(value: Any) -> Any:
    return value.tensor if isinstance(value, Scalar) else value


def _compared(compare: Callable[[Any, Any], Any]) -> Callable[[Scalar, Any], bool]:
    return lambda self, other: self.recorder.truth(compare(self.tensor, _unwrap(other)))


def _computed(compute: Callable[..., Any], *, turned: bool = False) -> Callable[..., Scalar]:
    def method(self: Scalar, *others: Any) -> Scalar:
        operands = (self.tensor, *map(_unwrap, others))
        return Scalar(self.recorder, compute(*(reversed(operands) if turned else operands)))

    return method


for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Scalar, f"__{_name}__", _compared(getattr(operator, _name)))
for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
    setattr(Scalar, f"__{_name}__", _computed(getattr(operator, _name)))
    setattr(Scalar, f"__r{_name}__", _computed(getattr(operator, _name), turned=True))
for _name in ("neg", "abs"):
    setattr(Scalar, f"__{_name}__", _computed(getattr(operator, _name)))


def choose_arm(
    predicate: Any, if_true: Callable[..., Any], if_false: Callable[..., Any], operands: Sequence[Any] = ()
) -> Any:
    """``torch.cond`` as a question like any other, so that each arm becomes a route and may have its own shape."""
    return (if_true if predicate else if_false)(*operands)


def asking_line() -> str | None:
    """``file.py:41`` of the innermost frame that belongs to the user."""
    for frame in reversed(traceback.extract_stack()):
        if not frame.filename.startswith((_TORCH, _OWN, "<")):
            return f"{Path(frame.filename).name}:{frame.lineno}"
    return None
