"""Reading videos: good ones whole, bad ones refused by a code."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from dydca.content.video import Video, read_frames
from dydca.errors import ContentError, UsageError
from tests.content.clips import times_of, write_clip


def write_video(path: Path, pixels: str = "yuv420p", codec: str = "libx264", frames: int = 6) -> bytes:
    random = np.random.default_rng(0)
    # The index goes first, so that a cut file can still be opened.
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 34, 18, pixels
        for _ in range(frames):
            noise = random.integers(0, 256, (18, 34, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24").reformat(format=pixels)))
        container.mux(stream.encode())
    return path.read_bytes()


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv420p10le", "gray"])
def test_reads_every_frame_as_rgb(tmp_path: Path, pixels: str) -> None:
    write_video(tmp_path / "clip.mkv", pixels)
    frames = list(read_frames(tmp_path / "clip.mkv"))
    assert [(frame.shape, frame.dtype) for frame in frames] == [((18, 34, 3), np.dtype(np.uint8))] * 6
    assert (pixels == "gray") == bool((frames[0][..., 0] == frames[0][..., 2]).all())


@pytest.mark.parametrize("limit", [0, 1, 4, 9])
def test_stops_at_the_limit(tmp_path: Path, limit: int) -> None:
    write_video(tmp_path / "clip.mp4")
    assert len(list(read_frames(tmp_path / "clip.mp4", limit))) == min(limit, 6)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi", "clip.ts"])
def test_begins_at_any_frame(tmp_path: Path, name: str) -> None:
    clip = write_clip(tmp_path / name, frames=40)
    with Video(clip) as video:
        every = list(video.frames())
    for number in (0, 1, 17, 39):
        for at in (None, every[number].time, every[number].time - 1):  # the last one is no frame's time
            with Video(clip) as video:
                found = list(video.frames(number, at))
            assert [frame.time for frame in found] == [frame.time for frame in every[number:]]
            np.testing.assert_array_equal(found[0].pixels, every[number].pixels)


def test_times_rise_even_where_the_file_repeats_them(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", times=[0, 40, 41, 300, 340, 341])
    with Video(clip) as video:
        assert [frame.time * video.format.time_base for frame in video.frames()] == times_of(clip)
    raw = write_clip(tmp_path / "clip.h264", frames=5)  # a stream without times
    with Video(raw) as video:
        times = [frame.time for frame in video.frames()]
    assert len(times) == 5
    assert all(a < b for a, b in pairwise(times))


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_a_turned_camera_gives_upright_frames(tmp_path: Path, angle: int) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=2)
    with av.open(str(clip)) as source, av.open(str(tmp_path / "turned.mp4"), "w") as turned:
        stream = turned.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(angle)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                turned.mux(packet)
    with Video(clip) as video:
        straight = next(video.frames()).pixels
    with Video(tmp_path / "turned.mp4") as video:
        upright = next(video.frames()).pixels
        assert video.format[:2] == upright.shape[:2]
    np.testing.assert_array_equal(upright, np.rot90(straight, angle // 90))


def test_refuses_frames_that_change_their_size(tmp_path: Path) -> None:
    parts = [write_clip(tmp_path / f"{i}.h264", frames=2, size=size) for i, size in enumerate([(48, 64), (32, 64)])]
    (tmp_path / "both.h264").write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(ContentError) as caught:
        list(read_frames(tmp_path / "both.h264"))
    assert caught.value.code == "DYD803"


def refusal(path: Path) -> str:
    with pytest.raises(ContentError) as caught:
        list(read_frames(path))
    assert caught.value.code == "DYD801"
    assert caught.value.where == str(path)
    return str(caught.value.got)


def test_refuses_a_missing_file(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.mp4") == "No such file or directory"


@pytest.mark.parametrize("content", [b"", b"not a video\n" * 50], ids=["empty", "text"])
def test_refuses_what_is_no_video(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    assert refusal(path) == "Invalid data found when processing input"


def test_refuses_sound_without_pictures(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        assert isinstance(stream, av.AudioStream)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    assert refusal(path) == "no video stream"


def test_refuses_a_truncated_file_after_its_whole_frames(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    whole = write_video(path)
    path.write_bytes(whole[: len(whole) * 2 // 3])
    assert refusal(path).startswith("damaged or cut short after ")


def test_refuses_a_file_cut_before_its_index(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(write_video(path)[:400])
    assert refusal(path)


def test_names_the_missing_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UsageError, match=r"pip install 'dydca\[content\]'") as caught:
        list(read_frames("clip.mp4"))
    assert caught.value.code == "DYD902"
