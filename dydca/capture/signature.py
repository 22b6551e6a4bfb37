"""What a network takes: the tensors among the arguments of forward, their element types and ranks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy
import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from dydca.capture.network import fresh_copy
from dydca.capture.onnx.network import OnnxNetwork
from dydca.errors import ShapeError
from dydca.inputs import Argument, Input, call
from dydca.runtime.structure import Structure
from dydca.shapes import Declared, Dim, dim_names, parse_patches, parse_size

PatchShapes = Sequence[Any]
"""Each entry a shape, or a mapping from the name of an argument to its shape, or to a nest of shapes."""

Examples = Sequence[Any] | Mapping[str, Any]


@dataclass(frozen=True)
class Signature:
    """The tensors in the order of the arguments, and how forward is called with them."""

    arguments: tuple[Argument, ...]
    inputs: tuple[Input, ...]

    def call(self, network: nn.Module, tensors: Sequence[Tensor]) -> Any:
        """Calls a network with one tensor per input."""
        return call(network, self.arguments, *tensors)


def read_signature(
    module: nn.Module, patch_shapes: PatchShapes, example_inputs: Examples | None
) -> tuple[Signature, Declared]:
    """The tensors that patches or examples give to forward, and the patches.

    Raises:
        ShapeError: DYD106, DYD201.
    """
    names, by_name = _argument_names(module, patch_shapes, example_inputs)
    examples = _by_name(names, example_inputs)
    shown = examples or next((dict(entry) for entry in patch_shapes if isinstance(entry, Mapping)), {})
    leaves: dict[str, Any] = {}
    structures = {
        name: _flatten(name, shown.get(name), leaves, _is_tensor if examples else _is_shape) for name in names
    }
    specimens = [leaf if isinstance(leaf, Tensor) else None for leaf in leaves.values()]
    known = dict(zip(leaves, _known_sizes(module, patch_shapes, specimens), strict=True))
    declared = parse_patches([_flat_entry(entry) for entry in patch_shapes], known)
    ranks = map(len, [*declared.patches, *(span.shapes for span in declared.ranges)][0])
    dtypes = _dtypes(module, specimens)
    inputs = []
    for name, dtype, rank in zip(leaves, dtypes, ranks, strict=True):
        axes = dim_names(rank, f"_{name}" if len(leaves) > 1 else "")
        inputs.append(Input(name, dtype, tuple(sympy.Symbol(axis, integer=True, positive=True) for axis in axes)))
    arguments = tuple(Argument(name, structure, name in by_name) for name, structure in structures.items())
    return Signature(arguments, tuple(inputs)), declared


def _argument_names(
    module: nn.Module, patch_shapes: PatchShapes, examples: Examples | None
) -> tuple[list[str], set[str]]:
    """The arguments that are given, in forward's order: those the patches or examples name, else all it must have.

    Also those of them that have to be given by name: any behind one that is left out.
    """
    parameters = [p for p in inspect.signature(module.forward).parameters.values() if p.kind is not p.VAR_KEYWORD]
    every = [parameter.name for parameter in parameters] or ["x"]
    positional = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY] or ["x"]
    required = [parameter.name for parameter in parameters if parameter.default is parameter.empty]
    named = next((entry for entry in (*patch_shapes, examples) if isinstance(entry, Mapping)), None)
    if named is not None and not set(named) <= set(every):
        raise ShapeError("DYD201", "the patch names an input that forward has not", got=sorted(named), want=every)
    if named is not None:
        names = [name for name in every if name in named]
    else:
        names = positional[: len(examples)] if examples else required or every[:1]
    first_gap = next((place for place, name in enumerate(positional) if name not in names), len(positional))
    return names, set(names) - set(positional[:first_gap])


def _by_name(names: Sequence[str], examples: Examples | None) -> dict[str, Any]:
    if not examples:
        return {}
    return dict(examples) if isinstance(examples, Mapping) else dict(zip(names, examples, strict=False))


def _flatten(name: str, value: Any, leaves: dict[str, Any], is_leaf: Callable[[Any], bool]) -> Structure:
    """The structure of an argument; puts its leaves among the others, named after the way to them."""
    if value is None or is_leaf(value):
        leaves[name] = value
        return len(leaves) - 1
    if isinstance(value, Mapping):
        return {"dict": {key: _flatten(f"{name}_{key}", part, leaves, is_leaf) for key, part in value.items()}}
    if not isinstance(value, Sequence):
        raise ShapeError("DYD201", f"{name} is neither a tensor nor a nest of tensors", got=type(value).__name__)
    parts = [_flatten(f"{name}_{place}", part, leaves, is_leaf) for place, part in enumerate(value)]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {"named": type(value).__name__, "fields": dict(zip(value._fields, parts, strict=True))}
    return {"tuple" if isinstance(value, tuple) else "list": parts}


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def _is_shape(value: Any) -> bool:
    """Sizes, rather than shapes; what is neither is refused with the patches."""
    if isinstance(value, str) or not isinstance(value, Mapping | Sequence):
        return True
    return not isinstance(value, Mapping) and not any(isinstance(part, Mapping | Sequence) for part in value)


def _flat_entry(entry: Any) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    leaves: dict[str, Any] = {}
    for name, value in entry.items():
        _flatten(name, value, leaves, _is_shape)
    return leaves


def _dtypes(module: nn.Module, specimens: Sequence[Tensor | None]) -> list[torch.dtype]:
    stated = [dtype for dtype, _ in _stated(module)]
    stated = stated if len(stated) == len(specimens) else [torch.float32] * len(specimens)
    return [own if shown is None else shown.dtype for shown, own in zip(specimens, stated, strict=True)]


def _known_sizes(
    module: nn.Module, patch_shapes: PatchShapes, specimens: Sequence[Tensor | None]
) -> list[Sequence[int]]:
    """Rank and channels of each input as far as they can be told; -1 for a size that is free, () for nothing."""
    stated = _stated(module)
    if len(stated) == len(specimens) and None in specimens:
        return [sizes for _, sizes in stated]
    short = [entry for entry in patch_shapes if not isinstance(entry, Mapping) and len(entry) == 2]
    if len(specimens) == 1 and specimens[0] is None and short:
        return [(1, _channels(module, [parse_size(size) for size in short[0]]), -1, -1)]
    return [() if shown is None else _of_example(shown) for shown in specimens]


def _of_example(tensor: Tensor) -> Sequence[int]:
    return (*tensor.shape[:2], -1, -1) if tensor.dim() == 4 else (-1,) * tensor.dim()


def _stated(module: nn.Module) -> Sequence[tuple[torch.dtype, tuple[int, ...]]]:
    """Element types and sizes of the inputs as a graph says them, -1 for a size that is free."""
    if isinstance(module, OnnxNetwork):
        return module.stated_inputs
    if not isinstance(module, fx.GraphModule):
        return []
    values = [node.meta.get("val") for node in module.graph.find_nodes(op="placeholder")]
    tensors = [value for value in values if isinstance(value, Tensor)]
    free = [tuple(size if isinstance(size, int) else -1 for size in tensor.shape) for tensor in tensors]
    return [(t.dtype, sizes) for t, sizes in zip(tensors, free, strict=True)] if len(tensors) == len(values) else []


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
            fresh_copy(module)(torch.empty(*shape))
    except Exception:  # any refusal of the user's network, of whatever type, means: not this number of channels
        return False
    return True
