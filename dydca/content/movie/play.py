"""Plays a package: decode, cut, enlarge every patch, stitch, hand on; each step a few frames ahead of the next.

Nothing here needs torch, unless a package holds no network for this machine and its weights must be compiled.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from dydca.content.grid import Layout, cut, stitch
from dydca.content.movie.networks import Cutting
from dydca.content.movie.package import Movie
from dydca.content.movie.prefetch import prefetched
from dydca.content.pixels import Frame, Planes, to_levels, to_planes
from dydca.content.video import TimedFrame, Video
from dydca.errors import ContentError, FileError
from dydca.runtime import Network, load

Run = Callable[[list[Planes]], Sequence[Planes]]
"""Patches to enlarged patches in the same order; what happens to its arguments is its own business."""

Engine = Callable[[int], AbstractContextManager[Run]]
"""For the number of a chunk, what runs its network."""


class Sink(Protocol):
    """Where the frames go.

    Attributes:
        frames: How many it has kept from an interrupted run.
    """

    frames: int

    def add(self, frame: TimedFrame) -> None:
        """Take the next frame."""

    def finish(self, path: Path, sound: str | None) -> None:
        """Publish all of them as `path`, with the sound of the file or FFmpeg address `sound`."""


@dataclass
class Statistics:
    """Of one run, in seconds."""

    frames: int = 0
    seconds: float = 0.0
    kernel_seconds: float = 0.0
    """Spent in the networks, all threads together taken as one."""

    @property
    def frames_per_second(self) -> float:
        """From the first frame decoded to the last one handed on."""
        return self.frames / self.seconds if self.seconds else 0.0

    @property
    def kernel_share(self) -> float:
        """The networks' part of the time."""
        return self.kernel_seconds / self.seconds if self.seconds else 0.0


def play(
    movie: Movie,
    sink: Sink,
    engine: Engine,
    cutting: Cutting = "auto",
    watch: Callable[[Statistics], object] = lambda statistics: None,
) -> Statistics:
    """Enlarge the frames that the sink does not have yet.

    Args:
        movie: The package.
        sink: Takes the frames in order, each of the original's size, at its time in the video's time base.
        engine: See `Engine`; `compiled` makes the usual one.
        cutting: ``auto`` as the package says; ``deep`` quarters every coarse patch, ``shallow`` none.
        watch: Told after every frame.

    Raises:
        ContentError: DYD801, the video is damaged; DYD807, this package's frames are not cut by how hard they are.
        FileError, RunError: The engine's.
    """
    if cutting != "auto" and movie.manifest.chunks[0].plan.gate != "shape":
        gate = movie.manifest.chunks[0].plan.gate
        raise ContentError("DYD807", f"patches cannot be forced to be {cutting}", got=f"gate {gate}", want="gate shape")
    statistics, start = Statistics(), sink.frames
    begun = time.perf_counter()
    with (
        movie.open_video() as video,
        prefetched(enumerate(video.frames(start, _time(movie, video, start)), start)) as decoded,
        prefetched(enlarged_frames(movie, decoded, engine, cutting, statistics)) as enlarged,
    ):
        for _, frame in enlarged:
            sink.add(frame)
            statistics.frames += 1
            statistics.seconds = time.perf_counter() - begun
            watch(statistics)
    if (got := start + statistics.frames) != (want := movie.manifest.frames):
        raise ContentError("DYD801", "the video lacks frames", where=str(movie.path), got=got, want=want)
    return statistics


def _time(movie: Movie, video: Video, frame: int) -> int:
    seconds = int(movie.times[min(frame, len(movie.times) - 1)]) * movie.manifest.time_base
    return int(seconds / video.format.time_base)


def enlarged_frames(
    movie: Movie,
    frames: Iterable[tuple[int, TimedFrame]],
    engine: Engine,
    cutting: Cutting = "auto",
    statistics: Statistics | None = None,
) -> Iterator[tuple[int, TimedFrame]]:
    """Enlarge numbered frames of a movie, in rising order; those it does not have are left out.

    Args:
        movie: The package.
        frames: Number and low-resolution frame.
        engine: See `Engine`.
        cutting: As of `play`.
        statistics: Gets the time spent in the networks.
    """
    manifest, forced = movie.manifest, np.full(movie.manifest.coarse, cutting == "deep")
    ends = np.cumsum([chunk.frames for chunk in manifest.chunks])
    known = (numbered for numbered in frames if numbered[0] < manifest.frames)
    for number, group in groupby(known, lambda numbered: int(np.searchsorted(ends, numbered[0], "right"))):
        with engine(number) as run:
            timed = _timed(run, statistics or Statistics())
            for index, frame in group:
                layout = movie.layout(movie.splits[index] if cutting == "auto" else forced)
                pixels = enlarge(frame.pixels, layout, manifest.scale, timed)
                yield index, TimedFrame(pixels[: manifest.height, : manifest.width], frame.time)


def _timed(run: Run, statistics: Statistics) -> Run:
    def timed(patches: list[Planes]) -> Sequence[Planes]:
        begun = time.perf_counter()
        enlarged = run(patches)
        statistics.kernel_seconds += time.perf_counter() - begun
        return enlarged

    return timed


def enlarge(frame: Frame, layout: Layout, scale: int, run: Run) -> Frame:
    """Enlarge one frame patch by patch.

    Args:
        frame: uint8 ``[H, W, 3]``, of the layout's size.
        layout: How it is cut.
        scale: What `run` enlarges by.
        run: See `Run`.

    Returns:
        uint8 ``[scale * H, scale * W, 3]``, quantised as by `to_levels`.
    """
    enlarged = run(cut(to_planes(frame), layout))
    levels = stitch([to_levels(patch) for patch in enlarged], layout, scale)
    return np.ascontiguousarray(levels[0].transpose(1, 2, 0))


def compiled(movie: Movie, threads: int | None = None, tell: Callable[[str], object] = lambda text: None) -> Engine:
    """The package's own networks, or its weights compiled now where none is for this machine.

    Args:
        movie: The package.
        threads: 1..64; by default one per processor. The pixels do not depend on it.
        tell: Told when something must be compiled, which takes seconds and needs torch.

    Raises:
        FileError: DYD702, a network or its weights are damaged.
        RunError: DYD605, memory or threads are not to be had.
    """

    @contextmanager
    def engine(chunk: int) -> Iterator[Run]:
        with _network(movie, chunk, threads, tell) as network:
            yield cast(Run, network.run_many)

    return engine


def _network(movie: Movie, chunk: int, threads: int | None, tell: Callable[[str], object]) -> Network:
    for member in movie.networks(chunk):
        with tempfile.NamedTemporaryFile(suffix=".dydca") as file:
            file.write(movie.read(member))
            file.flush()
            try:
                return load(file.name, threads)
            except FileError as error:
                if error.code != "DYD704":  # of another machine
                    raise
    tell(f"chunk {chunk}: no network for this machine, compiling the weights")
    from dydca.content.movie.weights import compile_weights

    return compile_weights(movie.manifest.chunks[chunk].plan, movie.weights(chunk), "host", threads)
