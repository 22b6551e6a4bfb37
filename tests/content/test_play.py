"""Playing: the right pixels in the right order, in bounded memory, to the end or not at all."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dydca.cli import main
from dydca.content.grid import cut, stitch
from dydca.content.movie import engines, recording
from dydca.content.movie.engines import compiled
from dydca.content.movie.networks import Cutting
from dydca.content.movie.package import Movie
from dydca.content.movie.play import play
from dydca.content.movie.prefetch import prefetched
from dydca.content.movie.weights import fill
from dydca.content.pixels import Frame, Planes, to_frame, to_planes
from dydca.content.video import TimedFrame
from dydca.errors import ContentError, UsageError
from tests.content.clips import repeating, sound_of, times_of
from tests.content.movies import write_movie


class Kept:
    """A sink in memory."""

    def __init__(self, frames: int = 0) -> None:
        self.frames = frames
        self.list: list[TimedFrame] = []

    def add(self, frame: TimedFrame) -> None:
        self.list.append(frame)

    def finish(self, path: Path, sound: str | None) -> None: ...


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Movie:
    return write_movie(tmp_path_factory.mktemp("movie"), chunks=(4, 3))


def low_frames(movie: Movie) -> list[TimedFrame]:
    with movie.open_video() as video:
        return list(video.frames())


def test_frames_come_whole_and_in_order(movie: Movie) -> None:
    sink = Kept()
    statistics = play(movie, sink, repeating(2))
    assert statistics.frames == 7
    assert 0 <= statistics.kernel_seconds <= statistics.seconds
    for frame, low in zip(sink.list, low_frames(movie), strict=True):
        assert frame.time == low.time
        np.testing.assert_array_equal(frame.pixels, low.pixels.repeat(2, 0).repeat(2, 1)[:66, :98])


@pytest.mark.parametrize("start", [1, 4, 6, 7])
def test_goes_on_where_the_sink_stopped(movie: Movie, start: int) -> None:
    whole, rest = Kept(), Kept(start)
    play(movie, whole, repeating(2))
    play(movie, rest, repeating(2))
    assert [frame.time for frame in rest.list] == [frame.time for frame in whole.list[start:]]
    for ours, theirs in zip(rest.list, whole.list[start:], strict=True):
        np.testing.assert_array_equal(ours.pixels, theirs.pixels)


@pytest.mark.parametrize(("cutting", "sizes"), [("deep", {(10, 12)}), ("shallow", {(20, 24)})])
def test_every_patch_can_be_forced(movie: Movie, cutting: Cutting, sizes: set[tuple[int, int]]) -> None:
    seen: set[tuple[int, int]] = set()

    def engine(chunk: int) -> object:
        inner = repeating(2)(chunk)
        run = inner.__enter__()

        class Spy:
            def __enter__(self) -> object:
                def spied(patches: list[Planes]) -> object:
                    seen.update((patch.shape[2], patch.shape[3]) for patch in patches)
                    return run(patches)

                return spied

            def __exit__(self, *error: object) -> None: ...

        return Spy()

    play(movie, Kept(), engine, cutting)  # type: ignore[arg-type]
    assert seen == sizes


def test_a_gate_in_the_network_cannot_be_forced(tmp_path: Path) -> None:
    gated = write_movie(tmp_path, gate="learned")
    with pytest.raises(ContentError) as caught:
        play(gated, Kept(), repeating(2), "deep")
    assert caught.value.code == "DYD807"


@pytest.fixture(scope="module")
def compiled_movie(tmp_path_factory: pytest.TempPathFactory) -> Movie:
    return write_movie(tmp_path_factory.mktemp("movie"), chunks=(4, 3), compiled=True)


def expected(movie: Movie, number: int, chunk: int) -> Frame:
    """What eager PyTorch makes of a frame."""
    model = fill(movie.manifest.chunks[chunk].plan.build(), movie.weights(chunk), "test")
    low, layout = low_frames(movie)[number], movie.layout(movie.splits[number])
    with torch.no_grad():
        patches = [model(torch.from_numpy(patch)).numpy() for patch in cut(to_planes(low.pixels), layout)]
    return to_frame(stitch(patches, layout, 2))[:66, :98]


def assert_same(frame: Frame, wanted: Frame) -> None:
    """Equal but where the border between two levels lies within the rounding of float32."""
    difference = np.abs(frame.astype(int) - wanted)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3


def test_each_chunk_has_its_network_and_any_number_of_threads_gives_the_same(compiled_movie: Movie) -> None:
    runs = [Kept() for _ in range(3)]
    for threads, run in enumerate(runs, start=1):
        play(compiled_movie, run, compiled(compiled_movie, threads, pytest.fail))
        assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(run.list, runs[0].list, strict=True))
    assert_same(runs[0].list[0].pixels, expected(compiled_movie, 0, chunk=0))
    assert_same(runs[0].list[6].pixels, expected(compiled_movie, 6, chunk=1))


def test_the_weights_are_compiled_where_no_network_is_for_this_machine(movie: Movie) -> None:
    told: list[str] = []
    sink = Kept(6)
    play(movie, sink, compiled(movie, 1, told.append))
    assert told == ["chunk 1: no network for this machine, compiling the weights"]
    assert_same(sink.list[0].pixels, expected(movie, 6, chunk=1))


def test_without_torch_the_missing_network_is_told(movie: Movie, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="needs torch") as caught:
        play(movie, Kept(), compiled(movie, 1))
    assert caught.value.code == "DYD902"


def test_an_interruption_is_told_and_the_work_kept(
    compiled_movie: Movie, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recording, "SEGMENT", 3)
    arguments = ["play", str(compiled_movie.path), "-o", str(tmp_path / "out.mp4"), "--threads", "1"]
    real = recording.Recording.add

    def interrupted(self: recording.Recording, frame: TimedFrame) -> None:
        if self.frames == 3:
            raise KeyboardInterrupt
        real(self, frame)

    with monkeypatch.context() as patch:
        patch.setattr(recording.Recording, "add", interrupted)
        assert main(arguments) == 130
    assert capsys.readouterr().err.endswith("interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == [".out.mp4.work"]
    assert main(arguments) == 0
    assert "7 frames, 4 of them now" in capsys.readouterr().out


def test_a_video_shorter_than_the_package_says_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    movie = write_movie(tmp_path)
    object.__setattr__(movie.manifest.chunks[0], "frames", 9)
    movie.splits = np.zeros((9, movie.manifest.coarse), bool)
    with pytest.raises(ContentError, match="lacks frames"):
        play(movie, Kept(), repeating(2))


def test_the_command_writes_video_and_pictures(
    compiled_movie: Movie, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    movie, clip = compiled_movie, compiled_movie.path.with_name("clip.mp4")
    assert main(["play", str(movie.path), "-o", str(tmp_path / "out.mp4"), "--threads", "1"]) == 0
    assert "7 frames, 7 of them now" in capsys.readouterr().out
    assert times_of(tmp_path / "out.mp4") == times_of(clip)
    assert sound_of(tmp_path / "out.mp4") == sound_of(clip)
    assert main(["play", str(movie.path), "--show", str(tmp_path / "shown")]) == 0
    assert sorted(path.name for path in (tmp_path / "shown").iterdir()) == [f"00000{i}.png" for i in range(7)]
    with Image.open(tmp_path / "shown" / "000000.png") as picture:
        assert picture.size == (98, 66)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["play", "none.dydcav", "-o", "out.mp4"], "DYD701"),
        (["play", "MOVIE", "-o", "out.webm"], "DYD805"),
        (["play", "MOVIE", "-o", "absent/out.mp4"], "DYD705"),
        (["evaluate", "MOVIE", "--original", "none.mp4"], "DYD801"),
    ],
)
def test_refusals(
    movie: Movie, arguments: list[str], code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main([str(movie.path) if word == "MOVIE" else word for word in arguments]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(code)
    assert "Traceback" not in printed.err
    assert not list(tmp_path.iterdir())


def test_other_options_do_not_go_on_with_interrupted_work(compiled_movie: Movie, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    work = tmp_path / ".out.mp4.work"
    work.mkdir()
    (work / "job.json").write_text('{"package": "another"}')
    (work / "precious").touch()
    assert main(["play", str(compiled_movie.path), "-o", str(output)]) == 1
    assert (work / "precious").exists()
    assert main(["play", str(compiled_movie.path), "-o", str(output), "--restart"]) == 0
    assert output.exists()
    assert not work.exists()


def test_playing_needs_no_torch(movie: Movie) -> None:
    script = """
import sys
from dydca.content.movie.package import Movie
from dydca.content.movie.play import play
from dydca.content.movie.recording import Recording
import dydca.commands.play
print(*sorted({"torch", "tvm"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_no_more_than_a_few_items_are_fetched_ahead() -> None:
    fetched = 0

    def items() -> Iterator[int]:
        nonlocal fetched
        for number in range(1000):
            fetched += 1
            yield number

    with prefetched(items(), ahead=3) as ahead:
        for number in ahead:
            assert fetched <= number + 6
            if number == 20:
                break
    assert fetched < 30
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_an_error_ahead_is_raised_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ContentError("DYD801", "torn")

    with prefetched(items()) as ahead:
        assert next(ahead) == 1
        with pytest.raises(ContentError, match="torn"):
            next(ahead)
