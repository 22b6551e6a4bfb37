"""Proof that a pass kept the meaning of a graph: by its structure always, by execution in PyTorch on request."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, fx

from dydca.errors import PassError
from dydca.passes.running.report import Difference
from dydca.passes.running.subject import Subject
from dydca.program import Graph, Program, Route
from dydca.shapes import Patch, patch_label

Verify = bool | Literal["fast"]

RTOL = 1e-5
"""Tolerance of every proof by execution, as a fraction of the output's largest value: room for float32 rounding.

How much the sums of a deep network round depends on the machine, so float64 has the last word where float32 exceeds it.
"""

_SEED = 0


class StructureProof:
    """Takes down what a pass must keep: the inputs, the outputs' shapes and types, and what is known of them."""

    def __init__(self, subject: Subject) -> None:
        self.inputs, self.shapes = subject.graph.inputs, subject.output_shapes()
        self.outputs = [subject.facts[node] for node in subject.graph.outputs]

    def check(self, subject: Subject, blame: str) -> None:
        """Compares the rewritten graph, whose facts are current.

        Raises:
            PassError: DYD302, with the first thing that changed.
        """
        shapes, outputs = subject.output_shapes(), [subject.facts[node] for node in subject.graph.outputs]
        rows = [
            ("other inputs", self.inputs, subject.graph.inputs),
            ("another number of outputs", len(self.outputs), len(outputs)),
            ("other output types", [fact.dtype for fact in self.outputs], [fact.dtype for fact in outputs]),
            *((f"other output shapes on {patch_label(patch)}", self.shapes[patch], shapes[patch]) for patch in shapes),
        ]
        for what, wanted, got in rows:
            if wanted != got:
                raise PassError("DYD302", f"{blame} left {what}", got=got, want=wanted)
        for position, (old, new) in enumerate(zip(self.outputs, outputs, strict=True)):
            if (old.constant and not new.constant) or (old.value is not None and new.value is None):
                raise PassError("DYD302", f"less is known of output {position} after {blame}", got=new, want=old)


def check_form(subject: Subject, blame: str) -> None:
    """Checks that the graph can be executed: order, ownership, constants.

    Raises:
        PassError: DYD302.
    """
    try:
        subject.graph.fx.lint()
    except (RuntimeError, ValueError, TypeError) as error:  # what fx.Graph.lint raises
        raise PassError("DYD302", f"{blame} left a graph that is not well formed", got=error) from error
    named = {str(node.target) for node in subject.graph if node.op == "get_attr"}
    if absent := sorted(named - subject.graph.constants.keys()):
        raise PassError("DYD302", f"{blame} left a graph that reads constants it does not have", got=absent)


class Execution:
    """What a graph computes on one patch; nothing runs before it is asked for.

    Attributes:
        graph: Is read when the results are first asked for.
        inputs: One tensor per input.
    """

    def __init__(self, graph: Graph, inputs: Sequence[Tensor]) -> None:
        self.graph, self.inputs = graph, tuple(inputs)

    @property
    def patch(self) -> Patch:
        """The shapes of the inputs."""
        return tuple(tuple(tensor.shape) for tensor in self.inputs)

    @cached_property
    def outputs(self) -> tuple[Tensor, ...]:
        """The results."""
        return _run(self.graph, self.inputs)

    @cached_property
    def exact(self) -> tuple[Tensor, ...]:
        """The results in float64."""
        return _run(self.graph, self.inputs, _Doubled)

    def moved(self, later: Execution, blame: str, rtol: float) -> list[Difference]:
        """How far the outputs of `later` lie from these, in float64 where they seem too far in float32.

        Raises:
            PassError: DYD302, `later` does not run, or its outputs have other shapes.
        """
        try:
            found = _differences(self.outputs, later.outputs, self.patch, blame, rtol)
            if all(difference.holds for difference in found):
                return found
            return _differences(self.exact, later.exact, self.patch, blame, rtol)
        except PassError:
            raise
        except Exception as error:  # whatever the operators of a broken graph raise
            got = f"{type(error).__name__}: {error}"
            raise PassError("DYD302", f"the graph does not run after {blame}", got=got) from error


