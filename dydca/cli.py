"""The ``dydca`` command: results to stdout, the rest to stderr; 0 done, 1 refused, 2 unclear, 130 interrupted."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from dydca import __version__
from dydca.analyze import main as analyze
from dydca.commands import bisect, compile, errors, evaluate, fuzz, overfit, play, upscale
from dydca.errors import DydcaError

FAMILIES = (compile, bisect, upscale, overfit, play, evaluate, fuzz, errors)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a sub-command; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["analyze"]:
        return analyze(given[1:])
    options = _parser().parse_args(given)
    try:
        return int(options.run(options) or 0)
    except DydcaError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130  # as shells say it


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("dydca", description="Compile dynamic super-resolution networks for CPUs.")
    parser.add_argument("--version", action="version", version=f"dydca {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    commands.add_parser("analyze", help="routes, shapes and costs of a network", add_help=False)
    for family in FAMILIES:
        family.add_to(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
