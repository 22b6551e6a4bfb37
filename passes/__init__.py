"""Graph passes: one file, one pass. Sources lie here; the package is `dydca.passes`."""

if __name__ != "dydca.passes":
    raise ImportError("import dydca.passes, not passes: the top-level folder only holds its sources")

from dydca.passes.base import Miss, Pass
from dydca.passes.convolve_product import ConvolveProduct
from dydca.passes.drop_dead import DropDead
from dydca.passes.drop_identity import DropIdentity
from dydca.passes.fold_affine import FoldAffine
from dydca.passes.fold_batch_norm import FoldBatchNorm
from dydca.passes.fold_clip import FoldClip
from dydca.passes.fold_constants import FoldConstants
from dydca.passes.fold_residual import FoldResidual
from dydca.passes.merge_equal import MergeEqual
from dydca.passes.merge_frame_writes import MergeFrameWrites
from dydca.passes.merge_linear import MergeLinear
from dydca.passes.merge_reshape import MergeReshape
from dydca.passes.report import Difference, PassReport
from dydca.passes.runner import Outcome, run_passes
from dydca.passes.sink_shuffle import SinkShuffle
from dydca.passes.specialize_shapes import SpecializeShapes
from dydca.passes.split_transposed import SplitTransposed
from dydca.passes.subject import Variant

PIPELINE: tuple[type[Pass], ...] = (
    DropDead,
    MergeReshape,
    DropIdentity,  # before the first folding, for a dropout that sleeps hides that its operand is constant
    FoldConstants,
    SplitTransposed,
    MergeFrameWrites,
    MergeLinear,  # once for all patches, and below for regions that only numbers make plain
    SpecializeShapes,  # from here on every patch has a graph of its own, and what depended on sizes is constant
    FoldConstants,
    SplitTransposed,  # again, for weights that depended on sizes
    ConvolveProduct,
    MergeReshape,
    DropIdentity,
    FoldConstants,
    MergeFrameWrites,
    MergeLinear,
    FoldBatchNorm,
    MergeEqual,
    DropDead,
)
"""The named order in which passes run."""

__all__ = [
    "PIPELINE",
    "ConvolveProduct",
    "Difference",
    "DropDead",
    "DropIdentity",
    "FoldAffine",
    "FoldBatchNorm",
    "FoldClip",
    "FoldConstants",
    "FoldResidual",
    "MergeEqual",
    "MergeFrameWrites",
    "MergeLinear",
    "MergeReshape",
    "Miss",
    "Outcome",
    "Pass",
    "PassReport",
    "SinkShuffle",
    "SpecializeShapes",
    "SplitTransposed",
    "Variant",
    "default_passes",
    "plain_passes",
    "run_passes",
]


def default_passes() -> list[Pass]:
    """The passes of `PIPELINE`, ready to run."""
    return [pass_() for pass_ in PIPELINE]  # third parties join here, by the entry point group dydca.passes


def plain_passes(*, nonnegative: bool = False, align: int = 1) -> list[Pass]:
    """The passes that bring a network to plain form: one convolution and one activation a layer, then a pixel shuffle.

    Args:
        nonnegative: Whether the inputs of the network are declared to have no value below 0.
        align: Channels come in multiples of this; the authors of ETDS take 2.
    """
    prepared: list[Pass] = [
        DropDead(),
        MergeReshape(),
        DropIdentity(),
        FoldConstants(),
        MergeFrameWrites(),
        MergeLinear(),
    ]
    plain: list[Pass] = [SinkShuffle(), FoldClip(align), FoldResidual(nonnegative=nonnegative, align=align)]
    return [*prepared, *plain, SpecializeShapes(), FoldConstants(), DropIdentity(), DropDead()]
