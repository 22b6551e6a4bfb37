"""Repeated channels become a pointwise convolution, exactly."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from dydca.models import create
from dydca.passes import ConvolveChannels, FoldConstants, SpecializeShapes
from dydca.testing import check_pass

PASSES = SpecializeShapes(), FoldConstants(), ConvolveChannels()


class Body(nn.Module):
    def __init__(self, join: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        return self.join(x)


@pytest.mark.parametrize(
    "join",
    [
        lambda x: x.repeat_interleave(4, dim=1),
        lambda x: x.repeat(1, 9, 1, 1),
        lambda x: torch.cat([x, x, x, x], 1),
        lambda x: x.index_select(1, torch.tensor([2, 0, 0])),
    ],
    ids=["interleaved", "repeated", "joined", "selected"],
)
def test_fires(join: Callable[[Tensor], Tensor]) -> None:
    checked = check_pass(Body(join), *PASSES, patches=[(1, 3, 5, 7), (2, 3, 8, 6)], ops={"conv2d": 1})
    assert all(difference.max_abs == 0.0 for difference in checked.differences)


@pytest.mark.parametrize(
    "join",
    [
        lambda x: x.repeat(1, 1, 2, 1),
        lambda x: torch.cat([x, x], 2),
        lambda x: x.repeat(2, 1, 1, 1),
        lambda x: torch.cat([x, x.relu()], 1),
    ],
    ids=["rows repeated", "rows joined", "batch repeated", "of two pictures"],
)
def test_leaves_alone_what_is_no_repeat_of_channels(join: Callable[[Tensor], Tensor]) -> None:
    check_pass(Body(join), *PASSES, patches=[(1, 3, 5, 7)], ops={"conv2d": 0})


def test_refuses_many_channels() -> None:
    reason = "%x has 8 channels, more than 4"
    check_pass(Body(lambda x: x.repeat(1, 2, 1, 1)), *PASSES, patches=[(1, 8, 5, 7)], rewrites=0, misses=[reason])


def test_the_anchor_of_abpn() -> None:
    check_pass(create("abpn_m4c28", 2).eval(), *PASSES, patches=[(1, 3, 6, 8)], ops={"repeat_interleave": 0})
