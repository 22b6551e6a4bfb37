"""From an exported program to a graph that holds its own constants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram

from dydca.capture.functionalize import CONSTANTS
from dydca.capture.results import user_results
from dydca.program import Graph

aten = torch.ops.aten
_SAME = (aten.detach.default, aten.alias.default, aten.lift_fresh.default, aten.lift_fresh_copy.default)


def placeholders(program: ExportedProgram) -> list[fx.Node]:
    """What the program's graph reads: constants and inputs."""
    return list(program.graph.find_nodes(op="placeholder"))


def unlifted(program: ExportedProgram, source: fx.Graph, names: Sequence[str]) -> Graph:
    """A graph with parameters as named constants and only the user's outputs.

    Args:
        program: Owner of the parameters.
        source: Its graph, or one with the same placeholders and outputs.
        names: For the inputs.
    """
    constants: dict[str, Tensor] = {}
    replaced: dict[fx.Node, str] = {}
    for node, spec in zip(source.find_nodes(op="placeholder"), program.graph_signature.input_specs, strict=True):
        if spec.kind in CONSTANTS:
            stored = program.state_dict if spec.target in program.state_dict else program.constants
            name = str(spec.target).removeprefix("network.").replace(".", "_")
            constants[name], replaced[node] = stored[spec.target].detach(), name
    graph, unnamed = fx.Graph(), iter(names)
    copies: dict[fx.Node, Any] = {}
    for node in source.nodes:
        if node.op == "output":
            graph.output(tuple(copies[result] for result in user_results(program, node)))
        elif node in replaced:
            copies[node] = graph.get_attr(replaced[node])
        elif node.op == "placeholder":
            copies[node] = graph.placeholder(next(unnamed))
        elif node.target in _SAME:
            copies[node] = copies[node.args[0]]
        else:
            copies[node] = graph.node_copy(node, copies.__getitem__)
            trace = node.meta.get("stack_trace")
            copies[node].meta = {"stack_trace": trace} if trace else {}
    result = Graph(graph, constants)
    result.sweep()
    return result
