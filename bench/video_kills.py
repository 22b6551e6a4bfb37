"""Kills ``dydca overfit`` and ``dydca play`` at random moments: no broken file may take the place of a good one.

python -m bench.video_kills [--kills N] [--seed S]

A good output lies there from the beginning. After every kill it must be there unchanged, and a run that is not killed
must end with what a run without interruptions gives. 100 kills take about ten minutes.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dydca.content.movie.package import Movie, weights_member

Content = Callable[[Path], bytes]
"""What must be the same however often the work was interrupted."""


def kill_and_finish(
    command: Sequence[str], output: Path, content: Content, kills: int, generator: random.Random
) -> int:
    """Run a command, killing it at random moments, then to its end.

    Args:
        command: Of ``dydca``, without the output.
        output: Written by the command with ``-o``.
        content: See `Content`.
        kills: How many.
        generator: Of the moments.

    Returns:
        How many of the runs were killed before they had ended by themselves.

    Raises:
        AssertionError: A promise is broken.
    """
    whole = output.with_name(f"whole{output.suffix}")
    begun = time.monotonic()
    subprocess.run(_command(command, whole), check=True, capture_output=True)
    longest = time.monotonic() - begun
    wanted, killed = content(whole), 0
    output.write_bytes(good := whole.read_bytes() + b"the good one")
    while killed < kills:
        process = subprocess.Popen(_command(command, output), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(generator.uniform(0.0, longest))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
        if output.read_bytes() != good:
            assert content(output) == wanted, f"after {killed} kills {output} is neither the old nor the whole new one"
            output.write_bytes(good)
    subprocess.run(_command(command, output), check=True, capture_output=True)
    assert content(output) == wanted, f"after {killed} kills the result is another one"
    left = [path.name for path in output.parent.iterdir() if path.name.startswith(f".{output.name}")]
    assert not left, f"left behind: {left}"
    return killed


def _command(command: Sequence[str], output: Path) -> list[str]:
    return [sys.executable, "-m", "dydca.cli", *command, "-o", str(output)]


def weights_of(path: Path) -> bytes:
    """What a package's networks compute with."""
    return Movie(path).read(weights_member(0))


def main(arguments: Sequence[str] | None = None) -> int:
    """Kills both commands and prints how often."""
    from bench.demo.scene import CLIP

    parser = argparse.ArgumentParser(prog="python -m bench.video_kills", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    generator = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        short = Path(folder) / "short.mp4"
        shorten(CLIP, short, frames=12)
        overfit = ["overfit", str(short), "--steps", "12", "--bootstrap-steps", "6", "--batch", "2", "--threads", "1"]
        movie = Path(folder) / "movie.dydcav"
        print("overfit:", kill_and_finish(overfit, movie, weights_of, options.kills // 2, generator), "kills")
        play = ["play", str(movie), "--threads", "1"]
        print(
            "play:",
            kill_and_finish(play, movie.with_name("out.mp4"), Path.read_bytes, options.kills // 2, generator),
            "kills",
        )
    return 0


def shorten(source: Path, target: Path, frames: int) -> None:
    """Copy the first frames of a video."""
    import av

    with av.open(str(source)) as whole, av.open(str(target), "w") as part:
        stream = part.add_stream_from_template(whole.streams.video[0])
        for number, packet in enumerate(whole.demux(video=0)):
            if number == frames:
                break
            packet.stream = stream
            part.mux(packet)


if __name__ == "__main__":
    sys.exit(main())
