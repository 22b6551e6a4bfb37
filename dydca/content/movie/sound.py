"""The sound of a video, carried over as it is: packets are copied, never decoded."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dydca.content.video import import_av
from dydca.errors import ContentError

if TYPE_CHECKING:
    from types import TracebackType

    from av import AudioStream, Packet
    from av.container import OutputContainer


def seconds(packet: Packet[Any]) -> Fraction:
    """When a packet is due to be decoded."""
    assert packet.dts is not None
    return packet.dts * packet.time_base


class Sound:
    """The sound streams of one file on their way into another; to be used in a ``with``.

    Args:
        source: A file or FFmpeg address; None for silence.
        container: Open for writing, its video stream added, nothing written yet.
        path: What messages call the container.

    Raises:
        ContentError: DYD804, the container cannot hold a stream's codec.
    """

    def __init__(self, source: str | None, container: OutputContainer, path: Path) -> None:
        self._container = container
        self._input = import_av().open(source) if source is not None else None
        streams = self._input.streams.audio if self._input else ()
        for stream in streams:
            if stream.codec_context.name not in container.supported_codecs:
                if self._input:
                    self._input.close()
                got, where = f"{stream.codec_context.name} in {path.suffix}", str(path)
                raise ContentError("DYD804", "the sound cannot be copied into this container", where=where, got=got)
        self._into = {stream.index: container.add_stream_from_template(stream) for stream in streams}
        self._packets = self._demux()
        self._next = next(self._packets, None)

    def _demux(self) -> Iterator[Packet[AudioStream]]:
        if self._input and self._into:
            packets = self._input.demux(list(self._input.streams.audio))
            yield from (packet for packet in packets if packet.dts is not None)

    def copy(self, until: Fraction | None = None) -> None:
        """Copy the packets that are due before a time in seconds; all that are left by default."""
        while (packet := self._next) is not None and (until is None or seconds(packet) <= until):
            packet.stream = self._into[packet.stream.index]
            self._container.mux(packet)
            self._next = next(self._packets, None)

    def __enter__(self) -> Sound:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._input:
            self._input.close()
