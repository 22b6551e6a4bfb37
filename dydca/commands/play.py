"""``dydca play``: the frames of a package, enlarged, as a video or as pictures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dydca.commands import Commands
from dydca.commands.arguments import count, crf
from dydca.content.movie.networks import CUTTINGS

if TYPE_CHECKING:
    from dydca.content.movie.package import Movie
    from dydca.content.movie.play import Sink, Statistics

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")


def add_to(commands: Commands) -> None:
    """Adds the command."""
    parser = commands.add_parser("play", help="enlarge the frames of a package into a video or pictures")
    parser.add_argument("movie", type=Path, metavar="FILE.dydcav")
    into = parser.add_mutually_exclusive_group(required=True)
    into.add_argument("-o", "--output", type=Path, metavar="VIDEO", help="H.264 in .mp4, .mkv or .mov, with the sound")
    into.add_argument("--show", type=Path, metavar="FOLDER", help="every frame as PNG")
    parser.add_argument("--every-patch", choices=CUTTINGS, default="auto", help="as the package says, or all alike")
    parser.add_argument("--crf", type=crf, default=18, help="of the video, 0 is best (18)")
    parser.add_argument("--preset", default="superfast", choices=PRESETS, help="of x264, time for size (superfast)")
    parser.add_argument("--no-sound", dest="sound", action="store_false", help="leave the sound out")
    parser.add_argument("--threads", type=count, help="of the network (one per processor); the pixels are the same")
    parser.add_argument("--restart", action="store_true", help="discard an interrupted run that had other options")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from dydca.content.files import WorkFolder
    from dydca.content.movie.engines import compiled
    from dydca.content.movie.package import Movie
    from dydca.content.movie.play import play
    from dydca.content.terminal import progress_bar

    movie = Movie(options.movie)
    output = options.output or options.show
    asked = {name: getattr(options, name) for name in ("every_patch", "crf", "preset", "sound")}
    with WorkFolder(output, {"package": movie.digest, **asked}, options.restart) as work, progress_bar("frames") as bar:
        sink = _sink(movie, work.path, options)
        kept = sink.frames

        def watch(statistics: Statistics) -> None:
            bar(kept + statistics.frames, movie.manifest.frames, f"{statistics.frames_per_second:.2f} FPS")

        engine = compiled(movie, options.threads, lambda text: print(text, file=sys.stderr))
        statistics = play(movie, sink, engine, options.every_patch, watch)
        sink.finish(output, movie.address if options.sound else None)
        work.remove()
    print(
        f"{output}: {movie.manifest.frames} frames, {statistics.frames} of them now, {statistics.seconds:.1f} s,"
        f" {statistics.frames_per_second:.2f} FPS, {statistics.kernel_share:.0%} of the time in kernels"
    )


def _sink(movie: Movie, folder: Path, options: argparse.Namespace) -> Sink:
    from dydca.content.movie.pictures import Pictures
    from dydca.content.movie.recording import Recording

    if options.show:
        return Pictures(folder / "pictures")
    recording = Recording(folder / "segments", movie.format, options.crf, options.preset)
    recording.check(options.output, movie.address if options.sound else None)
    return recording
