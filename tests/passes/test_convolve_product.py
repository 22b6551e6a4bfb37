"""Products with a constant matrix become 1x1 convolutions, exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, fx

from dydca.passes import FoldConstants, MergeReshape, SpecializeShapes
from dydca.passes.convolve_product import ConvolveProduct
from dydca.testing import Builder, check_pass, program_of

aten = torch.ops.aten
MATRIX, BIAS = torch.randn(6, 4), torch.randn(6)

Call = Callable[[Builder, fx.Node], fx.Node]


def report(call: Call, shape: tuple[int, ...], **wanted: Any) -> None:
    b = Builder()
    graph = b.output(call(b, b.input()))
    passes = SpecializeShapes(), FoldConstants(), MergeReshape(), ConvolveProduct()
    check_pass(program_of(graph, (shape,)), *passes, **wanted)


def linear(b: Builder, x: fx.Node) -> fx.Node:
    return b.call(aten.linear.default, x, b.const(MATRIX), b.const(BIAS))


@pytest.mark.parametrize("shape", [(4,), (1, 4), (3, 4), (2, 3, 4), (2, 5, 3, 4), (2, 3, 2, 5, 4)], ids=str)
def test_rows_become_pixels(shape: tuple[int, ...]) -> None:
    one = torch.Size(shape[:-1]).numel() == 1
    report(linear, shape, ops={"linear": 0, "conv2d": 1, "permute": 0 if one else 2})


@pytest.mark.parametrize("beta", [1, 0.5])
@pytest.mark.parametrize("bias", [BIAS, BIAS[None], BIAS[:1]], ids=["row", "matrix", "number"])
def test_addmm(bias: Tensor, beta: float) -> None:
    def addmm(b: Builder, x: fx.Node) -> fx.Node:
        return b.call(aten.addmm.default, b.const(bias), x, b.const(MATRIX.T), beta=beta, alpha=3)

    report(addmm, (3, 4), ops={"addmm": 0, "conv2d": 1})


@pytest.mark.parametrize("shape", [(4, 5), (4, 1), (2, 4, 5), (2, 3, 4, 5)], ids=str)
def test_a_matrix_on_the_left_needs_no_turn(shape: tuple[int, ...]) -> None:
    def matmul(b: Builder, x: fx.Node) -> fx.Node:
        return b.call(aten.matmul.default, b.const(MATRIX), x)

    report(matmul, shape, ops={"matmul": 0, "conv2d": 1, "permute": 0})


@pytest.mark.parametrize("operator", [aten.mm.default, aten.matmul.default])
def test_a_matrix_on_the_right(operator: Callable[..., Tensor]) -> None:
    report(lambda b, x: b.call(operator, x, b.const(MATRIX.T)), (3, 4), ops={"mm": 0, "matmul": 0, "conv2d": 1})


@pytest.mark.parametrize(
    ("call", "shape", "reason"),
    [
        (lambda b, x: b.call(aten.mm.default, x, x), (4, 4), "neither factor is a constant matrix"),
        (
            lambda b, x: b.call(aten.matmul.default, x, b.const(torch.randn(2, 4, 3))),
            (5, 4),
            "neither factor is a constant matrix",
        ),
        (
            lambda b, x: b.call(aten.matmul.default, b.const(MATRIX), x),
            (4,),
            "neither factor is a constant matrix",
        ),
        (
            lambda b, x: b.call(aten.linear.default, x, x),
            (4, 4),
            "the weights are no constant matrix, or the bias is no constant",
        ),
        (
            lambda b, x: b.call(aten.addmm.default, b.const(torch.randn(3, 6)), x, b.const(MATRIX.T)),
            (3, 4),
            "a bias (3, 6) that differs from row to row",
        ),
        (
            lambda b, x: b.call(aten.addmm.default, x, x, b.const(torch.randn(4, 4))),
            (4, 4),
            "weights or bias are not constants",
        ),
    ],
)
def test_refuses(call: Call, shape: tuple[int, ...], reason: str) -> None:
    report(call, shape, ops={"conv2d": 0}, misses=[reason])
