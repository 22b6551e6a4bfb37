"""What the tests of passes share beside `dydca.testing`."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from dydca.capture import capture
from dydca.passes import Outcome
from dydca.program import Program

SHAPE = (1, 3, 12, 10)


def as_program(model: nn.Module | Program, shapes: Sequence[tuple[int, ...]] = (SHAPE,)) -> Program:
    """The captured network."""
    return model if isinstance(model, Program) else capture(model, list(shapes))


def outputs_of(outcome: Outcome, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Runs the variant whose patch the inputs have."""
    shapes = tuple(tuple(tensor.shape) for tensor in inputs)
    return next(variant for variant in outcome.variants if variant.patch == shapes).graph.run(*inputs)
