"""Indices out of range end in some element of the tensor, never in a crash."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import dydca

TABLE = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))

CASES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], tuple[int, ...]]] = {
    "index_select": (lambda x, index: torch.index_select(x, 1, index), (3,)),
    "gather": (lambda x, index: torch.gather(x, 1, index), (4, 3)),
    "index": (lambda x, index: x[index, index] + x[:, index].sum(), (3,)),
    "take": (lambda x, index: torch.take(x, index), (3,)),
    "embedding": (lambda x, index: F.embedding(index, TABLE) + x.sum(), (2, 3)),
}
FAR = (4, -1, 6, -7, 10**7, -(10**7), 2**31, -(2**31) - 1, 2**62, -(2**63))


class Indexing(nn.Module):
    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.function(x, index)


@pytest.mark.parametrize("name", CASES)
def test_any_index_is_survived(name: str) -> None:
    function, shape = CASES[name]
    x, index = torch.rand(4, 6, generator=torch.Generator().manual_seed(1)), torch.arange(12) % 4
    index = index[: torch.Size(shape).numel()].reshape(shape)
    model = Indexing(function).eval()
    patch = {"x": (4, 6), "index": shape}
    with dydca.compile(model, [patch], example_inputs=[x, index], input_range={"index": (0, 3)}, threads=1) as network:
        torch.testing.assert_close(network(x, index), model(x, index))
        for far in FAR:
            got = network(x, torch.full_like(index, far))
            assert isinstance(got, Tensor)
            assert got.isfinite().all()
