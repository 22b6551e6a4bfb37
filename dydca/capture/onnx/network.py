"""An ONNX graph as a torch module."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from dydca.capture.onnx import arithmetic, convolution, layout, resize, selection  # noqa: F401  # they fill the table
from dydca.capture.onnx.numbers import Numbers, Value, tensor_of
from dydca.capture.onnx.table import OPERATORS, Node

MAX_STEPS = 1024
"""Of a loop, which is unrolled."""


@dataclass(frozen=True)
class Body:
    """A graph, be it the model's own or an arm of a node.

    Attributes:
        inputs: Names of what it is given.
        nodes: In an order in which they can run.
        outputs: Names of what it returns.
        tensors: Where the module keeps each constant that is not among `numbers`.
        numbers: Constants of few numbers.
    """

    inputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    tensors: Mapping[str, str]
    numbers: Mapping[str, Numbers] = field(default_factory=dict)


class OnnxNetwork(nn.Module):
    """Runs an ONNX model with torch functions.

    An ``If`` asks its predicate as Python does, so that each arm becomes a route; a ``Loop`` is unrolled.

    Args:
        file: What the lines of its nodes are called after.
        body: The graph.
        constants: Its tensors, by the names that `body.tensors` gives.
        inputs: Element type and sizes of each input, -1 for a size that is free.
    """

    def __init__(
        self,
        file: str,
        body: Body,
        constants: Mapping[str, Tensor],
        inputs: Sequence[tuple[torch.dtype, tuple[int, ...]]],
    ) -> None:
        super().__init__()
        self.file, self.body, self.stated_inputs = file, body, tuple(inputs)
        for path, tensor in constants.items():
            owner: nn.Module = self
            *parents, name = path.split(".")
            for parent in parents:
                if not hasattr(owner, parent):
                    owner.add_module(parent, nn.Module())
                owner = getattr(owner, parent)
            if tensor.is_floating_point():
                owner.register_parameter(name, nn.Parameter(tensor, requires_grad=False))
            else:
                owner.register_buffer(name, tensor)

    def forward(self, *tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The outputs of the model; one alone is bare."""
        results = tuple(map(tensor_of, self.run(self.body, tensors, {})))
        return results[0] if len(results) == 1 else results

    def run(self, body: Body, given: Sequence[Value], outer: Mapping[str, Value]) -> list[Value]:
        """Runs a graph; `outer` are the values around it."""
        values: dict[str, Value] = {**outer, **body.numbers}
        values |= {name: attrgetter(path)(self) for name, path in body.tensors.items()}
        values |= zip(body.inputs, given, strict=True)
        for number, node in enumerate(body.nodes, 1):
            results = _on_line(self.file, node.name, number)(self._run, node, values)
            values |= zip(node.outputs, results, strict=False)
        return [values[name] for name in body.outputs]

    def _run(self, node: Node, values: Mapping[str, Value]) -> Sequence[Value]:
        if node.operator == "If":
            arm = node.get("then_branch" if _truth(values[node.inputs[0]]) else "else_branch")
            return self.run(arm, (), values)
        if node.operator == "Loop":
            return self._loop(node, values)
        operands = [values[name] if name else None for name in node.inputs]
        results = OPERATORS[node.operator](node, *operands)
        return results if isinstance(results, list | tuple) else (results,)

    def _loop(self, node: Node, values: Mapping[str, Value]) -> Sequence[Value]:
        body, carried = node.get("body"), [values[name] for name in node.inputs[2:]]
        count = node.numbers(values[node.inputs[0]], 0) if node.inputs[0] else (MAX_STEPS,)
        going: Value = values[node.inputs[1]] if node.inputs[1] else None
        if len(body.outputs) > 1 + len(carried):
            node.refuse("results of every step")
        if count is None or type(count[0]) is not int:
            node.refuse("a number of steps that sizes tell")
        for step in range(min(count[0], MAX_STEPS)):
            if going is not None and not _truth(going):
                return carried
            going, *carried = self.run(body, (Numbers((step,), torch.int64, True), going, *carried), values)
        if count[0] > MAX_STEPS:
            node.refuse(f"more than {MAX_STEPS} steps")
        return carried


def _truth(value: Value) -> bool:
    if isinstance(value, Numbers):
        return bool(value.values[0])
    return bool(tensor_of(value).reshape(()))


@cache
def _on_line(file: str, name: str, number: int) -> Any:
    """A function whose frame bears the name of a node, so that everything made in it is blamed on the node."""
    label = f"{file}[{name.strip('/').replace('/', '.')}]"
    made: dict[str, Any] = {}
    text = "\n" * (number - 1) + "def forward(run, *operands): return run(*operands)"  # torch keeps frames so called
    exec(compile(text, label, "exec"), made)  # the text is this one
    return made["forward"]


def network_type(names: Sequence[str]) -> type[OnnxNetwork]:
    """A network whose forward takes arguments of these names."""
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]

    def forward(self: OnnxNetwork, *tensors: Tensor) -> Any:
        return OnnxNetwork.forward(self, *tensors)

    forward.__signature__ = inspect.Signature([own, *parameters])  # type: ignore[attr-defined]  # inspect reads it
    return type("OnnxNetwork", (OnnxNetwork,), {"forward": forward})
