"""How near the hot loops for ARM come to the processor's multiply-adds, as llvm-mca estimates it; nothing is run.

python -m bench.arm_estimate [--mca COMMAND]     writes bench/results/arm_estimate.json

The model is that of neoverse-n1, two vector pipes as cortex-a76 to a78 have: LLVM has none for these. It knows no
caches: every load hits the first level.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from dydca.lower.select_kernels import algorithm
from dydca.lower.targets import find_target
from tests.lower.arm_loops import hot_loop, kernels, multiplications, stack_accesses

RESULTS = Path(__file__).parent / "results" / "arm_estimate.json"
CPUS = ("cortex-a55", "cortex-a76", "cortex-a78", "cortex-x2", "neoverse-n1")
MODEL, PER_CYCLE, ITERATIONS = "neoverse-n1", 2, 200


def estimated_cycles(body: Sequence[str], mca: str) -> float:
    """Cycles of one iteration of a loop."""
    command = [mca, "-mtriple=aarch64-linux-gnu", f"-mcpu={MODEL}", f"-iterations={ITERATIONS}"]
    said = subprocess.run(command, input="\n".join(body), capture_output=True, text=True, check=True).stdout
    found = re.search(r"Total Cycles:\s+(\d+)", said)
    assert found is not None, said
    return int(found[1]) / ITERATIONS


def main(arguments: Sequence[str] | None = None) -> int:
    """Estimates, prints and writes."""
    parser = argparse.ArgumentParser(prog="python -m bench.arm_estimate", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--mca", default="llvm-mca", help="Debian's package llvm has it")
    options = parser.parse_args(arguments)
    if shutil.which(options.mca) is None:
        parser.error(f"there is no {options.mca}: apt-get install llvm")
    figures = []
    for cpu in CPUS:
        target = find_target("linux-aarch64", cpu)
        for kernel in kernels(target):
            body = hot_loop(kernel, target)
            share = len(multiplications(body)) / estimated_cycles(body, options.mca) / PER_CYCLE
            figures.append({"cpu": cpu, "kernel": algorithm(kernel), "share": share, "instructions": len(body)})
            figures[-1] |= {"multiplications": len(multiplications(body)), "spills": len(stack_accesses(body))}
            print(f"{cpu:12} {algorithm(kernel):20} {share:5.0%} of {PER_CYCLE} multiply-adds a cycle", flush=True)
    version = subprocess.run([options.mca, "--version"], capture_output=True, text=True, check=True).stdout
    RESULTS.write_text(json.dumps({"model": MODEL, "mca": version.split(), "loops": figures}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
