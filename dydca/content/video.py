"""Frames out of a video file, with the times they are shown at, by PyAV (FFmpeg)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dydca.content.pixels import Frame
from dydca.errors import ContentError, DydcaError, UsageError

if TYPE_CHECKING:
    from types import ModuleType, TracebackType

    from av import VideoFrame

UPRIGHT = {0: 0, 90: 1, 180: 2, -180: 2, -90: 3}
"""Quarter turns, counterclockwise, for the angles that cameras note instead of turning the picture."""

SEARCHABLE = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
"""Containers with an index to trust."""


class Colours(NamedTuple):
    """FFmpeg's numbers for how luma and chroma mean colours; 2 is "not said", for `range` 0."""

    space: int = 2
    range: int = 0
    primaries: int = 2
    transfer: int = 2


class VideoFormat(NamedTuple):
    """What all frames of a video have in common."""

    height: int
    width: int
    time_base: Fraction
    """Seconds that one unit of a frame's time stands for."""
    rate: Fraction = Fraction(25)
    """Frames per second; a mean where the rate varies."""
    aspect: Fraction = Fraction(1)
    """Width of a pixel over its height."""
    colours: Colours = Colours()


class TimedFrame(NamedTuple):
    """A picture and when it is shown, in units of the video's time base."""

    pixels: Frame
    time: int


class Video:
    """The first video stream of a file, decoded while it is read; to be used in a ``with``.

    Args:
        path: Anything FFmpeg reads.
        name: What messages call it; by default `path`.

    Attributes:
        format: Upright: cameras' rotation is applied.

    Raises:
        ContentError: DYD801, the file is missing, damaged or no video.
        UsageError: DYD902, PyAV is not installed.
    """

    def __init__(self, path: str | Path, name: str | None = None) -> None:
        av = import_av()
        self._name = name or str(path)
        with self._refusals():
            self._container = av.open(str(path))
        try:
            with self._refusals():
                self._open()
        except BaseException:
            self._container.close()
            raise

    def _open(self) -> None:
        if not self._container.streams.video:
            raise self._refusal("no video stream")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        decoded = self._decode()
        first = next(decoded)
        self._frames = chain([first], decoded)
        self.rate = self._stream.average_rate or self._stream.guessed_rate or Fraction(25)
        height, width = (
            (first.height, first.width)
            if UPRIGHT.get(first.rotation, 0) % 2 == 0
            else (
                first.width,
                first.height,
            )
        )
        colours = Colours(first.colorspace, first.color_range, int(first.color_primaries), int(first.color_trc))
        aspect = self._stream.sample_aspect_ratio or Fraction(1)
        aspect = 1 / aspect if UPRIGHT.get(first.rotation, 0) % 2 else aspect
        self.format = VideoFormat(height, width, self._stream.time_base, self.rate, aspect, colours)

    def frames(self, start: int = 0, at: int | None = None) -> Iterator[TimedFrame]:
        """Decode from a frame on, in the order shown; once for each opened video.

        Args:
            start: The number of the first frame wanted.
            at: Its time, which spares decoding those before where the file can be searched.

        Yields:
            RGB frames with strictly rising times. Other pixel formats (grey, 10 bit) are converted by swscale.

        Raises:
            ContentError: DYD801, the file is damaged or cut short, which shows after some frames; DYD803, a frame has
                another size than those before.
        """
        with self._refusals():
            if start and at is not None and self._container.format.name in SEARCHABLE:
                yield from self._from_time(start, at)
            else:
                yield from islice(self._timed(self._frames), start, None)

    def _from_time(self, start: int, at: int) -> Iterator[TimedFrame]:
        self._container.seek(at, stream=self._stream)
        found = (frame for frame in self._timed(self._decode()) if frame.time >= at)
        first = next(found, None)
        if first is not None and first.time == at:
            yield from chain([first], found)
        else:  # an inexact index: count from the beginning instead
            self._container.seek(0)
            yield from islice(self._timed(self._decode()), start, None)

    def _decode(self) -> Iterator[VideoFrame]:
        count = 0
        for packet in self._container.demux(self._stream):
            # FFmpeg hands out the torn last packet of a cut file and goes on; the decoder would paint over it in grey.
            if packet.is_corrupt:
                raise self._refusal(f"damaged or cut short after {count} frames")
            for frame in packet.decode():
                count += 1
                yield frame
        if not count:
            raise self._refusal("a video stream without frames")

    def _timed(self, decoded: Iterator[VideoFrame]) -> Iterator[TimedFrame]:
        step = max(1, round(1 / (self.rate * self.format.time_base)))
        last = -step if self._stream.start_time is None else self._stream.start_time - step
        for frame in decoded:
            # Some files repeat a time or give none; a player would show such a frame next.
            last = max(last + 1, frame.pts) if frame.pts is not None else last + step
            yield TimedFrame(self._upright(frame), last)

    def _upright(self, frame: VideoFrame) -> Frame:
        colour = frame.reformat(format="rgb24", threads=1)
        pixels: Frame = np.asarray(colour.to_ndarray(), dtype=np.uint8)
        if turns := UPRIGHT.get(frame.rotation, 0):
            pixels = np.ascontiguousarray(np.rot90(pixels, turns))
        if pixels.shape[:2] != self.format[:2]:
            got, want = (f"{width}x{height}" for height, width in (pixels.shape[:2], self.format[:2]))
            raise ContentError("DYD803", "the size of the frames changes", where=self._name, got=got, want=want)
        return pixels

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Turns what PyAV raises into a refusal."""
        av = import_av()
        try:
            yield
        except (av.error.FFmpegError, OSError) as error:
            raise self._refusal(error.strerror or str(error)) from error

    def _refusal(self, got: str) -> DydcaError:
        what = f"cannot decode {Path(self._name).name}"
        return ContentError("DYD801", what, where=self._name, got=got, want="a video file")

    def __enter__(self) -> Video:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()


def read_frames(path: str | Path, limit: int | None = None) -> Iterator[Frame]:
    """Yield the frames of a file, uint8 ``[H, W, 3]``, at most `limit` of them; see `Video` for what is refused."""
    with Video(path) as video:
        for frame in islice(video.frames(), limit):
            yield frame.pixels


def import_av() -> ModuleType:
    """PyAV, or a refusal.

    Raises:
        UsageError: DYD902, it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise UsageError("DYD902", "videos need PyAV", fix="pip install 'dydca[content]'") from error
    return av
