"""Compiles every network of the zoo and compares it with eager on three sizes and every route.

python -m bench.zoo [--only NAME ...] [--sizes N] [--again] [--seconds S]

Writes bench/results/zoo.json after every network and goes on where it stopped, or where fewer sizes were asked for;
docs/zoo.md is made from it by python -m bench.readme. Times are the processor's of one thread, so a busy machine does
not lengthen them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import dydca.models
from bench.machine import describe_machine
from bench.zoo.check import WANTED, attempt
from bench.zoo.verdict import is_faulty

RESULTS = Path(__file__).parent.parent / "results" / "zoo.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures what is missing; 1 if any network is refused or differs from eager."""
    parser = argparse.ArgumentParser(prog="python -m bench.zoo", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=dydca.models.list(), default=dydca.models.list())
    parser.add_argument("--sizes", type=int, choices=range(1, len(WANTED) + 1), default=len(WANTED), help="the first N")
    parser.add_argument("--again", action="store_true", help="measure again what is there")
    parser.add_argument("--seconds", type=float, default=0.5, help="of eager and of dydca on every patch")
    options = parser.parse_args(arguments)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"networks": {}}
    results["machine"] = describe_machine()
    networks: dict[str, dict[str, Any]] = results["networks"]
    for name, scale in [(entry.facts.name, entry.facts.scale) for entry in dydca.models.every()]:
        label = f"{name} x{scale}"
        if name not in options.only or not (options.again or _is_missing(networks.get(label), options.sizes)):
            continue
        networks[label] = measured(name, scale, options.sizes, options.seconds)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        print(label, _verdict(networks[label]), flush=True)
    return int(any(is_faulty(figures) for figures in networks.values()))


def _is_missing(figures: dict[str, Any] | None, sizes: int) -> bool:
    return figures is None or ("patches" in figures and len(figures["patches"]) < sizes)


def measured(name: str, scale: int, sizes: int, seconds: float) -> dict[str, Any]:
    """The figures of one network, from a process of its own, or ``{"failed": why}``."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(attempt, name, scale, sizes, seconds).result()
        except BrokenProcessPool:
            return {"failed": "the process died"}


def _verdict(figures: dict[str, Any]) -> str:
    if "failed" in figures:
        return str(figures["failed"])
    patches = figures["patches"].values()
    speedups = " ".join(f"{patch['eager_ms'] / patch['dydca_ms']:.2f}x" for patch in patches)
    routes = " ".join(f"{patch['compared']}/{patch['routes']}" for patch in patches)
    error = max(patch["error"] for patch in patches)
    return f"error {error:.1e}, routes {routes}, {speedups}, compiled in {figures['compile_s']:.1f} s"


if __name__ == "__main__":
    sys.exit(main())
