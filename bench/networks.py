"""Whole networks beside PyTorch eager and beside the processor's own multiply-adds, all in one run.

python -m bench.networks [--only NAME ...] [--repeat R]     writes bench/results/networks.json

The peak is what one core does in a loop of nothing but vector multiply-adds. "Effective" counts the multiply-adds of
the direct sum, so Winograd may pass the peak. Times are of the wall clock: nothing else should run.
"""

from __future__ import annotations

import argparse
import ctypes
import inspect
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch

import dydca
from bench.machine import describe_machine
from bench.peers.cases import CASES, Case
from dydca.lower.linking.toolchain import find_compiler

RESULTS = Path(__file__).parent / "results" / "networks.json"

PEAK = """
typedef float vector __attribute__((vector_size(LANES * 4)));
void peak(long steps, vector *sums, const vector *factors) {
    vector s[12];
    for (int i = 0; i < 12; i++) s[i] = sums[i];
    vector a = factors[0], b = factors[1];
    for (long step = 0; step < steps; step++)
        for (int i = 0; i < 12; i++) s[i] = s[i] * a + b;
    for (int i = 0; i < 12; i++) sums[i] = s[i];
}
"""
STEPS = 20_000_000


@dataclass(frozen=True)
class Figure:
    """One network on one patch; milliseconds.

    `effective_over_peak` is the direct sum's multiply-adds by the fastest call, in multiples of one core's peak.
    """

    case: str
    gflop: float
    compile_seconds: float
    eager_min_ms: float
    eager_median_ms: float
    min_ms: float
    median_ms: float
    two_threads_min_ms: float
    two_threads_median_ms: float
    speedup_median: float
    scaling_median: float
    effective_over_peak: float


def measure_peak() -> float:
    """GFLOP/s of one core's multiply-adds, the best of five."""
    lanes = {"avx512f": 16, "avx2": 8}.get(str(describe_machine()["vectors"]), 4)
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "peak.c", Path(folder) / "peak.so"
        source.write_text(PEAK)
        options = [
            "-O3",
            "-march=native",
            "-ffp-contract=fast",
            "-funroll-loops",
            f"-DLANES={lanes}",
            "-shared",
            "-fPIC",
        ]
        subprocess.run([find_compiler(), *options, str(source), "-o", str(library)], check=True)
        peak = ctypes.CDLL(str(library)).peak
    numbers = torch.full((14 * 16 + 16,), 0.5)
    start = numbers.data_ptr() + -numbers.data_ptr() % 64
    sums, factors = ctypes.c_void_p(start), ctypes.c_void_p(start + 12 * lanes * 4)
    seconds = min(_timed(lambda: peak(ctypes.c_long(STEPS), sums, factors)) for _ in range(5))
    return 2 * 12 * lanes * STEPS / seconds / 1e9


def measure_case(name: str, case: Case, repeat: int, peak: float) -> Figure:
    """Eager on one thread, dydca on one and on two, in turn."""
    model, size = case.build(), case.sizes[-1]
    inputs = [torch.rand(1, channels, *size) * case.top for channels in case.channels]
    names = inspect.signature(model.forward).parameters
    patch = {name: tuple(x.shape) for name, x in zip(names, inputs, strict=True)}
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, dydca.compile(model, [patch], threads=1, cache=False) as single:
        seconds = time.perf_counter() - started
        single.save(Path(folder) / "net.dydca")
        with dydca.load(Path(folder) / "net.dydca", threads=2) as double, torch.inference_mode():
            eager, one, two = _interleaved([partial(net, *inputs) for net in (model, single, double)], repeat)
        _, builds = single._request.compiled
    flop = 2 * sum(call.kernel.macs for call in builds[0].calls[0].calls)
    return Figure(
        case=f"{name} {size[0]}x{size[1]}",
        gflop=flop / 1e9,
        compile_seconds=seconds,
        eager_min_ms=min(eager) * 1e3,
        eager_median_ms=statistics.median(eager) * 1e3,
        min_ms=min(one) * 1e3,
        median_ms=statistics.median(one) * 1e3,
        two_threads_min_ms=min(two) * 1e3,
        two_threads_median_ms=statistics.median(two) * 1e3,
        speedup_median=statistics.median(e / o for e, o in zip(eager, one, strict=True)),
        scaling_median=statistics.median(o / t for o, t in zip(one, two, strict=True)),
        effective_over_peak=flop / 1e9 / min(one) / peak,
    )


def _interleaved(calls: Sequence[Callable[[], object]], repeat: int) -> list[list[float]]:
    rounds = [[_timed(call) for call in calls] for _ in range(repeat)]
    return [list(times) for times in zip(*rounds, strict=True)]


def _timed(call: Callable[[], object]) -> float:
    """The second of two calls: the first wakes threads that slept, and finds its caches full of another's data."""
    call()
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(prog="python -m bench.networks", description=(__doc__ or "").split("\n")[0])
    known = [name for name, case in CASES.items() if not case.stream]
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=known, default=known)
    parser.add_argument("--repeat", type=int, default=15)
    options = parser.parse_args(arguments)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"networks": {}}
    torch.set_num_threads(1)
    peak = measure_peak()
    print(f"peak of one core: {peak:.1f} GFLOP/s")
    for name in options.only:
        figure = measure_case(name, CASES[name], options.repeat, peak)
        results["networks"][name] = asdict(figure)
        times = f"{figure.min_ms:8.2f} {figure.median_ms:8.2f} ms, {figure.effective_over_peak:4.2f} of the peak"
        ratios = f"{figure.speedup_median:5.2f}x eager, 2 threads {figure.scaling_median:4.2f}x"
        print(f"{figure.case:24} {times}, {ratios}, compiled in {figure.compile_seconds:.1f} s", flush=True)
        results |= {"machine": describe_machine(), "cores": os.cpu_count(), "peak_gflops": peak}
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
