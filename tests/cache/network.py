"""A small network of a user's own, compiled and checked; other processes import it as well."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import dydca
from dydca.compiled import CompiledNetwork

PATCHES = [(1, 3, 8, 6), (1, 3, 5, 7)]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y.relu() if x.shape[2] > 6 else y


def compiled(*, verify: bool = False, cache: bool = True) -> CompiledNetwork:
    return dydca.compile(Net(), PATCHES, threads=1, verify=verify, cache=cache)


def check(network: CompiledNetwork) -> None:
    for patch in PATCHES:
        x = torch.rand(patch)
        torch.testing.assert_close(network(x), Net()(x), atol=1e-5, rtol=0)
