"""From a model and its declared patches to a program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn
from torch.export import ExportedProgram

from dydca.capture.explore import Exploration
from dydca.capture.files import open_model
from dydca.capture.network import own_copy
from dydca.capture.signature import Examples, PatchShapes, read_signature
from dydca.program import Program
from dydca.shapes import MAX_ROUTES

if TYPE_CHECKING:
    from onnx import ModelProto


def capture(
    model: nn.Module | ExportedProgram | ModelProto | str | Path,
    patch_shapes: PatchShapes,
    example_inputs: Examples | None = None,
    *,
    max_routes: int = MAX_ROUTES,
) -> Program:
    """Captures every route that a declared patch takes.

    Args:
        model: The network, which is copied and put into eval mode, never changed; or the path of a file that
            `dydca.capture.files.read_model` reads.
        patch_shapes: See `dydca.shapes.parse_patches`.
        example_inputs: One tensor, or nest of tensors, per argument, or these by name; they show element types and the
            sizes that `patch_shapes` leaves out.
        max_routes: How many routes one patch may have, and how many one range of sizes may be divided into.

    Raises:
        CaptureError: DYD101 the network cannot be exported, DYD102 it is no network, DYD103 it changes its own state,
            DYD104 a value decides without a trace, DYD105 there are more routes than `max_routes`, DYD108 the sizes
            of a range cannot be told apart, DYD111 forward returns what compiled code cannot.
        FileError: DYD701 to DYD703, the file cannot be read.
        ShapeError: DYD106 or DYD201 a patch is not understood, DYD202 an operator does not accept it.
    """
    module = own_copy(open_model(model))
    signature, declared = read_signature(module, patch_shapes, example_inputs)
    exploration = Exploration(module, signature, max_routes)
    for patch in declared.patches:
        exploration.take(patch)
    for span in declared.ranges:
        exploration.cover(span)
    first = exploration.exports[0]
    return Program(
        inputs=signature.inputs,
        arguments=signature.arguments,
        outputs=first.outputs,
        structure=first.structure,
        routes=exploration.routes(),
        uncovered=exploration.uncovered(declared),
        ranges=declared.ranges,
    )
