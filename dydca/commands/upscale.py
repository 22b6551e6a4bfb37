"""``dydca upscale``: a picture enlarged by a network of the zoo with trained weights."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dydca.commands import Commands
from dydca.errors import FileError, UsageError

if TYPE_CHECKING:
    from torch import nn

    from dydca.models import Facts


def add_to(commands: Commands) -> None:
    """Adds the command to the table."""
    parser = commands.add_parser("upscale", help="enlarge a picture with a network of dydca.models")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--model", required=True, metavar="NAME", help="a name of dydca.models.list()")
    parser.add_argument("--scale", type=int, help="may be left out where the network has only one")
    parser.add_argument("--weights", type=Path, metavar="FILE.safetensors", help="needed unless nothing is trained")
    parser.add_argument("--memory", type=_mebibytes, default=1024.0, metavar="MIB", help="for activations (1024)")
    parser.add_argument("--threads", type=int, choices=range(1, 65), metavar="N", help="by default one per processor")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="its ending is the format")
    parser.set_defaults(run=_run)


def _mebibytes(text: str) -> float:
    value = float(text)
    if not 0 < value < 2**30:
        raise argparse.ArgumentTypeError(f"{text} MiB is no memory")
    return value


def _run(options: argparse.Namespace) -> None:
    from dydca.content.picture import format_for, read_picture, refuse_loss, write_picture
    from dydca.content.terminal import progress_bar

    format_for(options.output)  # what can fail before the work fails before it
    if not options.output.absolute().parent.is_dir():
        raise FileError("DYD705", "there is no such folder", where=str(options.output.absolute().parent))
    picture = read_picture(options.picture)
    refuse_loss(options.output, picture)
    model, facts = _network(options.model, options.scale, options.weights)

    from dydca.content.enlarge import Enlarger

    with progress_bar("Upscaling") as bar:
        enlarged = Enlarger(model, facts, options.memory, options.threads, bar)(picture)
    write_picture(options.output, enlarged)


def _network(name: str, scale: int | None, weights: Path | None) -> tuple[nn.Module, Facts]:
    """The network that was asked for and the record of the form that the weights are of.

    Raises:
        UsageError: DYD901, there is no such network, or it needs weights.
        FileError: DYD701, the weights cannot be read; DYD702, they are damaged or another network's.
    """
    from dydca import models

    try:
        facts = models.facts(name, scale)
    except ValueError as error:
        raise UsageError("DYD901", "no such network", got=f"{name} x{scale}", fix=str(error)) from error
    if weights is None:
        if facts.parameters:
            raise UsageError("DYD901", "the network is not trained", got=name, fix="name its weights: --weights FILE")
        return models.create(name, facts.scale).eval(), facts
    try:
        return models.load(name, weights, facts.scale), facts
    except OSError as error:
        raise FileError("DYD701", "the weights cannot be read", where=str(weights), got=error.strerror) from error
    except ValueError as error:
        raise FileError("DYD702", "these are no weights of the network", where=str(weights), got=str(error)) from error
    except ImportError as error:
        raise UsageError("DYD902", "weights need safetensors", fix="pip install 'dydca[content]'") from error
