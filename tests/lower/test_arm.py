"""The code for ARM: hot loops multiply by lanes, and nothing is spilt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from dydca.lower.kernels.direct import DirectConv
from dydca.lower.select_kernels import algorithm
from dydca.lower.targets import find_target
from tests.lower.arm_loops import by_element, hot_loop, kernels, layer, multiplications, stack_accesses
from tests.lower.native_kernel import NativeConv


@pytest.mark.parametrize("cpu", ["cortex-a55", "cortex-a78", "cortex-x2"])
def test_hot_loops_multiply_by_lanes_and_spill_nothing(cpu: str) -> None:
    target = find_target("android-aarch64", cpu)
    for kernel in kernels(target):
        body = hot_loop(kernel, target)
        tile = (kernel.tile if isinstance(kernel, DirectConv) else kernel.batch) * kernel.vectors  # type: ignore[attr-defined]
        found = multiplications(body)
        assert len(found) >= 4 * tile, (algorithm(kernel), body)
        assert by_element(body) == found, algorithm(kernel)
        assert stack_accesses(body) == [], algorithm(kernel)


@pytest.mark.parametrize("channels", [5, 130])
def test_direct_by_lanes_gives_the_same_bits(channels: int) -> None:
    kernel = DirectConv(layer(channels, 20, 4), 4, 9, 1, 4)
    x, weight, bias = torch.rand(1, channels, 54, 48) - 0.3, torch.randn(20, channels, 3, 3), torch.randn(20)
    results = []
    for each in (kernel, replace(kernel, by_lane=True)):
        native = NativeConv(each, weight.numpy(), bias.numpy())
        native.put(x.numpy(), ())
        results.append(native.run())
    np.testing.assert_array_equal(results[0], results[1])
    want = functional.conv2d(x.double(), weight.double(), bias.double(), padding=1).relu().numpy()
    assert np.abs(results[0] - want).max() <= 2e-6 * np.abs(want).max()
