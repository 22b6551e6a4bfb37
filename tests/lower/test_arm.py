"""The code for ARM: hot loops multiply by lanes, and nothing is spilt."""

from __future__ import annotations

import pytest

from dydca.lower.kernels.direct import DirectConv
from dydca.lower.select_kernels import algorithm
from dydca.lower.targets import find_target
from tests.lower.arm_loops import by_element, hot_loop, kernels, multiplications, stack_accesses


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
