"""Python's own doors to a value, opened to the recorder while forward runs.

A torch-function mode sees what is asked of a tensor. It does not see ``len(tensor)``, which Python insists on answering
with a plain integer, nor ``if count > 0`` on a size that values decide, which is no tensor, nor `torch.cond`.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols, statically_known_true, uninteresting_files

from dydca.capture.decisions import Recorder, is_users, sym_not


@contextmanager
def intercepted(recorder: Recorder) -> Iterator[None]:
    """Lets the recorder answer whatever forward asks."""
    with (
        mock.patch.object(torch, "cond", choose_arm),
        mock.patch.object(torch.SymBool, "__bool__", _truth(recorder)),
        mock.patch.object(builtins, "len", _length),
        recorder,
    ):
        yield


def choose_arm(
    predicate: Any, if_true: Callable[..., Any], if_false: Callable[..., Any], operands: Sequence[Any] = ()
) -> Any:
    """``torch.cond`` as a question like any other, so that each arm becomes a route and may have its own shape."""
    return (if_true if predicate else if_false)(*operands)


uninteresting_files().add(__file__)  # else PyTorch takes this file for the one that decided on a size

_len = builtins.len
_bool: Callable[[torch.SymBool], bool] = torch.SymBool.__bool__


def _length(value: Any) -> Any:
    """The size as a symbol; Python's own would fix it to this patch's."""
    return value.shape[0] if isinstance(value, Tensor) and value.dim() else _len(value)


def _truth(recorder: Recorder) -> Callable[[torch.SymBool], bool]:
    """Of a condition that values decide; PyTorch's own code asks for what it can live without."""

    def truth(symbol: torch.SymBool) -> bool:
        asked_by_user = is_users(sys._getframe(1).f_code.co_filename)
        if not asked_by_user or not free_unbacked_symbols(symbol):
            return _bool(symbol)
        if statically_known_true(symbol):
            return True
        return not statically_known_true(sym_not(symbol)) and recorder.chosen(symbol)

    return truth
