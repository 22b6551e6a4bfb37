"""Where a network goes wrong on its way: in the capture, in one rewriting of one pass, or in the native code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.utils._pytree import tree_leaves

from dydca.api import compile
from dydca.capture.capture import capture
from dydca.capture.files import open_model
from dydca.capture.network import own_copy
from dydca.capture.signature import PatchShapes
from dydca.errors import BuildError, LoweringError
from dydca.passes import Culprit, Difference, Pass, default_passes, find_culprit
from dydca.passes.running.proof import seeded_inputs
from dydca.program import Program
from dydca.shapes import Patch, patch_label

if TYPE_CHECKING:
    from onnx import ModelProto

TOLERANCE = 1e-4
"""Largest difference to PyTorch that is let pass, as a part of the output's largest value."""


@dataclass(frozen=True)
class Fault:
    """Where it went wrong first.

    Attributes:
        stage: ``capture``, ``passes`` or ``native``.
        cause: The output that moved, the pass that moved it, or why there is no native code.
    """

    stage: str
    cause: Difference | Culprit | LoweringError | BuildError

    def __str__(self) -> str:
        told = {"capture": "the captured graph is not the network\n  ", "native": "the passes are innocent\n  "}
        return told.get(self.stage, "") + str(self.cause)


def bisect(
    model: nn.Module | ExportedProgram | ModelProto | str | Path,
    patch_shapes: PatchShapes,
    *,
    example_inputs: Sequence[Tensor] | None = None,
    passes: Sequence[Pass] | None = None,
    tolerance: float = TOLERANCE,
) -> Fault | None:
    """Compares the network with PyTorch after every step of its way, on seeded normal inputs of every declared patch.

    Args:
        model: The network, which is copied, never changed; or the path of a file that holds it.
        patch_shapes: As for `dydca.compile`.
        example_inputs: As for `dydca.compile`.
        passes: Run in this order; by default `dydca.passes.default_passes`.
        tolerance: Largest difference that is let pass, as a part of the output's largest value.

    Returns:
        The first fault; None if everything stays within the tolerance.

    Raises:
        FileError, CaptureError, ShapeError: There is no graph to begin with.
        PassError: DYD301, the order of the passes is not possible.
    """
    model = open_model(model)
    chosen = default_passes() if passes is None else list(passes)
    program = capture(model, patch_shapes, example_inputs)
    eager = {patch: _eager(own_copy(model), program, patch) for _, patch in program.patches}
    for patch, expected in eager.items():
        if (moved := _moved(expected, _captured(program, patch), patch, tolerance)) is not None:
            return Fault("capture", moved)
    if (culprit := find_culprit(program, chosen, tolerance)) is not None:
        return Fault("passes", culprit)
    try:
        with compile(model, patch_shapes, example_inputs=example_inputs, passes=chosen, verify=False) as network:
            for patch, expected in eager.items():
                result = network(*seeded_inputs(program, patch))
                found = result if isinstance(result, tuple) else (result,)
                if (moved := _moved(expected, found, patch, tolerance)) is not None:
                    return Fault("native", moved)
    except (LoweringError, BuildError) as error:
        return Fault("native", error)
    return None


def _eager(module: nn.Module, program: Program, patch: Patch) -> list[Tensor]:
    with torch.no_grad():
        return [leaf.detach() for leaf in tree_leaves(module(*seeded_inputs(program, patch)))]


def _captured(program: Program, patch: Patch) -> tuple[Tensor, ...]:
    """The outputs of the route that the seeded inputs take."""
    count = len(program.outputs)
    routes = [route for route, own in program.patches if own == patch]
    results = ((route, route.graph.run(*seeded_inputs(program, patch))) for route in routes)
    return next(
        computed[:count]
        for route, computed in results
        if all(int(asked) == step.outcome for asked, step in zip(computed[count:], route.decisions, strict=True))
    )


def _moved(expected: Sequence[Tensor], found: Sequence[Tensor], patch: Patch, tolerance: float) -> Difference | None:
    """The first output that is not within the tolerance."""
    differences = (
        Difference.between(want, have, rtol=tolerance, patch=patch_label(patch), output=position)
        for position, (want, have) in enumerate(zip(expected, found, strict=True))
    )
    return next((difference for difference in differences if not difference.holds), None)
