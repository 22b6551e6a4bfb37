"""What content-awareness is worth: the bundled clip overfitted three ways at one budget, and each measured.

python -m bench.video_quality FOLDER [--budget GMAC] [--steps N] [--every N]

Makes ``shape.dydcav``, ``learned.dydcav`` and ``none.dydcav`` in the folder where they are not there yet (each about
five minutes of one core with the defaults), and writes the table, the plot and the crops to bench/results/video*.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.demo.scene import CLIP
from bench.machine import describe_machine
from dydca.cli import main as dydca
from dydca.content.compare import write_png
from dydca.content.files import json_text
from dydca.content.movie.evaluate import evaluate
from dydca.content.movie.networks import GATES
from dydca.content.movie.package import REPORT, Movie
from dydca.content.movie.report_html import picture, plot, table

RESULTS = Path(__file__).parent / "results"


def make(folder: Path, gate: str, budget: float, steps: int) -> Movie:
    """The package with that gate, made if it is not there."""
    path = folder / f"{gate}.dydcav"
    if not path.exists():
        options = ["--gate", gate, "--budget", str(budget), "--steps", str(steps), "--threads", "1"]
        if code := dydca(["overfit", str(CLIP), "-o", str(path), *options]):
            sys.exit(code)
    return Movie(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes, measures, prints and writes."""
    parser = argparse.ArgumentParser(prog="python -m bench.video_quality", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--budget", type=float, default=25.0)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    movies = [make(options.folder, gate, options.budget, options.steps) for gate in GATES]
    evaluation = evaluate(CLIP, movies, options.every, threads=None)
    training = {movie.path.stem: json.loads(movie.read(REPORT))["chunks"][0] for movie in movies}
    figures = {**evaluation.to_dict(), "original": CLIP.name, "training": training, "machine": describe_machine()}
    (RESULTS / "video_quality.json").write_text(json_text(figures) + "\n")
    (RESULTS / "video_quality.png").write_bytes(plot(evaluation))
    write_png(RESULTS / "video_crops.png", picture(evaluation.example, evaluation.scale))
    print("\n".join("  ".join(row) for row in table(evaluation)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
