"""Playing a package end to end, beside the same pipeline on PyTorch eager, and its memory over many frames.

python -m bench.video MOVIE.dydcav [--frames N] [--rounds R] [--only speed|memory]     writes bench/results/video.json

Speed: decode, cut, enlarge, stitch and encode, with the networks of dydca and of eager in turn in one process. The
part of the time in kernels is the wall time inside the networks over that of the whole run. What everything else
costs is measured by playing with a network that only repeats pixels. Memory: the movie is lengthened to 2 000 frames
by repeating it, and the resident set is read every 100 frames.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import torch

from bench.machine import describe_machine
from dydca.content.movie import package
from dydca.content.movie.engines import Engine, Run, compiled
from dydca.content.movie.package import Manifest, Movie, write_package
from dydca.content.movie.play import Statistics, play
from dydca.content.movie.recording import Recording
from dydca.content.movie.weights import fill
from dydca.content.pixels import Planes
from dydca.content.video import TimedFrame

RESULTS = Path(__file__).parent / "results" / "video.json"


class Tail(Recording):
    """A recording that says it has all but the last frames already."""

    def __init__(self, folder: Path, movie: Movie, frames: int) -> None:
        super().__init__(folder, movie.format, crf=18, preset="superfast")
        self.frames = movie.manifest.frames - frames


class Digest:
    """Keeps nothing of the frames but what they hash to."""

    def __init__(self, frames: int) -> None:
        self.frames, self.hash = frames, hashlib.sha256()

    def add(self, frame: TimedFrame) -> None:
        """Add its pixels."""
        self.hash.update(frame.pixels.tobytes())

    def finish(self, path: Path, sound: str | None) -> None:
        """Nothing to publish."""


def eager(movie: Movie, threads: int) -> Engine:
    """The networks as PyTorch runs them, one batch for each size of patch."""

    @contextmanager
    def engine(chunk: int) -> Iterator[Run]:
        torch.set_num_threads(threads)
        model = fill(movie.manifest.chunks[chunk].plan.build(), movie.weights(chunk), movie.path)

        def run(patches: list[Planes]) -> list[Planes]:
            done: dict[int, Planes] = {}
            for height in {patch.shape[2] for patch in patches}:
                members = [i for i, patch in enumerate(patches) if patch.shape[2] == height]
                with torch.inference_mode():
                    outputs = model(torch.from_numpy(np.concatenate([patches[i] for i in members]))).numpy()
                done.update(zip(members, np.split(outputs, len(members)), strict=True))
            return [done[i] for i in range(len(patches))]

        yield run

    return engine


@contextmanager
def repeating(chunk: int) -> Iterator[Run]:
    """Next to nothing in place of a network of scale 2."""
    yield lambda patches: [patch.repeat(2, 2).repeat(2, 3) for patch in patches]


def timed(movie: Movie, engine: Engine, frames: int) -> tuple[Statistics, float]:
    """Play the last frames into a file; also the seconds of processor time."""
    with tempfile.TemporaryDirectory() as folder:
        sink = Tail(Path(folder) / "work", movie, frames)
        begun = time.process_time()
        result = play(movie, sink, engine)
        sink.finish(Path(folder) / "out.mp4", movie.address)
        return result, time.process_time() - begun


def measure_speed(movie: Movie, threads: int, frames: int, rounds: int) -> dict[str, object]:
    """Play with dydca and with eager in turn, on as many processors as threads."""
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, set(processors[-threads:]))
    engines = {"dydca": compiled(movie, threads), "eager": eager(movie, threads), "nothing": repeating}
    runs = [{name: timed(movie, engine, frames) for name, engine in engines.items()} for _ in range(rounds)]
    os.sched_setaffinity(0, processors)
    figures: dict[str, object] = {"threads": threads, "frames": frames, "rounds": rounds}
    for name in engines:
        played = [run[name][0] for run in runs]
        figures[name] = {
            "fps_best": max(one.frames_per_second for one in played),
            "fps_median": statistics.median(one.frames_per_second for one in played),
            "kernel_share_median": statistics.median(one.kernel_share for one in played),
            "cpu_ms_per_frame_least": min(run[name][1] for run in runs) / frames * 1e3,
        }
    digests = {digest(movie, compiled(movie, count), frames) for count in (1, 2, 3)}
    return {**figures, "same_pixels_for_1_2_3_threads": len(digests) == 1}


def digest(movie: Movie, engine: Engine, frames: int) -> str:
    """Of the pixels of the last frames."""
    sink = Digest(movie.manifest.frames - min(frames, 8))
    play(movie, sink, engine)
    return sink.hash.hexdigest()


def lengthened(movie: Movie, path: Path, frames: int) -> Movie:
    """The movie of one chunk again and again, without sound."""
    times, length = -(-frames // movie.manifest.frames), movie.manifest.frames
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "video.mp4"
        with av.open(str(video), "w") as target:
            _repeat(movie, target, times)
        (chunk,) = movie.manifest.chunks
        step = int(movie.times[-1] - movie.times[-2])
        period = int(movie.times[-1]) + step - int(movie.times[0])
        stamps = np.concatenate([movie.times + period * turn for turn in range(times)])
        manifest = replace(movie.manifest, chunks=(replace(chunk, frames=length * times),))
        members: dict[str, Path | bytes] = {
            package.VIDEO: video,
            package.TIMES: package.array_bytes(stamps),
            package.SPLITS: package.array_bytes(np.packbits(np.tile(movie.splits, (times, 1)), axis=1)),
            package.REPORT: movie.read(package.REPORT),
            package.weights_member(0): movie.weights(0),
            **{name: movie.read(name) for name in movie.networks(0)},
        }
        write_package(path, Manifest(**vars(manifest)), members)
    return Movie(path)


def _repeat(movie: Movie, target: av.container.OutputContainer, times: int) -> None:
    offset = 0
    stream: av.VideoStream | None = None
    for _ in range(times):
        with av.open(movie.address) as source:
            stream = stream or target.add_stream_from_template(source.streams.video[0])
            packets = [packet for packet in source.demux(video=0) if packet.pts is not None]
        step = (packets[1].pts or 0) - (packets[0].pts or 0)
        for packet in packets:
            packet.pts = packet.dts = (packet.pts or 0) + offset
            packet.stream = stream
            target.mux(packet)
        offset += len(packets) * step


def measure_memory(movie: Movie, threads: int, frames: int) -> dict[str, object]:
    """Resident MiB, every 100 frames of a long movie played into a file."""
    resident: list[float] = []
    pages = os.sysconf("SC_PAGE_SIZE") / 2**20

    def watch(statistics: Statistics) -> None:
        if statistics.frames % 100 == 0:
            resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * pages)

    with tempfile.TemporaryDirectory() as folder:
        long = lengthened(movie, Path(folder) / "long.dydcav", frames)
        sink = Recording(Path(folder) / "work", long.format, crf=18, preset="superfast")
        result = play(long, sink, compiled(long, threads), watch=watch)
        sink.finish(Path(folder) / "out.mp4", None)
    half = len(resident) // 2
    growth = max(resident[half:]) - max(resident[:half])
    return {"frames": result.frames, "resident_mib": resident, "growth_mib_of_peak_in_second_half": growth}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints and adds to what is written; 1 if a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m bench.video", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("movie", type=Path)
    parser.add_argument("--frames", type=int, default=24, help="played in each round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", choices=("speed", "memory"))
    options = parser.parse_args(arguments)
    movie = Movie(options.movie)
    figures = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    measures: dict[str, Callable[[], object]] = {
        "speed": lambda: [measure_speed(movie, threads, options.frames, options.rounds) for threads in (1, 2)],
        "memory": lambda: measure_memory(movie, 2, 2000),
    }
    for name, measure in measures.items():
        if options.only in (None, name):
            figures["machine"] = describe_machine()
            figures[name] = measure()
            RESULTS.write_text(json.dumps(figures, indent=1) + "\n")
            print(json.dumps(figures[name], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
