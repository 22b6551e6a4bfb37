"""Writing videos: times and sound kept, whole or not at all, and the same whether interrupted or not."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dydca.content.movie import recording as module
from dydca.content.movie.recording import Recording
from dydca.content.score import colours, psnr
from dydca.content.video import Colours, TimedFrame, Video, VideoFormat, read_frames
from dydca.errors import ContentError, FileError
from tests.content.clips import moving, sound_of, times_of, write_clip

FORMAT = VideoFormat(48, 64, Fraction(1, 1000))


def record(folder: Path, frames: list[TimedFrame], format: VideoFormat = FORMAT) -> Recording:
    recording = Recording(folder, format, crf=12, preset="ultrafast")
    for frame in frames[recording.frames :]:
        recording.add(frame)
    return recording


def timed(count: int, size: tuple[int, int] = (48, 64), step: int = 40) -> list[TimedFrame]:
    return [TimedFrame(pixels, number * step) for number, pixels in enumerate(moving(count, *size))]


@pytest.mark.parametrize("size", [(48, 64), (47, 64), (64, 35), (1, 1), (2, 300)])
def test_frames_of_any_size_come_back(tmp_path: Path, size: tuple[int, int]) -> None:
    frames = timed(3, size)
    record(tmp_path / "work", frames, FORMAT._replace(height=size[0], width=size[1])).finish(tmp_path / "a.mp4", None)
    back = list(read_frames(tmp_path / "a.mp4"))
    assert [frame.shape for frame in back] == [(*size, 3)] * 3
    if min(size) > 2:
        # The fine pattern changes colour from pixel to pixel, which shared chroma cannot hold.
        assert min(psnr(ours.pixels[:, :16], theirs[:, :16]) for ours, theirs in zip(frames, back, strict=True)) > 30


@pytest.mark.parametrize("base", [Fraction(1, 1000), Fraction(1, 90000), Fraction(1001, 30000), Fraction(1, 25)])
def test_uneven_times_are_kept(tmp_path: Path, base: Fraction) -> None:
    times = [3, 4, 9, 10, 30, 31]
    frames = [TimedFrame(frame.pixels, time) for frame, time in zip(timed(6), times, strict=True)]
    record(tmp_path / "work", frames, FORMAT._replace(time_base=base)).finish(tmp_path / "a.mp4", None)
    assert times_of(tmp_path / "a.mp4") == [time * base for time in times]


def test_an_interruption_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT", 4)
    frames = timed(11)
    record(tmp_path / "whole", frames).finish(tmp_path / "whole.mp4", None)
    record(tmp_path / "torn", frames[:7])  # four in a segment, three lost with the process
    (tmp_path / "torn" / "open.partial").write_bytes(b"torn")
    resumed = Recording(tmp_path / "torn", FORMAT, crf=12, preset="ultrafast")
    assert resumed.frames == 4
    record(tmp_path / "torn", frames).finish(tmp_path / "torn.mp4", None)
    assert (tmp_path / "torn.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert len(times_of(tmp_path / "torn.mp4")) == 11


@pytest.mark.parametrize(("sound", "source", "into"), [("aac", "a.mp4", "b.mp4"), ("pcm_s16le", "a.avi", "b.mkv")])
def test_sound_is_copied(tmp_path: Path, sound: str, source: str, into: str) -> None:
    clip = write_clip(tmp_path / source, frames=12, sound=sound)
    record(tmp_path / "work", timed(12)).finish(tmp_path / into, str(clip))
    assert [packet for _, packet in sound_of(tmp_path / into)] == [packet for _, packet in sound_of(clip)]


def test_refuses_sound_and_containers_that_do_not_fit_before_the_work(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.avi", sound="adpcm_ima_wav")
    recording = Recording(tmp_path / "work", FORMAT, 12, "ultrafast")
    for path, sound, code in [("b.mp4", str(clip), "DYD804"), ("b.webm", None, "DYD805"), ("b.xyz", None, "DYD805")]:
        with pytest.raises(ContentError) as caught:
            recording.check(tmp_path / path, sound)
        assert caught.value.code == code
    recording.check(tmp_path / "b.mp4", None)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.avi", "work"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileError) as caught:
        Recording(tmp_path / "file" / "work", FORMAT, 12, "ultrafast")
    assert caught.value.code == "DYD705"


def test_colours_of_a_tagged_video_survive(tmp_path: Path) -> None:
    flat = np.full((48, 64, 3), (200, 30, 60), np.uint8)
    tagged = FORMAT._replace(colours=Colours(space=1, range=1, primaries=1, transfer=1))  # BT.709, studio range
    record(tmp_path / "work", [TimedFrame(flat, 0)], tagged).finish(tmp_path / "a.mp4", None)
    with Video(tmp_path / "a.mp4") as video:
        assert video.format.colours == tagged.colours
        (frame,) = video.frames()
    assert psnr(frame.pixels, flat, of=colours) > 42
    with av.open(str(tmp_path / "a.mp4")) as container:
        luma = next(container.decode(video=0)).to_ndarray()[0, 0]
    # By the coefficients of BT.709, not those of BT.601, which would give 96.
    assert luma == pytest.approx(16 + 219 / 255 * (0.2126 * 200 + 0.7152 * 30 + 0.0722 * 60), abs=1.5)
