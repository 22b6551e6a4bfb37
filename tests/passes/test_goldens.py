"""What passes leave, read as text: the graph before and after."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from dydca.passes import (
    FoldAffine,
    FoldConstants,
    FoldResidual,
    MergeFrameWrites,
    MergeLinear,
    Pass,
    SpecializeShapes,
    SplitTransposed,
)
from dydca.testing import check_pass
from dydca.testing.golden import Golden
from tests.passes.blocks import PadByNorm, prepared, rep_vgg, scrambled

Case = tuple[Callable[[], nn.Module], Callable[[], list[Pass]]]


class Skip(nn.Module):
    """A skip over one layer, which carries what a ReLU left."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(x)
        z: Tensor = self.last(torch.relu(self.first(y))) + y
        return z


class Sized(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return x.reshape(n, c, h // 2, 2 * w) * (h - w)


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(2 * x - 0.5)
        return y


CASES: dict[str, Case] = {
    "merge_linear": (lambda: rep_vgg(3), lambda: prepared(MergeLinear())),
    "merge_frame_writes": (lambda: PadByNorm(3), lambda: [*prepared()[:-1], MergeFrameWrites()]),
    "fold_residual": (Skip, lambda: prepared(MergeLinear(), FoldResidual())),
    "fold_affine": (Scaled, lambda: prepared(FoldAffine())),
    "split_transposed": (
        lambda: nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1),
        lambda: [FoldConstants(), SplitTransposed()],
    ),
    "specialize_shapes": (Sized, lambda: [SpecializeShapes()]),
}


@pytest.mark.parametrize("name", CASES)
def test_before_and_after(name: str, golden: Golden) -> None:
    build, passes = CASES[name]
    done = check_pass(scrambled(build()), *passes(), patches=[(1, 3, 8, 6)])
    assert (done.report.name, done.report.rewrites > 0) == (name, True)
    golden(name, done.text)
