"""``torch.compile(model, backend="dydca")``: graphs of TorchDynamo through the native plan, never back to PyTorch.

TorchDynamo hands over a graph whose parameters, buffers and symbolic sizes are inputs. Each call binds them: a network
is compiled at the first call with these sizes, and the weights of that moment are its constants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses import FakeTensorMode

from dydca.api import compile
from dydca.compiled import CompiledNetwork
from dydca.errors import CaptureError


def backend(graph: fx.GraphModule, example_inputs: Sequence[Any], **options: Any) -> Callable[..., tuple[Any, ...]]:
    """Makes a graph of TorchDynamo a native network; registered as ``dydca``.

    Args:
        graph: As TorchDynamo captured it.
        example_inputs: For each placeholder a tensor, or a number for a size that changes from call to call.
        options: For `dydca.compile`: ``torch.compile(model, backend="dydca", options={"threads": 1})``.

    Returns:
        What TorchDynamo calls in place of the graph. A call raises CaptureError DYD852 if it is to record a gradient,
        DYD853 if a weight has changed since it was compiled in, and else what `dydca.compile` raises.
    """
    return _Specialized(graph, [_is_weight(value) for value in example_inputs], options.get("options") or options)


def _is_weight(value: object) -> bool:
    """Whether the value belongs to a module, by the mark that TorchDynamo sets on what modules own."""
    return isinstance(value, nn.Parameter) or getattr(value, "_dynamo_static_input_type", None) is not None


@dataclass(frozen=True)
class _Specialization:
    """A network for one combination of sizes.

    Attributes:
        network: Returns the tensors among the results, then the inputs that are written to.
        numbers: The results that are numbers, None in the place of tensors.
        written: Which of the tensors that change from call to call the graph writes to.
    """

    network: CompiledNetwork
    numbers: list[Any]
    written: list[int]

    def __call__(self, tensors: Sequence[Tensor]) -> tuple[Any, ...]:
        """Runs it, and writes to the inputs as the graph would."""
        returned = self.network(*tensors)
        results = iter(returned if isinstance(returned, tuple) else (returned,))
        values = tuple(next(results) if number is None else number for number in self.numbers)
        for place, result in zip(self.written, results, strict=True):
            tensors[place].copy_(result)
        return values


class _Specialized:
    """A graph, compiled for each combination of sizes that it was called with.

    Args:
        graph: With a placeholder for each argument.
        is_weight: Of each placeholder.
        options: For `dydca.compile`.
    """

    def __init__(self, graph: fx.GraphModule, is_weight: Sequence[bool], options: dict[str, Any]) -> None:
        self._graph, self._is_weight, self._options = graph, is_weight, options
        self._known: dict[tuple[object, ...], _Specialization] = {}
        self._versions: list[tuple[int, int]] = []

    def __call__(self, *values: Any) -> tuple[Any, ...]:
        """Runs what was compiled for these sizes."""
        if torch.is_grad_enabled() and any(isinstance(value, Tensor) and value.requires_grad for value in values):
            raise CaptureError("DYD852", "a compiled network records no gradients")
        pairs = list(zip(values, self._is_weight, strict=True))
        weights = [value for value, is_weight in pairs if is_weight]
        tensors = [value for value, is_weight in pairs if isinstance(value, Tensor) and not is_weight]
        versions = [(each.data_ptr(), 0 if each.is_inference() else each._version) for each in weights]
        if self._known and versions != self._versions:
            raise CaptureError("DYD853", "a weight has changed since the network was compiled")
        key = tuple(value.shape if isinstance(value, Tensor) else value for value in values)
        if key not in self._known:
            self._known[key], self._versions = self._specialize(pairs, tensors), versions
        return self._known[key](tensors)

    def _specialize(self, pairs: Iterable[tuple[Any, bool]], tensors: Sequence[Tensor]) -> _Specialization:
        module = _bound(self._graph, pairs)
        numbers = _keep_tensors(module)
        written = _written(module, tensors)
        places = module.graph.find_nodes(op="placeholder")
        output = module.graph.output_node()
        output.args = ((*output.args[0], *(places[place] for place in written)),)  # type: ignore[misc]
        module.recompile()
        patch = {str(node.target): tuple(tensor.shape) for node, tensor in zip(places, tensors, strict=True)}
        network = compile(module, [patch], example_inputs=tensors, **self._options)
        return _Specialization(network, numbers, written)


def _bound(graph: fx.GraphModule, values: Iterable[tuple[Any, bool]]) -> fx.GraphModule:
    """The graph with weights as constants and sizes as numbers; the tensors that are left are its inputs."""
    bound = fx.GraphModule(graph, fx.Graph())
    bound.graph.output(bound.graph.graph_copy(graph.graph, {}))
    places = bound.graph.find_nodes(op="placeholder")
    for number, (node, (value, is_weight)) in enumerate(zip(places, values, strict=True)):
        if isinstance(value, Tensor) and not is_weight:
            continue
        if is_weight:
            bound.register_buffer(name := f"weight{number}", value.detach())
            with bound.graph.inserting_before(node):
                node.replace_all_uses_with(bound.graph.get_attr(name))
        else:
            _fix(node, int(value))
        bound.graph.erase_node(node)
    return bound.eval()


def _fix(size: fx.Node, value: int | float | bool) -> None:
    """Lets all users of a symbolic size read a number, and works out what they compute of numbers alone."""
    for user in list(size.users):
        user.args, user.kwargs = fx.map_arg((user.args, user.kwargs), lambda node: value if node is size else node)
        if not isinstance(user.target, str) and user.target.__module__ == "_operator" and not user.all_input_nodes:
            _fix(user, user.target(*user.args))
            user.graph.erase_node(user)


def _keep_tensors(module: fx.GraphModule) -> list[Any]:
    """Lets the graph return its tensors alone; gives what it returned that is a number, None in place of tensors."""
    output = module.graph.output_node()
    results: Any = output.args[0]
    output.args = (tuple(result for result in results if isinstance(result, fx.Node)),)
    module.recompile()
    return [None if isinstance(result, fx.Node) else result for result in results]


def _written(module: fx.GraphModule, tensors: Sequence[Tensor]) -> list[int]:
    """Which inputs the graph writes to, found by running it without data."""
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, torch.no_grad():
        inputs = [mode.from_tensor(tensor) for tensor in tensors]
        before = [each._version for each in inputs]
        module(*inputs)
    return [place for place, each in enumerate(inputs) if each._version != before[place]]
