"""A network from a file that holds its tensors alone, and from the user's callable that makes the network."""

from __future__ import annotations

import ast
import importlib
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present
from torch.nn.parameter import is_lazy

from dydca.capture.decisions import is_users
from dydca.errors import CaptureError

_FORM = "package.module:callable, or package.module:callable(scale=2, blocks=4) with literals as arguments"
_LISTED = 10


def build(factory: str, state: dict[str, Tensor], path: Path) -> nn.Module:
    """Makes the network and gives it the tensors of a state_dict.

    Args:
        factory: ``package.module:callable``, called without arguments, or ``package.module:callable(scale=2)``, whose
            arguments are literals of Python.
        state: Tensors by name, all of the network's; used up. What nn.DataParallel puts before the names goes.
        path: Where they are from, for messages.

    Raises:
        CaptureError: DYD113 `factory` is not of that form, DYD114 there is no such callable, DYD115 it makes no
            network, DYD116 the tensors are not those of the network.
    """
    module, name, positional, named = _parsed(factory)
    made = _made(factory, _callable(factory, module, name), positional, named)
    if faults := list(_misfits(made, state, path)):
        more = [f"and {len(faults) - _LISTED} more"] if len(faults) > _LISTED else []
        what = f"the state_dict is not of the network that {factory} makes"
        raise CaptureError("DYD116", what, where=str(path), got="; ".join(faults[:_LISTED] + more))
    return made


def _parsed(factory: str) -> tuple[str, str, list[Any], dict[str, Any]]:
    """The module, the callable in it, and the arguments."""
    module, _, call = factory.partition(":")
    try:
        tree = ast.parse(call.strip(), mode="eval").body
        asked = tree if isinstance(tree, ast.Call) else ast.Call(tree, [], [])
        name = ast.unparse(asked.func)
        positional = [ast.literal_eval(argument) for argument in asked.args]
        named = {argument.arg or "": ast.literal_eval(argument.value) for argument in asked.keywords}
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        raise _unclear(factory) from error
    is_path = all(map(str.isidentifier, [*module.split("."), *name.split(".")]))
    if not is_path or "" in named or len(named) < len(asked.keywords):
        raise _unclear(factory)
    return module, name, positional, named


def _unclear(factory: str) -> CaptureError:
    return CaptureError("DYD113", "the factory of the network is not understood", got=repr(factory), want=_FORM)


def _callable(factory: str, module: str, name: str) -> Callable[..., object]:
    try:
        found = reduce(getattr, name.split("."), importlib.import_module(module))
    except (Exception, SystemExit) as error:  # the module is the user's, and may raise anything
        what = "the factory of the network cannot be imported"
        raise CaptureError("DYD114", what, where=_line(error) or factory, got=_told(error)) from error
    if not callable(found):
        got = f"{name} of type {type(found).__name__}"
        raise CaptureError("DYD114", "the factory of the network cannot be called", where=factory, got=got)
    return found


def _made(factory: str, call: Callable[..., object], positional: list[Any], named: dict[str, Any]) -> nn.Module:
    try:
        made = call(*positional, **named)
    except (Exception, SystemExit) as error:  # so may the callable
        what = f"the factory {factory} failed"
        raise CaptureError("DYD115", what, where=_line(error), got=_told(error)) from error
    if not isinstance(made, nn.Module):
        got = f"an object of type {type(made).__name__}"
        raise CaptureError("DYD115", f"the factory {factory} makes no network", got=got, want="an nn.Module")
    return made


def _line(error: BaseException) -> str | None:
    """The last line of the user's own that it came through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if is_users(frame.filename)]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None


def _told(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _misfits(module: nn.Module, state: dict[str, Tensor], path: Path) -> Iterator[str]:
    """Loads the tensors; yields what torch's strict loading would have refused."""
    own = module.state_dict()
    if all(name.startswith("module.") for name in state) and not any(name.startswith("module.") for name in own):
        consume_prefix_in_state_dict_if_present(state, "module.")
        warnings.warn(f"{path}: the names of the tensors begin with module., which was taken off", stacklevel=2)
    shapes = {name: tuple(tensor.shape) for name, tensor in own.items() if not is_lazy(tensor)}
    wrong = {name for name, tensor in state.items() if shapes.get(name, tensor.shape) != tensor.shape}
    yield from (f"{name} is {tuple(state.pop(name).shape)}, not {shapes[name]}" for name in sorted(wrong))
    try:
        odd = module.load_state_dict(state, strict=False)
    except Exception as error:  # a module may load its part by code of its own
        yield _told(error)
        return
    yield from (f"{name} is missing" for name in odd.missing_keys if name not in wrong)
    yield from (f"{name} is unexpected" for name in odd.unexpected_keys)
