"""``python -m dydca.analyze model.pt --patch 108x96``: routes, shapes, memory and cost of a network.

Results go to stdout, everything else to stderr. Exit code 0: done, 1: refused, 2: the command line is not understood,
130: interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dydca.errors import DydcaError, ShapeError
from dydca.shapes import Dim

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

PatchArgument = tuple[int | Dim, ...] | dict[str, tuple[int | Dim, ...]]

_SIZE = r"(?:([A-Za-z_]\w*):(\d+)\.\.(\d+)(?::(\d+))?|(\d+))"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    options = _parser().parse_args(argv)
    try:
        _run(options)
    except DydcaError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of stdout has seen enough, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130  # as shells say it
    return 0


def _run(options: argparse.Namespace) -> None:
    from dydca.capture import capture
    from dydca.report.derivations import derivations
    from dydca.report.explain import explain_program, identity
    from dydca.runtime.artifact import write_bytes

    model = named_model(options)
    program = capture(model, options.patch, max_routes=options.max_routes)
    asked = [derivations(program, name) for name in options.why]
    analysis = explain_program(program, *identity(model))
    expected = analysis.expected_macs(dict(options.frequency)) if options.frequency else None
    as_json = json.dumps(analysis.to_dict(), indent=1) if options.json else ""
    if options.html:
        write_bytes(Path(options.html), analysis.html().encode(), "report")
    if options.json == "-":
        print(as_json)
        return
    if options.json:
        write_bytes(Path(options.json), f"{as_json}\n".encode(), "report")
    print(analysis)
    if expected is not None:
        print(f"\nexpected cost of a patch: {expected / 1e9:.4f} GMAC")
    if options.tensors:
        print()
        print(analysis.tensors())
    for derivation in asked:
        print(f"\n{derivation}")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    description = "Routes, shapes, memory and cost of a network."
    parser = argparse.ArgumentParser("dydca analyze", description=description, parents=[model_arguments()])
    parser.add_argument("--tensors", action="store_true", help="list every tensor of every route")
    parser.add_argument(
        "--why",
        action="append",
        default=[],
        metavar="TENSOR",
        help="tell how shape and values of a tensor came about, by its name in --tensors",
    )
    parser.add_argument(
        "--frequency",
        action="append",
        default=[],
        type=_frequency,
        metavar="ROUTE=NUMBER",
        help="how often a route is taken, in any unit; the cost of a patch on average follows",
    )
    parser.add_argument("--json", metavar="FILE", help="write the whole report as JSON; - writes it to stdout instead")
    parser.add_argument("--html", metavar="FILE", help="write the whole report as one page for a browser, too")
    return parser


def model_arguments() -> argparse.ArgumentParser:
    """What every command that reads a network takes: the file, how far to trust it, and the patches."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "model", help="a .pt file with a whole module, a .pt2 program, an .onnx model, or weights with --factory"
    )
    parser.add_argument(
        "--factory",
        metavar="MODULE:CALLABLE",
        help="what makes the network whose state_dict the file (.pt or .safetensors) holds: package.module:callable, "
        "or 'package.module:callable(scale=2, blocks=4)' with literals",
    )
    parser.add_argument(
        "--patch",
        action="append",
        type=parse_patch,
        required=True,
        metavar="SHAPE",
        help="HxW or NxCxHxW; a size may be a range, h:16..256 or h:16..256:2 for the even ones; "
        "name=SHAPE,name=SHAPE for several inputs; give one --patch per declared patch",
    )
    parser.add_argument(
        "--max-routes", type=int, default=64, metavar="N", help="refuse a network with more routes (default 64)"
    )
    parser.add_argument(
        "--allow", action="append", default=[], metavar="PACKAGE[.CLASS]", help="a class the file may use"
    )
    parser.add_argument(
        "--trust-pickle", action="store_true", help="unpickle the file without restriction; it can run code"
    )
    return parser


def named_model(options: argparse.Namespace) -> nn.Module | ExportedProgram:
    """The network that these arguments name.

    Raises:
        FileError, CaptureError, UsageError: See `dydca.capture.files.read_model`.
    """
    from dydca.capture.files import read_model

    trust = options.trust_pickle
    return read_model(options.model, factory=options.factory, allow=options.allow, trust_pickle=trust)


def _frequency(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        return name, float(number)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not ROUTE=NUMBER, e.g. route0=0.3") from None


def parse_patch(text: str) -> PatchArgument:
    """``108x96``, ``1x3x108x96``, ``h:16..256:2 x w:16..256:2``, or ``x=1x3x8x8,state=1x32x8x8``.

    Raises:
        argparse.ArgumentTypeError: The text is anything else.
    """
    if "=" not in text:
        return _shape(text)
    named = [entry.partition("=") for entry in text.split(",")]
    return {name.strip(): _shape(shape) for name, _, shape in named}


def _shape(text: str) -> tuple[int | Dim, ...]:
    if not re.fullmatch(rf"\s*{_SIZE}(\s*[xX]\s*{_SIZE})*\s*", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is no shape; write HxW or NxCxHxW, with h:MIN..MAX for a range")
    try:
        return tuple(_size(*found.groups()) for found in re.finditer(rf"(?:^|[xX])\s*{_SIZE}\s*", text, re.ASCII))
    except ShapeError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error.what}") from error


def _size(name: str | None, low: str, high: str, step: str | None, number: str) -> int | Dim:
    if name is not None:
        return Dim(name, int(low), int(high), multiple_of=int(step or 1))
    if int(number) == 0:
        raise argparse.ArgumentTypeError("a size is at least 1")
    return int(number)


if __name__ == "__main__":
    sys.exit(main())
