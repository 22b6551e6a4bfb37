"""Every way of writing a norm over channels becomes one layer_norm; what only looks like one is left."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from dydca.passes import DropIdentity, MergeLayerNorm, MergeReshape, SpecializeShapes
from dydca.testing import check_pass

Body = Callable[[Tensor], Tensor]
PATCHES = [(2, 8, 5, 6)]
PREPARED = (MergeReshape(), DropIdentity(), SpecializeShapes())


class Net(nn.Module):
    """The function of a picture, behind an operator."""

    def __init__(self, body: Body) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return self.body(torch.sin(x) + 0.3)


def by_mean_of_squares(x: Tensor) -> Tensor:
    mean = x.mean(1, keepdim=True)
    return (x - mean) / ((x - mean).pow(2).mean(1, keepdim=True) + 1e-6).sqrt()


def by_product(x: Tensor) -> Tensor:
    centred = x - x.mean(-3, keepdim=True)
    return centred * torch.rsqrt((centred * centred).mean(1, keepdim=True) + 1e-5)


def by_var(x: Tensor) -> Tensor:
    variance = x.var(1, keepdim=True, unbiased=False)
    return 1 / torch.sqrt(variance + 1e-5) * (x - x.mean(1, keepdim=True))


def by_correction(x: Tensor) -> Tensor:
    return (x - x.mean(1, keepdim=True)) / torch.pow(torch.var(x, 1, correction=0, keepdim=True) + 1e-5, 0.5)


def by_var_mean(x: Tensor) -> Tensor:
    variance, mean = torch.var_mean(x, 1, unbiased=False, keepdim=True)
    return (x - mean) * (variance + 1e-5) ** -0.5


FORMS: list[Body] = [by_mean_of_squares, by_product, by_var, by_correction, by_var_mean]


@pytest.mark.parametrize("form", FORMS)
def test_merges(form: Body) -> None:
    gain, offset = torch.rand(1, 8, 1, 1), torch.rand(1, 8, 1, 1)
    wanted = {"permute": 2, "layer_norm": 1, "mean": 0, "var": 0, "var_mean": 0, "sub": 0, "mul": 1, "add": 2}
    net = Net(lambda x: form(x) * gain + offset)
    check_pass(net, *PREPARED, MergeLayerNorm(), patches=PATCHES, ops=wanted, rewrites=1)


def unbiased(x: Tensor) -> Tensor:
    return (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True) + 1e-5).sqrt()


def test_refuses_the_unbiased_variance() -> None:
    reasons = ["%var is the unbiased variance"]
    check_pass(Net(unbiased), *PREPARED, MergeLayerNorm(), patches=PATCHES, rewrites=0, misses=reasons)


OTHERS: dict[str, Body] = {
    "of a signal": lambda x: by_mean_of_squares(x.flatten(2)),
    "over rows": lambda x: (x - x.mean(2, keepdim=True)) / (x.var(2, keepdim=True, unbiased=False) + 1e-5).sqrt(),
    "other mean": lambda x: (
        (x - (2 * x).mean(1, keepdim=True)) / (x.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
    ),
    "other variance": lambda x: (
        (x - x.mean(1, keepdim=True)) / ((2 * x).var(1, keepdim=True, unbiased=False) + 1).sqrt()
    ),
    "no root": lambda x: (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, unbiased=False) + 1e-5),
    "no eps": lambda x: (x - x.mean(1, keepdim=True)) / x.var(1, keepdim=True, unbiased=False).sqrt(),
    "mean of squares": lambda x: x * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + 1e-5),
}


@pytest.mark.parametrize("name", OTHERS)
def test_leaves_what_only_looks_like_it(name: str) -> None:
    check_pass(Net(OTHERS[name]), *PREPARED, MergeLayerNorm(), patches=PATCHES, rewrites=0)
