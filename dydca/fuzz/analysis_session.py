"""Many programs in a row through the analysis: counts, and a script for every fault."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

import torch

from dydca.fuzz.analysis import Case, Violation, check, minimised, random_case

SCRIPT = '''"""Found by `dydca fuzz analysis`, seed {seed}: {what}.

{graph}
"""

from dydca.fuzz.analysis import check, random_case

if __name__ == "__main__":
    print(*(violation.what for violation in check(random_case({seed}))), sep="\\n")
'''


def fuzz_analysis(count: int, seed: int, folder: Path | None = None, seconds: float = float("inf")) -> int:
    """Checks the programs of seeds `seed`, `seed` + 1, ...; returns how many show a violation.

    Args:
        count: How many programs.
        seed: The first one's seed.
        folder: Where a script for every fault is written, with the smallest graph that shows it; None writes none.
        seconds: After which no further program is begun.
    """
    found: Counter[str] = Counter()
    end = time.monotonic() + seconds
    torch.set_num_threads(1)
    for current in range(seed, seed + count):
        if time.monotonic() > end:
            break
        case = random_case(current)
        wrong = check(case)
        found.update(_counts(case))
        found["violations"] += bool(wrong)
        if wrong:
            small, shown = minimised(case, wrong[0])
            print(f"seed {current}: {shown.what}", file=sys.stderr, flush=True)
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                _write(folder / f"seed_{current}.py", current, small, shown)
    print("\n".join(f"{name}: {number}" for name, number in sorted(found.items())))
    return found["violations"]


def _counts(case: Case) -> dict[str, int]:
    nodes = sum(node.op == "call_function" for route in case.program.routes for node in route.graph)
    return {"programs": 1, "routes": len(case.program.routes), "patches": len(case.patches), "operators": nodes}


def _write(path: Path, seed: int, case: Case, shown: Violation) -> None:
    graph = "\n".join([case.program.routes[0].graph.text(), *(str(patch) for _, patch in case.patches)])
    path.write_text(SCRIPT.format(seed=seed, what=shown.what.replace('"""', "'''"), graph=graph))