class ExecutionProof:
    """Remembers what a graph computed, and compares it once the graph was rewritten.

    With ``verify=True`` every declared patch runs. With ``verify="fast"`` one patch a route runs; while the graph still
    serves all sizes, its picture is cut as small as the conditions of the route allow, which is sound because the graph
    is valid for its whole region.
    """

    def __init__(self, subject: Subject, verify: Verify) -> None:
        self.subject = subject
        inputs = (seeded_inputs(subject.program, patch) for patch in _patches(subject, verify))
        self.last = [Execution(subject.graph, tensors) for tensors in inputs]

    def remember(self) -> None:
        """Keeps the graph as it is now."""
        graph = self.subject.graph.copy() if self.last else self.subject.graph
        for execution in self.last:
            execution.graph = graph

    def check(self, blame: str) -> tuple[Difference, ...]:
        """Executes the rewritten graph, compares, and takes the results as the next reference.

        Raises:
            PassError: DYD302 the graph does not run, DYD303 an output moved beyond the tolerance.
        """
        now = [Execution(self.subject.graph, execution.inputs) for execution in self.last]
        found = [moved for old, new in zip(self.last, now, strict=True) for moved in old.moved(new, blame, RTOL)]
        self.last = now
        for difference in found:
            if not difference.holds:
                want = f"max at most {difference.tolerance:.3g}, {RTOL:g} of the output's maximum"
                raise PassError("DYD303", f"{blame} changed the values of the network", got=difference, want=want)
        return tuple(found)


def _differences(
    before: Sequence[Tensor], after: Sequence[Tensor], patch: Patch, blame: str, rtol: float
) -> list[Difference]:
    for old, new in zip(before, after, strict=True):
        if old.shape != new.shape:
            raise PassError("DYD302", f"{blame} left other output shapes", got=new.shape, want=old.shape)
    pairs = enumerate(zip(before, after, strict=True))
    return [Difference.between(*pair, rtol=rtol, patch=patch_label(patch), output=position) for position, pair in pairs]


class _Doubled(fx.Interpreter):
    """Executes a graph in float64 wherever it says float32."""

    def placeholder(self, target: Any, args: Any, kwargs: Any) -> Any:
        return _double(super().placeholder(target, args, kwargs))

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        return _double(super().get_attr(target, args, kwargs))

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        return super().call_function(target, tuple(map(_double, args)), {k: _double(v) for k, v in kwargs.items()})


def _double(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.double() if value.dtype is torch.float32 else value
    return torch.float64 if value is torch.float32 else value


def _run(
    graph: Graph, inputs: tuple[Tensor, ...], interpreter: type[fx.Interpreter] = fx.Interpreter
) -> tuple[Tensor, ...]:
    with torch.no_grad():
        return tuple(map(torch.as_tensor, interpreter(graph.module()).run(*inputs)))


def seeded_inputs(program: Program, patch: Patch) -> tuple[Tensor, ...]:
    """The same values of the inputs' ranges every time."""
    generator = torch.Generator().manual_seed(_SEED)
    return tuple(tensor.example(shape, generator) for tensor, shape in zip(program.inputs, patch, strict=True))


def _patches(subject: Subject, verify: Verify) -> list[Patch]:
    if verify is True:
        return subject.patches
    first = subject.route.patches[0]
    if verify is False or first not in subject.patches:
        return []
    if subject.patch is not None:
        return [first]
    small = small_patch(subject.program, subject.route, first)
    try:
        _run(subject.graph, seeded_inputs(subject.program, small))
    except RuntimeError:  # an operator may refuse a size that no condition of the route names
        return [first]
    return [small]


def small_patch(program: Program, route: Route, patch: Patch) -> Patch:
    """`patch` with sizes brought down towards 8, in multiples of 8, as far as `route` still accepts it.

    Axes of one size shrink together, so that inputs that must agree go on agreeing.
    """
    for size in dict.fromkeys(itertools.chain.from_iterable(patch)):
        smaller = size
        while smaller >= 16 and _accepts(program, route, shrunk := _resized(patch, smaller, smaller // 16 * 8)):
            patch, smaller = shrunk, smaller // 16 * 8
    return patch


def _resized(patch: Patch, old: int, new: int) -> Patch:
    return tuple(tuple(new if size == old else size for size in shape) for shape in patch)


def _accepts(program: Program, route: Route, patch: Patch) -> bool:
    sizes = program.sizes(patch)
    return any(all(guard.holds(sizes) for guard in region) for region in route.regions)
