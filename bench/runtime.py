"""What the runtime itself costs: ``python -m bench.runtime``; figures go to ``bench/results/runtime.json``.

Dispatch is a network without kernels called from C, by ctypes, and as a Python callable. Scaling is `run_many` on 100
patches of the main job with one thread and with two, beside what two processes of one thread each reach together, each
pinned to a processor: that is what the machine allows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch

import dydca
from bench.machine import describe_machine
from dydca.models import DynamicWDSR
from dydca.runtime import Network
from dydca.runtime.library import Library, Spec, describe
from tests.runtime.native import SHAPES, driver, library, network, patch

RESULTS = Path(__file__).parent / "results" / "runtime.json"
PATCHES = [(1, 3, 108, 96), (1, 3, 54, 48)]
FRAME = [PATCHES[number % 4 > 0] for number in range(100)]
ROUNDS = 15


def times(call: Callable[[], object], repeats: int, rounds: int = ROUNDS) -> list[float]:
    """Seconds a call, averaged over `repeats`, for each round."""
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        found.append((time.perf_counter() - start) / repeats)
    return found


def summary(seconds: list[float], unit: float) -> dict[str, float]:
    """Least and median in a unit."""
    return {"min": round(min(seconds) * unit, 3), "median": round(median(seconds) * unit, 3)}


def dispatch(threads: int) -> dict[str, object]:
    """Microseconds of a call of a network that does nothing."""
    said = subprocess.run(
        [driver("-DFIXTURE_EMPTY"), "dispatch", str(threads), str(ROUNDS)], capture_output=True, text=True, check=True
    )
    x, y = patch(SHAPES[0]), np.zeros(SHAPES[0], np.float32)
    loaded = Library(library("-DFIXTURE_EMPTY"))
    net, tensors = loaded.create(threads), [describe([Spec("float32", SHAPES[0])]) for _ in range(2)]
    for tensor, array in zip(tensors, (x, y), strict=True):
        tensor[0].data = array.ctypes.data
    native = times(lambda: loaded.run(net, *tensors), 2000)
    loaded.destroy(net)
    with network("-DFIXTURE_EMPTY", threads=threads) as callable_:
        python = times(lambda: callable_(x), 2000)
    from_c = [float(line) for line in said.stdout.split()]
    return {"C": summary(from_c, 1e6), "ctypes": summary(native, 1e6), "callable": summary(python, 1e6)}


def scaling(saved: Path) -> dict[str, object]:
    """`run_many` with one and two threads in turn, then two processes at once."""
    frame = [np.random.default_rng(0).random(shape, np.float32) for shape in FRAME]
    with dydca.load(saved, threads=1) as one, dydca.load(saved, threads=2) as two:
        found: dict[Network, list[float]] = {one: [], two: []}
        for _ in range(ROUNDS):
            for net, seconds in found.items():
                seconds += times(partial(net.run_many, frame), 1, 1)
        alone, shared = found.values()
    command = [sys.executable, "-m", "bench.runtime", "--half", str(saved)]
    begin = str(time.time() + 4)
    pinned = [["taskset", "-c", str(core), *command, begin] for core in sorted(os.sched_getaffinity(0))[:2]]
    halves = [subprocess.Popen(each, stdout=subprocess.PIPE, text=True) for each in pinned]
    apart = [max(pair) for pair in zip(*(json.loads(half.communicate()[0]) for half in halves), strict=True)]
    return {
        "one thread": summary(alone, 1e3),
        "two threads": summary(shared, 1e3),
        "two processes": summary(apart, 1e3),
        "two threads, times as fast": round(median(a / b for a, b in zip(alone, shared, strict=True)), 3),
        "two processes, times as fast": round(median(alone) / median(apart), 3),
    }


def half(saved: str, begin: str) -> None:
    """Every other patch of the frame, from a moment on; prints the seconds of each round."""
    frame = [np.random.default_rng(0).random(shape, np.float32) for shape in FRAME[: len(FRAME) // 2]]
    with dydca.load(saved, threads=1) as net:
        net.run_many(frame)
        time.sleep(max(float(begin) - time.time(), 0))
        print(json.dumps(times(lambda: net.run_many(frame), 1)))


def main() -> None:
    """Measures all and writes the results."""
    if sys.argv[1:2] == ["--half"]:
        half(*sys.argv[2:])
        return
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(sys.argv[1] if len(sys.argv) > 1 else f"{folder}/net.dydca")
        if not saved.exists():
            dydca.compile(DynamicWDSR(scale=2), PATCHES).save(saved)
        found = {
            "machine": describe_machine(),
            "dispatch in us": {f"{threads} threads": dispatch(threads) for threads in (1, 2)},
            "run_many of 100 patches in ms": scaling(saved),
        }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
