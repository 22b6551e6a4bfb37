"""The tensors a network takes: their names, element types and ranks."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence

import sympy
import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from dydca.errors import ShapeError
from dydca.program import Input
from dydca.shapes import AnyShape, Declared, Dim, dim_names, parse_patches, parse_size

PatchShapes = Sequence[AnyShape | Mapping[str, AnyShape]]


def read_signature(
    module: nn.Module, patch_shapes: PatchShapes, example_inputs: Sequence[Tensor] | None
) -> tuple[tuple[Input, ...], Declared]:
    """The inputs of forward that the patches or the examples name, and the patches.

    Raises:
        ShapeError: DYD106, DYD201.
    """
    names = _input_names(module, patch_shapes, example_inputs)
    known = {name: _known_sizes(module, patch_shapes, example_inputs, axis) for axis, name in enumerate(names)}
    declared = parse_patches(patch_shapes, known)
    ranks = list(map(len, [*declared.patches, *(span.shapes for span in declared.ranges)][0]))
    dtypes = [tensor.dtype for tensor in example_inputs or ()] or [torch.float32] * len(names)
    inputs = []
    for name, dtype, rank in zip(names, dtypes, ranks, strict=True):
        axes = dim_names(rank, f"_{name}" if len(names) > 1 else "")
        inputs.append(Input(name, dtype, tuple(sympy.Symbol(axis, integer=True, positive=True) for axis in axes)))
    return tuple(inputs), declared


def _input_names(
    module: nn.Module, patch_shapes: PatchShapes, example_inputs: Sequence[Tensor] | None
) -> tuple[str, ...]:
    """The tensor arguments of forward: those the patches name, else as many as there are examples, else one."""
    parameters = [
        parameter.name
        for parameter in inspect.signature(module.forward).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ] or ["x"]
    named = next((entry for entry in patch_shapes if isinstance(entry, Mapping)), None)
    if named is not None and not set(named) <= set(parameters):
        raise ShapeError("DYD201", "the patch names an input that forward has not", got=sorted(named), want=parameters)
    if named is not None:
        return tuple(name for name in parameters if name in named)
    return tuple(parameters[: len(example_inputs)] if example_inputs else parameters[:1])


def _known_sizes(
    module: nn.Module, patch_shapes: PatchShapes, example_inputs: Sequence[Tensor] | None, axis: int
) -> Sequence[int]:
    """Rank and channels of an input as far as they can be told; -1 for a size that is free, () for nothing."""
    if example_inputs:
        shape = example_inputs[axis].shape
        return (*shape[:2], -1, -1) if len(shape) == 4 else (-1,) * len(shape)
    if isinstance(module, fx.GraphModule) and isinstance(value := _placeholders(module)[axis].meta.get("val"), Tensor):
        return tuple(size if isinstance(size, int) else -1 for size in value.shape)
    short = [entry for entry in patch_shapes if not isinstance(entry, Mapping) and len(entry) == 2]
    return (1, _channels(module, [parse_size(size) for size in short[0]]), -1, -1) if short else ()


def _placeholders(module: fx.GraphModule) -> list[fx.Node]:
    return list(module.graph.find_nodes(op="placeholder"))


def _channels(module: nn.Module, size: Sequence[int | Dim]) -> int:
    """The one number of input channels the network accepts among those its convolutions suggest, else -1."""
    wanted = {part.in_channels for part in module.modules() if isinstance(part, nn.Conv2d)}
    shuffled = {c // r**2 for c in wanted for r in (2, 3, 4) if c % r**2 == 0}
    known = [entry.sizes[0] if isinstance(entry, Dim) else entry for entry in size]
    accepted = [c for c in sorted(wanted | shuffled | {1, 3}) if _runs(module, (1, c, *known))]
    return accepted[0] if len(accepted) == 1 else -1


def _runs(module: nn.Module, shape: Sequence[int]) -> bool:
    try:
        with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
            module(torch.empty(*shape))
    except Exception:  # any refusal of the user's network, of whatever type, means: not this number of channels
        return False
    return True
