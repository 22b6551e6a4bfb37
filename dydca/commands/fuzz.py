"""``dydca fuzz``: the compiler and the analysis against PyTorch on random networks."""

from __future__ import annotations

import argparse
from pathlib import Path

from dydca.commands import Commands


def add_to(commands: Commands) -> None:
    """Adds the command to the table."""
    parser = commands.add_parser("fuzz", help="check the compiler or the analysis against PyTorch on random networks")
    parser.add_argument("what", choices=["compile", "analysis"])
    parser.add_argument("--n", type=int, default=100, help="how many networks")
    parser.add_argument("--seed", type=int, default=0, help="of the first one")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no further network after this time")
    parser.add_argument("--output", metavar="FOLDER", help="write a minimised script for every fault")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from dydca.fuzz.analysis_session import fuzz_analysis
    from dydca.fuzz.session import fuzz_compile

    folder = None if options.output is None else Path(options.output)
    fuzz = {"compile": fuzz_compile, "analysis": fuzz_analysis}[options.what]
    return int(fuzz(options.n, options.seed, folder, options.seconds) > 0)
