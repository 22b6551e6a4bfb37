"""The oracle of the analysis: run the graph in PyTorch and compare every value with what was predicted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sympy
import torch
from torch import Tensor, fx, nn
from torch.fx import Node

from dydca.analysis import Fact, Facts, analyze_patch, analyze_route
from dydca.capture import capture
from dydca.program import Program
from dydca.shapes import Shape


class Calls(nn.Module):
    """A network made of one function, and of the modules it is handed."""

    def __init__(self, function: Callable[..., Any], *parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Any:
        """Calls the function."""
        return self.function(x, *self.parts)


class Recorder(fx.Interpreter):
    """Runs a graph and keeps every value."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.values: dict[str, Any] = {}

    def run_node(self, n: Node) -> Any:
        """Runs one node."""
        self.values[n.name] = value = super().run_node(n)
        return value


def check_agreement(model: nn.Module, patches: Sequence[Shape | Mapping[str, Shape]]) -> Program:
    """Compares the facts of every node, concrete and symbolic, with eager execution on every patch."""
    program = capture(model, patches)
    for route, patch in program.patches:
        recorder = Recorder(route.graph.module())
        with torch.no_grad():
            recorder.run(*(torch.rand(shape).to(spec.dtype) for shape, spec in zip(patch, program.inputs, strict=True)))
        concrete, symbolic = analyze_patch(program, route, patch), analyze_route(program, route)
        assert not concrete.assumptions
        sizes = {dim: sympy.Integer(size) for dim, size in program.sizes(patch).items()}
        for entry in symbolic.assumptions:
            assert entry.condition.xreplace(sizes) == sympy.true, entry
        for node in route.graph:
            value = recorder.values.get(node.name)
            if node.op in ("call_function", "placeholder", "get_attr"):
                _compare(node, concrete, concrete[node], value, {})
                _compare(node, symbolic, symbolic[node], value, sizes)
    return program


def lies_within(value: Tensor, fact: Fact) -> bool:
    """Whether no element lies outside the bounds of its entry, or is not a number where all are."""
    if not value.numel() or value.is_complex():
        return True
    bounds = fact.bounds
    low, high = torch.from_numpy(bounds.ends.copy())
    if bounds.axis is not None:
        low, high = (end.reshape(-1, *[1] * (-bounds.axis - 1)) for end in (low, high))
    elements = value.double()
    inside = (low <= elements) & (elements <= high)
    return bool((inside | elements.isnan() if bounds.nan else inside).all())


def _compare(node: Node, facts: Facts, fact: Fact, value: Any, sizes: dict[sympy.Symbol, sympy.Integer]) -> None:
    if isinstance(value, Tensor):
        predicted = tuple(_number(size, sizes) for size in fact.shape)
        assert len(predicted) == value.dim(), (node.format_node(), predicted, tuple(value.shape))
        fresh = any(isinstance(size, sympy.Basic) for size in predicted)
        assert fresh or predicted == tuple(value.shape), (node.format_node(), fact.shape, tuple(value.shape))
        assert not fresh or sizes or "nonzero" in str(node.target) or "index" in str(node.target), node.format_node()
        assert fact.dtype == value.dtype, (node.format_node(), fact.dtype, value.dtype)
        assert lies_within(value, fact), (node.format_node(), str(fact.bounds))
        if fact.value is not None:
            known = [_number(entry, sizes) for entry in fact.value] if value.dim() else _number(fact.value, sizes)
            assert known == value.tolist(), (node.format_node(), known, value)
    elif isinstance(value, list | tuple):
        assert len(fact.items) == len(value), node.format_node()
        for item, part in zip(fact.items, value, strict=True):
            _compare(node, facts, item, part, sizes)
    elif value is not None:
        assert _number(fact.value, sizes) == value, (node.format_node(), fact.value, value)
        assert isinstance(value, float) or float(_number(fact.value, sizes)).is_integer()


def _number(size: Any, sizes: dict[sympy.Symbol, sympy.Integer]) -> Any:
    if not isinstance(size, sympy.Basic):
        return size
    result = size.xreplace(sizes)
    if result in (sympy.true, sympy.false):
        return bool(result)
    if not result.is_number:
        return result
    return int(result) if result.is_Integer else float(result)
