"""From a model and its declared patches to a program."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.export import ExportedProgram

from dydca.capture.explore import Exploration
from dydca.capture.network import own_copy
from dydca.capture.signature import PatchShapes, read_signature
from dydca.program import Program
from dydca.shapes import MAX_ROUTES


def capture(
    model: nn.Module | ExportedProgram,
    patch_shapes: PatchShapes,
    example_inputs: Sequence[Tensor] | None = None,
    *,
    max_routes: int = MAX_ROUTES,
) -> Program:
    """Captures every route that a declared patch takes.

    Args:
        model: The network; it is copied and put into eval mode, never changed.
        patch_shapes: See `dydca.shapes.parse_patches`.
        example_inputs: One tensor per input; shows element types and the sizes that `patch_shapes` leaves out.
        max_routes: How many routes one patch may have, and how many one range of sizes may be divided into.

    Raises:
        CaptureError: DYD101 the network cannot be exported, DYD102 it is no network, DYD103 it changes its own state,
            DYD104 a value decides without a trace, DYD105 there are more routes than `max_routes`, DYD108 the sizes
            of a range cannot be told apart.
        ShapeError: DYD106 or DYD201 a patch is not understood, DYD202 an operator does not accept it.
    """
    module = own_copy(model)
    inputs, declared = read_signature(module, patch_shapes, example_inputs)
    exploration = Exploration(module, inputs, max_routes)
    for patch in declared.patches:
        exploration.take(patch)
    for span in declared.ranges:
        exploration.cover(span)
    first = exploration.exports[0]
    return Program(
        inputs=inputs,
        outputs=first.outputs,
        single=first.single,
        routes=exploration.routes(),
        uncovered=exploration.uncovered(declared),
        ranges=declared.ranges,
    )
