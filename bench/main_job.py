"""The main job against PyTorch eager in the same run, with 1 and 2 threads, and what compiling and calling cost.

python -m bench.main_job [--frames N] [--repeat R]     writes bench/results/main_job.json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import dydca
from bench.demo.result import Result, print_table
from bench.demo.scene import COARSE, QUADRANT, pick, scenes
from bench.demo.upscale_clip import load_model, upscale_frames
from bench.machine import describe_machine

RESULTS = Path(__file__).parent / "results" / "main_job.json"
PATCHES = [(1, 3, *COARSE), (1, 3, *QUADRANT)]


class Plus(nn.Module):
    """As near to nothing as a network can be: what is left of a call is its overhead."""

    def forward(self, x: Tensor) -> Tensor:
        """Add one."""
        return x + 1


def measure_frames(numbers: Sequence[int], threads: int, repeat: int) -> Result:
    """Upscale frames on as many cores as threads, eager and dydca in turn."""
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[-threads:]) if threads == 1 else _cores())
    model = load_model()
    with dydca.compile(model, PATCHES, threads=threads) as network:

        def run(patches: list[Tensor]) -> list[Tensor]:
            return [patch for patch in network.run_many(patches) if isinstance(patch, Tensor)]

        result, _ = upscale_frames(list(scenes(numbers)), model, run, threads, repeat)
    return result


def measure_patches(repeat: int) -> dict[str, dict[str, float]]:
    """One call per declared patch on one thread, eager and dydca in turn."""
    model, figures = load_model(), {}
    torch.set_num_threads(1)
    with dydca.compile(model, PATCHES, threads=1) as network, torch.inference_mode():
        for patch in PATCHES:
            x = torch.rand(patch)
            eager, ours = _interleaved(partial(_eager, model, x), partial(network, x), 10 * repeat)
            figures[f"{patch[2]}x{patch[3]}"] = {
                "eager_min_ms": min(eager) * 1e3,
                "eager_median_ms": statistics.median(eager) * 1e3,
                "dydca_min_ms": min(ours) * 1e3,
                "dydca_median_ms": statistics.median(ours) * 1e3,
            }
    return figures


def _eager(model: nn.Module, x: Tensor) -> object:
    return model(x.clone())  # the network edits its input in place


def measure_costs() -> dict[str, float]:
    """Seconds to compile both patches and to load them, microseconds of a call beyond its kernels."""
    started = time.perf_counter()
    network = dydca.compile(load_model(), PATCHES, threads=1, cache=False)
    compiled = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as folder:
        network.save(Path(folder) / "net.dydca")
        load = min(_load_and_call(folder) for _ in range(3))
    with dydca.compile(Plus(), [(1, 3, 4, 4)], threads=1) as small:
        x = np.zeros((1, 3, 4, 4), np.float32)
        empty = min(_interleaved(lambda: [small(x) for _ in range(1000)], lambda: None, 20)[0]) / 1000
    return {"compile_s": compiled, "load_and_first_call_ms": load * 1e3, "call_overhead_us": empty * 1e6}


def _load_and_call(folder: str) -> float:
    script = (
        "import time, numpy as np, dydca; x = np.zeros((1, 3, 54, 48), np.float32); dydca.load; "
        "started = time.perf_counter(); dydca.load('net.dydca', threads=1)(x); print(time.perf_counter() - started)"
    )
    return float(subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, check=True).stdout)


def _interleaved(
    one: Callable[[], object], other: Callable[[], object], repeat: int
) -> tuple[list[float], list[float]]:
    def timed(call: Callable[[], object]) -> float:
        started = time.perf_counter()
        call()
        return time.perf_counter() - started

    one(), other()
    pairs = [(timed(one), timed(other)) for _ in range(repeat)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _cores() -> set[int]:
    return set(range(os.cpu_count() or 1))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints and writes; 0 when all pixels are eager's."""
    parser = argparse.ArgumentParser(prog="python -m bench.main_job", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args(arguments)
    machine = describe_machine()
    frames = [measure_frames(pick(options.frames), threads, options.repeat) for threads in (1, 2)]
    figures = {
        "machine": machine,
        "frames": [asdict(result) for result in frames],
        "patches": measure_patches(options.repeat),
        "costs": measure_costs(),
    }
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n")
    for result in frames:
        print_table(result)
    print(json.dumps({"patches": figures["patches"], "costs": figures["costs"]}, indent=2))
    return 0 if all(result.is_same for result in frames) else 1


if __name__ == "__main__":
    sys.exit(main())
