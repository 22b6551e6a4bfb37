"""Networks compiled for ARM compute under qemu what eager computes; `python -m bench.qemu` does this for all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import dydca
from bench import arm
from dydca.models import DynamicWDSR
from tests.lower.test_edges import FromBytes, ScaledExits

pytestmark = [pytest.mark.qemu, pytest.mark.skipif(not arm.HAS_GLIBC, reason="no cross compiler for aarch64")]

TOLERANCE = 1e-4  # of the reference's largest value


def agree(emulated: object, model: nn.Module, x: Tensor) -> None:
    assert callable(emulated)
    with torch.no_grad():
        want = model(x.clone())
    have = emulated(x)
    for one, other in zip(
        have if isinstance(have, tuple) else (have,), want if isinstance(want, tuple) else (want,), strict=True
    ):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        assert (one.double() - other.double()).abs().max() <= TOLERANCE * other.double().abs().max()


@pytest.mark.slow
def test_the_main_job(tmp_path: Path) -> None:
    model = DynamicWDSR(scale=2).eval()
    patches = [(1, 3, 71, 9), (1, 3, 18, 16)]
    network = dydca.compile(model, patches, target="android-aarch64", cpu="neoverse-n1", threads=2, verify=True)
    assert "run by qemu-aarch64" in network.report()
    for cpu in ("max", "neoverse-n1"):
        for make in (arm.program, arm.library):
            for patch in patches:
                agree(make(network, tmp_path, cpu), model, torch.rand(patch))


def test_routes_by_value_and_shapes_by_route(tmp_path: Path) -> None:
    model, patch = ScaledExits().eval(), (1, 3, 7, 9)
    network = dydca.compile(model, [patch], target="android-aarch64")
    for make in (arm.program, arm.library):
        for mean in (-1, 0.1, 1):
            agree(make(network, tmp_path), model, torch.randn(patch) * 0.1 + mean)


@pytest.mark.parametrize("target", ["linux-aarch64", "linux-aarch64-musl"])
def test_bytes_and_other_systems(tmp_path: Path, target: str) -> None:
    model, shape = FromBytes().eval(), (1, 3, 5, 6)
    x = torch.randint(0, 256, shape, dtype=torch.uint8)
    network = dydca.compile(model, [shape], example_inputs=[x], target=target)
    agree(arm.program(network, tmp_path), model, x)
