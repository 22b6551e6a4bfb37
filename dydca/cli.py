"""The ``dydca`` command: results to stdout, everything else to stderr; 0 done, 1 refused, 2 not understood."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dydca import __version__
from dydca.analyze import main as analyze
from dydca.analyze import model_arguments
from dydca.errors import CODES, DydcaError, UsageError


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("dydca", description="Compile dynamic super-resolution networks for CPUs.")
    parser.add_argument("--version", action="version", version=f"dydca {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    commands.add_parser("analyze", help="routes, shapes and costs of a network", add_help=False)
    compiled = commands.add_parser("compile", help="compile a network into a .dydca file", parents=[model_arguments()])
    compiled.add_argument("--target", default="host", help="the processor; host is this machine")
    compiled.add_argument("-o", "--output", required=True, metavar="FILE.dydca")
    compiled.set_defaults(run=_compile)
    errors = commands.add_parser("errors", help="explain an error code")
    errors.add_argument("code", nargs="?", help="e.g. DYD601; without it, all codes")
    errors.set_defaults(run=_errors)
    fuzz = commands.add_parser("fuzz", help="check the compiler against PyTorch on random networks")
    fuzz.add_argument("what", choices=["compile"])
    fuzz.add_argument("--n", type=int, default=100, help="how many networks")
    fuzz.add_argument("--seed", type=int, default=0, help="of the first one")
    fuzz.add_argument("--seconds", type=float, default=float("inf"), help="begin no further network after this time")
    fuzz.add_argument("--output", metavar="FOLDER", help="write a minimised script for every fault")
    fuzz.set_defaults(run=_fuzz)
    return parser


def _compile(options: argparse.Namespace) -> None:
    from dydca.api import compile
    from dydca.capture.files import read_model

    model = read_model(options.model, allow=options.allow, trust_pickle=options.trust_pickle)
    with compile(model, options.patch, target=options.target, threads=1) as network:
        network.save(options.output)
        print(network.report())


def _fuzz(options: argparse.Namespace) -> int:
    from dydca.fuzz.session import fuzz_compile

    folder = None if options.output is None else Path(options.output)
    return int(fuzz_compile(options.n, options.seed, folder, options.seconds) > 0)


def _errors(options: argparse.Namespace) -> None:
    if options.code is None:
        print("\n".join(f"{code}  {explanation.meaning}" for code, explanation in CODES.items()))
        return
    code = options.code.upper()
    if code not in CODES:
        raise UsageError("DYD901", "there is no such code", got=options.code, want="one that `dydca errors` lists")
    print(f"{code}\n{CODES[code].meaning}\n{CODES[code].remedy}")


if __name__ == "__main__":
    sys.exit(main())
