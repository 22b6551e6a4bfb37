"""What forward returns, as the structure of the tensors that a graph returns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind
from torch.utils._pytree import TreeSpec

from dydca.errors import CaptureError
from dydca.runtime.structure import CONSTANTS, Structure


def user_results(program: ExportedProgram, output: fx.Node) -> Iterator[fx.Node]:
    """The tensors among the results, and behind them the predicates.

    Raises:
        CaptureError: DYD111, a result is a size.
    """
    results: Any = output.args[0]  # torch types it as any argument
    for value, spec in zip(results, program.graph_signature.output_specs, strict=True):
        if spec.kind == OutputKind.USER_OUTPUT and isinstance(value, fx.Node):
            if not isinstance(value.meta["val"], torch.Tensor):
                raise CaptureError("DYD111", "forward returns a size", got=str(value.meta["val"]), want="a tensor")
            yield value


def result_structure(program: ExportedProgram) -> tuple[Structure, tuple[str | None, ...]]:
    """The structure, and for each of its tensors the keys that lead to it as a name, None where there is none.

    Raises:
        CaptureError: DYD111, it is of a kind that a compiled network cannot return.
    """
    specs = program.graph_signature.output_specs
    values = [spec.arg for spec in specs if spec.kind == OutputKind.USER_OUTPUT]
    assert program.call_spec.out_spec is not None  # what was exported returns a tuple
    reader = _Reader(values)
    return reader.read(program.call_spec.out_spec.child(0)), tuple(reader.names)


class _Reader:
    def __init__(self, values: Sequence[Any]) -> None:
        self.values = iter(values)
        self.names: list[str | None] = []

    def read(self, spec: TreeSpec, keys: tuple[Any, ...] = ()) -> Structure:
        if spec.is_leaf():
            return self._leaf(next(self.values), keys)
        children = spec.children()
        if spec.type in (tuple, list):
            return {spec.type.__name__: [self.read(child, (*keys, place)) for place, child in enumerate(children)]}
        if isinstance(spec.type, type) and issubclass(spec.type, dict):
            names = spec.context[1] if spec.type is defaultdict else spec.context  # of that its factory comes first
            return {"dict": self._fields(names, children, keys)}
        if fields := getattr(spec.context, "_fields", None):
            return {"named": spec.context.__name__, "fields": self._fields(fields, children, keys)}
        raise CaptureError("DYD111", "forward returns what compiled code cannot make", got=spec.type.__name__)

    def _fields(
        self, names: Sequence[Any], children: Sequence[TreeSpec], keys: tuple[Any, ...]
    ) -> dict[str, Structure]:
        if not all(isinstance(name, str) for name in names):
            raise CaptureError("DYD111", "forward returns a dictionary with other keys than text", got=names)
        return {name: self.read(child, (*keys, name)) for name, child in zip(names, children, strict=True)}

    def _leaf(self, value: Any, keys: tuple[Any, ...]) -> Structure:
        if hasattr(value, "value"):  # a constant, as far as torch.export is concerned
            if not isinstance(value.value, CONSTANTS):
                raise CaptureError("DYD111", "forward returns what compiled code cannot make", got=repr(value.value))
            return {"constant": value.value}
        named = keys and all(isinstance(key, str) for key in keys)
        self.names.append("_".join(keys) if named else None)
        return len(self.names) - 1
