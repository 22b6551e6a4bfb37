"""The memory of every network of the zoo as it is planned, without compiling: ``python -m bench.memory``.

For each of the sizes that ``bench.zoo`` uses: the arena, beside the most bytes alive at once, which no placement can do
without, and the arena that the plan would have if nothing were reordered or written in place. Exit code 1 if an arena
is more than `LIMIT` times that bound. ``--only NAME ...`` leaves out the other networks.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

import dydca.models
from bench.zoo.check import wanted_sizes
from dydca.capture.capture import capture
from dydca.errors import DydcaError
from dydca.lower.lower import lower
from dydca.lower.memory import Arena, place
from dydca.lower.targets import find_target
from dydca.models.registry import Entry
from dydca.passes import Variant, default_passes, run_passes

RESULTS = Path(__file__).parent / "results" / "memory.json"
LIMIT = 1.05


def main(arguments: Sequence[str] | None = None) -> int:
    """Plans, prints, and writes the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=dydca.models.list(), default=dydca.models.list())
    only = parser.parse_args(arguments).only
    rows: dict[str, object] = {}
    worst = 1.0
    for entry in dydca.models.every():
        if entry.facts.name in only:
            name = f"{entry.facts.name} x{entry.facts.scale}"
            try:
                rows[name] = found = planned(entry)
                worst = max(worst, *(each["over the bound"] for each in found.values()))
            except DydcaError as error:
                rows[name] = str(error)
            print(name, rows[name], flush=True)
            RESULTS.write_text(json.dumps({"worst over the bound": worst, "networks": rows}, indent=1) + "\n")
    return int(worst > LIMIT)


def planned(entry: Entry) -> dict[str, dict[str, float]]:
    """By size, the arena in bytes, and how it compares.

    Raises:
        DydcaError: The network is refused.
    """
    shapes = [entry.facts.shapes(*size) for size in wanted_sizes(entry.facts)]
    outcome = run_passes(capture(entry.build().eval(), shapes), default_passes())
    patches: dict[str, list[Variant]] = {}
    for variant in outcome.variants:
        patches.setdefault(str(variant.patch), []).append(variant)
    plain = arenas(patches, lambda _calls: None)
    labels = ("x".join(map(str, size)) for size in wanted_sizes(entry.facts))
    return {
        label: {
            "arena": arena.bytes,
            "over the bound": round(arena.bytes / max(arena.lower_bound, 1), 4),
            "of the plain plan": round(arena.bytes / max(before.bytes, 1), 4),
        }
        for label, arena, before in zip(labels, arenas(patches), plain, strict=True)
    }


def arenas(patches: dict[str, list[Variant]], instead: Callable[[object], None] | None = None) -> list[Arena]:
    """The placements; `instead` of reordering and of writing in place, something else."""
    target = find_target("x86-64-v4")
    if instead is None:
        return [place(calls) for calls in lower(patches, target)]
    with patch("dydca.lower.budget.write_in_place", instead), patch("dydca.lower.budget.order_steps", instead):
        return [place(calls) for calls in lower(patches, target)]


if __name__ == "__main__":
    raise SystemExit(main())
