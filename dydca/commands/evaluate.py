"""``dydca evaluate``: how close packages come to the video they were made of."""

from __future__ import annotations

import argparse
from pathlib import Path

from dydca.commands import Commands
from dydca.commands.arguments import count


def add_to(commands: Commands) -> None:
    """Adds the command."""
    parser = commands.add_parser("evaluate", help="compare packages with the original video and with bicubic")
    parser.add_argument("movies", type=Path, nargs="+", metavar="FILE.dydcav")
    parser.add_argument("--original", type=Path, required=True, metavar="VIDEO", help="what they were made of")
    parser.add_argument("--every", type=count, default=1, metavar="N", help="measure every N-th frame (1)")
    parser.add_argument("--threads", type=count, help="of the networks (one per processor)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the figures, with PSNR-Y of each frame")
    parser.add_argument("--html", type=Path, metavar="FILE", help="one file with table, plot and crops")
    parser.add_argument("--picture", type=Path, metavar="FILE.png", help="the layout, and crops side by side")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="PSNR-Y over the frames")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from dydca.content.compare import write_png
    from dydca.content.files import write_whole
    from dydca.content.movie import report_html
    from dydca.content.movie.evaluate import evaluate
    from dydca.content.movie.package import Movie
    from dydca.content.terminal import progress_bar, write_json

    movies = [Movie(path) for path in options.movies]
    with progress_bar("frames") as bar:
        evaluation = evaluate(
            options.original, movies, options.every, options.threads, lambda done, total: bar(done, total, "")
        )
    write_json(options.json, evaluation.to_dict())
    if options.picture:
        write_png(options.picture, report_html.picture(evaluation.example, evaluation.scale))
    if options.plot:
        content = report_html.plot(evaluation)
        write_whole(options.plot, lambda partial: partial.write_bytes(content))
    if options.html:
        report_html.write_html(options.html, evaluation)
    rows = report_html.table(evaluation)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        numbers = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        print("  ".join([name.ljust(widths[0]), *numbers]))
