"""``dydca bisect``: which step of the compiler moves the results of a network."""

from __future__ import annotations

import argparse

from dydca.analyze import model_arguments, named_model
from dydca.commands import Commands


def add_to(commands: Commands) -> None:
    """Adds the command to the table."""
    told = "find the pass, and the rewriting in it, that moves the results of a network; exit code 1 if there is one"
    parser = commands.add_parser("bisect", help=told, description=told, parents=[model_arguments()])
    parser.add_argument(
        "--tolerance", type=float, metavar="T", help="let pass this part of an output's largest value (default 1e-4)"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from dydca.bisection import TOLERANCE, bisect

    tolerance = TOLERANCE if options.tolerance is None else options.tolerance
    fault = bisect(named_model(options), options.patch, tolerance=tolerance)
    print(fault or f"everything stays within {tolerance:g} of the largest value: capture, passes and native code")
    return int(fault is not None)
