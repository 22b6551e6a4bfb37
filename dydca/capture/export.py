"""One path through the network by torch.export, with the exact conditions under which it is taken."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException
from torch.export import Dim
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from dydca.capture.decisions import Asked, Recorder, is_users
from dydca.capture.functionalize import functional
from dydca.capture.interception import intercepted
from dydca.capture.lifting import unlifted
from dydca.capture.network import fresh_copy
from dydca.capture.region import read_region
from dydca.capture.results import result_structure
from dydca.capture.signature import Signature
from dydca.capture.values import Known
from dydca.errors import CaptureError
from dydca.inputs import bind_sizes
from dydca.program import Decision, Graph, Guard
from dydca.runtime.structure import Structure
from dydca.shapes import Patch, patch_label


@dataclass(frozen=True)
class Export:
    """A path and its region.

    Attributes:
        patch: Where it was taken.
        signature: Owner of the symbols in the guards.
        guards: What must hold for a patch to take this path.
        graph: The path, for any patch of the region.
        outputs: Names of the results.
        structure: What forward makes of them.
        decisions: The values that decided on the way; their predicates stand behind the graph's own outputs.
    """

    patch: Patch
    signature: Signature
    guards: tuple[Guard, ...]
    graph: Graph
    outputs: tuple[str, ...]
    structure: Structure
    decisions: tuple[Decision, ...]

    def accepts(self, patch: Patch) -> bool:
        """Whether the patch takes this path."""
        sizes = bind_sizes(self.signature.inputs, patch)
        return all(guard.holds(sizes) for guard in self.guards)


class Question(NamedTuple):
    """One that a script answers: how many answers there are, and the number of the one given."""

    arity: int
    outcome: int


class _Recorded(nn.Module):
    """A network under a recorder; what it was asked becomes further outputs."""

    def __init__(self, network: nn.Module, signature: Signature, recorder: Recorder) -> None:
        super().__init__()
        self.network, self.signature, self.recorder = network, signature, recorder

    def forward(self, *inputs: Tensor) -> Any:
        self.recorder.remember(self.network)
        with intercepted(self.recorder):
            result = self.signature.call(self.network, inputs)
        self.recorder.require_unchanged()
        return result, tuple(asked.predicate for asked in self.recorder.asked)


def export_route(
    module: nn.Module,
    signature: Signature,
    patch: Patch,
    script: Sequence[int],
    *,
    limit: int,
    stored: Mapping[str, Known],
) -> tuple[Export | None, list[Question]]:
    """Exports the path that `patch` takes when values decide as `script` says, every size of 2 or more left free.

    Args:
        module: The network; it is not changed.
        signature: What it takes.
        patch: The sizes.
        script: Number of the answer to each question; the first answer to those behind its end.
        limit: Most answers that one question may have.
        stored: What is known of the network's own tensors.

    Returns:
        The path, None if it answers one question in two ways; and all questions.

    Raises:
        CaptureError: DYD101, DYD103, DYD104, DYD105, DYD109, DYD111.
    """
    recorder = Recorder(script, limit, stored)
    examples = tuple(torch.zeros(*shape, dtype=own.dtype) for shape, own in zip(patch, signature.inputs, strict=True))
    free = tuple({axis: Dim.AUTO for axis, size in enumerate(shape) if size > 1} for shape in patch)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            wrapped = _Recorded(fresh_copy(module), signature, recorder)
            exported = torch.export.export(wrapped, examples, dynamic_shapes=(free,), strict=False)
            guards = read_region(exported, signature.inputs)
            program, source = functional(exported)
    except CaptureError:
        raise
    except Exception as error:  # torch.export raises whatever the user's forward or its own tracing raised
        raise _refusal(error, patch, recorder.asked) from error
    questions = [Question(len(asked.answers), asked.outcome) for asked in recorder.asked]
    graph = unlifted(program, source, [own.name for own in signature.inputs])
    decisions = _distinct(graph, [_decision(asked) for asked in recorder.asked])
    if decisions is None:
        return None, questions
    structure, names = result_structure(program)
    outputs = tuple(name or node.name for name, node in zip(names, graph.outputs, strict=False))
    found = Export(patch, signature, guards, graph, outputs, structure, decisions)
    if not found.accepts(patch):  # it would be taken again and again
        got = f"{patch_label(patch)} outside {[str(guard.condition) for guard in guards]}"
        raise CaptureError("DYD101", "PyTorch exports another patch than it is given", got=got)
    return found, questions


def _decision(asked: Asked) -> Decision:
    return Decision(asked.outcome, len(asked.answers), asked.line, asked.answers[asked.outcome])


def _distinct(graph: Graph, decisions: Sequence[Decision]) -> tuple[Decision, ...] | None:
    """The decisions without those that ask again what was asked; None if the same was answered in two ways."""
    numbers, first = graph.numbers(), dict[int, Decision]()
    results = graph.outputs[: len(graph.outputs) - len(decisions)]
    kept = []
    for node, decision in zip(graph.outputs[len(results) :], decisions, strict=True):
        before = first.setdefault(numbers[node], decision)
        if before.outcome != decision.outcome:
            return None
        if before is decision:
            kept.append(node)
    graph.output((*results, *kept))
    return tuple(first.values())


def _refusal(error: Exception, patch: Patch, asked: Sequence[Asked]) -> CaptureError:
    """What stopped the export, in the words of the user's source."""
    frames = traceback.extract_tb(error.__traceback__)
    users = [frame for frame in frames if is_users(frame.filename)]
    where = f"{users[-1].filename}:{users[-1].lineno}" if users else None
    message = next((text.strip() for text in str(error).splitlines() if text.strip()), "")
    got = f"{type(error).__name__}: {message}".rstrip(": ") + f" at {patch_label(patch)}"
    if asked:
        got += " where " + " and ".join(str(_decision(question)) for question in asked)
    if isinstance(error, GuardOnDataDependentSymNode | DataDependentOutputException):
        what = "Python needs a number that only the values tell"
        return CaptureError("DYD104", what, where=where, got=got)
    if "in output, which is not a known type" in message:
        return CaptureError("DYD111", "forward returns what compiled code cannot make", got=got)
    if asked and users and users[-1] is frames[-1]:
        return CaptureError("DYD109", "forward raises on a route that values choose", where=where, got=got)
    return CaptureError("DYD101", "the network cannot be exported", where=where, got=got)
