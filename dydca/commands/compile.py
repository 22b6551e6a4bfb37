"""``dydca compile``: a network into a file that runs without torch and TVM."""

from __future__ import annotations

import argparse

from dydca.analyze import model_arguments
from dydca.commands import Commands


def add_to(commands: Commands) -> None:
    """Adds the command to the table."""
    parser = commands.add_parser("compile", help="compile a network into a .dydca file", parents=[model_arguments()])
    parser.add_argument("--target", default="host", help="the processor; host is this machine")
    parser.add_argument("--dump", metavar="DIR", help="write every graph as text after every pass")
    parser.add_argument("-o", "--output", required=True, metavar="FILE.dydca")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from dydca.api import compile
    from dydca.capture.files import read_model

    model = read_model(options.model, allow=options.allow, trust_pickle=options.trust_pickle)
    with compile(model, options.patch, target=options.target, threads=1, dump=options.dump) as network:
        network.save(options.output)
        print(network.report())
