"""The README is true: its tables are those of the last benchmark, its outputs what its examples print."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_tables_and_outputs_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, "-m", "bench.readme", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "run python -m bench.readme"
