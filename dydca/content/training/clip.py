"""The video to overfit as training sees it: low-resolution frames as they will be delivered, and their originals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dydca.content.files import write_whole
from dydca.content.movie.recording import Recording
from dydca.content.pixels import Frame
from dydca.content.resample import downscale, pad_to_multiple
from dydca.content.training.settings import Settings
from dydca.content.video import TimedFrame, Video

LOW, TIMES = "low.mp4", "times.npy"
PRESET = "medium"


@dataclass(frozen=True)
class Clip:
    """A source and its low-resolution video.

    Attributes:
        source: The original.
        low: As it will be delivered, with the sound.
        times: int64 ``[frames]``, in units of `time_base`.
        time_base: Seconds, of both videos.
        height: Of the original.
        width: Of the original.
    """

    source: str
    low: str
    times: NDArray[np.int64]
    time_base: Fraction
    height: int
    width: int

    def size(self, scale: int) -> tuple[int, int]:
        """Height and width of the low-resolution frames."""
        return -(-self.height // scale), -(-self.width // scale)


class Pair(NamedTuple):
    """One frame twice."""

    low: Frame
    """uint8 ``[h, w, 3]``, decoded from the low-resolution video."""
    high: Frame
    """The original, its last row and column repeated up to ``[scale * h, scale * w, 3]``."""


def prepare(source: Path, folder: Path, settings: Settings, watch: Callable[[int], object]) -> Clip:
    """Write the low-resolution video into `folder`, or go on with it, or find it done.

    Args:
        source: The original.
        folder: Of the work.
        settings: Scale, crf and sound matter here.
        watch: Told the number of frames after each.

    Raises:
        ContentError: DYD801, the source cannot be decoded; DYD803, its size changes; DYD804, its sound does not fit
            into MP4.
        FileError: DYD705, the folder cannot be written.
    """
    low, done = folder / LOW, folder / TIMES
    with Video(source) as video:
        height, width = video.format[:2]
        if not done.exists():
            small = video.format._replace(height=-(-height // settings.scale), width=-(-width // settings.scale))
            recording = Recording(folder / "low", small, settings.crf, PRESET)
            sound = str(source) if settings.sound else None
            recording.check(low, sound)
            frames = enumerate(video.frames())
            times = [_record(recording, number, frame, settings.scale, watch) for number, frame in frames]
            recording.finish(low, sound)
            write_whole(done, lambda partial: _save(partial, np.array(times, np.int64)))
        return Clip(str(source), str(low), np.load(done), video.format.time_base, height, width)


def pairs(clip: Clip, scale: int, frames: range) -> Iterator[Pair]:
    """Decode a run of frames of both videos.

    Raises:
        ContentError: DYD801, one of them cannot be decoded any more.
    """
    at = int(clip.times[frames.start]) * clip.time_base
    with Video(clip.source) as source, Video(clip.low) as low:
        highs, lows = (video.frames(frames.start, int(at / video.format.time_base)) for video in (source, low))
        for small, large in islice(zip(lows, highs, strict=False), len(frames)):
            yield Pair(small.pixels, pad_to_multiple(large.pixels, scale))


def _record(recording: Recording, number: int, frame: TimedFrame, scale: int, watch: Callable[[int], object]) -> int:
    if number >= recording.frames:  # not yet there from an interrupted run
        recording.add(TimedFrame(downscale(frame.pixels, scale), frame.time))
    watch(number + 1)
    return frame.time


def _save(path: Path, array: NDArray[np.int64]) -> None:
    with path.open("wb") as file:
        np.save(file, array)
