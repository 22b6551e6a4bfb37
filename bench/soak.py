"""Runs frames of tiny patches for long, with flat memory: ``python -m bench.soak [--frames 100000]``.

The network routes by value and by size and its results differ in shape; a frame goes through `run_many` on two
threads, and every hundredth is compared with what the same patches gave at the start. Exit code 1 if memory grew by
more than `LIMIT` after the first tenth, or a result changed.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

import dydca
from bench.machine import describe_machine
from tests.lower.test_edges import ScaledExits

RESULTS = Path(__file__).parent / "results" / "soak.json"
PATCHES = [(1, 3, 8, 6), (1, 3, 5, 7)]
LIMIT = 1 << 20
"""Bytes; the C library's own caches of freed memory settle within it."""


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def main() -> int:
    """Runs and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100_000)
    frames = parser.parse_args().frames
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    pictures = [
        random.standard_normal(PATCHES[number % 2], np.float32) * np.float32(0.1) + np.float32(mean)
        for number, mean in enumerate((-1.0, 0.1, 1.0, -1.0, 0.1, 1.0))
    ]
    started, sizes, wrong = time.monotonic(), [], 0
    with dydca.compile(ScaledExits().eval(), PATCHES, threads=2) as net:
        first = net.run_many(pictures)
        for frame in range(frames):
            results = net.run_many(pictures)
            if frame % 100 == 0:
                pairs = (pair for a, b in zip(first, results, strict=True) for pair in zip(a, b, strict=True))
                wrong += not all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in pairs)
            if frame % max(frames // 20, 1) == 0:
                sizes.append(resident())
        sizes.append(resident())
    growth = sizes[-1] - sizes[len(sizes) // 10]
    found = {
        "machine": describe_machine(),
        "frames": frames,
        "patches": frames * len(pictures),
        "seconds": round(time.monotonic() - started, 1),
        "resident MiB": [round(size / 2**20, 2) for size in sizes],
        "growth in bytes after the first tenth": growth,
        "wrong results": wrong,
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    return int(growth > LIMIT or wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
