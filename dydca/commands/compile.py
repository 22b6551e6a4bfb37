"""``dydca compile``: a network into a file that runs without torch and TVM, or into a folder for another build."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from dydca.analyze import model_arguments, named_model
from dydca.commands import Commands


def add_to(commands: Commands) -> None:
    """Adds the command to the table."""
    parser = commands.add_parser(
        "compile", help="compile a network for this or another machine", parents=[model_arguments()]
    )
    parser.add_argument(
        "--target",
        action="append",
        metavar="NAME",
        help="host (the default), x86-64-v3, x86-64-v4, linux-aarch64, linux-aarch64-musl or android-aarch64; "
        "several for a .dydca file with a library for each",
    )
    parser.add_argument("--cpu", metavar="NAME", help="the processor as LLVM calls it, e.g. cortex-a78")
    parser.add_argument(
        "--precision",
        choices=("fast", "exact"),
        default="fast",
        help="exact: no kernel further from the true sum than the sum computed in order; slower",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="how many threads share the work by default, 1 to 64")
    parser.add_argument(
        "--memory", metavar="SIZE", help="the most a loaded network may allocate for values, e.g. 8MB, for its threads"
    )
    parser.add_argument("--name", help="of an exported library, an identifier of C; by default the model's")
    parser.add_argument(
        "--verify", action="store_true", help="prove every pass on every patch; run other targets in qemu"
    )
    parser.add_argument("--no-cache", action="store_true", help="compile anew what was compiled before")
    parser.add_argument("--dump", metavar="DIR", help="write every graph as text after every pass")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="PATH",
        help="a .dydca file; or a folder for the library, its C header, a program and their sources",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from dydca.api import compile

    with compile(
        named_model(options),
        options.patch,
        target=options.target or "host",
        cpu=options.cpu,
        threads=options.threads,
        precision=options.precision,
        max_routes=options.max_routes,
        memory=options.memory,
        verify=options.verify,
        dump=options.dump,
        cache=not options.no_cache,
    ) as network:
        if options.output.endswith(".dydca"):
            network.save(options.output)
        else:
            network.export(options.output, name=options.name or _identifier(options.model))
        print(network.report())


def _identifier(model: str) -> str:
    """The model's own name, where it makes an identifier."""
    name = re.sub(r"\W", "_", Path(model).stem, flags=re.ASCII)
    return name if re.match("[A-Za-z]", name) else f"net_{name}"
