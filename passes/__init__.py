"""Graph passes: one file, one pass. Sources lie here; the package is `dydca.passes`."""

if __name__ != "dydca.passes":
    raise ImportError("import dydca.passes, not passes: the top-level folder only holds its sources")

from dydca.passes.base import Miss, Pass
from dydca.passes.convolve_channels import ConvolveChannels
from dydca.passes.convolve_product import ConvolveProduct
from dydca.passes.drop_clip import DropClip
from dydca.passes.drop_dead import DropDead
from dydca.passes.drop_identity import DropIdentity
from dydca.passes.drop_relu import DropRelu
from dydca.passes.expand_composite import ExpandComposite
from dydca.passes.fold_affine import FoldAffine
from dydca.passes.fold_batch_norm import FoldBatchNorm
from dydca.passes.fold_clip import FoldClip
from dydca.passes.fold_constants import FoldConstants
from dydca.passes.fold_residual import FoldResidual
from dydca.passes.merge_equal import MergeEqual
from dydca.passes.merge_frame_writes import MergeFrameWrites
from dydca.passes.merge_layer_norm import MergeLayerNorm
from dydca.passes.merge_linear import MergeLinear
from dydca.passes.merge_reshape import MergeReshape
from dydca.passes.pipeline import PIPELINE, default_passes, plain_passes
from dydca.passes.running.bisect import Culprit, find_culprit
from dydca.passes.running.dump import Dump
from dydca.passes.running.report import Difference, PassReport
from dydca.passes.running.runner import Outcome, run_passes
from dydca.passes.running.subject import Variant
from dydca.passes.sink_shuffle import SinkShuffle
from dydca.passes.specialize_shapes import SpecializeShapes
from dydca.passes.split_transposed import SplitTransposed

__all__ = [
    "PIPELINE",
    "ConvolveChannels",
    "ConvolveProduct",
    "Culprit",
    "Difference",
    "DropClip",
    "DropDead",
    "DropIdentity",
    "DropRelu",
    "Dump",
    "ExpandComposite",
    "FoldAffine",
    "FoldBatchNorm",
    "FoldClip",
    "FoldConstants",
    "FoldResidual",
    "MergeEqual",
    "MergeFrameWrites",
    "MergeLayerNorm",
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
    "find_culprit",
    "plain_passes",
    "run_passes",
]
