"""``dydca errors``: what a code means."""

from __future__ import annotations

import argparse

from dydca.commands import Commands
from dydca.errors import CODES, UsageError


def add_to(commands: Commands) -> None:
    """Adds the command to the table."""
    parser = commands.add_parser("errors", help="explain an error code")
    parser.add_argument("code", nargs="?", help="e.g. DYD601; without it, all codes")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    if options.code is None:
        print("\n".join(f"{code}  {explanation.meaning}" for code, explanation in CODES.items()))
        return
    code = options.code.upper()
    if code not in CODES:
        raise UsageError("DYD901", "there is no such code", got=options.code, want="one that `dydca errors` lists")
    print(f"{code}\n{CODES[code].meaning}\n{CODES[code].remedy}")
