"""Small videos made for the tests, and what stands in for a trained network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from dydca.content.movie.engines import Engine, Run
from dydca.content.movie.sound import seconds
from dydca.content.pixels import Frame, Planes


def moving(frames: int, height: int, width: int) -> Iterator[Frame]:
    """A smooth pattern on the left and a fine one on the right, moving to the right."""
    y, x = np.mgrid[0:height, 0:width]
    for number in range(frames):
        smooth = 127 + 90 * np.sin((x - 3 * number) / 11) * np.cos(y / 9)
        fine = 127 + 90 * np.sin((x - number) * 1.9) * np.sin(y * 1.7)
        grey = np.where(x < width // 2, smooth, fine)
        yield np.stack([grey, 255 - grey, grey / 2 + 40], axis=2).astype(np.uint8)


def write_clip(
    path: Path,
    frames: int = 6,
    size: tuple[int, int] = (48, 64),
    pixels: str = "yuv420p",
    times: Sequence[int] | None = None,
    sound: str | None = None,
    codec: str = "libx264",
) -> Path:
    """Write a video of `moving`, 25 frames per second or shown at `times` in ms, with half a second of `sound`."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"crf": "10"})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = *size, pixels
        stream.codec_context.time_base = Fraction(1, 1000)
        track = container.add_stream(sound, rate=8000, layout="mono") if sound else None
        for number, frame in enumerate(moving(frames, *size)):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format=pixels)
            picture.pts, picture.time_base = times[number] if times else 40 * number, Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
        if track is not None:
            assert isinstance(track, av.AudioStream)
            tone = (8000 * np.sin(np.arange(4000) / 5)).astype(np.int16)[None]
            audio = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
            audio.sample_rate = 8000
            for part in [audio, None]:
                container.mux(track.encode(part))
    return path


def sound_of(path: Path | str) -> list[tuple[Fraction, bytes]]:
    """The packets of the first sound stream and their times in seconds."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.dts is not None]
        return [(seconds(packet), bytes(packet)) for packet in packets]


def times_of(path: Path | str) -> list[Fraction]:
    """When the frames are shown, in seconds."""
    with av.open(str(path)) as container:
        return [(frame.pts or 0) * (frame.time_base or 1) * Fraction(1) for frame in container.decode(video=0)]


def repeating(scale: int) -> Engine:
    """Stands in for a network: every pixel becomes ``scale x scale`` of its kind."""

    def run(patches: list[Planes]) -> list[NDArray[np.float32]]:
        return [patch.repeat(scale, 2).repeat(scale, 3) for patch in patches]

    @contextmanager
    def engine(chunk: int) -> Iterator[Run]:
        yield run

    return engine
