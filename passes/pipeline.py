"""Which passes run, and in what order."""

from __future__ import annotations

from dydca.extensions import offered_classes
from dydca.passes.base import Pass
from dydca.passes.convolve_channels import ConvolveChannels
from dydca.passes.convolve_product import ConvolveProduct
from dydca.passes.drop_clip import DropClip
from dydca.passes.drop_dead import DropDead
from dydca.passes.drop_identity import DropIdentity
from dydca.passes.drop_relu import DropRelu
from dydca.passes.expand_composite import ExpandComposite
from dydca.passes.fold_batch_norm import FoldBatchNorm
from dydca.passes.fold_clip import FoldClip
from dydca.passes.fold_constants import FoldConstants
from dydca.passes.fold_residual import FoldResidual
from dydca.passes.merge_equal import MergeEqual
from dydca.passes.merge_frame_writes import MergeFrameWrites
from dydca.passes.merge_layer_norm import MergeLayerNorm
from dydca.passes.merge_linear import MergeLinear
from dydca.passes.merge_reshape import MergeReshape
from dydca.passes.running.order import sorted_in
from dydca.passes.sink_shuffle import SinkShuffle
from dydca.passes.specialize_shapes import SpecializeShapes
from dydca.passes.split_transposed import SplitTransposed

PIPELINE: tuple[type[Pass], ...] = (
    DropDead,
    MergeReshape,
    DropIdentity,  # before the first folding, for a dropout that sleeps hides that its operand is constant
    FoldConstants,
    DropRelu,  # before the merging, for what they leave is linear
    DropClip,
    SplitTransposed,
    MergeFrameWrites,
    MergeLinear,  # once for all patches, and below for regions that only numbers make plain
    SpecializeShapes,  # from here on every patch has a graph of its own, and what depended on sizes is constant
    FoldConstants,
    SplitTransposed,  # again, for weights that depended on sizes
    ExpandComposite,
    ConvolveProduct,
    MergeReshape,
    DropIdentity,
    FoldConstants,
    MergeFrameWrites,
    MergeLinear,
    FoldBatchNorm,
    MergeLayerNorm,
    ConvolveChannels,
    MergeEqual,
    DropDead,
)
"""The named order in which dydca's own passes run."""


def default_passes() -> list[Pass]:
    """The passes of `PIPELINE` and those of installed packages, ready to run.

    A package names its pass classes under the entry point group ``dydca.passes``.

    Raises:
        PassError: DYD304 the passes cannot be ordered, DYD305 a package cannot be loaded.
    """
    return sorted_in([pass_() for pass_ in PIPELINE], [pass_() for pass_ in offered_classes("dydca.passes", Pass)])


def plain_passes(*, align: int = 1) -> list[Pass]:
    """The passes that bring a network to plain form: one convolution and one activation a layer, then a pixel shuffle.

    Args:
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
    plain: list[Pass] = [SinkShuffle(), FoldClip(align), FoldResidual(align=align)]
    return [*prepared, *plain, SpecializeShapes(), FoldConstants(), DropIdentity(), DropDead()]
