"""Every convolution kernel against PyTorch in the same run, on one thread.

python -m bench.kernels [--repeat R]     writes bench/results/kernels.json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from bench.machine import describe_machine
from dydca.lower.kernels.epilogue import Step
from dydca.lower.kernels.layer import Conv
from dydca.lower.layout import PLAIN, Layout
from dydca.lower.select_kernels import Choice, algorithm, select_kernel
from tests.lower.native_kernel import HOST, NativeConv

RESULTS = Path(__file__).parent / "results" / "kernels.json"
MULTIPLY_ADDS = 4e7
"""At least so many are done between two readings of the clock."""


@dataclass(frozen=True)
class Case:
    """A 3x3 convolution of padding 1, with ReLU or, if it shuffles, without."""

    inputs: int
    outputs: int
    height: int
    width: int
    shuffle: int = 1

    @property
    def macs(self) -> int:
        """Multiply-adds of the direct sum."""
        return 9 * self.inputs * self.outputs * self.height * self.width

    def __str__(self) -> str:
        shuffled = f", shuffled by {self.shuffle}" if self.shuffle > 1 else ""
        return f"{self.inputs}->{self.outputs}{shuffled} at {self.height}x{self.width}"


CHANNELS = [(16, 16), (32, 32), (32, 64), (64, 32), (48, 48), (64, 64)]
SIZES = [(108, 96), (54, 48)]
CASES = [
    *(Case(*channels, *size) for size in SIZES for channels in CHANNELS),
    *(Case(32, 12, *size, shuffle=2) for size in SIZES),
    Case(32, 32, 107, 95),
    Case(32, 32, 27, 24),
    Case(32, 32, 180, 320),
]


@dataclass(frozen=True)
class Figure:
    """One kernel on one case; times of one call in microseconds, ratios of the times in single rounds.

    `error` is the largest against float64, as a part of the largest output; `predicted_kcycles` is None for PyTorch.
    """

    case: str
    kernel: str
    chosen: bool
    min_us: float
    median_us: float
    gflops: float
    speedup_over_torch_min: float
    speedup_over_torch_median: float
    speedup_over_direct_median: float
    error: float
    predicted_kcycles: float | None


def choose(case: Case) -> Choice:
    """The kernels of a case as they are chosen inside a network, each algorithm's best."""
    source, size = Layout(HOST.lanes, 1), (case.height, case.width)
    target = PLAIN if case.shuffle > 1 else source
    steps = () if case.shuffle > 1 else (Step("relu"),)
    between = source, (1, case.inputs, *size), target, (1, case.outputs, *size)
    return select_kernel(HOST, Conv(*between, case.shuffle, steps, padding=(1, 1)))


def measure_case(case: Case, repeat: int) -> list[Figure]:
    """All kernels of a case and PyTorch in turn, `repeat` times."""
    torch.manual_seed(0)
    x, bias = torch.rand(1, case.inputs, case.height, case.width), torch.randn(case.outputs)
    weight = torch.randn(case.outputs, case.inputs, 3, 3) * (2 / (9 * case.inputs)) ** 0.5

    def reference(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        y = functional.conv2d(x, weight, bias, padding=1)
        return functional.pixel_shuffle(y, case.shuffle) if case.shuffle > 1 else y.relu_()

    want = reference(x.double(), weight.double(), bias.double()).numpy()
    errors = {"torch": np.abs(reference(x, weight, bias).numpy() - want).max()}
    calls: dict[str, Callable[[], object]] = {"torch": lambda: reference(x, weight, bias)}
    ranking = choose(case).ranking
    for kernel, _ in ranking:
        native = NativeConv(kernel, weight.numpy(), bias.numpy())
        native.put(x.numpy(), ())
        errors[algorithm(kernel)] = np.abs(native.run() - want).max()
        calls[algorithm(kernel)] = lambda native=native: native(0, native.kernel.extent)  # type: ignore[misc]
    seconds = _interleaved(calls, repeat, max(int(MULTIPLY_ADDS / case.macs), 1))
    predicted = {algorithm(kernel): cycles / 1e3 for kernel, cycles in ranking}
    scale = float(np.abs(want).max())
    return [
        Figure(
            str(case),
            name,
            name == algorithm(ranking[0].kernel),
            min(times) * 1e6,
            statistics.median(times) * 1e6,
            2 * case.macs / min(times) / 1e9,
            min(seconds["torch"]) / min(times),
            _median_ratio(seconds["torch"], times),
            _median_ratio(seconds["direct"], times),
            float(errors[name]) / scale,
            predicted.get(name),
        )
        for name, times in seconds.items()
    ]


def _interleaved(calls: dict[str, Callable[[], object]], repeat: int, inner: int) -> dict[str, list[float]]:
    """Seconds of one call of each, in every round."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    with torch.inference_mode():
        for _ in range(repeat):
            for name, call in calls.items():
                call()
                started = time.perf_counter()
                for _ in range(inner):
                    call()
                seconds[name].append((time.perf_counter() - started) / inner)
    return seconds


def _median_ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    return statistics.median(s / f for s, f in zip(slow, fast, strict=True))


def compare(figures: Sequence[Figure]) -> dict[str, float]:
    """Predicted against measured: rank correlations (Spearman), and what wrong choices cost."""
    ours = [figure for figure in figures if figure.predicted_kcycles is not None]
    cases = [[figure for figure in ours if figure.case == case] for case in dict.fromkeys(each.case for each in ours)]
    best = [min(figure.min_us for figure in case) for case in cases]
    chosen = [next(figure.min_us for figure in case if figure.chosen) for case in cases]
    return {
        "rank_correlation": _rank_correlation(ours),
        "least_rank_correlation_in_a_case": min(map(_rank_correlation, cases)),
        "slowest_choice_over_fastest": max(c / b for c, b in zip(chosen, best, strict=True)),
    }


def _rank_correlation(figures: Sequence[Figure]) -> float:
    predicted = np.argsort(np.argsort([figure.predicted_kcycles or 0.0 for figure in figures]))
    measured = np.argsort(np.argsort([figure.min_us for figure in figures]))
    return float(np.corrcoef(predicted, measured)[0, 1])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(prog="python -m bench.kernels", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repeat", type=int, default=15)
    options = parser.parse_args(arguments)
    machine = describe_machine()
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    figures = []
    for case in CASES:
        for figure in measure_case(case, options.repeat):
            figures.append(figure)
            times = f"{figure.min_us:9.1f} {figure.median_us:9.1f} us  {figure.gflops:4.0f} GF/s"
            ratios = f"{figure.speedup_over_torch_median:5.2f}x torch {figure.speedup_over_direct_median:5.2f}x direct"
            print(f"{figure.case:31} {figure.kernel:20} {times} {ratios}  error {figure.error:.0e}", flush=True)
    agreement = compare(figures)
    print(", ".join(f"{name} {value:.3f}" for name, value in agreement.items()))
    results = {"machine": machine, "prediction": agreement, "kernels": list(map(asdict, figures))}
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
