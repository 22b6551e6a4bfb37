"""Gathers what the analysis knows of a network into a report."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import Node

from dydca.analysis import Fact, Facts, Size, analyze_patch, analyze_route
from dydca.analysis.cost import macs, memory, size_bytes
from dydca.analysis.nearest import require_accepted
from dydca.analysis.notation import factored, size_text
from dydca.capture.capture import capture
from dydca.capture.signature import Examples, PatchShapes
from dydca.inputs import Range
from dydca.program import Decision, Graph, Guard, Program, Route, op_name, source_line, where
from dydca.report.analysis import Analysis, InputReport, NeedReport, PatchReport, RouteReport, Sizes, TensorReport
from dydca.shapes import MAX_ROUTES, Patch, patch_label


def explain(
    model: nn.Module | ExportedProgram,
    patch_shapes: PatchShapes,
    example_inputs: Examples | None = None,
    *,
    input_range: Range | Mapping[str, Range] | None = None,
    max_routes: int = MAX_ROUTES,
) -> Analysis:
    """Finds the routes, shapes, memory and cost of a network without running it.

    Args:
        model: The network; it is copied, never changed.
        patch_shapes: Each ``(N, C, H, W)``, ``(H, W)``, or ``{input name: shape}``; a size may be a `dydca.Dim`.
        example_inputs: One tensor per argument, nested as forward takes them, where element types or channels
            cannot be told otherwise.
        input_range: The least and the largest value of all inputs, or by input name.
        max_routes: How many routes one patch may have, and how many one range of sizes may be divided into.

    Raises:
        CaptureError: The network cannot be captured.
        ShapeError: A patch is not understood, or an operator does not accept it.
    """
    program = capture(model, patch_shapes, example_inputs, max_routes=max_routes)
    program.promise(input_range)
    own = model.state_dict if isinstance(model, ExportedProgram) else model.state_dict(keep_vars=True)
    name = "ExportedProgram" if isinstance(model, ExportedProgram) else type(model).__name__
    return explain_program(program, name, {key: value for key, value in own.items() if isinstance(value, nn.Parameter)})


def explain_program(program: Program, name: str, trained: Mapping[str, Tensor]) -> Analysis:
    """The report on a captured program.

    Args:
        program: With at least one declared patch per route.
        name: Of the network.
        trained: Its parameters by name.

    Raises:
        ShapeError: DYD202, an operator does not accept a declared patch.
    """
    require_accepted(program)
    read = {place for route in program.routes for place, node in enumerate(route.graph.inputs) if node.users}
    distinct = {id(tensor): tensor.numel() for tensor in trained.values()}
    return Analysis(
        model=name,
        inputs=tuple(
            InputReport(spec.name, _text(spec.dtype), tuple(map(str, spec.dims)), place in read)
            for place, spec in enumerate(program.inputs)
        ),
        outputs=program.outputs,
        parameters=sum(distinct.values()),
        unread=_unread(program, trained),
        uncovered=program.uncovered,
        routes=tuple(_route(program, route, trained) for route in program.routes),
    )


def _text(dtype: object) -> str:
    return str(dtype).removeprefix("torch.") if dtype else ""


def _unread(program: Program, trained: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Parameters in no route's graph, under none of the names they are tied to; each by its first name."""
    held = {name for route in program.routes for name in route.graph.constants}
    live = {id(tensor) for name, tensor in trained.items() if name.replace(".", "_") in held}
    first = {id(tensor): name for name, tensor in reversed(list(trained.items()))}
    return tuple(name for name, tensor in trained.items() if id(tensor) not in live and first[id(tensor)] == name)


def _trained_in(graph: Graph, trained: Mapping[str, Tensor]) -> int:
    """Parameters the graph reads; its constants may be buffers as well."""
    read = {id(tensor): tensor for name, tensor in trained.items() if name.replace(".", "_") in graph.constants}
    return sum(tensor.numel() for tensor in read.values())


def _route(program: Program, route: Route, trained: Mapping[str, Tensor]) -> RouteReport:
    symbolic = analyze_route(program, route)
    concrete = {patch_label(patch): analyze_patch(program, route, patch) for patch in route.patches}
    steps: tuple[Guard | Decision, ...] = (*route.regions[0], *route.decisions)
    own = [step.line for step in steps if step.line]
    return RouteReport(
        name=route.name,
        predicate=route.predicate,
        lines=tuple(dict.fromkeys(own)),
        share=len(route.patches) / max(len({patch for _, patch in program.patches}), 1),
        nodes=sum(node.op == "call_function" for node in route.graph),
        parameters=_trained_in(route.graph, trained),
        macs=size_text(factored(sum((macs(node, symbolic) for node in route.graph), start=0))),
        needs=tuple(
            NeedReport(size_text(need.condition), where(need.node), need.what) for need in symbolic.assumptions
        ),
        dead=tuple(node.name for node in _dead(route.graph)),
        unruled=tuple(dict.fromkeys(str(node.target) for node in symbolic.unruled)),
        patches=tuple(
            _patch(program, route, patch, facts) for patch, facts in zip(route.patches, concrete.values(), strict=True)
        ),
        tensors=tuple(_tensor(node, symbolic, concrete) for node in route.graph if node.op != "output"),
    )


def _dead(graph: Graph) -> list[Node]:
    """Operators whose value reaches no output."""
    live: set[Node] = set()
    pending = list(graph.outputs)
    while pending:
        if (node := pending.pop()) not in live:
            live.add(node)
            pending += node.all_input_nodes
    return [node for node in graph if node.op == "call_function" and node not in live]


def _patch(program: Program, route: Route, patch: Patch, facts: Facts) -> PatchReport:
    graph = route.graph
    outputs = tuple(_sizes(facts[node]) for node in graph.outputs[: len(program.outputs)])  # decisions follow
    known = all(isinstance(size, int) for fact in facts.values() for size in _all_sizes(fact))
    use = memory(graph, facts) if known else None
    return PatchReport(
        label=patch_label(patch),
        inputs=patch,
        outputs=outputs,
        macs=sum(_number(macs(node, facts)) for node in graph) if known else None,
        activation_bytes=use.total if use else None,
        peak_bytes=use.peak if use else None,
        bound_bytes=use.bound if use else None,
    )


def _all_sizes(fact: Fact) -> tuple[Size, ...]:
    return sum((item.shape for item in fact.items), start=fact.shape)


def _sizes(fact: Fact) -> Sizes:
    return tuple(size if isinstance(size, int) else size_text(size) for size in fact.shape)


def _number(size: Size) -> int:
    return size if isinstance(size, int) else 0


def _tensor(node: Node, symbolic: Facts, concrete: Mapping[str, Facts]) -> TensorReport:
    fact = symbolic[node]
    return TensorReport(
        name=node.name,
        op=op_name(node),
        line=source_line(node),
        dtype=_text(fact.dtype),
        shape=_sizes(fact),
        shapes={label: _sizes(facts[node]) for label, facts in concrete.items()},
        value=None if fact.value is None else size_text(fact.value),
        macs={label: _number(macs(node, facts)) for label, facts in concrete.items()},
        bytes={label: _number(size_bytes(facts[node])) for label, facts in concrete.items()},
        constant=fact.constant,
        unruled=node in symbolic.unruled,
    )
