"""Plays a package: decode, cut, enlarge every patch, stitch, hand on; each step in a thread, a few frames ahead.

Nothing here needs torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from dydca.content.grid import Layout, cut, stitch
from dydca.content.movie.engines import Engine
from dydca.content.movie.networks import Cutting
from dydca.content.movie.package import Movie
from dydca.content.movie.prefetch import prefetched
from dydca.content.pixels import Planes, to_levels, to_planes
from dydca.content.video import TimedFrame, Video
from dydca.errors import ContentError


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
        engine: What runs the networks; `dydca.content.movie.engines.compiled` makes the usual one.
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
        prefetched(_cut(movie, decoded, cutting)) as small,
        prefetched(_run(movie, small, engine, statistics)) as large,
        prefetched(_stitch(movie, large)) as enlarged,
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
    movie: Movie, frames: Iterable[tuple[int, TimedFrame]], engine: Engine
) -> Iterator[tuple[int, TimedFrame]]:
    """Enlarge numbered frames of a movie, in rising order, one after the other; those it does not have are left out."""
    return _stitch(movie, _run(movie, _cut(movie, frames, "auto"), engine, Statistics()))


class _Cut(NamedTuple):
    """A frame on its way."""

    number: int
    time: int
    layout: Layout
    patches: Sequence[Planes]


def _cut(movie: Movie, frames: Iterable[tuple[int, TimedFrame]], cutting: Cutting) -> Iterator[_Cut]:
    forced = np.full(movie.manifest.coarse, cutting == "deep")
    for number, frame in frames:
        if number < movie.manifest.frames:
            layout = movie.layout(movie.splits[number] if cutting == "auto" else forced)
            yield _Cut(number, frame.time, layout, cut(to_planes(frame.pixels), layout))


def _run(movie: Movie, frames: Iterable[_Cut], engine: Engine, statistics: Statistics) -> Iterator[_Cut]:
    ends = np.cumsum([chunk.frames for chunk in movie.manifest.chunks])
    for chunk, group in groupby(frames, lambda frame: int(np.searchsorted(ends, frame.number, "right"))):
        with engine(chunk) as run:
            for frame in group:
                begun = time.perf_counter()
                enlarged = run(list(frame.patches))
                statistics.kernel_seconds += time.perf_counter() - begun
                yield frame._replace(patches=enlarged)


def _stitch(movie: Movie, frames: Iterable[_Cut]) -> Iterator[tuple[int, TimedFrame]]:
    """The frames, uint8 ``[H, W, 3]`` of the original's size; in memory one colour lies after the other."""
    manifest = movie.manifest
    for frame in frames:
        levels = stitch([to_levels(patch) for patch in frame.patches], frame.layout, manifest.scale)
        pixels = levels[0].transpose(1, 2, 0)[: manifest.height, : manifest.width]
        yield frame.number, TimedFrame(pixels, frame.time)
