"""Which way a network takes: what Python asks its tensors while it runs, and what they answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Way = tuple[object, ...]
"""The answers in order; empty where no value decides."""
QUESTIONS = frozenset({"__bool__", "__int__", "__index__", "item", "is_nonzero"})


def way_of(model: nn.Module, inputs: Sequence[Tensor]) -> Way:
    """Runs the network and returns its way."""
    with _Watcher() as watcher:
        model(*inputs)
    return tuple(watcher.answers)


class _Watcher(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.answers: list[object] = []

    def __torch_function__(
        self, func: Callable[..., Any], _types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") in QUESTIONS:
            self.answers.append(result)
        return result
