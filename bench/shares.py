"""Which kernels the time of a network goes to, and what share of it TVM's legalisation still has.

``python -m bench.shares [NAME SCALE HxW]`` prints the kernels of one network, dearest first; without arguments it
writes the shares of one network of every family to ``bench/results/shares.json``. The plan is compiled with a clock
around every line that runs a kernel; one thread, chains as they are.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import dydca.models
from bench.machine import describe_machine
from dydca.lower.build import compile_kernels, link_program
from dydca.lower.lower import lower
from dydca.lower.plan import Plan, write_plan
from dydca.lower.targets import find_target
from dydca.models.registry import Entry
from dydca.passes import default_passes, run_passes

RESULTS = Path(__file__).parent / "results" / "shares.json"
REPEATS = 30

CLOCK = """
#include <stdio.h>
#include <time.h>
static double spent[100000];
static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
  return at.tv_sec * 1e3 + at.tv_nsec * 1e-6;
}
__attribute__((destructor)) static void report(void) {
  for (int line = 0; line < 100000; line++)
    if (spent[line] > 0) fprintf(stderr, "%d %f\\n", line, spent[line]);
}
#define TIMED(run) do { const double start = now(); run; spent[__LINE__] += now() - start; } while (0)
#define dydca_each(...) TIMED(dydca_each(__VA_ARGS__))
#define dydca_bands(...) TIMED(dydca_bands(__VA_ARGS__))
#define dydca_border(...) TIMED(dydca_border(__VA_ARGS__))
"""


class Share(NamedTuple):
    """A line of the plan.

    Attributes:
        ms: Of one run.
        kernel: The native function; a border has none.
        nodes: What it computes.
    """

    ms: float
    kernel: str
    nodes: str


def shares(entry: Entry, size: tuple[int, int]) -> list[Share]:
    """Every line of the plan of one network and patch, dearest first; routes that values choose as zeros choose."""
    program = dydca.capture(entry.build().eval(), [entry.facts.shapes(*size)])
    target = find_target("host")
    plan = write_plan(lower({"timed": run_passes(program, default_passes()).variants}, target), {})
    text = plan.text.replace('#include "plan.h"\n', f'#include "plan.h"\n{CLOCK}', 1)
    lines = text.splitlines()
    spent = _run(replace(plan, text=text))
    return sorted((Share(ms, *_described(lines, number)) for number, ms in spent), reverse=True)


def _run(plan: Plan) -> Iterator[tuple[int, float]]:
    """By line of the timed plan, the milliseconds of one run."""
    with tempfile.TemporaryDirectory(prefix="dydca-") as folder:
        path = Path(folder) / "run"
        path.write_bytes(link_program(compile_kernels(plan, find_target("host"))))
        path.chmod(0o755)
        done = subprocess.run([path, "-n", str(REPEATS)], capture_output=True, text=True, check=True)
        runs = REPEATS + int("warm" in done.stdout)
    for line in done.stderr.splitlines():
        number, ms = line.split()
        yield int(number), float(ms) / runs


def _described(lines: Sequence[str], number: int) -> tuple[str, str]:
    """Kernel and nodes of a line, numbered from 1."""
    line = lines[number - 1]
    called = re.search(r"\((?:frame), (\w+),", line)
    if called is None:
        return "border", ""
    task = next(at for at, text in enumerate(lines) if text.startswith(f"static void {called[1]}("))
    kernel = re.search(r"; (?:\(void\)scratch; )?(\w+)\(", lines[task + 1])
    nodes = re.search(r"/\* (.*) \*/", line)
    return kernel[1] if kernel else "", nodes[1] if nodes else ""


def legalised(found: Sequence[Share]) -> float:
    """The part of the time that is spent in kernels of TVM's legalisation."""
    return sum(share.ms for share in found if share.kernel.startswith("legalized_nest")) / sum(s.ms for s in found)


NETWORKS = {
    1: "unet_naf",
    2: "imdn_rtc rt4ksr rt4ksr_eca fsrcnn bicubic abpn_m4c28_nearest etds_m5c16 ecbsr_m4c16 elsr wdsr_b2w2 "
    "class_routed window_sr block_naf block_eca block_cca",
    4: "vapsr_s swrn imdn mvsr_c16",
}
"""One of each family, by scale."""

SIZE = 144, 160


def main(arguments: Sequence[str]) -> int:
    """Prints or writes."""
    if arguments:
        name, scale, size = arguments
        height, _, width = size.partition("x")
        found = shares(_entry(name, int(scale)), (int(height), int(width)))
        for share in found:
            print(f"{share.ms:9.3f} ms  {share.kernel:28s} {share.nodes}")
        print(f"{sum(share.ms for share in found):9.3f} ms  in all, {legalised(found):.1%} of it legalised")
        return 0
    results: dict[str, object] = {"machine": describe_machine(), "size": SIZE}
    for entry in [_entry(name, scale) for scale, names in NETWORKS.items() for name in names.split()]:
        label = f"{entry.facts.name} x{entry.facts.scale}"
        try:
            found = shares(entry, (max(SIZE), max(SIZE)) if entry.facts.square else SIZE)
        except dydca.DydcaError as error:
            results[label] = {"refused": str(error)}
            continue
        slow = [share._asdict() for share in found if share.kernel.startswith("legalized_nest")]
        results[label] = {"ms": sum(s.ms for s in found), "share": legalised(found), "legalised": slow}
        print(f"{label}: {legalised(found):.1%} {[(s['nodes'], round(s['ms'], 3)) for s in slow]}", flush=True)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    return 0


def _entry(name: str, scale: int) -> Entry:
    return next(entry for entry in dydca.models.every() if (entry.facts.name, entry.facts.scale) == (name, scale))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
