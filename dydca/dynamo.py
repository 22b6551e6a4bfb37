"""``torch.compile(model, backend="dydca")``: graphs of TorchDynamo through the native plan, never back to PyTorch.

TorchDynamo hands over a graph whose parameters, buffers and symbolic sizes are inputs. Each call binds them: a network is
compiled for the sizes of the tensors at the first call that has them, with the weights of that moment as constants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

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


class _Specialized:
    """A graph with one network for each combination of sizes it was called with.

    Args:
        graph: With a placeholder for each argument.
        is_weight: Of each placeholder.
        options: For `dydca.compile`.
    """

    def __init__(self, graph: fx.GraphModule, is_weight: Sequence[bool], options: dict[str, Any]) -> None:
        self._graph, self._is_weight, self._options = graph, is_weight, options
        self._networks: dict[tuple[object, ...], tuple[CompiledNetwork, list[Any]]] = {}
        self._versions: list[tuple[int, int]] = []

    def __call__(self, *values: Any) -> tuple[Any, ...]:
        """Runs the network for these sizes."""
        if torch.is_grad_enabled() and any(isinstance(value, Tensor) and value.requires_grad for value in values):
            raise CaptureError("DYD852", "a compiled network records no gradients")
        versions = [(each.data_ptr(), 0 if each.is_inference() else each._version) for each in self._split(values)[0]]
        if self._networks and versions != self._versions:
            raise CaptureError("DYD853", "a weight has changed since the network was compiled")
        key = tuple(value.shape if isinstance(value, Tensor) else value for value in values)
        if key not in self._networks:
            self._networks[key], self._versions = self._compiled(values), versions
        network, numbers = self._networks[key]
        results = network(*self._split(values)[1])
        tensors = iter(results if isinstance(results, tuple) else (results,))
        return tuple(next(tensors) if number is None else number for number in numbers)

    def _split(self, values: Sequence[Any]) -> tuple[list[Tensor], list[Tensor]]:
        """Weights, and the tensors that change from call to call."""
        pairs = list(zip(values, self._is_weight, strict=True))
        changing = [value for value, is_weight in pairs if isinstance(value, Tensor) and not is_weight]
        return [value for value, is_weight in pairs if is_weight], changing

    def _compiled(self, values: Sequence[Any]) -> tuple[CompiledNetwork, list[Any]]:
        """The network, and what it returns beside tensors."""
        tensors = self._split(values)[1]
        module = _bound(self._graph, zip(values, self._is_weight, strict=True))
        numbers = _numbers(module.graph)
        module.recompile()
        names = [str(node.target) for node in module.graph.find_nodes(op="placeholder")]
        patch = {name: tuple(tensor.shape) for name, tensor in zip(names, tensors, strict=True)}
        return compile(module, [patch], example_inputs=tensors, **self._options), numbers


def _bound(graph: fx.GraphModule, values: Iterable[tuple[Any, bool]]) -> fx.GraphModule:
    """The graph with weights as constants and sizes as numbers; the tensors that are left are its inputs."""
    bound = fx.GraphModule(graph, fx.Graph())
    bound.graph.output(bound.graph.graph_copy(graph.graph, {}))
    for number, (node, (value, is_weight)) in enumerate(
        zip(bound.graph.find_nodes(op="placeholder"), values, strict=True)
    ):
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
        if (
            user.op == "call_function"
            and getattr(user.target, "__module__", None) == "_operator"
            and not user.all_input_nodes
        ):
            _fix(user, user.target(*user.args))
            user.graph.erase_node(user)


def _numbers(graph: fx.Graph) -> list[Any]:
    """What the graph returns where it is a number, None in the place of tensors; the graph keeps the tensors alone."""
    output = graph.output_node()
    results: Any = output.args[0]
    output.args = (tuple(result for result in results if isinstance(result, fx.Node)),)
    return [None if isinstance(result, fx.Node) else result for result in results]
