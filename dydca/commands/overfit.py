"""``dydca overfit``: a package of a video, small frames and the networks that enlarge them."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dydca.commands import Commands
from dydca.commands.arguments import count, crf, positive, size
from dydca.content.movie.networks import GATES
from dydca.content.training.settings import Settings

if TYPE_CHECKING:
    from dydca.content.terminal import Bar
    from dydca.content.training.loop import Progress

DEFAULT = Settings()


def add_to(commands: Commands) -> None:
    """Adds the command."""
    parser = commands.add_parser("overfit", help="make a package of a video and networks that enlarge it")
    parser.add_argument("source", type=Path, metavar="VIDEO")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.dydcav")
    _add_settings(parser.add_argument_group("what is made"))
    how = parser.add_argument_group("how it is made")
    how.add_argument("--target", action="append", metavar="NAME", help="compile for it (host), or `none`; repeatable")
    how.add_argument("--jobs", type=count, default=1, help="chunks trained at a time (1)")
    how.add_argument("--threads", type=count, help="of each of them")
    how.add_argument("--ray", nargs="?", const="auto", metavar="ADDRESS", help="train on a cluster of Ray, or `local`")
    how.add_argument("--restart", action="store_true", help="discard interrupted work that had other settings")
    how.add_argument("--json", type=Path, metavar="FILE", help="write the report here, too")
    parser.set_defaults(run=_run)


def _add_settings(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--scale", type=int, choices=(2, 3, 4), default=DEFAULT.scale)
    gates = "what decides a patch's route: its size, a classifier in the network, or nothing (one route of equal cost)"
    group.add_argument("--gate", choices=GATES, default=DEFAULT.gate, help=gates)
    group.add_argument("--patch", type=size, metavar="HxW", help="coarse patch in low resolution (near 108x96)")
    hard = group.add_mutually_exclusive_group()
    threshold = f"patches that the scoring network restores to less are hard ({DEFAULT.psnr_threshold:g})"
    hard.add_argument("--psnr-threshold", type=positive, default=DEFAULT.psnr_threshold, metavar="DB", help=threshold)
    hard.add_argument("--budget", type=positive, metavar="GMAC", help="of a frame; the threshold follows from it")
    group.add_argument("--steps", type=count, default=DEFAULT.steps, help=f"of training ({DEFAULT.steps})")
    group.add_argument("--batch", type=count, default=DEFAULT.batch, help=f"patches ({DEFAULT.batch})")
    group.add_argument("--learning-rate", type=positive, default=DEFAULT.learning_rate, metavar="RATE")
    group.add_argument("--seed", type=int, default=DEFAULT.seed)
    group.add_argument("--bootstrap", metavar="FILE", help="weights of the scoring network, instead of training it")
    group.add_argument("--bootstrap-steps", type=count, default=DEFAULT.bootstrap_steps, metavar="STEPS")
    group.add_argument("--chunk", type=positive, default=DEFAULT.chunk, metavar="SECONDS", help="one network for each")
    group.add_argument("--crf", type=crf, default=DEFAULT.crf, help=f"of the small video, 0 is best ({DEFAULT.crf})")
    group.add_argument("--no-sound", dest="sound", action="store_false", help="leave the sound out")


def _run(options: argparse.Namespace) -> None:
    from dydca.content.terminal import progress_bar, write_json
    from dydca.content.training.overfit import Workers, overfit

    settings = Settings(**{field.name: getattr(options, field.name) for field in fields(Settings)})
    workers = Workers(options.jobs, options.ray, options.threads)
    targets = [target for target in options.target or ["host"] if target != "none"]
    with progress_bar("overfit") as bar:
        watcher = _Watcher(bar)
        report = overfit(options.source, options.output, settings, watcher, workers, targets, options.restart)
    write_json(options.json, report)
    print(_summary(report))


class _Watcher:
    """Shows the work of `overfit`."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar

    def prepared(self, frames: int) -> None:
        self._bar(frames, None, "frames made small")

    def trained(self, chunks: int, progress: Progress) -> None:
        note = f"steps  loss {progress.loss:.5f}  PSNR {progress.psnr:.2f} dB  {chunks} chunks done"
        self._bar(progress.step, progress.steps, note)

    def compiling(self, chunk: int, target: str) -> None:
        print(f"compiling chunk {chunk} for {target}", file=sys.stderr)


def _summary(report: dict[str, Any]) -> str:
    lines = [f"{report['frames']} frames, {sum(report['bytes'].values()) / 1e6:.1f} MB"]
    for number, chunk in enumerate(report["chunks"]):
        share, gmac = chunk["hard_share"], chunk["gmac_per_frame"]
        below = "" if chunk["threshold_db"] is None else f" (below {chunk['threshold_db']:.2f} dB)"
        lines.append(
            f"chunk {number}: {share:.0%} of the patches hard{below}, {gmac:.2f} GMAC a frame,"
            f" PSNR in training {chunk['last']['psnr']:.2f} dB, {chunk['cpu_seconds']:.0f} s of CPU"
        )
    return "\n".join(lines)
