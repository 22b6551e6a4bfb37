"""The region of patches that take an exported path, as conditions on the dimension symbols of a program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import sympy
import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from dydca.capture.decisions import is_users
from dydca.capture.lifting import placeholders
from dydca.inputs import Input
from dydca.program import Guard


def read_region(program: ExportedProgram, inputs: Sequence[Input]) -> tuple[Guard, ...]:
    """The conditions PyTorch assumed about the sizes of the inputs."""
    values = [
        node.meta["val"]
        for node, spec in zip(placeholders(program), program.graph_signature.input_specs, strict=True)
        if spec.kind == InputKind.USER_INPUT
    ]
    own: dict[sympy.Basic, sympy.Symbol] = {}
    guards: list[Guard] = []
    sizes = [size for value in values for size in value.shape]
    for size, dim in zip(sizes, [dim for own in inputs for dim in own.dims], strict=True):
        expression = size.node.expr if isinstance(size, torch.SymInt) else sympy.Integer(size)
        if expression.is_Symbol and expression not in own:
            own[expression] = dim
        else:
            guards.append(Guard(sympy.Eq(dim, expression.xreplace(own))))
    guards += _ranges(program, own)
    guards += _conditions(values, own)
    return tuple(guard for guard in dict.fromkeys(guards) if guard.condition != sympy.true)


def _ranges(program: ExportedProgram, own: dict[sympy.Basic, sympy.Symbol]) -> Iterator[Guard]:
    for symbol, interval in program.range_constraints.items():
        if symbol in own:
            yield Guard(sympy.Ge(own[symbol], interval.lower))
            if interval.upper.is_Integer:
                yield Guard(sympy.Le(own[symbol], interval.upper))


def _conditions(values: Sequence[Tensor], own: dict[sympy.Basic, sympy.Symbol]) -> Iterator[Guard]:
    """The relations met on the way; in user code they carry its line, in operators they do not."""
    sizes: list[Any] = [size for value in values for size in value.shape]  # torch types every size as int
    environments = {size.node.shape_env for size in sizes if isinstance(size, torch.SymInt)}
    known = set(own.values())  # a size PyTorch fixed to a number is guarded as such already
    for environment, guard in [(each, guard) for each in environments for guard in each.guards]:
        frame = guard.sloc.framework_loc
        users = frame is not None and hasattr(frame, "filename") and is_users(frame.filename)
        line = f"{Path(frame.filename).name}:{frame.lineno}" if users else None
        condition = environment.simplify(guard.expr).xreplace(own)
        if condition.free_symbols <= known:
            yield Guard(condition, line)
