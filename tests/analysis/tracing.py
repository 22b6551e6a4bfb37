"""Graphs of functions and networks for concrete sizes, quicker than by capture."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx

from dydca.analysis import Facts, analyze
from dydca.analysis.facts import Fact
from dydca.analysis.intervals import Interval, spanning
from dydca.program import Graph


def traced(function: Callable[..., Any], *inputs: Tensor) -> Graph:
    """The graph of a function that writes nowhere in place, in a few milliseconds."""
    return _as_graph(make_fx(lambda *given: _listed(function(*given)), pre_dispatch=True)(*inputs))


def exported(model: nn.Module, *inputs: Tensor) -> Graph:
    """The graph of a whole network; its writes in place are made functional."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.export.export(model, inputs, strict=False).run_decompositions({})
        return _as_graph(program.module())


def _as_graph(module: fx.GraphModule) -> Graph:
    graph, copies = fx.Graph(), dict[fx.Node, Any]()
    constants: dict[str, Tensor] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            name = str(node.target).replace(".", "_")
            constants[name] = attrgetter(str(node.target))(module).detach()
            copies[node] = graph.get_attr(name)
        elif node.op == "output":
            graph.output(tuple(copies[result] for result in _listed(node.args[0])))
        elif node.op != "call_module":  # torch.export puts a check of the inputs there
            copies[node] = graph.node_copy(node, copies.__getitem__)
            copies[node].meta = {}
    result = Graph(graph, constants)
    result.sweep()
    return result


def _listed(result: Any) -> list[Any]:
    return list(result) if isinstance(result, list | tuple) else [result]


def facts_of(graph: Graph, *inputs: Tensor, interval: Interval | None = None) -> Facts:
    """The facts at the inputs' sizes, all inputs within one interval."""
    return analyze(graph, [Fact(tuple(x.shape), x.dtype, interval=interval) for x in inputs])


def interval_after(function: Callable[..., Any], shape: tuple[int, ...], low: float, high: float) -> Interval:
    """What the first result of the function lies between, for one input in ``low..high``."""
    x = torch.rand(shape)
    with torch.no_grad():
        graph = traced(function, x)
    return facts_of(graph, x, interval=spanning(low, high))[graph.outputs[0]].bounds
