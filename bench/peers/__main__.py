"""dydca beside every engine a user could pick: same weights, same inputs, in turn in one run.

python -m bench.peers [--case NAME ...] [--engine NAME ...] [--threads N ...] [--again] [--under CMD]

Writes bench/results/peers.json after every slice (a case and a number of threads) and goes on where it stopped: a slice
that holds all asked engines is left alone unless `--again`. A slice is always measured whole, with every engine it
already holds, so that all its ratios are of one run. The first run makes the engines' environments and models.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.machine import describe_machine
from bench.peers.cases import CASES
from bench.peers.engines import ENGINES
from bench.peers.environments import NotInstalledError, packages
from bench.peers.measure import Slice
from bench.peers.store import ConversionError, converted, environment

RESULTS = Path(__file__).parent.parent / "results" / "peers.json"
TWO_THREADS = ("plain_360", "deep_108")
"""Cases that are measured with two threads as well."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures what is missing; 0 when every asked slice has figures of dydca and of a peer."""
    options = _parser().parse_args(arguments)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"slices": {}}
    slices: dict[str, Any] = results["slices"]
    wanted = [part for part in _slices(options) if _is_missing(part, slices.get(_name(part), {}), options.again)]
    for position, part in enumerate(wanted, 1):
        print(f"[{position}/{len(wanted)}] {_name(part)}", file=sys.stderr, flush=True)
        slices[_name(part)] = _measured(part, slices.get(_name(part), {}), shlex.split(options.under))
        results["versions"] = {name: packages(name) for name in _environments()}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        _print(slices[_name(part)])
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--engine", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--threads", nargs="+", type=int, help="by default 1, and 2 for some cases")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.6, help="of every engine's turn in a round")
    parser.add_argument("--again", action="store_true", help="measure again what is there")
    parser.add_argument("--under", default="", metavar="CMD", help="run every slice by this command")
    return parser


def _slices(options: argparse.Namespace) -> list[Slice]:
    slices = []
    for case in options.case:
        engines = [name for name in options.engine if not ENGINES[name].cases or case in ENGINES[name].cases]
        for threads in options.threads or ([1, 2] if case in TWO_THREADS else [1]):
            slices.append(Slice(case, threads, engines, options.rounds, options.seconds))
        if CASES[case].memory:
            slices.append(Slice(case, 1, engines, 1, 0, memory=True))
    return slices


def _name(part: Slice) -> str:
    return f"{part.case}, {'memory' if part.memory else f'{part.threads} threads'}"


def _is_missing(part: Slice, known: dict[str, Any], again: bool) -> bool:
    return again or not set(part.engines) <= known.get("engines", {}).keys()


def _measured(part: Slice, known: dict[str, Any], under: Sequence[str]) -> dict[str, Any]:
    """One slice, in a process of its own; engines that do not take the network are told with the reason."""
    asked = [name for name in ENGINES if name in part.engines or name in known.get("engines", {})]
    failed, able = {}, []
    for name in asked:
        try:
            converted(ENGINES[name], part.case)
            able.append(name)
        except (ConversionError, NotInstalledError) as error:
            failed[name] = {"failed": str(error)}
    machine, given = describe_machine(), Slice(**{**vars(part), "engines": able})
    command = [*under, sys.executable, "-m", "bench.peers.measure", given.to_json()]
    done = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, text=True, check=True)
    return {
        "case": part.case,
        "title": CASES[part.case].title,
        "sizes": CASES[part.case].sizes,
        "calls": len(CASES[part.case].order),
        "threads": part.threads,
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "engines": {**json.loads(done.stdout.splitlines()[-1]), **failed},
    }


def _environments() -> list[str]:
    return sorted({engine.environment for engine in ENGINES.values() if engine.environment} | {"onnx"})


def _print(part: dict[str, Any]) -> None:
    for name, figure in part["engines"].items():
        if "failed" in figure:
            print(f"  {name:20} {figure['failed']}")
        else:
            print(f"  {name:20} " + "  ".join(f"{key} {value:.4g}" for key, value in figure.items()))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
