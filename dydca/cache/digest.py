"""What decides how a network behaves, as one number: its values, and the code of all that it may call.

Code is read as Python has compiled it, with the globals and closures that it names, not as files: that finds what a
notebook defines, and what was replaced at run time. Packages that the key names by their versions are not looked into.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterable, Iterator
from enum import Enum
from functools import cached_property, partial, singledispatchmethod
from hashlib import sha256
from logging import Logger
from pathlib import PurePath
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

VERSIONED = frozenset({*sys.stdlib_module_names, "dydca", "numpy", "sympy", "torch"})
"""Packages whose version says all."""

_Atom = (
    *(type(None), bool, int, float, complex, str, bytes, type(...), Enum, PurePath, np.generic),
    *(torch.dtype, torch.device, torch.layout, torch.memory_format),
)
_BOOKKEEPING = frozenset(
    {
        *("__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "_abc_impl"),
        *("__orig_bases__", "__parameters__", "__dataclass_fields__", "__dataclass_params__"),
    }
)
"""Attributes of classes that no network calls."""


class UndigestedError(Exception):
    """Something whose behaviour cannot be read off."""


class Digest:
    """Takes in values one after the other.

    `add` raises `UndigestedError` for what it cannot read, such as a lock or an open file.
    """

    def __init__(self) -> None:
        self._hash = sha256()
        self._numbers: dict[int, int] = {}
        self._held: list[object] = []  # so that no number comes to mean another object

    @property
    def text(self) -> str:
        """Of all so far, 64 hexadecimal digits."""
        return self._hash.hexdigest()

    def add(self, value: object) -> None:
        """Takes in a value and all that it refers to."""
        if isinstance(value, _Atom):
            self._write(type(value).__name__, repr(value))
        elif (number := self._numbers.get(id(value))) is not None:
            self._write("again", number)
        else:
            self._numbers[id(value)] = len(self._numbers)
            self._held.append(value)
            self._write(type(value).__qualname__)
            self._take(value)

    def _write(self, *words: object) -> None:
        for word in words:
            content = word if isinstance(word, bytes) else str(word).encode(errors="surrogatepass")
            self._hash.update(len(content).to_bytes(8, "little") + content)

    def _add_all(self, *values: object) -> None:
        self._write(len(values))
        for value in values:
            self.add(value)

    def _name(self, value: Any) -> None:
        self._write(value.__module__, value.__qualname__)

    @singledispatchmethod
    def _take(self, value: object) -> None:
        """Any object: its classes and its attributes."""
        if not hasattr(value, "__dict__"):
            raise UndigestedError(f"a {type(value).__qualname__}")
        self._add_all(*type(value).__mro__)
        self._take(vars(value))

    @_take.register
    def _(self, value: Tensor) -> None:
        self._write(value.dtype, tuple(value.shape), value.requires_grad)
        self._take(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())

    @_take.register(np.ndarray)
    def _(self, value: NDArray[Any]) -> None:
        if value.dtype.hasobject:
            raise UndigestedError("an array of objects")
        self._write(value.dtype, value.shape, value.tobytes())

    @_take.register(list)
    @_take.register(tuple)
    def _(self, value: list[object] | tuple[object, ...]) -> None:
        self._add_all(*value)

    @_take.register(set)
    @_take.register(frozenset)
    def _(self, value: set[object]) -> None:
        self._add_all(*sorted(value, key=repr))

    @_take.register(dict)
    def _(self, value: dict[object, object]) -> None:
        self._add_all(*value.keys(), *value.values())

    @_take.register
    def _(self, value: type) -> None:
        self._name(value)
        if not _is_versioned(value):
            self._add_all(*value.__mro__[1:])
            self._take({name: each for name, each in vars(value).items() if name not in _BOOKKEEPING})

    @_take.register
    def _(self, value: FunctionType) -> None:
        self._name(value)
        if not _is_versioned(value):
            cells = (cell.cell_contents for cell in value.__closure__ or () if cell != types.CellType())
            self._add_all(value.__code__, value.__defaults__, value.__kwdefaults__, *cells, *_globals(value))

    @_take.register
    def _(self, value: CodeType) -> None:
        self._write(value.co_code, value.co_names, value.co_varnames, value.co_filename, value.co_linetable)
        self._add_all(value.co_firstlineno, *value.co_consts)

    @_take.register
    def _(self, value: MethodType) -> None:
        self._add_all(value.__func__, value.__self__)

    @_take.register(staticmethod)
    @_take.register(classmethod)
    def _(self, value: Any) -> None:
        self.add(value.__func__)

    @_take.register
    def _(self, value: property) -> None:
        self._add_all(value.fget, value.fset)

    @_take.register(cached_property)
    def _(self, value: Any) -> None:
        self.add(value.func)

    @_take.register(partial)
    def _(self, value: Any) -> None:
        self._add_all(value.func, value.args, value.keywords)

    @_take.register(types.BuiltinFunctionType)
    def _(self, value: Any) -> None:
        self._write(value.__name__)
        self.add(value.__self__)

    @_take.register(types.WrapperDescriptorType)
    @_take.register(types.MethodDescriptorType)
    @_take.register(types.MemberDescriptorType)
    @_take.register(types.GetSetDescriptorType)
    def _(self, value: Any) -> None:
        self._write(value.__qualname__)

    @_take.register(torch._ops.OpOverload)
    @_take.register(torch._ops.OpOverloadPacket)
    def _(self, value: object) -> None:
        self._write(value)

    @_take.register(ModuleType)
    @_take.register(Logger)
    def _(self, value: ModuleType | Logger) -> None:
        self._write(value.__name__ if isinstance(value, ModuleType) else value.name)

    @_take.register
    def _(self, value: fx.GraphModule) -> None:
        called = (node.target for node in value.graph.nodes if node.op == "call_function")
        self._write(value.code, value.training)
        self._add_all(*called, *map(dict, _parts(value)))

    @_take.register
    def _(self, value: ExportedProgram) -> None:
        self._write(value.graph_module.code, value.graph_signature, value.range_constraints)
        self._add_all(dict(value.state_dict), dict(value.constants))

    @_take.register
    def _(self, value: torch.jit.ScriptModule) -> None:
        raise UndigestedError(f"a {type(value).__qualname__}")


def _parts(module: nn.Module) -> tuple[Iterable[tuple[str, object]], ...]:
    return module.named_parameters(), module.named_buffers(), module.named_children()


def _is_versioned(value: Any) -> bool:
    return str(value.__module__).partition(".")[0] in VERSIONED


def _globals(function: FunctionType) -> Iterator[object]:
    """What a function's code names: globals, and what it takes out of modules, imported on the way or before."""
    names = sorted(_names(function.__code__))
    for name in names:
        found = function.__globals__.get(name, sys.modules.get(name))
        yield found
        if isinstance(found, ModuleType) and found.__name__.partition(".")[0] not in VERSIONED:
            yield from (vars(found)[each] for each in names if each in vars(found))


def _names(code: CodeType) -> set[str]:
    return set(code.co_names).union(*(_names(each) for each in code.co_consts if isinstance(each, CodeType)))
