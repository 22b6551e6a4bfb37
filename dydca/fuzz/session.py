"""Many recipes in a row: counts, and a script for every fault."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

from dydca.fuzz.compare import check
from dydca.fuzz.minimise import minimise, write_script
from dydca.fuzz.networks import random_recipe


def fuzz_compile(count: int, seed: int, folder: Path | None = None, seconds: float = float("inf")) -> int:
    """Checks the networks of seeds `seed`, `seed` + 1, ...; returns how many show a fault.

    Args:
        count: How many networks.
        seed: The first one's seed.
        folder: Where a script for every fault is written, minimised; None writes none.
        seconds: After which no further network is begun.
    """
    found: Counter[str] = Counter()
    end = time.monotonic() + seconds
    for current in range(seed, seed + count):
        if time.monotonic() > end:
            break
        threads, recipe = Random(current).randint(1, 3), random_recipe(current)
        outcome = check(recipe, threads)
        code = outcome.detail.split(":")[0] if outcome.kind == "refused" else ""
        found.update({" ".join(filter(None, (outcome.kind, code))): 1, "inputs compared": outcome.compared})
        found["inputs skipped as near ties"] += outcome.skipped
        if outcome.kind != "equal":
            print(f"seed {current}: {outcome.kind}: {outcome.detail}", file=sys.stderr)
        if outcome.kind == "bug" and folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            small = minimise(recipe, threads)
            write_script(small, folder / f"seed_{current}.py", current, threads, outcome.detail)
    print("\n".join(f"{name}: {number}" for name, number in sorted(found.items())))
    return found["bug"]
