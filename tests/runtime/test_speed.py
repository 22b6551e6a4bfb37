"""Loading and dispatch stay far below what a patch costs; the limits here are loose, for a busy machine."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import pytest
import torch

from dydca.runtime import Network, load
from tests.runtime.native import SHAPES, Array, network, patch


def best_microseconds(net: Network, x: Array | torch.Tensor) -> float:
    times = []
    for _ in range(20):
        start = time.thread_time()  # of this thread alone, whatever else the machine does
        for _ in range(200):
            net(x)
        times.append((time.thread_time() - start) / 200 * 1e6)
    return min(times)


@pytest.mark.parametrize("threads", [1, 2])
def test_overhead_of_a_call(threads: int) -> None:
    with network("-DFIXTURE_EMPTY", threads=threads) as net:
        assert best_microseconds(net, patch(SHAPES[0])) < 10
        assert best_microseconds(net, torch.zeros(SHAPES[0])) < 10


def test_load_and_first_call(net: Network, tmp_path: Path) -> None:
    net.save(tmp_path / "net.dydca")
    times = []
    for _ in range(5):
        start = time.perf_counter()
        with load(tmp_path / "net.dydca") as again:
            again(patch(SHAPES[0]))
        times.append(time.perf_counter() - start)
    assert statistics.median(times) < 0.05
