"""Products of two computed matrices: alone against float64, and as networks ask for them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import dydca
from dydca.lower.kernels.product import Product
from tests.lower.native_kernel import HOST, compile_kernels, guarded, pointers

TOLERANCE = 1e-6
"""Of the largest value; sums of at most 40 terms in float32."""

SIZES = st.sampled_from([1, 2, 3, 4, 5, 12, 16, 17, 40, 64, 67, 81])


@st.composite
def pairs(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of two factors whose leading sizes are equal or one."""
    rows, inner, columns = draw(SIZES), draw(st.integers(1, 40)), draw(SIZES)
    leading = draw(st.lists(st.integers(1, 3), max_size=2))
    kept = [draw(st.tuples(st.booleans(), st.booleans())) for _ in leading]
    left, right = ([n if keep[side] else 1 for n, keep in zip(leading, kept, strict=True)] for side in (0, 1))
    return (*left, rows, inner), (*right, inner, columns)


@settings(max_examples=25, deadline=None)
@given(pairs(), st.sampled_from([4, 8, 16]), st.booleans(), st.data())
def test_a_product_is_that_of_float64_however_it_is_cut(
    shapes: tuple[tuple[int, ...], tuple[int, ...]], lanes: int, at_end: bool, data: st.DataObject
) -> None:
    kernel = Product(*shapes, min(lanes, HOST.lanes))
    a, b, y = buffers = [guarded(parameter, at_end=at_end) for parameter in kernel.parameters().values()]
    generator = np.random.default_rng(0)
    for factor in (a, b):
        factor[...] = generator.uniform(-1, 1, factor.shape)
    y.fill(np.nan)
    cut = data.draw(st.integers(0, kernel.extent))
    (function,) = compile_kernels([kernel])
    for begin, end in ((0, cut), (cut, kernel.extent)):
        function(*pointers({str(number): buffer for number, buffer in enumerate(buffers)}), begin, end)
    want = a.astype(np.float64) @ b.astype(np.float64)
    assert y.shape == want.shape
    assert np.abs(y - want).max() <= TOLERANCE * np.abs(want).max()


class Multiplies(nn.Module):
    def __init__(self, forward: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.multiply = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.multiply(x)


PRODUCTS: dict[str, Callable[[Tensor], Tensor]] = {
    "of a picture with itself": lambda x: x @ x.transpose(2, 3),
    "of one matrix with many": lambda x: x[0, 0].T @ x,
    "in batches": lambda x: torch.bmm(x[:, 0], x[:, 1].transpose(1, 2)),
    "of matrices": lambda x: torch.mm(x[0, 0], x[1, 1].T),
    "with a vector on the left": lambda x: x[0, 0, :, 0] @ x,
    "with a vector on the right": lambda x: x @ x[0, 1, 2],
    "of vectors": lambda x: (x[0, 0, 0] @ x[1, 2, 5]).reshape(1),
    "as attention": lambda x: torch.softmax(x @ x.transpose(2, 3) * 0.3, -1) @ x,
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_of_a_network(name: str) -> None:
    model = Multiplies(PRODUCTS[name])
    torch.manual_seed(0)
    x = torch.rand(2, 3, 6, 21)
    with dydca.compile(model, [tuple(x.shape)], threads=1) as network:
        assert (network(x) - model(x)).abs().max() <= TOLERANCE * model(x).abs().max()
