"""The Dy-DCA networks against the figures of the specification sheet, and what a compiler will meet in them."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.export import Dim
from torch.utils.flop_counter import FlopCounterMode

from dydca.models import WDSR, Block, DynamicWDSR, WeightNormConv2d

LARGE, SMALL = (1, 3, 108, 96), (1, 3, 54, 48)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("scale", "total", "deep", "shallow"),
    [(2, 233_000, 153_556, 79_444), (3, 244_010, 159_061, 84_949), (4, 259_424, 166_768, 92_656)],
)
def test_parameters_are_those_of_the_sheet(scale: int, total: int, deep: int, shallow: int) -> None:
    model = DynamicWDSR(scale)
    assert (count(model), count(model.deep), count(model.shallow)) == (total, deep, shallow)


@pytest.mark.parametrize(("shape", "giga"), [(LARGE, 0.8185), (SMALL, 0.3957)], ids=["large", "small"])
def test_multiply_adds_are_those_of_the_sheet(shape: tuple[int, ...], giga: float) -> None:
    with FlopCounterMode(display=False) as counter:
        DynamicWDSR(2)(torch.rand(shape))
    assert counter.get_total_flops() / 2e9 == pytest.approx(giga, abs=5e-5)


@pytest.mark.parametrize(("height", "route"), [(69, "deep"), (70, "shallow")])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_height_chooses_the_route(height: int, route: str, scale: int) -> None:
    model = DynamicWDSR(scale)
    x = torch.rand(1, 3, height, 20)
    y = model(x.clone())
    assert y.shape == (1, 3, scale * height, scale * 20)
    torch.testing.assert_close(y, getattr(model, route)(x.clone()), rtol=0, atol=0)


def test_first_gains() -> None:
    net = WDSR(2, blocks=4, width=2)
    block = net.body[0]
    assert isinstance(block, Block)
    layers = [net.head, net.tail, net.skip, block.body[0], block.body[2]]
    gains = [set(layer.get_parameter("weight_g").flatten().tolist()) for layer in layers]
    assert gains == [{1.0}, {1.0}, {1.0}, {2.0}, {0.5}]
    assert not any(layer.get_parameter("bias").any() for layer in layers)


def test_weight_norm_is_that_of_torch() -> None:
    ours = WeightNormConv2d(3, 8, 3, gain=2.0)
    plain = nn.Conv2d(3, 8, 3, padding=1)
    plain.load_state_dict({"weight": ours.weight_v.detach(), "bias": torch.zeros(8)})
    theirs = nn.utils.parametrizations.weight_norm(plain)
    theirs.parametrizations.weight.original0.data.fill_(2.0)
    x = torch.rand(1, 3, 9, 7)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-6)


def test_the_callers_tensor_is_changed() -> None:
    x = torch.rand(SMALL)
    before = x.clone()
    with torch.inference_mode():
        DynamicWDSR(2)(x)
    torch.testing.assert_close(x, before - 0.5, rtol=0, atol=0)


@pytest.mark.parametrize(("shape", "low", "high"), [(SMALL, 2, 69), (LARGE, 70, None)], ids=["deep", "shallow"])
def test_export_keeps_one_route_and_its_predicate_without_warnings(
    shape: tuple[int, ...], low: int, high: int | None
) -> None:
    model = DynamicWDSR(2).eval()
    x = torch.rand(shape)
    free = ((Dim.STATIC, Dim.STATIC, Dim.AUTO, Dim.AUTO),)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        program = torch.export.export(model, (x.clone(),), dynamic_shapes=free, strict=False)
    ranges = {(int(r.lower), int(r.upper) if r.upper.is_Integer else None) for r in program.range_constraints.values()}
    assert (low, high) in ranges
    torch.testing.assert_close(program.module()(x.clone()), model(x.clone()), rtol=0, atol=1e-6)


def test_a_whole_model_is_saved_and_read_without_trusting_pickle() -> None:
    model, file = DynamicWDSR(2), io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    known: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        DynamicWDSR,
        WDSR,
        Block,
        WeightNormConv2d,
        nn.Sequential,
        nn.ReLU,
        nn.PixelShuffle,
        set,
    ]
    with torch.serialization.safe_globals(known):
        again = torch.load(file, weights_only=True)
    x = torch.rand(SMALL)
    torch.testing.assert_close(again(x.clone()), model(x.clone()), rtol=0, atol=0)
