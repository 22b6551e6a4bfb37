"""One path through the network by torch.export, with the exact conditions under which it is taken."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import sympy
import torch
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind

from dydca.capture.decisions import Recorder, choose_arm
from dydca.errors import CaptureError
from dydca.program import Decision, Graph, Guard, Input, bind_sizes
from dydca.shapes import Patch, patch_label

_TORCH = str(Path(torch.__file__).parent)
_OWN = str(Path(__file__).parent)
_CONSTANTS = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)


@dataclass(frozen=True)
class Export:
    """A path and its region.

    Attributes:
        patch: Where it was taken.
        inputs: Owners of the symbols in the guards.
        guards: What must hold for a patch to take this path.
        graph: The path, for any patch of the region.
        outputs: Names of the results.
        single: Whether forward returned one bare tensor.
        decisions: The values that decided on the way; their predicates stand behind the graph's own outputs.
    """

    patch: Patch
    inputs: Sequence[Input]
    guards: tuple[Guard, ...]
    graph: Graph
    outputs: tuple[str, ...]
    single: bool
    decisions: tuple[Decision, ...]

    def accepts(self, patch: Patch) -> bool:
        """Whether the patch takes this path."""
        sizes = bind_sizes(self.inputs, patch)
        return all(guard.holds(sizes) for guard in self.guards)


class _Recorded(nn.Module):
    """A network under a recorder; what it was asked becomes further outputs."""

    def __init__(self, network: nn.Module, recorder: Recorder) -> None:
        super().__init__()
        self.network, self.recorder = network, recorder

    def forward(self, *inputs: Tensor) -> Any:
        with self.recorder:
            result = self.network(*inputs)
        return result, tuple(asked.predicate for asked in self.recorder.asked)


def export_route(module: nn.Module, inputs: Sequence[Input], patch: Patch, script: Sequence[int]) -> Export:
    """Exports the path that `patch` takes when values decide as `script` says, every size of 2 or more left free.

    Raises:
        CaptureError: DYD101, DYD103, DYD104.
    """
    examples = tuple(torch.zeros(*shape, dtype=own.dtype) for shape, own in zip(patch, inputs, strict=True))
    free = tuple({axis: Dim.AUTO for axis, size in enumerate(shape) if size > 1} for shape in patch)
    recorder = Recorder(script)
    try:
        with warnings.catch_warnings(), mock.patch.object(torch, "cond", choose_arm):
            warnings.simplefilter("ignore")
            wrapped = _Recorded(module, recorder)
            program = torch.export.export(wrapped, examples, dynamic_shapes=(free,), strict=False)
            guards = _region(program, inputs)
            program = program.run_decompositions({})
    except CaptureError:
        raise
    except Exception as error:  # torch.export raises whatever the user's forward or its own tracing raised
        raise _refusal(error) from error
    graph = _unlifted(program, [own.name for own in inputs])
    decisions = tuple(Decision(asked.outcome, asked.arity, asked.line) for asked in recorder.asked)
    results = graph.outputs[: len(graph.outputs) - len(decisions)]
    single = program.call_spec.out_spec is not None and program.call_spec.out_spec.child(0).is_leaf()
    found = Export(patch, inputs, guards, graph, tuple(node.name for node in results), single, decisions)
    if not found.accepts(patch):  # it would be taken again and again
        got = f"{patch_label(patch)} outside {[str(guard.condition) for guard in guards]}"
        raise CaptureError("DYD101", "PyTorch exports another patch than it is given", got=got)
    return found


def _refusal(error: Exception) -> CaptureError:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    line = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None
    message = next((text.strip() for text in str(error).splitlines() if text.strip()), type(error).__name__)
    return CaptureError(
        "DYD101", "the network cannot be exported", where=line, got=f"{type(error).__name__}: {message}"
    )


def _is_users(filename: str) -> bool:
    return not filename.startswith((_TORCH, _OWN, "<"))


def _region(program: ExportedProgram, inputs: Sequence[Input]) -> tuple[Guard, ...]:
    """The conditions PyTorch assumed about the sizes of the inputs."""
    values = [
        node.meta["val"]
        for node, spec in zip(_placeholders(program), program.graph_signature.input_specs, strict=True)
        if spec.kind == InputKind.USER_INPUT
    ]
    own: dict[sympy.Basic, sympy.Symbol] = {}
    guards: list[Guard] = []
    sizes = [size for value in values for size in value.shape]
    for size, dim in zip(sizes, [dim for own in inputs for dim in own.dims], strict=True):
        expression = size.node.expr if isinstance(size, torch.SymInt) else sympy.Integer(size)
        if expression.is_Symbol and expression not in own:
            own[expression] = dim
        else:
            guards.append(Guard(sympy.Eq(dim, expression.xreplace(own))))
    guards += _ranges(program, own)
    guards += _conditions(values, own)
    return tuple(guard for guard in dict.fromkeys(guards) if guard.condition != sympy.true)


def _ranges(program: ExportedProgram, own: dict[sympy.Basic, sympy.Symbol]) -> Iterator[Guard]:
    for symbol, interval in program.range_constraints.items():
        if symbol in own:
            yield Guard(sympy.Ge(own[symbol], interval.lower))
            if interval.upper.is_Integer:
                yield Guard(sympy.Le(own[symbol], interval.upper))


def _conditions(values: Sequence[Tensor], own: dict[sympy.Basic, sympy.Symbol]) -> Iterator[Guard]:
    """The relations met on the way; in user code they carry its line, in operators they do not."""
    sizes: list[Any] = [size for value in values for size in value.shape]  # torch types every size as int
    environments = {size.node.shape_env for size in sizes if isinstance(size, torch.SymInt)}
    known = set(own.values())  # a size PyTorch fixed to a number is guarded as such already
    for environment, guard in [(each, guard) for each in environments for guard in each.guards]:
        frame = guard.sloc.framework_loc
        users = frame is not None and hasattr(frame, "filename") and _is_users(frame.filename)
        line = f"{Path(frame.filename).name}:{frame.lineno}" if users else None
        condition = environment.simplify(guard.expr).xreplace(own)
        if condition.free_symbols <= known:
            yield Guard(condition, line)


def _placeholders(program: ExportedProgram) -> list[fx.Node]:
    return [node for node in program.graph.nodes if node.op == "placeholder"]


def _unlifted(program: ExportedProgram, names: Sequence[str]) -> Graph:
    """The program's graph with parameters as named constants and only the user's outputs."""
    constants: dict[str, Tensor] = {}
    replaced: dict[fx.Node, str] = {}
    for node, spec in zip(_placeholders(program), program.graph_signature.input_specs, strict=True):
        if spec.kind in _CONSTANTS:
            stored = program.state_dict if spec.target in program.state_dict else program.constants
            name = str(spec.target).removeprefix("network.").replace(".", "_")
            constants[name], replaced[node] = stored[spec.target].detach(), name
    graph, unnamed = fx.Graph(), iter(names)
    copies: dict[fx.Node, Any] = {}
    for node in program.graph.nodes:
        if node.op == "output":
            graph.output(tuple(copies[result] for result in _results(program, node)))
        elif node in replaced:
            copies[node] = graph.get_attr(replaced[node])
        elif node.op == "placeholder":
            copies[node] = graph.placeholder(next(unnamed))
        else:
            copies[node] = graph.node_copy(node, copies.__getitem__)
            trace = node.meta.get("stack_trace")
            copies[node].meta = {"stack_trace": trace} if trace else {}
    result = Graph(graph, constants)
    result.sweep()
    return result


def _results(program: ExportedProgram, output: fx.Node) -> Iterator[fx.Node]:
    results: Any = output.args[0]  # torch types it as any argument
    for value, spec in zip(results, program.graph_signature.output_specs, strict=True):
        if spec.kind == OutputKind.BUFFER_MUTATION:
            raise CaptureError("DYD103", f"forward writes to the buffer {spec.target}", got=f"a write to {spec.target}")
        if spec.kind == OutputKind.USER_OUTPUT:
            if not isinstance(value, fx.Node):
                raise CaptureError("DYD101", "forward returns something that is no tensor", got=repr(value))
            yield value
