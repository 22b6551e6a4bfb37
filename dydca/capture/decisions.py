"""Routes by value: what forward asks a tensor, and the answer it gets.

While a path is traced, a torch-function mode stands between the network and Python. Where Python wants a value
(``if tensor``, ``int(index)``, ``score.item() > 0.5``) the mode records the tensor as a predicate and answers from a
script of outcomes; replaying forward with every script yields one straight-line graph per route. What the answers so
far imply is not asked again.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from dydca.capture.scalar import Scalar
from dydca.capture.values import Known, Use, listed, named_tensors, result_of
from dydca.errors import CaptureError

sym_ite: Callable[..., int] = torch.sym_ite
sym_not: Callable[..., torch.SymBool] = torch.sym_not
_check: Callable[..., None] = torch._check
"""PyTorch has no types for these."""

_TORCH = str(Path(torch.__file__).parent)
_OWN = str(Path(__file__).parent)

MAX_DECISIONS = 64
"""On one path. A loop that only a value ends would be traced for ever."""

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    name: getattr(operator, name) for name in ("lt", "le", "gt", "ge", "eq", "ne")
}
_OPERATORS = frozenset(("add", "sub", "mul", "div", "truediv", "floordiv", "floor_divide", "remainder", "mod", "pow"))
"""Functions for which a number may as well be a tensor without axes."""


class Asked(NamedTuple):
    """One question.

    Attributes:
        predicate: A scalar tensor with the number of the answer.
        outcome: The number of the answer given.
        answers: What Python may get, in order.
        line: Who asked.
    """

    predicate: Tensor
    outcome: int
    answers: tuple[int, ...]
    line: str | None


class _Compared(NamedTuple):
    """Where a tensor of truth came from."""

    tensor: Tensor
    holds: Callable[[int], bool]


class Recorder(TorchFunctionMode):
    """Answers questions about values from `script`, with the first answer beyond its end.

    Args:
        script: Numbers of the answers.
        limit: Most answers that one question may have.
        stored: What is known of the network's own tensors, by name.

    Attributes:
        asked: The questions of this path, in order.
    """

    def __init__(self, script: Sequence[int], limit: int, stored: Mapping[str, Known]) -> None:
        super().__init__()
        self.script, self.limit, self.stored = tuple(script), limit, stored
        self.asked: list[Asked] = []
        self._versions: list[int] = []
        self._known: dict[int, tuple[Tensor, int, Known]] = {}  # the tensor is kept, so that its id stays its own
        self._compared: dict[int, tuple[Tensor, _Compared]] = {}

    def remember(self, network: nn.Module) -> None:
        """Notes what is known of the tensors that stand for the network's own in this trace."""
        for name, tensor in named_tensors(network):
            if name in self.stored:
                self._note(tensor, self.stored[name])

    def __torch_function__(
        self, func: Callable[..., Any], _types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Answers what needs a value; runs everything else and notes what is known of its result."""
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        if name in QUESTIONS and args and isinstance(args[0], Tensor):
            with self:
                answer = QUESTIONS[name](self, *args, **kwargs)
            if answer is not NotImplemented:
                return answer
        args, kwargs = tree_map_only(Scalar, lambda scalar: self._plain(name, scalar), (tuple(args), kwargs))
        result = func(*args, **kwargs)
        for tensor, known in result_of(name, Use(args, kwargs, result, self.known)):
            self._note(tensor, known)
        if isinstance(result, Tensor) and result.dtype == torch.bool and len(args) == 2:
            self._note_comparison(result, _COMPARISONS.get(name.strip("_")), *args)
        return result

    def _plain(self, name: str, scalar: Scalar) -> Any:
        """A number for torch: as the tensor it was where that is an operand, else as Python's own."""
        if scalar.tensor.is_floating_point() or _plain_name(name) in _OPERATORS | _COMPARISONS.keys():
            return scalar.tensor
        return self.index(scalar.tensor)

    def known(self, value: object) -> Known | None:
        """What is known of a number or of the elements of a tensor."""
        if isinstance(value, Scalar):
            value = value.tensor
        if not isinstance(value, Tensor):
            return listed([value]) if isinstance(value, int | float) else None
        tensor, version, known = self._known.get(id(value), (None, 0, None))
        if tensor is None or version != value._version:  # overwritten since
            known = None
        return Known(0, 1, frozenset((0, 1))) if known is None and value.dtype == torch.bool else known

    def fixed(self, tensor: Tensor) -> Known | None:
        """What is known of a tensor that Python wants as a number, a free count of numbers fixed if they are few."""
        known = self.known(tensor)
        if known is not None and known.count is not None:
            known = known.fixed(self.limit)
            self._note(tensor, known)
        return known

    def _note(self, tensor: Tensor, known: Known | None) -> None:
        if known is not None:
            self._known[id(tensor)] = tensor, tensor._version, known

    def _note_comparison(
        self, result: Tensor, compare: Callable[[Any, Any], bool] | None, left: object, right: object
    ) -> None:
        """So that an answer about the comparison narrows what is compared."""
        known = self.known(right)
        if compare is not None and isinstance(left, Tensor) and known is not None and known.low == known.high:
            self._compared[id(result)] = result, _Compared(left, partial(_swapped, compare, known.low))

    def truth(self, tensor: Tensor) -> bool:
        """``bool(tensor)``."""
        known = self.known(tensor)
        if known is not None and (known.low > 0 or known.high < 0 or known.low == known.high):
            return known.low != 0 or known.high != 0
        answer = self._choose(tensor if tensor.dtype == torch.bool else tensor != 0, (False, True)) == 1
        self._narrow(tensor, lambda member: bool(member) == answer)
        if compared := self._compared.get(id(tensor)):
            self._narrow(compared[1].tensor, lambda member: compared[1].holds(member) == answer)
        return answer

    def index(self, tensor: Tensor) -> int:
        """``int(tensor)`` of a value that is known to be one of a few.

        Raises:
            CaptureError: DYD104, DYD105.
        """
        if tensor.is_floating_point():
            tensor = tensor.trunc().long()
        known = self.fixed(tensor)
        answers = known.integers if known is not None else None
        if answers is None:
            fix = "take an argmax, or clamp(0, n - 1) it first, so that its values are known"
            raise CaptureError(
                "DYD104", "an integer of unknown range decides", where=asking_line(), got="int()", fix=fix
            )
        if len(answers) > 1:
            answer = self._choose(_case(tensor.long(), answers), answers)
            self._note(tensor, listed([answer]))
            return answer
        return answers[0]

    def number(self, tensor: Tensor, got: str, fix: str) -> int:
        """An integer that is one of a few, where Python would take any number without a trace.

        Raises:
            CaptureError: DYD104, DYD105.
        """
        known = self.fixed(tensor)
        if tensor.is_floating_point() or known is None or known.integers is None:
            _swallowed(got, fix)()
        return self.index(tensor)

    def _choose(self, predicate: Tensor, answers: tuple[int, ...]) -> int:
        """Records a question and gives its answer."""
        line = asking_line()
        if len(self.asked) >= MAX_DECISIONS:
            got = f"over {MAX_DECISIONS} decisions on one path"
            raise CaptureError("DYD105", "a loop that values end may never end", where=line, got=got)
        if len(answers) > self.limit:
            got = f"a choice among {len(answers)} at {line}"
            raise CaptureError("DYD105", "too many routes", where=line, got=got, want=f"at most {self.limit}")
        outcome = self.script[len(self.asked)] if len(self.asked) < len(self.script) else 0
        self.asked.append(Asked(predicate.reshape(()), outcome, answers, line))
        self._versions.append(predicate._version)
        return answers[outcome]

    def _narrow(self, tensor: Tensor, holds: Callable[[int], bool]) -> None:
        """Keeps of the numbers a tensor may hold those that agree with an answer."""
        known = self.known(tensor)
        if known is not None and known.members is not None:
            self._note(tensor, listed(member for member in known.members if holds(member)))

    def require_unchanged(self) -> None:
        """Refuses a predicate that forward overwrote after it was asked: its later value is not the answer.

        Raises:
            CaptureError: DYD104.
        """
        for asked, version in zip(self.asked, self._versions, strict=True):
            if asked.predicate._version != version:
                what = "a tensor that decided is overwritten later"
                raise CaptureError("DYD104", what, where=asked.line, fix="decide by a .clone() of it")

    def chosen(self, symbol: torch.SymBool) -> bool:
        """``bool()`` of a condition on a size that values decide, e.g. ``len(nonzero) > 0``."""
        with self:
            answer = self.truth(torch.scalar_tensor(sym_ite(symbol, 1, 0), dtype=torch.int64))
        _check(symbol if answer else sym_not(symbol))
        return answer


def _plain_name(name: str) -> str:
    """``add`` for ``__radd__`` and ``add_``."""
    name = name.strip("_")
    return name.removeprefix("r") if name.startswith("r") and name != "remainder" else name


def _swapped(compare: Callable[[Any, Any], bool], right: float, left: int) -> bool:
    return compare(left, right)


def _case(tensor: Tensor, answers: tuple[int, ...]) -> Tensor:
    """The place of each integer among the answers."""
    if answers == tuple(range(answers[0], answers[-1] + 1)):
        return tensor if answers[0] == 0 else tensor - answers[0]
    return (tensor.reshape(1) >= torch.tensor(answers[1:])).sum()


def _item(recorder: Recorder, tensor: Tensor) -> Any:
    """A traced number; an integer that can be anything is left to PyTorch, which makes it a symbol."""
    if not tensor.is_floating_point() and recorder.fixed(tensor) is None:
        return NotImplemented
    return Scalar(recorder, tensor.reshape(()))


def _tolist(recorder: Recorder, tensor: Tensor) -> Any:
    return [_tolist(recorder, row) for row in tensor.unbind(0)] if tensor.dim() else tensor.item()


def _equal(recorder: Recorder, tensor: Tensor, other: Tensor) -> bool:
    return tensor.shape == other.shape and recorder.truth((tensor == other).all())


def _contains(recorder: Recorder, tensor: Tensor, element: Any) -> bool:
    return recorder.truth((tensor == element).any())


def _format(recorder: Recorder, tensor: Tensor, text: str = "") -> Any:
    return NotImplemented if tensor.dim() else format(_item(recorder, tensor), text)


def _picked(recorder: Recorder, tensor: Tensor, index: Any) -> Any:
    """``tensor[..., i, ...]`` with a traced number, which Python would take out of the graph."""
    items = list(index) if isinstance(index, tuple) else [index]
    places = [place for place, item in enumerate(items) if _is_number(item)]
    if len(places) != 1 or not all(
        isinstance(item, int | slice | None) or item is ... for item in _without(items, places)
    ):
        return NotImplemented
    (place,) = places
    number = items[place].tensor if isinstance(items[place], Scalar) else items[place]
    known = recorder.known(number)
    before = items[:place]
    consumed = sum(item is not None and item is not ... for item in items)
    dim = sum(tensor.dim() - consumed if item is ... else not isinstance(item, int) for item in before)
    rest = tensor[(*before, slice(None), *items[place + 1 :])]
    if known is None or known.low < 0:
        number = torch.where(number < 0, number + rest.shape[dim], number)
    return rest.index_select(dim, number.reshape(1)).squeeze(dim)


def _is_number(item: object) -> bool:
    tensor = item.tensor if isinstance(item, Scalar) else item
    return isinstance(tensor, Tensor) and tensor.dim() == 0 and tensor.dtype in (torch.int64, torch.int32)


def _without(items: Sequence[Any], places: Sequence[int]) -> list[Any]:
    return [item for place, item in enumerate(items) if place not in places]


def _swallowed(got: str, fix: str) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        what = "Python takes a number without a trace"
        raise CaptureError("DYD104", what, where=asking_line(), got=got, fix=fix)

    return refuse


QUESTIONS: dict[str, Callable[..., Any]] = {
    "__bool__": Recorder.truth,
    "is_nonzero": Recorder.truth,
    "__int__": Recorder.index,
    "__index__": Recorder.index,
    "item": _item,
    "tolist": _tolist,
    "equal": _equal,
    "__contains__": _contains,
    "__format__": _format,
    "__getitem__": _picked,
    "__float__": _swallowed("float()", "write .item() for float(): what is done with the number is then recorded"),
    "__complex__": _swallowed("complex()", "stay with tensors"),
    "numpy": _swallowed(".numpy()", "stay with tensors: torch has the functions of numpy"),
    "__array__": _swallowed("a conversion to numpy", "stay with tensors: torch has the functions of numpy"),
}
"""By the name of a method of Tensor; NotImplemented leaves it to PyTorch."""


def asking_line() -> str | None:
    """``file.py:41`` of the innermost frame that belongs to the user."""
    frame = sys._getframe()
    while frame is not None:
        if is_users(frame.f_code.co_filename):
            return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]  # None at the outermost
    return None


def is_users(filename: str) -> bool:
    """Whether a source file is neither PyTorch's nor this package's."""
    return not filename.startswith((_TORCH, _OWN, "<"))
