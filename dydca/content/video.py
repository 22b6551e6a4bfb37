"""Frames out of a video file, by PyAV (FFmpeg)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dydca.content.pixels import Frame
from dydca.errors import ContentError, UsageError

if TYPE_CHECKING:
    from av.container import InputContainer


def read_frames(path: str | Path, limit: int | None = None) -> Iterator[Frame]:
    """Decode the first video stream of a file, frame by frame, in the order they are shown.

    Args:
        path: Anything FFmpeg reads.
        limit: Stop after so many frames; None for all.

    Yields:
        RGB frames, uint8 ``[H, W, 3]``; other pixel formats (grey, 10 bit) are converted by FFmpeg's swscale.

    Raises:
        ContentError: DYD801, the file is missing, damaged, cut short or no video. It can come after some frames.
        UsageError: DYD902, PyAV is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise UsageError("DYD902", "reading a video needs PyAV", fix="pip install 'dydca[content]'") from error
    try:
        with av.open(str(path)) as container:
            yield from _decode(container, path, limit)
    except (av.error.FFmpegError, OSError) as error:
        raise _refusal(path, error.strerror or str(error)) from error


def _decode(container: InputContainer, path: str | Path, limit: int | None) -> Iterator[Frame]:
    if not container.streams.video:
        raise _refusal(path, "no video stream")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    count = 0
    for packet in container.demux(stream):
        # FFmpeg hands out the torn last packet of a cut file and goes on; the decoder would paint over it in grey.
        if packet.is_corrupt:
            raise _refusal(path, f"damaged or cut short after {count} frames")
        for frame in packet.decode():
            if limit is not None and count >= limit:
                return
            count += 1
            yield np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
    if not count:
        raise _refusal(path, "a video stream without frames")


def _refusal(path: str | Path, got: str) -> ContentError:
    return ContentError("DYD801", f"cannot decode {Path(path).name}", where=str(path), got=got, want="a video file")
