"""A video written so that an interruption costs little: in finished segments, joined with the sound at the end."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import TYPE_CHECKING

from dydca.content.files import publish, refuse_writing
from dydca.content.movie.sound import Sound, seconds
from dydca.content.video import TimedFrame, VideoFormat, import_av
from dydca.errors import ContentError

if TYPE_CHECKING:
    from av import Packet, VideoCodecContext, VideoStream
    from av.container import OutputContainer

SEGMENT = 240
"""Frames after which a segment is finished; what an interruption costs at most."""
ENCODER_THREADS = 4
"""The same everywhere, because x264's output depends on their number."""


class Recording:
    """H.264 frames in a folder, continued where an earlier run stopped.

    A finished segment is a NUT file, which keeps any time base, named after how many frames there are up to its end.
    Each starts anew, without reference to others and without frames out of order, so that they can be joined as they
    are, and the result does not depend on interruptions.

    Args:
        folder: Of the segments; created.
        format: The size is 4:2:0 where it is even, else 4:4:4, since H.264 has no odd sizes with shared chroma.
        crf: x264's constant rate factor, 0 (lossless) to 51.
        preset: x264's trade of speed for size, ``ultrafast`` to ``veryslow``.

    Attributes:
        frames: How many are in finished segments.
    """

    def __init__(self, folder: Path, format: VideoFormat, crf: int, preset: str) -> None:
        self._folder, self._format = folder, format
        self._options = {"crf": str(crf), "preset": preset, "threads": str(ENCODER_THREADS), "bf": "0"}
        with refuse_writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for torn in folder.glob("*.partial"):
                torn.unlink()
        self._segments = sorted(folder.glob("*.nut"))
        self.frames = int(self._segments[-1].stem) if self._segments else 0
        self._open: tuple[OutputContainer, VideoStream] | None = None
        self._written = 0  # into the open segment

    def add(self, frame: TimedFrame) -> None:
        """Encode the next frame, uint8 ``[H, W, 3]`` of the format's size, at its time in the format's time base.

        Raises:
            FileError: DYD705, the folder cannot be written.
        """
        av = import_av()
        with refuse_writing(self._folder):
            container, stream = self._open or self._begin()
            colours, pixels = self._format.colours, stream.pix_fmt
            source = av.VideoFrame.from_ndarray(frame.pixels, format="gbrp")  # by colours, as networks leave them
            picture = source.reformat(
                format=pixels, dst_colorspace=colours.space, dst_color_range=colours.range, threads=1
            )
            picture.pts, picture.time_base = frame.time, self._format.time_base
            container.mux(stream.encode(picture))
            self._written += 1
            if self._written == SEGMENT:
                self._end()

    def _begin(self) -> tuple[OutputContainer, VideoStream]:
        container: OutputContainer = import_av().open(str(self._folder / "open.partial"), "w", format="nut")
        stream = container.add_stream("libx264", rate=self._format.rate, options=self._options)
        stream.width, stream.height = self._format.width, self._format.height
        is_even = self._format.width % 2 == 0 and self._format.height % 2 == 0
        stream.pix_fmt = "yuv420p" if is_even else "yuv444p"
        stream.codec_context.time_base = self._format.time_base
        stream.codec_context.sample_aspect_ratio = self._format.aspect
        _tag(stream.codec_context, self._format)
        self._open, self._written = (container, stream), 0
        return self._open

    def _end(self) -> None:
        """Publish the open segment under its name."""
        if self._open is None:
            return
        container, stream = self._open
        container.mux(stream.encode())
        container.close()
        self._open = None
        self.frames += self._written
        finished = self._folder / f"{self.frames:09d}.nut"
        (self._folder / "open.partial").replace(finished)
        self._segments.append(finished)

    def check(self, path: Path, sound: str | None) -> None:
        """Find out before the work whether `finish` would be refused for its container or the sound.

        Raises:
            ContentError: DYD804 or DYD805.
        """
        probe = self._folder / f"probe.partial{path.suffix}"
        with (
            refuse_writing(path),
            _open_output(probe, path, self._format.time_base) as container,
            Sound(sound, container, path),
        ):
            pass
        probe.unlink(missing_ok=True)

    def finish(self, path: Path, sound: str | None) -> None:
        """Join the segments to one file, which appears whole or not at all.

        Args:
            path: An existing file is replaced. Its suffix says the container, e.g. ``.mp4`` or ``.mkv``.
            sound: A file or FFmpeg address whose sound is copied unchanged; None for a silent video.

        Raises:
            ContentError: DYD804, the container cannot hold the sound; DYD805, it cannot hold H.264, or is unknown.
            FileError: DYD705, the file cannot be written.
        """
        partial = self._folder / f"joined.partial{path.suffix}"
        with refuse_writing(path):
            self._end()
            with (
                _open_output(partial, path, self._format.time_base) as container,
                import_av().open(str(self._segments[0])) as first,
            ):
                stream = container.add_stream_from_template(first.streams.video[0])
                stream.time_base = self._format.time_base
                with Sound(sound, container, path) as track:
                    for packet in self._packets():
                        packet.stream = stream
                        track.copy(until=seconds(packet))
                        container.mux(packet)
                    track.copy()
            publish(partial, path)

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        for segment in self._segments:
            with import_av().open(str(segment)) as container:
                for packet in container.demux(video=0):
                    if packet.pts is not None:  # the last one has none, and only ends the stream
                        packet.dts = packet.pts  # NUT does not store it; no frame is out of order
                        yield packet


def _open_output(partial: Path, path: Path, time_base: Fraction) -> OutputContainer:
    av = import_av()
    # MP4 says in these units when a track begins; by default in milliseconds, which are too coarse to be exact.
    ticks = min(lcm(time_base.denominator, 90000), 2**31 - 1)
    options = {"movie_timescale": str(ticks)} if path.suffix in (".mp4", ".m4v", ".mov") else {}
    try:
        container: OutputContainer = av.open(str(partial), "w", options=options)
    except ValueError as error:
        raise ContentError("DYD805", "no container has this suffix", where=str(path), got=path.suffix) from error
    if "h264" not in container.supported_codecs:
        got = f"{path.suffix} ({container.format.long_name})"
        raise ContentError("DYD805", "the container cannot hold H.264", where=str(path), got=got)
    return container


def _tag(codec: VideoCodecContext, format: VideoFormat) -> None:
    codec.colorspace, codec.color_range = format.colours.space, format.colours.range
    codec.color_primaries, codec.color_trc = format.colours.primaries, format.colours.transfer
