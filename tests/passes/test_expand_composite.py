"""Attention and sums over indices become products, and these run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import dydca
from dydca.passes import ExpandComposite, FoldConstants, SpecializeShapes
from dydca.testing import check_pass

SHAPE = (2, 3, 6, 8)
BIAS, SEEN = torch.randn(3, 6, 6), torch.ones(6, 6).tril().bool()


class Body(nn.Module):
    def __init__(self, forward: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.body = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "attention": lambda x: F.scaled_dot_product_attention(x, x * 2, x + 1),
    "attention with a scale": lambda x: F.scaled_dot_product_attention(x, x, x, scale=0.2),
    "attention that looks back": lambda x: F.scaled_dot_product_attention(x, x * 2, x, is_causal=True),
    "attention with a bias": lambda x: F.scaled_dot_product_attention(x, x, x, attn_mask=BIAS),
    "attention with a mask": lambda x: F.scaled_dot_product_attention(x, x, x, attn_mask=SEEN),
    "attention of three sizes": lambda x: F.scaled_dot_product_attention(x[0], x[1], x[0, :, :, :5]),
    "sum over rows": lambda x: torch.einsum("nchw,nchv->nwv", x, x),
    "outer product": lambda x: torch.einsum("nchw,nd->nchwd", x, x[:, 0, 0]),
    "three factors": lambda x: torch.einsum("nchw,ncw,nhv->ncv", x, x[:, :, 0], x[:, 0]),
    "transposition": lambda x: torch.einsum("nchw->nwhc", x),
    "diagonal": lambda x: torch.einsum("nchh->nch", x[..., :6]),
}


@pytest.mark.parametrize("form", FORMS)
def test_what_an_operator_is_made_of_takes_its_place(form: str) -> None:
    program = dydca.capture(Body(FORMS[form]), [SHAPE])
    passes = SpecializeShapes(), FoldConstants(), ExpandComposite()
    check_pass(program, *passes, ops={"einsum": 0, "scaled_dot_product_attention": 0})


@pytest.mark.parametrize("form", FORMS)
def test_compiled(form: str) -> None:
    model = Body(FORMS[form])
    torch.manual_seed(0)
    x = torch.rand(SHAPE)
    with dydca.compile(model, [SHAPE], threads=1) as network:
        assert (network(x) - model(x)).abs().max() <= 2e-6 * model(x).abs().max()
