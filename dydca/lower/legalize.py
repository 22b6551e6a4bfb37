"""Operators without a template of ours: TVM's own legalisation gives coverage, our schedule the loops.

Convolutions and matrix products never come here: unscheduled they would be a hundred times too slow.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod

import numpy as np
import torch
from torch import fx
from torch._decomp import get_decompositions
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.errors import LoweringError
from dydca.lower.calls import Call, Value, Weight
from dydca.lower.indices import with_safe_indices
from dydca.lower.kernels.copy import Copy
from dydca.lower.kernels.nest import LegalizedNest
from dydca.lower.targets import Target
from dydca.lower.tvm_api import Nest, Operand, legalized_nests
from dydca.program import Graph, arguments, op_name, where

aten = torch.ops.aten

MULTIPLIES = frozenset(
    {"conv1d", "conv2d", "conv3d", "convolution", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
    | {"linear", "matmul", "mm", "bmm", "addmm", "baddbmm", "einsum", "scaled_dot_product_attention"}
)
"""Operators that must have a template; TVM's default schedule is never run for them."""

RESIZES = (aten.upsample_nearest2d.vec, aten.upsample_bilinear2d.vec)
"""Resizes that TVM has operators of its own for."""


def legalize(
    graph: Graph, facts: Facts, node: Node, reads: Mapping[Node, Value], results: list[Value], target: Target
) -> list[Call]:
    """Calls that compute `node` from plain values into `results`.

    Raises:
        LoweringError: DYD401, the operator needs a template and has none, or TVM does not know it.
    """
    if op_name(node) in MULTIPLIES:
        got = f"{op_name(node)} of {', '.join(str(facts[operand].shape) for operand in node.all_input_nodes)}"
        raise LoweringError("DYD401", "no kernel template for this product", where=where(node), got=got)
    try:
        nests, outputs = _legalized(_alone(graph, facts, node, tuple(reads)), target.lanes)
    except Exception as error:  # TVM raises what it likes for an operator it does not know
        message = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise LoweringError("DYD401", "TVM does not know this operator", where=where(node), got=message) from error
    values: dict[object, Value | Weight] = {("input", number): value for number, value in enumerate(reads.values())}
    computed = {operand.key for nest in nests for operand in nest.writes}
    copied = []  # what is folded to a constant, or handed through, no nest computes
    for operand, result in zip(outputs, results, strict=True):
        if operand.key in computed and (operand.kind, operand.key) not in values:
            values[operand.kind, operand.key] = result
        else:
            copied.append((operand, result))
    calls = [
        Call(
            LegalizedNest(nest.text, nest),
            [_held(values, operand, node) for operand in nest.reads],
            [_held(values, operand, node) for operand in nest.writes],  # type: ignore[misc]  # no constant is written
            (node.name,),
        )
        for nest in nests
    ]
    for operand, result in copied:
        kernel = Copy(prod(result.shape) * result.itemsize)
        calls.append(Call(kernel, [_held(values, operand, node)], [result], (node.name,)))
    return calls


@dataclass(frozen=True)
class _Single:
    """One operator with its constants as a module of its own; equal for equal work, on whatever route it is met.

    Attributes:
        text: The operator with its arguments, shapes and element types of the tensors among them.
        constants: Identities of the constants, which `module` keeps alive.
        module: What is exported.
        examples: Inputs to export it with.
    """

    text: str
    constants: tuple[int, ...]
    module: fx.GraphModule = field(compare=False)
    examples: tuple[torch.Tensor, ...] = field(compare=False)


@lru_cache(maxsize=512)
def _legalized(single: _Single, lanes: int) -> tuple[list[Nest], list[Operand]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(single.module, single.examples, strict=False)
        if any(_is_uneven_resize(node, single.examples[0]) for node in program.graph.nodes):
            program = program.run_decompositions(get_decompositions(list(RESIZES)))
        return legalized_nests(program, lanes)


def _is_uneven_resize(node: Node, picture: torch.Tensor) -> bool:
    """A resize by a factor that gives no whole size: PyTorch samples by the factor, TVM by the sizes."""
    if node.target not in RESIZES:
        return False
    factors = arguments(node)["scale_factors"] or ()
    return any(size * factor % 1 for size, factor in zip(picture.shape[2:], factors, strict=False))


def _alone(graph: Graph, facts: Facts, node: Node, inputs: tuple[Node, ...]) -> _Single:
    alone, root = fx.Graph(), torch.nn.Module()
    copies = {operand: alone.placeholder(f"x{number}") for number, operand in enumerate(inputs)}
    constants = [operand for operand in node.all_input_nodes if operand not in copies]
    for number, operand in enumerate(constants):
        root.register_buffer(f"constant{number}", graph.constants[str(operand.target)])
        copies[operand] = alone.get_attr(f"constant{number}")
    copy = alone.node_copy(node, copies.__getitem__)
    if copies:
        first = node.all_input_nodes[0]
        types = {copied: facts[operand].dtype or torch.float32 for operand, copied in copies.items()}
        with_safe_indices(alone, copy, facts.shape(first), types)
    alone.output(_without_alpha(alone, copy))
    examples = tuple(torch.zeros(facts.shape(operand), dtype=facts[operand].dtype) for operand in inputs)
    operands = fx.node.map_arg((node.args, node.kwargs), lambda operand: copies[operand].name)
    text = f"{node.target} {operands} {[(example.shape, example.dtype) for example in examples]}"
    held = tuple(id(graph.constants[str(operand.target)]) for operand in constants)
    return _Single(text, held, fx.GraphModule(root, alone), examples)


def _without_alpha(graph: fx.Graph, node: Node) -> Node:
    """``a + alpha * b`` as a product and a sum: TVM's importer reads past `alpha`."""
    if op_name(node) not in ("add", "sub", "rsub") or (alpha := arguments(node)["alpha"]) == 1:
        return node
    kept, scaled = node.args[:2] if op_name(node) != "rsub" else node.args[1::-1]
    factor = alpha if op_name(node) == "add" else -alpha
    if not isinstance(scaled, Node):
        return graph.call_function(aten.add.Tensor, (kept, scaled * factor))
    return graph.call_function(aten.add.Tensor, (graph.call_function(aten.mul.Tensor, (scaled, factor)), kept))


def _held(values: dict[object, Value | Weight], operand: Operand, node: Node) -> Value | Weight:
    if operand.data is not None:
        return Weight(f"{node.name}_constant", np.ascontiguousarray(operand.data))
    key = (operand.kind, operand.key)
    if key not in values:
        values[key] = Value(f"{node.name}_{operand.key}", operand.shape, itemsize=np.dtype(operand.dtype).itemsize)
    return values[key]
