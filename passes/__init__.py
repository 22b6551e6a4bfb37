"""Graph passes: one file, one pass. Sources lie here; the package is `dydca.passes`."""

if __name__ != "dydca.passes":
    raise ImportError("import dydca.passes, not passes: the top-level folder only holds its sources")

from dydca.passes.base import Miss, Pass
from dydca.passes.drop_dead import DropDead
from dydca.passes.drop_identity import DropIdentity
from dydca.passes.fold_constants import FoldConstants
from dydca.passes.merge_frame_writes import MergeFrameWrites
from dydca.passes.merge_linear import MergeLinear
from dydca.passes.merge_reshape import MergeReshape
from dydca.passes.report import Difference, PassReport
from dydca.passes.runner import Outcome, run_passes
from dydca.passes.specialize_shapes import SpecializeShapes
from dydca.passes.subject import Variant

PIPELINE: tuple[type[Pass], ...] = (
    DropDead,
    MergeReshape,
    DropIdentity,  # before the first folding, for a dropout that sleeps hides that its operand is constant
    FoldConstants,
    MergeFrameWrites,
    MergeLinear,  # once for all patches, and below for regions that only numbers make plain
    SpecializeShapes,  # from here on every patch has a graph of its own, and what depended on sizes is constant
    FoldConstants,
    MergeReshape,
    DropIdentity,
    FoldConstants,
    MergeFrameWrites,
    MergeLinear,
    DropDead,
)
"""The named order in which passes run."""

__all__ = [
    "PIPELINE",
    "Difference",
    "DropDead",
    "DropIdentity",
    "FoldConstants",
    "MergeFrameWrites",
    "MergeLinear",
    "MergeReshape",
    "Miss",
    "Outcome",
    "Pass",
    "PassReport",
    "SpecializeShapes",
    "Variant",
    "default_passes",
    "run_passes",
]


def default_passes() -> list[Pass]:
    """The passes of `PIPELINE`, ready to run."""
    return [pass_() for pass_ in PIPELINE]  # third parties join here, by the entry point group dydca.passes
