"""Gathers what the analysis knows of a network into a report."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import Node

from dydca.analysis import Fact, Facts, Size, analyze_patch, analyze_route
from dydca.analysis.acceptance import acceptance
from dydca.analysis.cost import Memory, macs, memory, size_bytes
from dydca.analysis.demand import dead
from dydca.analysis.nearest import require_accepted
from dydca.analysis.notation import factored, size_text
from dydca.analysis.receptive_field import Sight, receptive_field
from dydca.capture.capture import capture
from dydca.capture.files import open_model
from dydca.capture.signature import Examples, PatchShapes
from dydca.inputs import Range
from dydca.program import Decision, Graph, Guard, Program, Route, op_name, source_line, where
from dydca.report.analysis import (
    Analysis,
    InputReport,
    NeedReport,
    PatchReport,
    RouteReport,
    SightReport,
    Sizes,
    TensorReport,
    UnknownReport,
)
from dydca.shapes import MAX_ROUTES, Patch, patch_label

if TYPE_CHECKING:
    from onnx import ModelProto


def explain(
    model: nn.Module | ExportedProgram | ModelProto | str | Path,
    patch_shapes: PatchShapes,
    example_inputs: Examples | None = None,
    *,
    input_range: Range | Mapping[str, Range] | None = None,
    max_routes: int = MAX_ROUTES,
) -> Analysis:
    """Finds the routes, shapes, memory and cost of a network without running it.

    Args:
        model: The network, which is copied, never changed; or the path of a file that holds it.
        patch_shapes: Each ``(N, C, H, W)``, ``(H, W)``, or ``{input name: shape}``; a size may be a `dydca.Dim`.
        example_inputs: One tensor per argument, nested as forward takes them, where element types or channels
            cannot be told otherwise.
        input_range: The least and the largest value of all inputs, or by input name.
        max_routes: How many routes one patch may have, and how many one range of sizes may be divided into.

    Raises:
        FileError: The file cannot be read.
        CaptureError: The network cannot be captured.
        ShapeError: A patch is not understood, or an operator does not accept it.
    """
    model = open_model(model)
    program = capture(model, patch_shapes, example_inputs, max_routes=max_routes)
    program.promise(input_range)
    return explain_program(program, *identity(model))


def identity(model: nn.Module | ExportedProgram) -> tuple[str, dict[str, Tensor]]:
    """The name of a network and its parameters by name."""
    own = model.state_dict if isinstance(model, ExportedProgram) else model.state_dict(keep_vars=True)
    name = "ExportedProgram" if isinstance(model, ExportedProgram) else type(model).__name__
    return name, {key: value for key, value in own.items() if isinstance(value, nn.Parameter)}


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
    uses = {label: use for label, facts in concrete.items() if (use := _memory(route.graph, facts))}
    example = next(iter(concrete.values()), None) or analyze_patch(program, route, route.example)
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
            NeedReport(size_text(need.condition), where(need.node), need.what)
            for need in acceptance(program, route).telling
        ),
        classes=dict(Counter(kind.name for kind in symbolic.classes.values())),
        sights=tuple(_sights(program, route, example)),
        unknown=tuple(
            UnknownReport(str(symbol), size_text(entry.low), size_text(entry.high), where(entry.node))
            for symbol, entry in symbolic.unknown.items()
        ),
        dead=tuple(map(where, dead(route.graph, example))),
        unruled=tuple(dict.fromkeys(str(node.target) for node in symbolic.unruled)),
        patches=tuple(
            _patch(program, route, patch, facts, uses.get(label))
            for patch, (label, facts) in zip(route.patches, concrete.items(), strict=True)
        ),
        tensors=tuple(
            _tensor(node, place, symbolic, concrete, uses)
            for place, node in enumerate(route.graph)
            if node.op != "output"
        ),
    )


def _sights(program: Program, route: Route, facts: Facts) -> Iterator[SightReport]:
    names = dict(zip(route.graph.inputs, (spec.name for spec in program.inputs), strict=True))
    results = dict(zip(reversed(route.graph.outputs[: len(program.outputs)]), reversed(program.outputs), strict=True))
    for field in receptive_field(route.graph, facts):
        if field.output in results:  # decisions are outputs, too
            for axis, sight in (("rows", field.rows), ("columns", field.columns)):
                yield _sight(results[field.output], names[field.input], axis, sight)


def _sight(output: str, source: str, axis: str, sight: Sight) -> SightReport:
    culprit = where(sight.unbounded) if sight.unbounded else None
    return SightReport(output, source, axis, str(sight.scale), sight.step, sight.before, sight.after, culprit)


def _memory(graph: Graph, facts: Facts) -> Memory | None:
    """None if a size depends on the data."""
    known = all(isinstance(size, int) for fact in facts.values() for size in _all_sizes(fact))
    return memory(graph, facts) if known else None


def _patch(program: Program, route: Route, patch: Patch, facts: Facts, use: Memory | None) -> PatchReport:
    graph = route.graph
    outputs = tuple(_sizes(facts[node]) for node in graph.outputs[: len(program.outputs)])  # decisions follow
    return PatchReport(
        label=patch_label(patch),
        inputs=patch,
        outputs=outputs,
        macs=sum(_number(macs(node, facts)) for node in graph) if use else None,
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


def _tensor(
    node: Node, place: int, symbolic: Facts, concrete: Mapping[str, Facts], uses: Mapping[str, Memory]
) -> TensorReport:
    fact = symbolic[node]
    return TensorReport(
        name=node.name,
        op=op_name(node),
        kind=symbolic.classes[node].name if node in symbolic.classes else None,
        line=source_line(node),
        dtype=_text(fact.dtype),
        shape=_sizes(fact),
        shapes={label: _sizes(facts[node]) for label, facts in concrete.items()},
        value=None if fact.value is None else size_text(fact.value),
        interval=_ends(fact),
        macs={label: _number(macs(node, facts)) for label, facts in concrete.items()},
        bytes={label: _number(size_bytes(facts[node])) for label, facts in concrete.items()},
        live={label: use.live[place] for label, use in uses.items()},
        constant=fact.constant,
        unruled=node in symbolic.unruled,
    )


def _ends(fact: Fact) -> tuple[float | None, float | None]:
    if fact.dtype is None:
        return None, None
    low, high = fact.bounds.low, fact.bounds.high
    return low if math.isfinite(low) else None, high if math.isfinite(high) else None
